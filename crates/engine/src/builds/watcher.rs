//! Who else hears what a build tells.

use std::{fmt::Debug, sync::Arc};

use corten_build::{Built, Event};

/// Somebody who keeps a record of a build.
pub trait Watch: Debug + Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event);
    /// It is over.
    fn end(&self, result: Result<&Built, &corten_build::Error>);
}

/// Who watches a build, if anybody does.
pub type Watcher = Option<Arc<dyn Watch>>;
