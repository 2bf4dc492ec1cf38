//! Reading a container's log (Docker API, `GET /containers/{id}/logs`).
//!
//! The shim writes the log; this reads the files, whoever wrote them and whether an engine was
//! there or not. [`seek`] finds where to begin, [`cursor`] goes on from there over the [`files`],
//! [`entry`] turns one line into what the client gets. Following waits for the kernel to tell of a
//! [`Change`](changes), never for a time.

mod changes;
mod cursor;
mod entry;
mod files;
mod seek;

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use corten_api::time::Time;
use tokio::sync::{mpsc, watch};

use self::entry::Selection;
pub(super) use self::{
    changes::{Change, Changes},
    cursor::{Cursor, From, Position},
    entry::Entry,
};
use super::{Containers, Status, log_config::Driver};
use crate::error::{Error, Result};

/// How many bytes are gathered before they are handed over.
const BATCH: usize = 64 << 10;
/// How many such batches are read at once.
const PASS: usize = 8;
/// How many such batches may wait for a slow client.
const WAITING: usize = 4;

/// What a client wants of a log.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the API's own parameters")]
pub struct LogsRequest {
    /// Whether to go on with what is written, until the container ends.
    pub follow: bool,
    /// Whether standard output is wanted.
    pub stdout: bool,
    /// Whether standard error is wanted.
    pub stderr: bool,
    /// Only what was written at or after this time.
    pub since: Option<Time>,
    /// Only what was written before this time.
    pub until: Option<Time>,
    /// Whether each line begins with its time.
    pub timestamps: bool,
    /// How many of the last lines; none for all.
    pub tail: Option<usize>,
    /// Whether each line begins with its attributes.
    pub details: bool,
}

/// A log that is being read.
#[derive(Debug)]
pub struct Logs {
    /// Whether output is raw, without frames.
    pub tty: bool,
    /// Pieces of the answer.
    pub stream: mpsc::Receiver<Result<Bytes>>,
}

impl Containers {
    /// Reads a container's log.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when no stream is wanted; `Unsupported` when there is no local log.
    pub async fn logs(&self, name: &str, request: LogsRequest) -> Result<Logs> {
        let container = self.find(name)?;
        if !request.stdout && !request.stderr {
            return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
        }
        let tty = {
            let inner = container.lock();
            let config = &inner.record.host_config.log_config;
            if !Driver::of(config).is_ok_and(|driver| driver.is_readable(config)) {
                return Err(Error::unsupported("configured logging driver does not support reading"));
            }
            inner.record.config.tty
        };
        let (sender, stream) = mpsc::channel(WAITING);
        let reader = Reader {
            path: container.log_path().into(),
            selection: Arc::new(Selection {
                framed: !tty,
                request: request.clone(),
            }),
            sender,
            changes: self.0.log_changes.clone(),
        };
        let from = match (request.tail, request.since) {
            (Some(lines), _) => From::Tail(lines),
            (None, Some(time)) => From::Since(time),
            (None, None) => From::Beginning,
        };
        let status = request.follow.then(|| container.status.subscribe());
        tokio::spawn(async move {
            let sender = reader.sender.clone();
            if let Err(error) = reader.run(from, status).await {
                // A client that has left does not want to know.
                let _ = sender.send(Err(error)).await;
            }
        });
        Ok(Logs { tty, stream })
    }
}

/// Reads from a place in the log to its end, again and again.
struct Reader {
    path: Arc<Path>,
    selection: Arc<Selection>,
    sender: mpsc::Sender<Result<Bytes>>,
    changes: Changes,
}

/// Whether reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// There is more to read now.
    More,
    /// Everything that is there was read.
    AtEnd,
    /// The client has all it asked for.
    Finished,
}

impl Reader {
    async fn run(self, from: From, status: Option<watch::Receiver<Status>>) -> Result<()> {
        // Before the first look at the files, so that nothing is missed between it and the wait.
        let changes = status.is_some().then(|| self.changes.of(&self.path)).transpose()?;
        let path = Arc::clone(&self.path);
        let mut cursor = crate::error::blocking(move || Cursor::open(&path, &from)).await?;
        let mut following = status.zip(changes);
        loop {
            let ended = following.as_ref().is_none_or(|(status, _)| !status.borrow().active);
            loop {
                let (selection, mut moved) = (Arc::clone(&self.selection), cursor);
                let read = move || Ok((read(&selection, &mut moved)?, moved));
                let ((pieces, outcome), back) = crate::error::blocking(read).await?;
                cursor = back;
                for piece in pieces {
                    // A client that has left does not want to know. A slow one is waited for here, on no thread.
                    if self.sender.send(Ok(piece)).await.is_err() {
                        return Ok(());
                    }
                }
                match outcome {
                    Outcome::More => {}
                    Outcome::AtEnd => break,
                    Outcome::Finished => return Ok(()),
                }
            }
            // What was written before the container was seen to have ended has been read now.
            if ended {
                return Ok(());
            }
            let Some((status, changes)) = &mut following else {
                return Ok(());
            };
            tokio::select! {
                () = changes.next() => {}
                // The sender lives as long as the container.
                _ = status.changed() => {}
                () = self.sender.closed() => return Ok(()),
            }
        }
    }
}

/// Reads on, as far as one pass goes.
fn read(selection: &Selection, cursor: &mut Cursor) -> Result<(Vec<Bytes>, Outcome)> {
    let mut pieces = Vec::new();
    while pieces.len() < PASS {
        let mut batch = Vec::with_capacity(BATCH + 1024);
        let outcome = fill(selection, cursor, &mut batch)?;
        if !batch.is_empty() {
            pieces.push(batch.into());
        }
        if outcome != Outcome::More {
            return Ok((pieces, outcome));
        }
    }
    Ok((pieces, Outcome::More))
}

/// Gathers one batch.
fn fill(selection: &Selection, cursor: &mut Cursor, batch: &mut Vec<u8>) -> Result<Outcome> {
    while batch.len() < BATCH {
        let Some(lines) = cursor.next_lines()? else {
            return Ok(Outcome::AtEnd);
        };
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            // A line that a power cut damaged is left out.
            let Some(entry) = Entry::parse(line) else { continue };
            match selection.take(&entry) {
                entry::Verdict::Take => selection.write(&entry, batch),
                entry::Verdict::Skip => {}
                entry::Verdict::Stop => return Ok(Outcome::Finished),
            }
        }
    }
    Ok(Outcome::More)
}
