//! Bad input, from users, clients, images and the machine: a clear answer, and nothing half-made.

mod archives;
mod clients;
mod controllers;
mod daemon;
mod flags;
mod full_disk;
mod registries;
mod requests;
mod scarcity;
