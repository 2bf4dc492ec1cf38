//! Archives in and out: `save`, `load`, `import`, `export` and a container's changes as a layer.

mod import;
mod load;
mod save;
mod tree;

pub use import::ImportRequest;
pub use load::{LoadEvent, Loaded};
pub use tree::export;
