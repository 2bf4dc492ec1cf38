//! Clients on their way to a container: they have their answer, but their sockets are not here yet.
//!
//! A client that attaches and then starts the container may do so on two connections, and the second
//! may be the quicker one here. So a start waits for those that came before it; they miss no byte.

use std::{sync::Arc, time::Duration};

use corten_shim::protocol::Request;

use super::Container;

/// How long a start waits. A client's socket is here a moment after the client has read its answer, or has had
/// the time to.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client that is on its way, until this is dropped.
#[derive(Debug)]
pub(super) struct Coming(Arc<Container>);

impl Coming {
    pub(super) fn to(container: &Arc<Container>) -> Self {
        container.coming.send_modify(|count| *count += 1);
        Self(Arc::clone(container))
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.coming.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Waits until all that were on their way are here.
pub(super) async fn arrived(container: &Container) {
    let mut count = container.coming.subscribe();
    if *count.borrow() == 0 {
        return;
    }
    // One that never reads its answer is waited for no longer; it is attached when it does.
    let _ = tokio::time::timeout(PATIENCE, count.wait_for(|count| *count == 0)).await;
}

/// Attaches those that came while the container was being started.
pub(super) async fn attach_late(container: &Container) {
    let late = std::mem::take(&mut container.lock().clients);
    if late.is_empty() {
        return;
    }
    let Ok(link) = container.link() else {
        // It has ended, and their sockets close.
        return;
    };
    for (attach, socket) in late {
        if let Err(error) = link.call(Request::Attach { exec: None, attach }, vec![socket]).await {
            tracing::debug!(container = container.id, ?error, "a client could not be attached");
        }
    }
}
