//! Transfers under way, each shared by all who want the same blob.
//!
//! A transfer runs in a task of its own. It lives as long as somebody waits for it: when the last
//! [`Waiter`] is dropped, the task is aborted at its next await, and what it has stays for next time.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use corten_oci::digest::Digest;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::error::{Error, Kind, Result};
use crate::progress::{Progress, Step};

/// All transfers under way, by digest.
#[derive(Debug)]
pub(crate) struct Transfers<T>(Mutex<HashMap<Digest, Weak<Transfer<T>>>>);

impl<T> Default for Transfers<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// Tells all who listen how far a transfer is.
#[derive(Debug)]
pub(crate) struct Board {
    digest: Digest,
    state: Mutex<BoardState>,
}

#[derive(Debug, Default)]
struct BoardState {
    last: Option<Step>,
    listeners: HashMap<u64, Progress>,
    joined: u64,
}

impl Board {
    /// Tells all listeners.
    pub(crate) fn report(&self, step: Step) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for listener in state.listeners.values() {
            listener.layer(&self.digest, step.clone());
        }
        state.last = Some(step);
    }

    fn join(&self, progress: &Progress) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &state.last {
            progress.layer(&self.digest, last.clone());
        }
        state.joined += 1;
        let place = state.joined;
        state.listeners.insert(place, progress.clone());
        place
    }

    fn leave(&self, place: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.listeners.remove(&place);
    }
}

type Outcome<T> = Option<Result<T, Arc<Error>>>;

struct Transfer<T> {
    board: Arc<Board>,
    outcome: watch::Receiver<Outcome<T>>,
    task: AbortHandle,
}

impl<T> fmt::Debug for Transfer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transfer").field(&self.board.digest).finish()
    }
}

impl<T> Drop for Transfer<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One who waits for a transfer.
pub(crate) struct Waiter<T> {
    transfer: Arc<Transfer<T>>,
    place: u64,
    /// Whether the transfer was begun for this one.
    pub(crate) is_first: bool,
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        self.transfer.board.leave(self.place);
    }
}

impl<T: Clone + Send + Sync + 'static> Transfers<T> {
    /// Joins the transfer of a blob, or begins it.
    pub(crate) fn join<F>(&self, digest: &Digest, progress: &Progress, begin: impl FnOnce(Arc<Board>) -> F) -> Waiter<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let mut transfers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        transfers.retain(|_, transfer| transfer.strong_count() > 0);
        let running = transfers.get(digest).and_then(Weak::upgrade);
        if let Some(transfer) = running.filter(|t| t.outcome.borrow().is_none()) {
            let place = transfer.board.join(progress);
            return Waiter {
                transfer,
                place,
                is_first: false,
            };
        }
        let board = Arc::new(Board {
            digest: digest.clone(),
            state: Mutex::default(),
        });
        let place = board.join(progress);
        board.report(Step::PullingFsLayer);
        let (sender, outcome) = watch::channel(None);
        let work = begin(board.clone());
        let task = tokio::spawn(async move {
            let result = work.await.map_err(Arc::new);
            // Nobody may be waiting any more.
            let _ = sender.send(Some(result));
        });
        let task = task.abort_handle();
        let transfer = Arc::new(Transfer { board, outcome, task });
        transfers.insert(digest.clone(), Arc::downgrade(&transfer));
        Waiter {
            transfer,
            place,
            is_first: true,
        }
    }
}

impl<T: Clone> Waiter<T> {
    /// Waits for the transfer's end.
    ///
    /// # Errors
    /// The transfer's.
    pub(crate) async fn wait(&self) -> Result<T> {
        let mut outcome = self.transfer.outcome.clone();
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(value))) => Ok(value.clone()),
            Ok(Some(Err(error))) => Err(error.duplicate()),
            Ok(None) | Err(_) => Err(Error::new(Kind::Internal, "a transfer ended in a panic")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("runtime")
    }

    #[test]
    fn waiters_share_and_the_last_one_ends_it() {
        runtime().block_on(async {
            let transfers = Transfers::<u32>::default();
            let digest = Digest::sha256(b"x");
            let begun = AtomicUsize::new(0);
            let (started, mut running) = watch::channel(false);
            let begin = |board: Arc<Board>| {
                begun.fetch_add(1, Ordering::SeqCst);
                let started = started.clone();
                async move {
                    board.report(Step::Waiting);
                    started.send_replace(true);
                    tokio::time::sleep(Duration::from_secs(3600)).await;
                    Ok(1)
                }
            };
            let first = transfers.join(&digest, &Progress::none(), begin);
            let second = transfers.join(&digest, &Progress::none(), begin);
            assert!(first.is_first && !second.is_first);
            assert_eq!(begun.load(Ordering::SeqCst), 1);
            running.wait_for(|is| *is).await.expect("sender");
            drop(first);
            let mut outcome = second.transfer.outcome.clone();
            drop(second);
            outcome.changed().await.expect_err("the task is gone");
            let third = transfers.join(&digest, &Progress::none(), |_| async { Ok(7) });
            assert!(third.is_first);
            assert_eq!(third.wait().await.expect("done"), 7);
        });
    }
}
