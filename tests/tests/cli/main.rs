//! The command line, ours and Docker's own, against our engine.

mod commands;
mod contexts;
mod flags;
mod goldens;
mod imagetools;
mod interactive;
mod login;
mod manifests;
mod remote;
mod search;
mod walk_through;
