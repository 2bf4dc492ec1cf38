//! The command line, ours and Docker's own, against our engine.

mod commands;
mod flags;
mod goldens;
mod interactive;
mod walk_through;
