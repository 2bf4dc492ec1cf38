//! Blobs, layers, snapshots, image names and garbage collection.
//!
//! A [`Store`] owns `image/` and `overlay2/` below the data root. Everything blocks; async callers go
//! through a blocking thread.
//!
//! ```no_run
//! use std::io::Write as _;
//! use corten_store::{IngestRequest, Ingestion, Options, Store};
//!
//! # fn main() -> corten_store::Result<()> {
//! let store = Store::open("/var/lib/corten", Options::default())?;
//! let lease = store.lease();
//! if let Ingestion::Ready(mut layer) = store.layer_ingest(&lease, IngestRequest::default())? {
//!     layer.write_all(b"compressed bytes as they come")?;
//!     let layer = layer.finish()?;
//!     println!("{} is in {}", layer.diff_id(), layer.path().display());
//! }
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod archive;
mod builtin;
mod error;
mod form;
mod gc;
mod images;
mod ingest;
mod layers;
mod lease;
mod pack;
mod pipeline;
mod recipe;
mod records;
mod scratch;
mod snapshots;
mod store;
mod unpack;
mod usage;
mod view;
mod worker;

use corten_tar as tar;

pub use archive::{CommitRequest, ImportRequest, LoadEvent, Loaded, export, write_layout};
pub use error::{Error, Kind, Result};
pub use form::{Annotations, Attestation, Form, GivenDocument, IN_TOTO, Predicate, layer_type, package};
pub use gc::{Damage, GcOptions, GcReport, Repair};
pub use images::{Force, Image, ImageId, ImageUser, Images, NewImage, PruneParents, Removed, StoredDocument};
pub use ingest::{Ingest, IngestRequest, IngestWait, Ingestion, Resume};
pub use layers::{CompressedBlob, Layer, Layers};
pub use lease::Lease;
pub use pack::{Packed, PackedFile, Packing};
pub use recipe::TarStream;
pub use scratch::{Scratch, begins_a_tar};
pub use snapshots::{Access, Change, ChangeKind, Folders, MountPoints, Snapshots, Sync};
pub use store::{Options, Store};
pub use unpack::Limits;
pub use usage::{DiskUsage, ImageUsage, Usage};
pub use view::{PathStat, UnpackOptions, View};
