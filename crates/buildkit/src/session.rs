//! Sessions: what clients offer to their builds (`session/` of moby/buildkit).
//!
//! ```text
//!   client ── POST /session, Upgrade: h2c ──► engine       from then on the client is gRPC's server
//!   client ◄── FileSync, Secrets, SSH, Auth, FileSend ── engine
//! ```

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderMap;
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};

use crate::grpc::{Channel, Code, Result, Status, client::Call};

/// How long a build waits for its session to come.
const COMING: Duration = Duration::from_secs(5);

/// All sessions that are open.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// Guards the open ones, by their ids.
    open: Mutex<HashMap<String, Arc<Session>>>,
    changed: watch::Sender<()>,
}

/// What one client offers.
#[derive(Debug)]
pub(crate) struct Session {
    channel: Channel,
    methods: HashSet<String>,
    /// What it calls the folder that it is started in; files are kept by it.
    pub(crate) shared_key: String,
}

impl Sessions {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            open: Mutex::default(),
            changed: watch::channel(()).0,
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a session for as long as its connection stands.
    pub(crate) async fn serve<I>(&self, headers: &HeaderMap, io: I) -> Result<()>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let id = text("x-docker-expose-session-uuid").to_owned();
        if id.is_empty() {
            return Err(Status::invalid("a session needs an id"));
        }
        let methods = headers.get_all("x-docker-expose-session-grpc-method").iter();
        let methods = methods.filter_map(|value| Some(value.to_str().ok()?.to_lowercase()));
        let (channel, connection) = Channel::open(io).await?;
        let session = Arc::new(Session {
            channel,
            methods: methods.collect(),
            shared_key: text("x-docker-expose-session-sharedkey").to_owned(),
        });
        if self.open().insert(id.clone(), Arc::clone(&session)).is_some() {
            tracing::debug!(id, "a session takes another's place");
        }
        self.changed.send_replace(());
        let result = connection.await;
        let mut open = self.open();
        if open.get(&id).is_some_and(|found| Arc::ptr_eq(found, &session)) {
            open.remove(&id);
        }
        Ok(result?)
    }

    /// A session by its id; one that does not come soon is not there.
    pub(crate) async fn get(&self, id: &str) -> Result<Arc<Session>> {
        let mut changed = self.changed.subscribe();
        let found = timeout(COMING, async {
            loop {
                changed.mark_unchanged();
                if let Some(session) = self.open().get(id) {
                    return Arc::clone(session);
                }
                // The sender lives as long as `self`.
                let _ = changed.changed().await;
            }
        });
        let late = |_| {
            Status::new(
                Code::NotFound,
                format!("no active session for {id}: context deadline exceeded"),
            )
        };
        found.await.map_err(late)
    }
}

impl Session {
    /// Whether the client has a method.
    pub(crate) fn supports(&self, method: &str) -> bool {
        self.methods.contains(&method.to_lowercase())
    }

    /// Begins a call.
    pub(crate) async fn start(&self, method: &str, metadata: &[(&'static str, String)]) -> Result<Call> {
        self.needs(method)?;
        self.channel.start(method, metadata).await
    }

    /// A call with one message each way.
    pub(crate) async fn unary<A: Message, B: Message + Default>(&self, method: &str, message: &A) -> Result<B> {
        self.needs(method)?;
        self.channel.unary(method, message).await
    }

    fn needs(&self, method: &str) -> Result<()> {
        if self.supports(method) {
            return Ok(());
        }
        Err(Status::unimplemented(format!(
            "method {method} not supported by the client"
        )))
    }
}
