//! The built programs, driven as the engine drives them: real namespaces, cgroups and files.
//!
//! They need root, and a static busybox at `/bin/busybox`, which becomes the containers' root.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

mod ends;
mod execs;
mod init;
mod logs;
mod streams;
