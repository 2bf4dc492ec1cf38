//! Waiting for a container to end (Docker API, `POST /containers/{id}/wait`).

use corten_api::container::WaitResult;
use tokio::sync::watch;

use super::{Containers, Status};
use crate::error::{Error, Result};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitCondition {
    /// That it does not run; at once when it does not.
    #[default]
    NotRunning,
    /// That it ends the next time.
    NextExit,
    /// That it is removed.
    Removed,
}

impl WaitCondition {
    /// Reads the `condition` parameter.
    ///
    /// # Errors
    /// `Invalid` in Docker's words.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "" | "not-running" => Ok(Self::NotRunning),
            "next-exit" => Ok(Self::NextExit),
            "removed" => Ok(Self::Removed),
            _ => Err(Error::invalid(format!("invalid condition: \"{text}\""))),
        }
    }
}

/// A container that is watched from the moment this was made.
#[derive(Debug)]
pub struct Waiter {
    status: watch::Receiver<Status>,
    exits: u64,
    condition: WaitCondition,
}

impl Waiter {
    /// Waits for the condition.
    pub async fn wait(mut self) -> WaitResult {
        let (exits, condition) = (self.exits, self.condition);
        let met = |status: &Status| match condition {
            // An end counts though the restart policy begins anew.
            WaitCondition::NotRunning => !status.active || status.exits > exits,
            WaitCondition::NextExit => status.exits > exits || status.removed,
            WaitCondition::Removed => status.removed,
        };
        // When the sender is gone, so is the container.
        let _ = self.status.wait_for(met).await;
        let code = self.status.borrow().code;
        WaitResult {
            status_code: i64::from(code),
            error: None,
        }
    }
}

impl Containers {
    /// Watches a container; [`Waiter::wait`] then waits.
    ///
    /// # Errors
    /// `NotFound` when there is no such container.
    pub fn wait(&self, name: &str, condition: WaitCondition) -> Result<Waiter> {
        let container = self.find(name)?;
        let status = container.status.subscribe();
        let exits = status.borrow().exits;
        Ok(Waiter {
            status,
            exits,
            condition,
        })
    }
}
