//! Signals that ask to end, which is then done in order.

use std::task::{Context, Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Result};

/// The exit status after one.
pub(crate) const STATUS: u8 = 130;

/// Signals that ask to end.
pub(crate) struct Interrupts([Signal; 2]);

impl Interrupts {
    /// Catches them from now on.
    pub(crate) fn catch() -> Result<Self> {
        let catch = |kind| signal(kind).map_err(|error| Error::new(format!("cannot catch signals: {error}")));
        Ok(Self([catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?]))
    }

    /// Looks for the next one.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let [interrupt, terminate] = &mut self.0;
        // Both are asked: each wakes who waits.
        let came = [interrupt.poll_recv(context), terminate.poll_recv(context)];
        if came.iter().any(Poll::is_ready) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
