//! The programs that travel inside the executable, as `build.rs` made them.

/// The parent of each container (`corten-shim`).
pub(crate) static SHIM: &[u8] = include_bytes!(env!("CORTEN_SHIM_PATH"));

/// What `--init` puts at `/sbin/docker-init` (`corten-init`).
pub(crate) static INIT: &[u8] = include_bytes!(env!("CORTEN_INIT_PATH"));
