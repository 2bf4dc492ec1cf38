//! A client's folder as a context of a build: files come when they are first needed.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use corten_build::{Context, Error, Folder, Ignore};
use tokio::runtime::Handle;

use crate::{
    errors::build_error,
    files::{
        Copies, Copy,
        receive::{Wanted, receive},
    },
    grpc::{Result, Status},
    session::Session,
    threads::blocking,
};

/// How often it is told how far a transfer is.
const TELLING: Duration = Duration::from_millis(100);

/// Takes how many bytes have come.
pub(crate) type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// A folder that a session offers.
pub(crate) struct SessionContext {
    runtime: Handle,
    session: Arc<Session>,
    name: String,
    exclude: Vec<String>,
    ignore: Arc<Ignore>,
    /// What the Dockerfile asks for, as far as that can be known before: one transfer brings it all.
    expected: Option<Vec<String>>,
    progress: Progress,
    /// Guards the copy, which one transfer at a time changes.
    copy: Arc<Mutex<Synced>>,
}

#[derive(Debug)]
struct Synced {
    copy: Copy,
    /// What is in it; everything, when that is none.
    has: Option<Option<Vec<String>>>,
}

impl fmt::Debug for SessionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionContext")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a context is made of.
pub(crate) struct Source<'a> {
    /// The kept copies.
    pub(crate) copies: &'a Copies,
    /// Who has the folder.
    pub(crate) session: &'a Arc<Session>,
    /// The folder's name there.
    pub(crate) name: &'a str,
    /// The text of `.dockerignore`.
    pub(crate) ignore: &'a str,
    /// What will be asked for, if that is known.
    pub(crate) expected: Option<Vec<String>>,
    /// Hears how many bytes have come.
    pub(crate) progress: Progress,
}

impl SessionContext {
    /// A context of which nothing has come yet.
    pub(crate) async fn open(source: Source<'_>) -> Result<Self> {
        let key = ["context", &source.session.shared_key, source.name, source.ignore].map(str::to_owned);
        let copies = source.copies.clone();
        let copy = blocking(move || copies.take(&key)).await?;
        let lines = source.ignore.trim_start_matches('\u{feff}').lines();
        let lines = lines
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Self {
            runtime: Handle::current(),
            session: Arc::clone(source.session),
            name: source.name.to_owned(),
            exclude: lines.map(str::to_owned).collect(),
            ignore: Arc::new(Ignore::parse(source.ignore)),
            expected: source.expected,
            progress: source.progress,
            copy: Arc::new(Mutex::new(Synced { copy, has: None })),
        })
    }

    /// Brings what is wanted, unless it is there.
    fn bring(&self, wanted: &[String]) -> Result<PathBuf> {
        let mut synced = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match &synced.has {
            Some(None) => None,
            Some(Some(has)) if wanted.iter().all(|path| has.contains(path)) => None,
            // What was not foreseen: everything, rather than a transfer for each.
            Some(Some(_)) => Some(None),
            None => Some(self.first(wanted)),
        };
        if let Some(follow) = next {
            let wanted = Wanted {
                name: self.name.clone(),
                follow: follow.clone().unwrap_or_default(),
                exclude: self.exclude.clone(),
            };
            let mut told = Instant::now();
            let progress = Arc::clone(&self.progress);
            let mut tell = move |bytes: u64| {
                if told.elapsed() >= TELLING {
                    told = Instant::now();
                    progress(bytes);
                }
            };
            let received = self
                .runtime
                .block_on(receive(&self.session, &wanted, &mut synced.copy, &mut tell));
            match received {
                Ok(bytes) => (self.progress)(bytes),
                Err(status) => {
                    synced.copy.spoil();
                    return Err(status);
                }
            }
            synced.has = Some(follow);
        }
        Ok(synced.copy.root())
    }

    /// What the first transfer brings; none is everything.
    fn first(&self, wanted: &[String]) -> Option<Vec<String>> {
        let expected = self.expected.as_ref()?;
        let everything = |paths: &[String]| paths.iter().any(|path| matches!(path.trim_matches('/'), "" | "."));
        if everything(wanted) || everything(expected) || wanted.iter().any(|path| !expected.contains(path)) {
            return None;
        }
        Some(expected.clone())
    }
}

impl Context for SessionContext {
    fn folder(&self, wanted: &[String]) -> Result<Folder, Error> {
        let path = self.bring(wanted).map_err(|status| failed(&status))?;
        Ok(Folder {
            path,
            ignore: Arc::clone(&self.ignore),
            keep: Some(self.copy.clone()),
        })
    }
}

fn failed(status: &Status) -> Error {
    build_error(status)
}

/// Fetches a few small files of a client's folder at once, the Dockerfile and what goes with it, and reads them from
/// the folder that they are in.
pub(crate) async fn small_files<T: Send + 'static>(
    copies: &Copies,
    session: &Arc<Session>,
    name: &str,
    follow: Vec<String>,
    progress: Progress,
    read: impl FnOnce(&Path) -> Result<T> + Send + 'static,
) -> Result<T> {
    let runtime = Handle::current();
    let key = [name, &session.shared_key, &follow.join("\0")].map(str::to_owned);
    let (copies, session, name) = (copies.clone(), Arc::clone(session), name.to_owned());
    blocking(move || {
        let mut copy = copies.take(&key)?;
        let wanted = Wanted {
            name,
            follow,
            exclude: Vec::new(),
        };
        match runtime.block_on(receive(&session, &wanted, &mut copy, &mut |_| {})) {
            Ok(bytes) => {
                progress(bytes);
                read(&copy.root())
            }
            Err(status) => {
                copy.spoil();
                Err(status)
            }
        }
    })
    .await
}
