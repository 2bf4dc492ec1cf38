//! Carries plans out: every step as soon as those before it are done, and the first failure ends it.

mod account;
mod containers;
mod hooks;
mod older;
mod rolling;
mod waits;

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
};

use corten_client::Client;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use account::Stage;
pub use older::create_container;
pub use rolling::Rolling;

use crate::{
    convert,
    error::{Error, Kind, Result},
    model::Project,
    plan::{Action, Plan, Target},
};

impl From<corten_client::Error> for Error {
    fn from(error: corten_client::Error) -> Self {
        let message = error.to_string();
        match error.kind() {
            corten_client::Kind::NotFound => Self::not_found(message),
            corten_client::Kind::Invalid | corten_client::Kind::Conflict => Self::invalid(message),
            corten_client::Kind::Unsupported => Self::unsupported(message),
            _ => Self::unavailable(message),
        }
    }
}

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It goes on.
    Working,
    /// It is done.
    Done,
    /// It did not work, which is borne.
    Warning,
    /// It failed.
    Failed,
}

/// What is told while a plan is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is about: `Container shop-web-1`.
    pub object: String,
    /// What happens: `Creating`.
    pub status: String,
    /// How far it is.
    pub phase: Phase,
}

/// Who is told.
pub trait Report {
    /// Something happened.
    fn event(&self, event: Event);
    /// A hook wrote something.
    fn output(&self, container: &str, text: &[u8]);
}

/// How to carry plans out.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Seconds that containers have to stop; their own when there are none.
    pub timeout: Option<i64>,
    /// How many steps at once; no limit when there is none.
    pub parallel: Option<usize>,
    /// The ids of images, by service.
    pub images: BTreeMap<String, String>,
    /// Whether containers that are made anew get new anonymous volumes.
    pub renew_volumes: bool,
    /// How containers are replaced while they serve.
    pub rolling: Rolling,
}

/// Carries plans out.
pub struct Executor<'a> {
    client: &'a Client,
    project: &'a Project,
    report: &'a dyn Report,
    options: Options,
    /// Containers that are there or were made: name and id, by service and number.
    containers: RefCell<BTreeMap<(String, u32), String>>,
    /// How far the steps of the plan are.
    stages: RefCell<Vec<Stage>>,
    /// Containers that were replaced while they served, by service.
    replaced: RefCell<BTreeMap<String, Vec<rolling::Replaced>>>,
}

impl std::fmt::Debug for Executor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor")
            .field("project", &self.project.name)
            .finish_non_exhaustive()
    }
}

impl<'a> Executor<'a> {
    /// An executor for a project's plans.
    pub fn new(client: &'a Client, project: &'a Project, report: &'a dyn Report, options: Options) -> Self {
        Self {
            client,
            project,
            report,
            options,
            containers: RefCell::default(),
            stages: RefCell::default(),
            replaced: RefCell::default(),
        }
    }

    /// Notes a container that is there, for those that share namespaces or mounts with it.
    pub fn know(&self, service: &str, number: u32, id: &str) {
        let mut containers = self.containers.borrow_mut();
        containers.insert((service.to_owned(), number), id.to_owned());
    }

