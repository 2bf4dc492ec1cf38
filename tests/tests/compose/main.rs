//! Compose: files, and what `compose config` makes of them.

mod bad_input;
mod config;
mod corpus;
