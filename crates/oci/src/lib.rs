//! Names and documents of the OCI specifications; no I/O.

#![forbid(unsafe_code)]

pub mod capability;
pub mod cdi;
pub mod digest;
pub mod image;
pub mod platform;
pub mod reference;
pub mod runtime;
pub mod seccomp;
