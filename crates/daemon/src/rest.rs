//! The engine at rest: when nobody has asked for anything for a while, it gives back the memory that was needed for
//! the work before.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use corten_sys::heap;
use tokio::{sync::Notify, time::sleep};

/// How long nothing must happen.
const QUIET: Duration = Duration::from_secs(4);

/// Knows whether something happens. At rest it has no timer.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    stirred: AtomicU64,
    asleep: AtomicBool,
    wake: Notify,
}

impl Rest {
    /// Notes that something happens: a request, or the end of a connection.
    pub(crate) fn stir(&self) {
        self.stirred.fetch_add(1, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// Gives memory back whenever it has become quiet.
    pub(crate) async fn look_after(&self) {
        loop {
            self.quiet(QUIET).await;
            heap::trim();
            heap::let_go_of_program();
            self.stirring().await;
        }
    }

    /// Waits until nothing has happened for long enough.
    async fn quiet(&self, long: Duration) {
        let mut before = self.stirred.load(Ordering::SeqCst);
        loop {
            sleep(long).await;
            let now = self.stirred.load(Ordering::SeqCst);
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// Waits until something happens.
    async fn stirring(&self) {
        let before = self.stirred.load(Ordering::SeqCst);
        self.asleep.store(true, Ordering::SeqCst);
        if self.stirred.load(Ordering::SeqCst) == before {
            self.wake.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn it_ends_when_something_happens() {
        let rest = Arc::new(Rest::default());
        rest.stir();
        rest.quiet(Duration::ZERO).await;
        let stirring = tokio::spawn({
            let rest = Arc::clone(&rest);
            async move { rest.stirring().await }
        });
        while !rest.asleep.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        assert!(!stirring.is_finished());
        rest.stir();
        stirring.await.unwrap();
    }
}
