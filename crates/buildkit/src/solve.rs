//! Builds that go on: each is begun by `Control.Solve`, done through `LLBBridge`, and watched by
//! `Control.Status`, all by one name.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use corten_oci::digest::Digest;
use jiff::Timestamp;
use tokio::{sync::watch, time::timeout};

use crate::{
    grpc::{Code, Result, Status},
    proto::control::SolveRequest,
    session::Session,
    status::StatusLog,
};

/// How long a call waits for the build that it belongs to.
const COMING: Duration = Duration::from_secs(5);

/// So many builds are remembered that have ended.
const REMEMBERED: usize = 8;

/// One build.
#[derive(Debug)]
pub(crate) struct Solve {
    /// What it was ordered with.
    pub(crate) request: SolveRequest,
    /// When.
    pub(crate) began: Timestamp,
    /// Who offers files and secrets.
    pub(crate) session: Arc<Session>,
    /// What it tells.
    pub(crate) log: StatusLog,
    /// Guards what came of it.
    made: Mutex<Made>,
    /// What the client gave back, once it has.
    returned: watch::Sender<Option<Result<()>>>,
}

/// What came of a build.
#[derive(Debug, Default)]
struct Made {
    refs: BTreeMap<String, Digest>,
    answers: BTreeMap<String, String>,
    provenance: Option<Vec<u8>>,
    unnamed: Vec<Digest>,
}

impl Solve {
    pub(crate) fn new(request: SolveRequest, session: Arc<Session>) -> Self {
        Self {
            log: StatusLog::new(&request.reference),
            request,
            began: Timestamp::now(),
            session,
            made: Mutex::default(),
            returned: watch::channel(None).0,
        }
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a result; gives its name.
    pub(crate) fn keep(&self, image: Digest, answers: BTreeMap<String, String>, provenance: Vec<u8>) -> String {
        let mut made = self.made();
        let name = format!("{}-{}", self.request.reference, made.refs.len());
        made.refs.insert(name.clone(), image);
        made.answers.extend(answers);
        made.provenance = Some(provenance);
        name
    }

    /// Remembers an image that lives as long as the build.
    pub(crate) fn keep_unnamed(&self, image: Digest) {
        self.made().unnamed.push(image);
    }

    /// Images that live as long as the build.
    pub(crate) fn take_unnamed(&self) -> Vec<Digest> {
        std::mem::take(&mut self.made().unnamed)
    }

    /// A result by its name.
    pub(crate) fn result(&self, name: &str) -> Result<Digest> {
        let found = self.made().refs.get(name).cloned();
        found.ok_or_else(|| Status::not_found(format!("no such ref: {name}")))
    }

    /// What the outputs say.
    pub(crate) fn answers(&self) -> BTreeMap<String, String> {
        self.made().answers.clone()
    }

    /// What was used, as a document.
    pub(crate) fn provenance(&self) -> Option<Vec<u8>> {
        self.made().provenance.clone()
    }

    /// The client is done: with a result, or with an error.
    pub(crate) fn give_back(&self, result: Result<()>) {
        self.returned.send_replace(Some(result));
    }

    /// Waits until the client is done.
    pub(crate) async fn given_back(&self) -> Result<()> {
        let mut returned = self.returned.subscribe();
        let result = match returned.wait_for(Option::is_some).await {
            Ok(result) => result.clone(),
            Err(_) => None,
        };
        result.unwrap_or_else(|| Err(Status::new(Code::Cancelled, "the build was given up")))
    }
}

/// The builds that go on.
#[derive(Debug)]
pub(crate) struct Solves {
    /// Guards the builds, by their names.
    open: Mutex<BTreeMap<String, Arc<Solve>>>,
    /// Guards those that ended last: a short one may be over before its watcher is heard.
    ended: Mutex<VecDeque<Arc<Solve>>>,
    changed: watch::Sender<()>,
}

impl Solves {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            open: Mutex::default(),
            ended: Mutex::default(),
            changed: watch::channel(()).0,
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Solve>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a build in.
    pub(crate) fn add(&self, solve: &Arc<Solve>) -> Result<()> {
        let mut open = self.open();
        let name = &solve.request.reference;
        if name.is_empty() || open.contains_key(name) {
            return Err(Status::new(Code::AlreadyExists, format!("job ID {name} exists")));
        }
        open.insert(name.clone(), Arc::clone(solve));
        drop(open);
        self.changed.send_replace(());
        Ok(())
    }

    /// Takes it out.
    pub(crate) fn remove(&self, name: &str) {
        if let Some(solve) = self.open().remove(name) {
            if solve.log.is_long() {
                return;
            }
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.push_back(solve);
            if ended.len() > REMEMBERED {
                ended.pop_front();
            }
        }
        self.changed.send_replace(());
    }

    /// A build that goes on.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Solve>> {
        self.open().get(name).cloned()
    }

    /// A build that goes on, or has just ended.
    fn find_late(&self, name: &str) -> Option<Arc<Solve>> {
        let ended = || {
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.iter().find(|solve| solve.request.reference == name).cloned()
        };
        self.find(name).or_else(ended)
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<Arc<Solve>> {
        self.open().values().cloned().collect()
    }

    /// A build by its name; calls may come before the one that begins it.
    pub(crate) async fn get(&self, name: &str) -> Result<Arc<Solve>> {
        let mut changed = self.changed.subscribe();
        let found = timeout(COMING, async {
            loop {
                changed.mark_unchanged();
                if let Some(solve) = self.find_late(name) {
                    return solve;
                }
                // The sender lives as long as `self`.
                let _ = changed.changed().await;
            }
        });
        found
            .await
            .map_err(|_| Status::not_found(format!("no such job {name}")))
    }
}
