//! The harness that the black-box suites share.

#![forbid(unsafe_code)]

pub mod images;
pub mod registry;
