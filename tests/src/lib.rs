//! The harness that the black-box suites share.
//!
//! A test starts an [`engine::Engine`]: the built executable on places of its own (folders, network
//! namespace, cgroup), with real images behind a registry on that namespace's loopback. It runs
//! `corten`, or the real `docker` command line, against it and looks at what a user would see. When
//! the engine is dropped, nothing may be left of it on the machine.

#![forbid(unsafe_code)]

pub mod command;
pub mod disk;
pub mod engine;
pub mod git_server;
pub mod http;
pub mod images;
pub mod process;
pub mod programs;
pub mod receivers;
pub mod registry;
pub mod terminal;
pub mod transcript;
pub mod until;
