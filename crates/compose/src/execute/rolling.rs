//! Replacing containers while they serve: the new one beside the old one, until it is well.
//!
//! ```text
//!   make ─► start ─► well? ─► takes over ports and names ─► old one: connections end, stops ─► exchange names
//!                      └─ no: remove it; and back to the old ones of its service, those replaced before, too
//! ```
//! Old containers are kept, stopped, until all of their service have been replaced.

use std::time::Duration;

use corten_client::{RemoveOptions, StopOptions};

use super::{Executor, Phase};
use crate::{
    convert::{Around, STANDS_BY_FOR},
    error::{Error, Result},
    plan::{Condition, Target},
};

/// How long a container without a healthcheck must run to be taken for well.
const SETTLE: Duration = Duration::from_secs(1);
/// How long connections to an old container may go on, when nothing says how long it may take to stop.
const GRACE: u32 = 10;

/// How containers are replaced.
#[derive(Debug, Clone, Copy)]
pub struct Rolling {
    /// How long a new container has to become well.
    pub timeout: Duration,
    /// Whether the engine can hand ports and names over.
    pub hands_over: bool,
}

impl Default for Rolling {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(120),
            hands_over: false,
        }
    }
}

/// A container that was replaced.
#[derive(Debug, Clone)]
pub(super) struct Replaced {
    target: Target,
    old: String,
    new: String,
}

