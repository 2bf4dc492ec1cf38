//! Bad input, from users, clients, images and the machine: a clear answer, and nothing half-made.

mod daemon;
mod flags;
mod requests;
mod scarcity;
