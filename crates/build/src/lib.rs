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
mod attest;
mod builder;
mod cache;
mod chmod;
mod contents;
mod context;
mod error;
mod event;
mod exchange;
mod executor;
mod exporter;
mod files;
mod filters;
mod key;
mod known;
mod metadata;
mod mounts;
mod origin;
mod output;
mod paths;
mod plan;
mod policy;
mod request;
mod roots;
mod run;
mod squash;
mod stage;
mod state;
mod transfer;
mod work;

pub use attest::{Attest, Provenance};
pub use builder::{Built, build};
pub use cache::{Cache, CacheEntry, CachePruned, EntryKind};
pub use context::{
    Context, Folder, Given, Local, Unpacked, patterns as ignore_patterns, take as take_context,
    take_local as take_local_context, take_tree as take_context_of,
};
pub use corten_dockerfile::{Ignore, Lines, Network, Security, Warning, excerpt};
pub use error::{Error, Failure, Kind, Result};
pub use event::{Event, Log, Status, StepEvent, Transfer, Vertex};
pub use exchange::{Blobs, CACHE_CONFIG, CacheOptions, CacheTarget, CacheTo, Exported, FolderTarget, LayoutBlobs};
pub use executor::{BaseImage, Executor, FileAccess, FoundDevice, GitSource, Process, ProcessMount, Stream};
pub use exporter::ImageOptions;
pub use filters::{Facts, Filters};
pub use output::{Archive, ArchiveOutput, Finished, ImageOutput, Output, Product, Stored};
pub use policy::Rule;
pub use request::{Agents, Allowed, AllowedDevices, Fresh, Granted, Named, Request, Secret, Secrets, StepsFrom};
