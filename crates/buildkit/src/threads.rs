//! Work that takes a thread for a while: files, and what is waited for without being polled.

use crate::grpc::{Result, Status};

/// Runs work on a thread for such.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Status::unknown(format!("an internal task ended early: {error}")))?
}
