//! A container's parent: stdio, pty, log file and exit status; lives on when the engine dies.
//!
//! As a library this crate is what the engine needs to speak with it: the [`protocol`] and its
//! [`connection`], and the rules for answering [`names`]. The programs, `corten-shim` and the `corten-init` that `--init` puts into a
//! container, are built with the feature `program`.

#![forbid(unsafe_code)]

pub mod connection;
pub mod names;
pub mod protocol;
