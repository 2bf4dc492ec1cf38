//! Typed client of the Engine API: HTTP/1.1 over a unix socket, TCP, TLS or ssh, with Docker's hijacked
//! connections.
//!
//! A [`Client`] makes no connection until the first call, and asks for no version: it speaks the
//! newest one and steps down when an engine says that it is too new.
//!
//! ```no_run
//! # async fn example() -> Result<(), corten_client::Error> {
//! let client = corten_client::Client::new(corten_client::Endpoint::unix("/run/corten.sock"));
//! let version = client.version().await?;
//! assert!(!version.api_version.is_empty());
//! # Ok(()) }
//! ```
//!
//! ```text
//!   Client ── Call ──► connection (pooled) ──► Response ──► JSON, bytes, messages
//!          └─ Call ──► connection of its own ──► Hijacked (attach, exec)
//! ```

#![forbid(unsafe_code)]

mod builds;
mod call;
mod connection;
mod containers;
mod endpoint;
mod error;
mod hijack;
mod images;
mod listening;
mod networks;
mod response;
mod ssh;
mod system;
mod tls;
mod volumes;
mod written;

pub use builds::{BuildOptions, BuildPrune, BuildPruned};
pub use call::Body;
pub use containers::{
    AttachOptions, CommitOptions, LogsOptions, PathStat, PutArchive, RemoveOptions, StatsOptions, StopOptions, Waiting,
};
pub use endpoint::{Endpoint, Tls, Verify};
pub use error::{Error, Kind, Result};
pub use hijack::{Hijacked, ReadHalf, WriteHalf};
pub use images::{ImportOptions, ListOptions, PullOptions, PushOptions};
pub use response::{ByteStream, Messages};
pub use ssh::Ssh;
pub use written::BodyWriter;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use connection::Sender;

/// A client of one engine.
pub struct Client {
    endpoint: Endpoint,
    headers: Vec<(String, String)>,
    /// The API version that is spoken, and whether the engine has accepted it.
    version: Mutex<Spoken>,
    /// Connections that wait for their next call.
    idle: Mutex<Vec<Sender>>,
    /// Product to name when the engine cannot be reached.
    timeout: Duration,
}

/// Which API version is spoken.
#[derive(Debug, Clone)]
struct Spoken {
    version: String,
    /// Whether the user chose it: then it is never changed.
    fixed: bool,
    /// Whether an answer has shown that the engine knows it.
    proven: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the engine there; connects with the first call.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            headers: Vec::new(),
            version: Mutex::new(Spoken {
                version: corten_api::VERSION.to_owned(),
                fixed: false,
                proven: false,
            }),
            idle: Mutex::new(Vec::new()),
            timeout: Duration::from_secs(32),
        }
    }

    /// Speaks this API version whatever the engine says.
    #[must_use]
    pub fn with_version(self, version: &str) -> Self {
        *lock(&self.version) = Spoken {
            version: version.to_owned(),
            fixed: true,
            proven: true,
        };
        self
    }

    /// Sends this header with every call.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where the engine is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The API version that is spoken; what the engine supports once it has answered.
    pub fn api_version(&self) -> String {
        lock(&self.version).version.clone()
    }
}

/// Takes a lock that guards plain data: after a panic elsewhere it is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
