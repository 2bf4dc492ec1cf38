//! Connections that are idle, kept to be used again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::SendRequest;

use super::Payload;
use crate::auth::Secret;
use crate::endpoint::{Address, Verification};

/// Idle connections are closed after this time, as servers do after theirs.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Idle connections kept to one server.
const IDLE_MAX: usize = 8;

/// Connections to one server, trusted in one way, can stand for each other.
pub(super) type Key = (Address, Verification);

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Payload>,
    /// Set when requests go to a proxy that forwards each; inside, what it wants to see.
    pub(super) through_proxy: Option<Option<Secret>>,
}

/// Idle connections by server.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    connections: HashMap<Key, Vec<(Connection, Instant)>>,
    is_swept: bool,
}

impl Pool {
    pub(super) fn take(&self, key: &Key) -> Option<Connection> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.connections.get_mut(key)?;
        while let Some((connection, since)) = kept.pop() {
            if since.elapsed() < IDLE_TIME && !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    pub(super) fn put(self: Arc<Self>, key: Key, connection: Connection) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.connections.entry(key).or_default();
        if kept.len() < IDLE_MAX {
            kept.push((connection, Instant::now()));
        }
        if !std::mem::replace(&mut idle.is_swept, true) {
            drop(idle);
            tokio::spawn(sweep(Arc::downgrade(&self)));
        }
    }
}

/// Closes connections that were idle too long, until there are none.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE_TIME).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.connections.retain(|_, kept| {
            kept.retain(|(c, since)| since.elapsed() < IDLE_TIME && !c.sender.is_closed());
            !kept.is_empty()
        });
        if idle.connections.is_empty() {
            idle.is_swept = false;
            return;
        }
    }
}

/// A connection that goes back to the pool when its answer is read to the end.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) pool: Arc<Pool>,
    pub(super) key: Key,
    pub(super) connection: Connection,
}
