//! OCI runtime: namespaces, cgroups, mounts, capabilities, seccomp and LSM labels, as a library and as runc-compatible commands.
//!
//! [`create()`] makes a container of a configuration, [`exec()`] runs another process in it. Both copy
//! the calling process, which must have one thread, exactly once; the child mounts, confines itself
//! and becomes the container's program. What runs is then known by its [`PidFd`] and its
//! [`Cgroup`](cgroup::Cgroup) alone: signals go to the one; pausing, counting and limiting to the other.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use corten_runtime::{Create, create};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let spec = serde_json::from_str(&corten_sys::fs::read_to_string("/bundle/config.json")?)?;
//! let container = create(Create::new("hello", Path::new("/bundle"), &spec))?;
//! let ended = container.process.wait()?;
//! if let Some(cgroup) = container.cgroup {
//!     cgroup.delete()?;
//! }
//! println!("it ended with {}", ended.code());
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod capabilities;
pub mod cgroup;
mod channel;
pub mod commands;
mod context;
mod create;
pub mod error;
mod exec;
mod hooks;
mod init;
mod launch;
pub mod lsm;
mod namespaces;
mod program;
mod rootfs;
mod scheduling;
pub mod seccomp;
mod terminal;
mod validate;

pub use corten_sys::process::{Ended, PidFd, start_time};

pub use self::create::{Begin, Container, Create, console_size, create, run_poststop_hooks};
pub use self::error::{Error, Kind, Result};
pub use self::exec::{Exec, Executed, exec};
pub use self::init::Keyring;
pub use self::rootfs::{RootEntry, mount_at as mount_root_at};
pub use self::terminal::{Stdio, resize};
