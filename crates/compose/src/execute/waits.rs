//! Waiting for containers: for their health, or for their end.

use std::time::Duration;

use super::{Executor, Phase};
use crate::{
    error::{Error, Result},
    plan::{Condition, Target},
};

/// The longest pause between two looks at a container's health.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl Executor<'_> {
    pub(super) async fn wait(&self, target: &Target, condition: Condition, required: bool) -> Result<()> {
        let object = format!("Container {}", target.name);
        self.tell(&object, "Waiting", Phase::Working);
        let done = match condition {
            Condition::Completed => "Exited",
            Condition::Healthy | Condition::RunningOrHealthy => "Healthy",
        };
        match self.state_of(target, condition).await {
            Ok(()) => {
                self.tell(&object, done, Phase::Done);
                Ok(())
            }
            Err(error) if !required => {
                let status = format!("Skipped: optional dependency: {}", error.message());
                self.tell(&object, &status, Phase::Warning);
                Ok(())
            }
            Err(error) => {
                self.tell(&object, "Error", Phase::Failed);
                Err(match condition {
                    Condition::Healthy => error.within("dependency failed to start"),
                    Condition::Completed | Condition::RunningOrHealthy => error,
                })
            }
        }
    }

    /// Waits without a word.
    pub(super) async fn state_of(&self, target: &Target, condition: Condition) -> Result<()> {
        match condition {
            Condition::Completed => self.completed(target).await,
            Condition::Healthy => self.healthy(target, false).await,
            Condition::RunningOrHealthy => self.healthy(target, true).await,
        }
    }

    async fn completed(&self, target: &Target) -> Result<()> {
        let id = self.id(target)?;
        let waiting = self.client.wait_container(&id, "not-running").await?;
        match waiting.result().await?.status_code {
            0 => Ok(()),
            code => Err(Error::invalid(format!(
                "service {:?} didn't complete successfully: exit {code}",
                target.service
            ))),
        }
    }

    async fn healthy(&self, target: &Target, or_running: bool) -> Result<()> {
        let id = self.id(target)?;
        let name = &target.name;
        let mut pause = Duration::from_millis(10);
        loop {
            let state = self.inspect(&id).await?.state;
            let health = state.health.as_ref().map(|health| health.status.as_str());
            match health {
                Some("healthy") => return Ok(()),
                Some("unhealthy") => return Err(Error::invalid(format!("container {name} is unhealthy"))),
                _ if matches!(state.status.as_str(), "exited" | "dead") => {
                    return Err(Error::invalid(format!("container {name} exited ({})", state.exit_code)));
                }
                None | Some("none" | "") if or_running && state.running => return Ok(()),
                None | Some("none" | "") if !or_running => {
                    return Err(Error::invalid(format!(
                        "container {name} has no healthcheck configured"
                    )));
                }
                _ => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
