//! The registry protocol: references resolved, images pulled and pushed.
//!
//! ```text
//!  pull ──► resolve ──► client (one repository: requests, tokens, redirects)
//!    │                    └──► transport (connections), tls, endpoint (where, how trusted), auth
//!    └──► transfers (shared) ──► layers ──► fetch (ranges, retries) ──► the store's ingest
//!  push ──► client's uploads ◄── pack (a layer's tar, made again and compressed)
//! ```
//!
//! ```no_run
//! use corten_distribution::endpoint::Config;
//! use corten_distribution::{Progress, PullRequest, Registries};
//! use corten_store::{Options, Store};
//!
//! # async fn pull() -> Result<(), Box<dyn std::error::Error>> {
//! let registries = Registries::new(Config::default());
//! let store = Store::open("/var/lib/corten", Options::default())?;
//! let request = PullRequest { reference: "nginx".parse()?, platform: None, auth: None, is_nameless: false };
//! let pulled = registries.pull(&store, &request, &Progress::none()).await?;
//! assert_eq!(pulled.reference.familiar(), "nginx:latest");
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod auth;
mod client;
mod documents;
mod download;
pub mod endpoint;
mod error;
mod fetch;
mod layers;
mod progress;
mod pull;
mod push;
mod registries;
mod resolve;
mod tls;
mod transfers;
mod transport;
mod upstream;

pub use auth::{AuthConfig, Secret};
pub use client::{Fetched, Purpose};
pub use documents::Documents;
pub use download::Download;
pub use error::{Error, Kind, Result};
pub use progress::{Event, Outcome, Progress, Step};
pub use pull::{PullRequest, Pulled};
pub use push::{CachePush, PushRequest, Pushed};
pub use registries::{Found, Inspection, Registries};
pub use tls::AcceptAny;
pub use upstream::{Incoming, Received, Upstream};
