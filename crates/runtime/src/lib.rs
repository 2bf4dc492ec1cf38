//! OCI runtime: namespaces, cgroups, mounts, capabilities, seccomp and LSM labels, as a library and as runc-compatible commands.

#![forbid(unsafe_code)]

pub mod capabilities;
pub mod cgroup;
pub mod error;
