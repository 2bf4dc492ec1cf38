//! Configuration: a JSON file, and flags that come before it.

mod file;
mod flags;
mod value;

use std::path::PathBuf;
use std::time::Duration;

use file::read;
pub(crate) use file::{Access, Action, Auth, Retention, Rule, TlsFiles, TokenAuth, Upstream};
pub(crate) use flags::{Collect, Invocation, Request, parse};
pub(crate) use value::{Pattern, Quantity, Span, write_size};

use crate::store::Limits;

/// Where the registry listens unless told otherwise: this machine alone.
pub(crate) const LISTEN: &str = "127.0.0.1:5000";
/// Where it keeps what it has.
pub(crate) const DATA_ROOT: &str = "/var/lib/corten-registry";
/// The file that is read when it is there and none is named.
pub(crate) const FILE: &str = "/etc/corten/registry.json";

/// What the registry is told to do.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) listen: Vec<String>,
    pub(crate) data_root: PathBuf,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) metrics: Option<String>,
    pub(crate) log_level: tracing::Level,
    /// Whether blobs, manifests and tags may be deleted.
    pub(crate) delete: bool,
    /// Whether an answer waits until the disk has what it tells of.
    pub(crate) durable: bool,
    pub(crate) upload_expiry: Duration,
    pub(crate) gc_interval: Duration,
    pub(crate) gc_grace: Duration,
    pub(crate) retention: Vec<Retention>,
    pub(crate) limits: Limits,
    pub(crate) auth: Auth,
    pub(crate) access: Access,
    pub(crate) upstreams: Vec<Upstream>,
}
