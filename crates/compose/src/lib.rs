//! Compose: many containers as one application.
//!
//! This crate reads Compose files: it merges them, fills in variables, checks them, and brings every attribute
//! into one form, the [`Project`]. Whatever is wrong is reported with file, line and column.
//!
//! ```text
//!   files ── yaml ──► nodes ── interpolate, extends, include, merge, schema ──► one tree
//!         ── canonical, defaults, paths, normalize ──► Project
//! ```
//!
//! ```
//! use corten_compose::{Format, Sources, load};
//!
//! let sources = Sources {
//!     files: vec!["-".into()],
//!     input: Some("services: {web: {image: nginx, ports: ['8080:80']}}".to_owned()),
//!     default_name: "shop".to_owned(),
//!     ..Sources::default()
//! };
//! let project = load(&sources)?.value;
//! assert_eq!(project.services["web"].ports[0].published, "8080");
//! assert!(project.render(Format::Yaml).starts_with("name: shop\n"));
//! # Ok::<(), corten_compose::Error>(())
//! ```

#![forbid(unsafe_code)]

mod canonical;
pub mod compare;
mod consistency;
pub mod convert;
mod discover;
mod dotenv;
mod error;
pub mod execute;
mod extends;
pub mod hash;
mod include;
mod interpolate;
pub mod labels;
mod load;
mod merge;
pub mod model;
mod name;
pub mod names;
mod nearest;
mod node;
mod normalize;
mod number;
mod output;
mod path;
pub mod plan;
pub mod publish;
pub mod remote;
mod resolve;
mod schema;
mod shared;
mod short;
mod source;
mod template;
mod unique;
mod validate;
mod variables;
mod warnings;
mod words;
mod yaml;

pub use consistency::check_container_names;
pub use discover::{Request, discover};
pub use error::{Error, Kind, Result};
pub use interpolate::variables as variables_of;
pub use load::{Loaded, Sources, Step, load, load_tree, load_tree_with, load_with};
pub use model::{Project, Service};
pub use node::{Map, Node, Value};
pub use output::Format;
pub use source::{Files, Place, Position};
pub use template::Variable;
pub use warnings::Warnings;
