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
        let came = |signal: &mut Signal| signal.poll_recv(context).is_ready();
        // Both are asked: each wakes who waits.
        let came = self.0.iter_mut().map(came).fold(false, |any, came| any || came);
        if came { Poll::Ready(()) } else { Poll::Pending }
    }
}
