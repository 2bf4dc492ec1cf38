//! YAML as Compose's users write it: 1.2 with a few habits of 1.1 (`0444` is octal, `<<` merges).

mod compose;
mod scalar;
mod write;

pub(crate) use compose::{Document, documents};
pub(crate) use write::write;
