//! The registry protocol: references resolved, images pulled and pushed.

#![forbid(unsafe_code)]

pub mod auth;
mod client;
pub mod endpoint;
mod error;
mod tls;
mod transport;

pub use error::{Error, Kind, Result};
