//! Safe wrappers of Linux that neither `std` nor `rustix` has; the only crate with unsafe code.
//!
//! Functions are thin: Linux's name, typed flags, owned or borrowed descriptors, `io::Result`,
//! and no policy. Each module names the manual page it follows. [`failure`] alone is of another sort: the
//! classes of errors, as every crate stands on this one.

#![allow(unsafe_code, reason = "the crate exists to hold it")]

pub mod bpf;
pub mod failure;
pub mod fs;
pub mod heap;
pub mod inherited;
pub mod keyring;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod netns;
pub mod notify;
pub mod overlay;
pub mod process;
pub mod program;
pub mod quota;
pub mod seccomp;
pub mod signal;
pub mod socket;
