//! Archives in and out: `save`, `load`, `import`, `export` and a container's changes as a layer.

mod commit;
mod import;
mod layout;
mod load;
mod save;
pub(crate) mod tree;

pub use commit::CommitRequest;
pub use import::ImportRequest;
pub use layout::write_layout;
pub use load::{LoadEvent, Loaded};
pub use tree::export;
