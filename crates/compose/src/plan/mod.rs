//! Plans: what is to be done so that what runs becomes what is wanted.
//!
//! ```text
//!   Project ─┐
//!            ├─ up, down, … ──► Plan (steps, each with its cause and what it comes after) ──► execute
//!   Observed ┘
//! ```
//! A plan is a value: making one asks nothing and changes nothing, so it can be shown instead of carried out.

mod down;
mod lifecycle;
mod observed;
mod order;
#[cfg(test)]
mod tests;
mod up;

use std::fmt;

pub use down::{Down, Images, down};
pub use lifecycle::{Change, change, remove};
pub use observed::{Observed, is_one_off, is_orphan, name_of, number_of, service_of};
pub use up::{ChangedVolumes, Recreate, Start, Up, changed_volumes, up};

/// Steps, each after those that it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps; each comes after the ones it names.
    pub steps: Vec<Step>,
    /// What is worth saying.
    pub warnings: Vec<String>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub action: Action,
    /// Why.
    pub cause: String,
    /// The steps that must have been done before, by their index.
    pub after: Vec<usize>,
}

/// A container of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its service.
    pub service: String,
    /// Its number there; 0 for those of `run`.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Its id; none before it is made.
    pub id: Option<String>,
}

impl Target {
    /// A container that is there.
    pub fn of(container: &corten_api::container::Summary) -> Self {
        observed::target(container)
    }
}

/// What a service waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// That it is healthy.
    Healthy,
    /// That it has ended well.
    Completed,
    /// That it is healthy, or runs when it has no healthcheck.
    RunningOrHealthy,
}

/// Something that a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Makes a network: its key and name.
    CreateNetwork(String, String),
    /// Removes a network: its name and id.
    RemoveNetwork(String, String),
    /// Makes a volume: its key and name.
    CreateVolume(String, String),
    /// Removes a volume, by its name.
    RemoveVolume(String),
    /// Removes an image, by its name.
    RemoveImage(String),
    /// Makes a container.
    Create(Target),
    /// Makes a container in the place of another one, whose id this is.
    Recreate(Target, String),
    /// Makes a container beside the one whose id this is, which it replaces when it is well.
    Replace(Target, String),
    /// Removes the containers of a service that were replaced.
    Retire(String),
    /// Gives a container the name that it should have.
    Rename(Target, String),
    /// Leaves a container as it is.
    Keep(Target),
    /// Waits for a container.
    Wait {
        /// The container.
        target: Target,
        /// For what.
        condition: Condition,
        /// Whether it is an error when that never happens.
        required: bool,
    },
    /// Starts a container.
    Start(Target),
    /// Stops a container.
    Stop(Target),
    /// Stops and starts a container.
    Restart(Target),
    /// Sends a signal.
    Kill(Target, String),
    /// Freezes a container.
    Pause(Target),
    /// Lets a frozen container go on.
    Unpause(Target),
    /// Removes a container, perhaps with its anonymous volumes.
    Remove {
        /// The container.
        target: Target,
        /// Its anonymous volumes, too.
        volumes: bool,
        /// Even if it runs.
        force: bool,
    },
}

impl Plan {
    /// Adds a step; gives its index.
    fn add(&mut self, action: Action, cause: impl Into<String>, after: Vec<usize>) -> usize {
        self.steps.push(Step {
            action,
            cause: cause.into(),
            after,
        });
        self.steps.len() - 1
    }

    /// Says nothing of containers that stay as they are.
    pub fn forget_kept(&mut self) {
        let kept = |step: &Step| matches!(step.action, Action::Keep(_));
        let mut places = Vec::new();
        let mut next = 0;
        for step in &self.steps {
            places.push(next);
            next += usize::from(!kept(step));
        }
        let gone: Vec<_> = self.steps.iter().map(kept).collect();
        self.steps.retain(|step| !kept(step));
        for step in &mut self.steps {
            step.after.retain(|before| !gone[*before]);
            step.after.iter_mut().for_each(|before| *before = places[*before]);
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps
            .iter()
            .all(|step| matches!(step.action, Action::Keep(_) | Action::Wait { .. }))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateNetwork(_, name) => write!(f, "create network {name}"),
            Self::RemoveNetwork(name, _) => write!(f, "remove network {name}"),
            Self::CreateVolume(_, name) => write!(f, "create volume {name}"),
            Self::RemoveVolume(name) => write!(f, "remove volume {name}"),
            Self::RemoveImage(name) => write!(f, "remove image {name}"),
            Self::Create(target) => write!(f, "create container {}", target.name),
            Self::Recreate(target, _) => write!(f, "recreate container {}", target.name),
            Self::Replace(target, _) => write!(f, "replace container {} while it serves", target.name),
            Self::Retire(service) => write!(f, "remove the containers of service {service} that were replaced"),
            Self::Rename(target, name) => write!(f, "rename container {} to {name}", target.name),
            Self::Keep(target) => write!(f, "keep container {}", target.name),
            Self::Wait { target, condition, .. } => {
                let until = match condition {
                    Condition::Healthy => "is healthy",
                    Condition::Completed => "has completed",
                    Condition::RunningOrHealthy => "runs well",
                };
                write!(f, "wait until container {} {until}", target.name)
            }
            Self::Start(target) => write!(f, "start container {}", target.name),
            Self::Stop(target) => write!(f, "stop container {}", target.name),
            Self::Restart(target) => write!(f, "restart container {}", target.name),
            Self::Kill(target, signal) => write!(f, "send {signal} to container {}", target.name),
            Self::Pause(target) => write!(f, "pause container {}", target.name),
            Self::Unpause(target) => write!(f, "unpause container {}", target.name),
            Self::Remove { target, .. } => write!(f, "remove container {}", target.name),
        }
    }
}

/// One step a line, with its cause.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{}: {}", step.action, step.cause)?;
        }
        Ok(())
    }
}
