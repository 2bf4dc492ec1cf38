//! The command line, ours and Docker's own, against our engine.

mod commands;
mod contexts;
mod flags;
mod goldens;
mod interactive;
mod login;
mod remote;
mod search;
mod walk_through;
