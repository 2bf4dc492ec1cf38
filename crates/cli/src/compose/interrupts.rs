//! Signals that ask to end, which is then done in order.

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

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
