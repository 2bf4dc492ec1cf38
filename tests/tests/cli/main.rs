//! The command line, ours and Docker's own, against our engine.

mod flags;
mod goldens;
mod interactive;
mod walk_through;