impl Executor<'_> {
    /// Replaces a container while it runs; when the new one is not well, everything is as before.
    pub(super) async fn replace(&self, target: &Target, old: &str) -> Result<()> {
        let object = format!("Container {}", target.name);
        self.tell(&object, "Replacing", Phase::Working);
        let why = match self.try_replace(target, old).await {
            Ok(()) => {
                self.tell(&object, "Replaced", Phase::Done);
                return Ok(());
            }
            Err(error) => error,
        };
        self.tell(&object, "Rolling back", Phase::Working);
        let service = &target.service;
        let outcome = self.roll_back(service).await;
        self.tell(&object, "Rolled back", Phase::Failed);
        let what = format!("service {service:?} was not replaced");
        Err(match outcome {
            Ok(()) => why
                .within(&what)
                .hint("it was rolled back: the containers that were there before run"),
            Err(error) => {
                let left = format!("rolling back failed as well: {}", error.message());
                why.within(&what).hint(left)
            }
        })
    }

    async fn try_replace(&self, target: &Target, old: &str) -> Result<()> {
        let object = format!("Container {}", target.name);
        let new = self.make_beside(target, old).await?;
        let deadline = tokio::time::Instant::now() + self.options.rolling.timeout;
        let work = async {
            self.start_beside(target, &new).await?;
            self.tell(&object, "Waiting", Phase::Working);
            self.well(target, &new).await?;
            self.hand_over(target, &new, deadline).await
        };
        if let Err(error) = work.await {
            self.remove_id(&new).await?;
            return Err(error);
        }
        let replaced = Replaced {
            target: target.clone(),
            old: old.to_owned(),
            new: new.clone(),
        };
        self.replaced
            .borrow_mut()
            .entry(target.service.clone())
            .or_default()
            .push(replaced);
        self.tell(&object, "Stopping the one before", Phase::Working);
        self.stop_id(&target.service, old).await?;
        self.exchange_names(target, old, &new).await?;
        self.know(&target.service, target.number, &new);
        Ok(())
    }

    /// Makes the new container under another name.
    async fn make_beside(&self, target: &Target, old: &str) -> Result<String> {
        let Some(service) = self.service(&target.service) else {
            return Err(Error::not_found(format!("no such service: {}", target.service)));
        };
        let annotations = self.options.rolling.hands_over.then_some((STANDS_BY_FOR, old));
        let around = Around {
            annotations: annotations
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            ..self.around(target, Some(old)).await?
        };
        let name = beside(old, &target.name);
        self.make(&target.service, service, &name, &around).await
    }

    async fn start_beside(&self, target: &Target, id: &str) -> Result<()> {
        self.client.start_container(id, "").await?;
        if let Some(service) = self.service(&target.service) {
            for hook in &service.post_start {
                self.hook(&target.service, &target.name, id, hook).await?;
            }
        }
        Ok(())
    }

    /// Waits until a container is healthy, or has run for a while.
    async fn well(&self, target: &Target, id: &str) -> Result<()> {
        let own = Target {
            id: Some(id.to_owned()),
            ..target.clone()
        };
        let late = || Error::unavailable(format!("container {} is not healthy in time", target.name));
        let healthy = self.state_of(&own, Condition::RunningOrHealthy);
        tokio::time::timeout(self.options.rolling.timeout, healthy)
            .await
            .unwrap_or_else(|_| Err(late()))?;
        let state = self.inspect(id).await?;
        if state
            .state
            .health
            .as_ref()
            .is_some_and(|health| health.status != "none")
        {
            return Ok(());
        }
        tokio::time::sleep(SETTLE.min(self.options.rolling.timeout)).await;
        let after = self.inspect(id).await?;
        let (name, code) = (&target.name, after.state.exit_code);
        match after.state.running && after.restart_count == state.restart_count {
            true => Ok(()),
            false => Err(Error::invalid(format!("container {name} exited ({code})"))),
        }
    }

    /// Gives the new container the ports and names of the old one.
    async fn hand_over(&self, target: &Target, new: &str, deadline: tokio::time::Instant) -> Result<()> {
        if !self.options.rolling.hands_over {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        let listening = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
        let service = self.service(&target.service);
        let own = service
            .and_then(|service| service.stop_grace_period)
            .map(crate::convert::seconds);
        let grace = self
            .options
            .timeout
            .or(own)
            .map(|seconds| u32::try_from(seconds).unwrap_or(0));
        Ok(self.client.take_over(new, listening, grace.unwrap_or(GRACE)).await?)
    }

    async fn exchange_names(&self, target: &Target, old: &str, new: &str) -> Result<()> {
        self.client.rename_container(old, &beside(new, &target.name)).await?;
        Ok(self.client.rename_container(new, &target.name).await?)
    }

    /// Has the old containers of a service run again, the last replaced first.
    async fn roll_back(&self, service: &str) -> Result<()> {
        let replaced = self.replaced.borrow_mut().remove(service).unwrap_or_default();
        for Replaced { target, old, new } in replaced.iter().rev() {
            let deadline = tokio::time::Instant::now() + self.options.rolling.timeout;
            self.client.start_container(old, "").await?;
            self.well(target, old).await?;
            self.hand_over(target, old, deadline).await?;
            self.stop_id(service, new).await?;
            self.remove_id(new).await?;
            // One that did not come to change its name has it still.
            let _ = self.client.rename_container(old, &target.name).await;
            self.know(service, target.number, old);
        }
        Ok(())
    }

    /// Has services whose containers were replaced in part only run as before.
    pub(super) async fn abandon(&self) {
        let services: Vec<_> = self.replaced.borrow().keys().cloned().collect();
        for service in services {
            let object = format!("Service {service}");
            self.tell(&object, "Rolling back", Phase::Working);
            let (status, phase) = match self.roll_back(&service).await {
                Ok(()) => ("Rolled back".to_owned(), Phase::Warning),
                Err(error) => (format!("Rolling back failed: {}", error.message()), Phase::Failed),
            };
            self.tell(&object, &status, phase);
        }
    }

    /// Removes the containers of a service that have been replaced.
    pub(super) async fn retire(&self, service: &str) -> Result<()> {
        let replaced = self.replaced.borrow_mut().remove(service).unwrap_or_default();
        for Replaced { target, old, .. } in replaced {
            let options = RemoveOptions {
                volumes: self.options.renew_volumes,
                ..RemoveOptions::default()
            };
            self.client.remove_container(&old, options).await?;
            self.tell(
                &format!("Container {}", target.name),
                "Removed the one before",
                Phase::Done,
            );
        }
        Ok(())
    }

    async fn remove_id(&self, id: &str) -> Result<()> {
        // A container that serves nobody need not end well.
        let now = StopOptions {
            timeout: Some(1),
            ..StopOptions::default()
        };
        let _ = self.client.stop_container(id, &now).await;
        let options = RemoveOptions {
            force: true,
            ..RemoveOptions::default()
        };
        match self.client.remove_container(id, options).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The name that a container has beside another one.
pub(crate) fn beside(other: &str, name: &str) -> String {
    format!("{}_{name}", other.get(..12).unwrap_or(other))
}
