//! Building images: Dockerfile → plan → steps, each from the cache or run → layers → image.
//!
//! ```text
//!   Dockerfile ──► plan (which stages, in which order)
//!                    └──► steps: state + instruction ──► key ──► cache? ──► layer
//!                                                          └──► Executor (RUN), transfer (COPY, ADD)
//! ```
//!
//! A step's result is a layer and a line of history; the state after it is an image configuration. Its
//! key is made of what it sees: the layers below, the words with their variables put in, and the content
//! of the files it copies, never their times. Everything here blocks; what needs an engine (running a
//! command, pulling a base image, fetching a URL) is asked of an [`Executor`].

#![forbid(unsafe_code)]

mod arguments;
mod builder;
mod cache;
mod chmod;
mod contents;
mod context;
mod error;
mod event;
mod executor;
mod files;
mod metadata;
mod paths;
mod plan;
mod request;
mod roots;
mod run;
mod state;
mod transfer;

pub use builder::{Built, build};
pub use cache::{Cache, CacheEntry, CachePruned};
pub use context::{Given, take as take_context};
pub use corten_dockerfile::{Network, Security, Warning, excerpt};
pub use error::{Error, Failure, Kind, Result};
pub use event::{Event, Vertex};
pub use executor::{BaseImage, Executor, Process, ProcessMount, Stream};
pub use request::{Context, Request, Secret};
