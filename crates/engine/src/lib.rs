//! What the engine does: containers, exec, images, networks, volumes and events; owns the state, knows no HTTP.

#![forbid(unsafe_code)]

pub mod error;
pub mod events;
mod identifiers;
mod name_pattern;
pub mod networks;
pub mod settings;
pub mod time_filter;
pub mod volumes;
