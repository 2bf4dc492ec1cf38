//! The routes: from a request's parameters to one typed call, and from its result to an answer.

pub(crate) mod archives;
pub(crate) mod buildkit;
pub(crate) mod builds;
pub(crate) mod containers;
pub(crate) mod exec;
pub(crate) mod images;
pub(crate) mod networks;
mod platforms;
pub(crate) mod plugins;
pub(crate) mod swarm;
pub(crate) mod system;
pub(crate) mod volumes;

use corten_engine::{Error, Result};

/// Runs blocking work of the engine on the pool meant for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal(format!("an internal task ended early: {error}"))),
    }
}
