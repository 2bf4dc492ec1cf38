//! What all connections share.

use corten_engine::Engine;
use corten_oci::digest::Digest;

use crate::{files::Copies, history::History, session::Sessions, solve::Solves};

/// The engine, as BuildKit's clients see it.
#[derive(Debug)]
pub(crate) struct Inner {
    /// The engine.
    pub(crate) engine: Engine,
    /// What clients offer.
    pub(crate) sessions: Sessions,
    /// Builds that go on.
    pub(crate) solves: Solves,
    /// Builds that have ended.
    pub(crate) history: History,
    /// What is kept of clients' folders.
    pub(crate) copies: Copies,
    /// The worker's name.
    pub(crate) id: String,
}

impl Inner {
    /// Over an engine and the folders in its data root.
    pub(crate) fn new(engine: Engine) -> Self {
        let folder = engine.settings().data_root.join("buildkit");
        let rules = engine.settings().build_history;
        let id = Digest::sha256(engine.system().id().as_bytes()).hex()[..25].to_owned();
        Self {
            engine,
            sessions: Sessions::new(),
            solves: Solves::new(),
            history: History::new(folder.join("history"), rules),
            copies: Copies::new(folder.join("sync")),
            id,
        }
    }
}