    /// Carries a plan out. Steps that run when one fails are carried to their end; no other is begun.
    ///
    /// # Errors
    /// The first failure.
    pub async fn run(&self, plan: &Plan) -> Result<()> {
        self.stages.replace(vec![Stage::Waiting; plan.steps.len()]);
        let at = |index: usize, stage: Stage| self.stages.borrow_mut()[index] = stage;
        let mut missing: Vec<usize> = plan.steps.iter().map(|step| step.after.len()).collect();
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); plan.steps.len()];
        for (index, step) in plan.steps.iter().enumerate() {
            for before in &step.after {
                dependents[*before].push(index);
            }
        }
        let limit = self.options.parallel.unwrap_or(usize::MAX).max(1);
        let mut ready: VecDeque<_> = (0..plan.steps.len()).filter(|index| missing[*index] == 0).collect();
        let mut running = FuturesUnordered::new();
        let mut failed = None;
        loop {
            while failed.is_none() && running.len() < limit {
                let Some(index) = ready.pop_front() else { break };
                let action = &plan.steps[index].action;
                at(index, Stage::Begun);
                running.push(async move { (index, self.step(action).await) });
            }
            let Some((index, result)) = running.next().await else {
                let Some(error) = failed else { return Ok(()) };
                self.abandon().await;
                return Err(error);
            };
            match result {
                Ok(()) => {
                    at(index, Stage::Done);
                    for next in &dependents[index] {
                        missing[*next] -= 1;
                        if missing[*next] == 0 {
                            ready.push_back(*next);
                        }
                    }
                }
                Err(error) => {
                    at(index, Stage::Failed);
                    failed.get_or_insert(error);
                }
            }
        }
    }

    fn tell(&self, object: &str, status: &str, phase: Phase) {
        self.report.event(Event {
            object: object.to_owned(),
            status: status.to_owned(),
            phase,
        });
    }

    /// Tells that something begins, does it, and tells how it ended.
    async fn told(&self, object: &str, [begin, end]: [&str; 2], work: impl Future<Output = Result<()>>) -> Result<()> {
        self.tell(object, begin, Phase::Working);
        match work.await {
            Ok(()) => {
                self.tell(object, end, Phase::Done);
                Ok(())
            }
            Err(error) => {
                self.tell(object, "Error", Phase::Failed);
                Err(error)
            }
        }
    }

    async fn step(&self, action: &Action) -> Result<()> {
        let container = |target: &Target| format!("Container {}", target.name);
        match action {
            Action::CreateNetwork(key, _) => self.create_network(key).await,
            Action::RemoveNetwork(name, id) => {
                self.removed(&format!("Network {name}"), self.client.remove_network(id))
                    .await
            }
            Action::CreateVolume(key, _) => self.create_volume(key).await,
            Action::RemoveVolume(name) => {
                let object = format!("Volume {name}");
                self.removed(&object, self.client.remove_volume(name, false)).await
            }
            Action::RemoveImage(name) => self.remove_image(name).await,
            Action::Create(target) => {
                let work = self.create(target, None);
                self.told(&container(target), ["Creating", "Created"], work).await
            }
            Action::Recreate(target, old) => {
                let work = self.create(target, Some(old));
                self.told(&container(target), ["Recreate", "Recreated"], work).await
            }
            Action::Replace(target, old) => self.replace(target, old).await,
            Action::Retire(service) => self.retire(service).await,
            Action::Rename(target, name) => {
                let id = self.id(target)?;
                Ok(self.client.rename_container(&id, name).await?)
            }
            Action::Keep(target) => {
                self.note(target);
                self.tell(&container(target), "Running", Phase::Done);
                Ok(())
            }
            Action::Wait {
                target,
                condition,
                required,
            } => self.wait(target, *condition, *required).await,
            Action::Start(target) => {
                self.told(&container(target), ["Starting", "Started"], self.start(target))
                    .await
            }
            Action::Stop(target) => {
                self.told(&container(target), ["Stopping", "Stopped"], self.stop(target))
                    .await
            }
            Action::Restart(target) => {
                self.told(&container(target), ["Restarting", "Started"], self.restart(target))
                    .await
            }
            Action::Kill(target, signal) => {
                let work = async { Ok(self.client.kill_container(&self.id(target)?, signal).await?) };
                self.told(&container(target), ["Killing", "Killed"], work).await
            }
            Action::Pause(target) => {
                self.client.pause_container(&self.id(target)?).await?;
                self.tell(&container(target), "Paused", Phase::Done);
                Ok(())
            }
            Action::Unpause(target) => {
                self.client.unpause_container(&self.id(target)?).await?;
                self.tell(&container(target), "Unpaused", Phase::Done);
                Ok(())
            }
            Action::Remove { target, volumes, force } => {
                let work = self.remove(target, *volumes, *force);
                self.told(&container(target), ["Removing", "Removed"], work).await
            }
        }
    }

    async fn create_network(&self, key: &str) -> Result<()> {
        let Some(network) = self.project.networks.get(key) else {
            return Err(Error::not_found(format!("no such network: {key}")));
        };
        let request = convert::network_request(self.project, key, network);
        let work = async {
            let made = self.client.create_network(&request).await;
            made.map(drop)
                .map_err(|error| Error::from(error).within(&format!("failed to create network {}", network.name)))
        };
        let object = format!("Network {}", network.name);
        self.told(&object, ["Creating", "Created"], work).await
    }

    async fn create_volume(&self, key: &str) -> Result<()> {
        let Some(volume) = self.project.volumes.get(key) else {
            return Err(Error::not_found(format!("no such volume: {key}")));
        };
        let request = convert::volume_request(self.project, key, volume);
        let work = async { Ok(self.client.create_volume(&request).await.map(drop)?) };
        let object = format!("Volume {}", volume.name);
        self.told(&object, ["Creating", "Created"], work).await
    }

    /// Removes what others may use, which is no failure.
    async fn removed(&self, object: &str, work: impl Future<Output = corten_client::Result<()>>) -> Result<()> {
        self.tell(object, "Removing", Phase::Working);
        match work.await {
            Ok(()) => self.tell(object, "Removed", Phase::Done),
            Err(error) if error.is_not_found() => {
                self.tell(object, "Warning: No resource found to remove", Phase::Done)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    corten_client::Kind::Conflict | corten_client::Kind::Forbidden
                ) =>
            {
                self.tell(object, "Resource is still in use", Phase::Warning);
            }
            Err(error) => {
                self.tell(object, "Error", Phase::Failed);
                return Err(error.into());
            }
        }
        Ok(())
    }

    async fn remove_image(&self, name: &str) -> Result<()> {
        let last = name.rsplit('/').next().unwrap_or(name);
        let shown = if last.contains([':', '@']) {
            format!("Image {name}")
        } else {
            format!("Image {name}:latest")
        };
        let work = async { self.client.remove_image(name, false, false, &[]).await.map(drop) };
        self.removed(&shown, work).await
    }

    /// The id of a container that is there or was made.
    fn id(&self, target: &Target) -> Result<String> {
        let made = self.containers.borrow();
        let key = (target.service.clone(), target.number);
        target
            .id
            .clone()
            .or_else(|| made.get(&key).cloned())
            .ok_or_else(|| Error::not_found(format!("no such container: {}", target.name)))
    }

    fn note(&self, target: &Target) {
        if let Some(id) = &target.id {
            self.know(&target.service, target.number, id);
        }
    }
}

/// Whether a call failed because there is nothing to do any more.
fn is_gone(error: &Error) -> bool {
    error.kind() == Kind::NotFound
}
