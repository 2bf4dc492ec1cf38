//! What `up` and `create` do: resources, then containers in the order of dependencies, then starts.

use std::collections::{BTreeMap, BTreeSet};

use corten_api::container::Summary;

use super::{Action, Condition, Observed, Plan, Target, observed};
use crate::{
    error::{Error, Result},
    hash, labels,
    model::{Dependency, Network, Project, Service, Volume},
    names, shared,
};

/// When containers are made anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recreate {
    /// When their definition or image is another one now.
    #[default]
    Diverged,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Whether containers are started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// Started.
    #[default]
    Started,
    /// Started, and waited for until they run well.
    Awaited,
    /// Only made.
    Created,
}

/// How to bring a project up.
#[derive(Debug, Clone, Default)]
pub struct Up {
    /// The services that were asked for; all when empty.
    pub services: Vec<String>,
    /// When their containers are made anew.
    pub recreate: Recreate,
    /// When those that they depend on are.
    pub recreate_dependencies: Recreate,
    /// The ids of images, by service.
    pub images: BTreeMap<String, String>,
    /// Whether containers are started.
    pub start: Start,
    /// Whether containers of services that are gone are removed.
    pub remove_orphans: bool,
    /// Whether to say nothing of them.
    pub ignore_orphans: bool,
    /// Whether containers that run and must be made anew are replaced while they serve.
    pub rolling: bool,
    /// Whether a service that is scaled down stays as it is.
    pub keep_scale: bool,
    /// What becomes of volumes whose definition changed.
    pub changed_volumes: ChangedVolumes,
    /// What is waited for at the end, by service.
    pub wait_for: BTreeMap<String, Dependency>,
}

/// What becomes of volumes whose definition changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ChangedVolumes {
    /// They are used as they are, which is told.
    #[default]
    Kept,
    /// They are made anew, which loses what is in them.
    Remade,
    /// These are made anew, and nothing is told of the others: the user was asked.
    Asked(BTreeSet<String>),
}

/// The names of volumes that are this project's, with another definition than they were made by.
pub fn changed_volumes<'a>(project: &'a Project, observed: &Observed) -> Vec<&'a str> {
    let volumes = project.volumes.values().filter(|volume| !volume.external);
    let is_changed = |volume: &&Volume| {
        let label = |name: &str| {
            let found = observed.volume(&volume.name)?;
            found.labels.as_ref()?.get(name).cloned()
        };
        label(labels::PROJECT).is_some_and(|owner| owner == project.name)
            && label(labels::CONFIG_HASH).is_some_and(|made_by| made_by != hash::volume(volume))
    };
    volumes.filter(is_changed).map(|volume| volume.name.as_str()).collect()
}

/// The plan for a project whose services are those that are to run.
///
/// # Errors
/// Not found: external networks and volumes; invalid: several containers of one name.
pub fn up(project: &Project, observed: &Observed, wanted: &Up) -> Result<Plan> {
    let mut planner = Planner {
        project,
        observed,
        wanted,
        plan: Plan::default(),
        resources: Vec::new(),
        made: BTreeMap::new(),
        starts: BTreeMap::new(),
        gone: BTreeMap::new(),
        containers: BTreeMap::new(),
        recreated: BTreeSet::new(),
        replaced: BTreeMap::new(),
    };
    planner.orphans();
    planner.networks()?;
    planner.volumes()?;
    let order = project.in_order()?;
    for name in &order {
        planner.service(name, &project.services[name])?;
    }
    if wanted.start != Start::Created {
        planner.start(&order);
        let started: Vec<_> = planner.starts.values().flatten().copied().collect();
        planner.wait_for_dependencies(&wanted.wait_for, &started);
    }
    Ok(planner.plan)
}

struct Planner<'a> {
    project: &'a Project,
    observed: &'a Observed,
    wanted: &'a Up,
    plan: Plan,
    /// Steps that make networks and volumes.
    resources: Vec<usize>,
    /// Steps that make a service's containers.
    made: BTreeMap<String, Vec<usize>>,
    /// Steps that start a service's containers.
    starts: BTreeMap<String, Vec<usize>>,
    /// Containers that are removed, by id: the steps after which they are gone.
    gone: BTreeMap<String, usize>,
    /// A service's containers as they will be, and whether each runs already.
    containers: BTreeMap<String, Vec<(Target, bool)>>,
    /// Services with containers that were made anew.
    recreated: BTreeSet<String>,
    /// Containers that are replaced while they serve, by service: with the old one's id, and why.
    replaced: BTreeMap<String, Vec<(Target, String, String)>>,
}

impl Planner<'_> {
    fn orphans(&mut self) {
        let all = self.observed.containers.iter();
        let orphans: Vec<_> = all.filter(|c| observed::is_orphan(self.project, c)).collect();
        if orphans.is_empty() {
            return;
        }
        if self.wanted.remove_orphans {
            for container in orphans {
                let step = self.take_away(container, "no service of the project has it");
                self.resources.push(step);
            }
        } else if !self.wanted.ignore_orphans {
            let names: Vec<_> = orphans.iter().map(|c| observed::name_of(c)).collect();
            self.plan.warnings.push(format!(
                "Found orphan containers ([{}]) for this project. If you removed or renamed this service in your compose file, you can run this command with the --remove-orphans flag to clean it up.",
                names.join(" ")
            ));
        }
    }

    fn networks(&mut self) -> Result<()> {
        for (key, network) in &self.project.networks {
            let found = self.observed.network(&self.project.name, &network.name);
            let known = found.is_some() || matches!(network.name.as_str(), "host" | "none" | "bridge");
            match found {
                None if network.external && !known => {
                    return Err(Error::not_found(format!(
                        "network {} declared as external, but could not be found",
                        network.name
                    )));
                }
                None if network.external => {}
                None => {
                    let step = self.plan.add(
                        Action::CreateNetwork(key.clone(), network.name.clone()),
                        "it does not exist",
                        Vec::new(),
                    );
                    self.resources.push(step);
                }
                Some(found) if !network.external => self.existing_network(key, network, found),
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn existing_network(&mut self, key: &str, network: &Network, found: &corten_api::network::Network) {
        let ours = found
            .labels
            .get(labels::PROJECT)
            .is_some_and(|p| *p == self.project.name);
        if !ours {
            self.plan.warnings.push(format!(
                "a network with name {} exists but was not created for project {:?}.\nSet `external: true` to use an existing network",
                network.name, self.project.name
            ));
            return;
        }
        let made_by = found.labels.get(labels::CONFIG_HASH);
        if made_by.is_none_or(|hash| *hash == hash::network(network)) {
            return;
        }
        let cause = "its definition changed";
        let removed = self.remove_users(cause, |c| c.network_settings.networks.contains_key(&network.name));
        let remove = Action::RemoveNetwork(network.name.clone(), found.id.clone());
        let removed = self.plan.add(remove, cause, removed);
        let step = self.plan.add(
            Action::CreateNetwork(key.to_owned(), network.name.clone()),
            cause,
            vec![removed],
        );
        self.resources.push(step);
    }

    /// Removes the containers that use a resource which is made anew.
    fn remove_users(&mut self, cause: &str, uses: impl Fn(&Summary) -> bool) -> Vec<usize> {
        let observed = self.observed;
        let users = observed.containers.iter().filter(|c| uses(c));
        users.map(|container| self.take_away(container, cause)).collect()
    }

    /// Stops and removes a container, once; gives the step after which it is gone.
    fn take_away(&mut self, container: &Summary, cause: &str) -> usize {
        if let Some(step) = self.gone.get(&container.id) {
            return *step;
        }
        let target = observed::target(container);
        let stop = self.plan.add(Action::Stop(target.clone()), cause, Vec::new());
        let remove = Action::Remove {
            target,
            volumes: false,
            force: true,
        };
        let step = self.plan.add(remove, cause, vec![stop]);
        self.gone.insert(container.id.clone(), step);
        step
    }

    fn volumes(&mut self) -> Result<()> {
        for (key, volume) in &self.project.volumes {
            let Some(found) = self.observed.volume(&volume.name) else {
                if volume.external {
                    return Err(Error::not_found(format!("external volume {:?} not found", volume.name)));
                }
                let step = self.plan.add(
                    Action::CreateVolume(key.clone(), volume.name.clone()),
                    "it does not exist",
                    Vec::new(),
                );
                self.resources.push(step);
                continue;
            };
            if volume.external {
                continue;
            }
            let label = |name: &str| found.labels.as_ref().and_then(|labels| labels.get(name));
            let name = &volume.name;
            let project = &self.project.name;
            match label(labels::PROJECT) {
                None => self.plan.warnings.push(format!(
                    "volume {name:?} already exists but was not created by Docker Compose. Use `external: true` to use an existing volume"
                )),
                Some(owner) if owner != project => self.plan.warnings.push(format!(
                    "volume {name:?} already exists but was created for project {owner:?} (expected {project:?}). Use `external: true` to use an existing volume"
                )),
                Some(_) if label(labels::CONFIG_HASH).is_none_or(|h| *h == hash::volume(volume)) => {}
                Some(_) => self.change_volume(key, name),
            }
        }
        Ok(())
    }

    fn change_volume(&mut self, key: &str, name: &str) {
        match &self.wanted.changed_volumes {
            ChangedVolumes::Remade => self.renew_volume(key, name),
            ChangedVolumes::Asked(names) if names.contains(name) => self.renew_volume(key, name),
            ChangedVolumes::Asked(_) => {}
            ChangedVolumes::Kept => self.plan.warnings.push(format!(
                    "volume {name:?} exists but doesn't match configuration in compose file; it is used as it is (--yes recreates it, and its data will be lost)"
            )),
        }
    }

    fn renew_volume(&mut self, key: &str, name: &str) {
        let cause = "its definition changed";
        let removed = self.remove_users(cause, |c| {
            c.mounts
                .iter()
                .any(|mount| mount.kind == "volume" && mount.name == name)
        });
        let removed = self.plan.add(Action::RemoveVolume(name.to_owned()), cause, removed);
        let create = Action::CreateVolume(key.to_owned(), name.to_owned());
        let step = self.plan.add(create, cause, vec![removed]);
        self.resources.push(step);
    }

    /// Why a container must be made anew, if it must.
    fn diverged(&self, name: &str, service: &Service, container: &Summary) -> Option<String> {
        let asked = self.wanted.services.is_empty() || self.wanted.services.iter().any(|s| s == name);
        let policy = match asked {
            true => self.wanted.recreate,
            false => self.wanted.recreate_dependencies,
        };
        match policy {
            Recreate::Never => return None,
            Recreate::Always => return Some("it was asked for".to_owned()),
            Recreate::Diverged => {}
        }
        let anew = |name: &&str| self.recreated.contains(*name) || self.observed.of_service(name).is_empty();
        if let Some(other) = shared::services(service).find(anew) {
            return Some(format!("service {other:?}, with which it shares, is made anew"));
        }
        let first = |name: &str| self.observed.of_service(name).first().map(|other| other.id.as_str());
        let service = &shared::resolved(service, first);
        let label = |name: &str| container.labels.get(name).map(String::as_str);
        if label(labels::CONFIG_HASH) != Some(&hash::service(service)) {
            let place = self.project.place(&["services", name]);
            let at = place.map(|place| format!(" ({}:{})", place.file.display(), place.line));
            return Some(format!("{}{}", crate::compare::CHANGED, at.unwrap_or_default()));
        }
        if let Some(image) = self.wanted.images.get(name)
            && label(labels::IMAGE) != Some(image)
        {
            return Some(format!("image {} changed", self.project.image_of(name)));
        }
        None
    }

    fn service(&mut self, name: &str, service: &Service) -> Result<()> {
        let count = usize::try_from(service.replicas()).unwrap_or(0);
        if count > 1 && !service.container_name.is_empty() {
            return Err(Error::invalid(format!(
                "can't set container_name and {name} as container name must be unique: invalid compose project"
            )));
        }
        let mut after = self.resources.clone();
        for dependency in service.depends_on.keys() {
            after.extend(self.made.get(dependency).into_iter().flatten());
        }
        let mut existing: Vec<_> = self.observed.of_service(name).into_iter().collect();
        existing.retain(|c| !self.gone.contains_key(&c.id));
        let next = existing.iter().map(|c| observed::number_of(c)).max().unwrap_or(0) + 1;
        // Those that are up to date stay rather than the others, the older ones rather than the newer.
        existing.sort_by_key(|c| (self.diverged(name, service, c).is_some(), observed::number_of(c)));
        let count = if self.wanted.keep_scale {
            count.max(existing.len())
        } else {
            count
        };
        let (kept, surplus) = existing.split_at(count.min(existing.len()));
        let mut made = Vec::new();
        let mut will_be = Vec::new();
        let mut removed = Vec::new();
        for container in surplus {
            removed.push(self.take_away(container, "the service is to have fewer containers"));
        }
        let mut kept = kept.to_vec();
        kept.sort_by_key(|c| observed::number_of(c));
        for container in kept {
            let mut target = observed::target(container);
            if let Some(cause) = self.diverged(name, service, container) {
                target.id = None;
                target.name = names::container(self.project, name, service, target.number);
                if self.wanted.rolling && container.state == "running" {
                    self.check_replaceable(name, service)?;
                    let entry = self.replaced.entry(name.to_owned()).or_default();
                    entry.push((target.clone(), container.id.clone(), cause));
                    self.recreated.insert(name.to_owned());
                    will_be.push((target, true));
                    continue;
                }
                let mut after = after.clone();
                after.extend(self.stop_dependents(name, &cause));
                let recreate = Action::Recreate(target.clone(), container.id.clone());
                made.push(self.plan.add(recreate, cause, after));
                self.recreated.insert(name.to_owned());
                will_be.push((target, false));
                continue;
            }
            let own = names::container(self.project, name, service, target.number);
            // The name that it was made under, when nobody came to change it.
            if target.name.strip_suffix(&own).is_some_and(is_beside) {
                let rename = Action::Rename(target.clone(), own.clone());
                self.plan
                    .add(rename, "it was made in the place of another one", removed.clone());
                target.name = own;
            }
            let runs = matches!(container.state.as_str(), "running" | "restarting" | "paused");
            if runs {
                self.plan
                    .add(Action::Keep(target.clone()), "it is up to date", Vec::new());
            }
            will_be.push((target, runs));
        }
        let missing = count.saturating_sub(will_be.len());
        for offset in 0..u32::try_from(missing).unwrap_or(u32::MAX) {
            let number = next + offset;
            let target = Target {
                service: name.to_owned(),
                number,
                name: names::container(self.project, name, service, number),
                id: None,
            };
            let create = Action::Create(target.clone());
            made.push(self.plan.add(create, "it does not exist", after.clone()));
            will_be.push((target, false));
        }
        self.made.insert(name.to_owned(), made);
        self.containers.insert(name.to_owned(), will_be);
        Ok(())
    }

    /// Refuses to replace what two containers cannot have at once.
    fn check_replaceable(&self, name: &str, service: &Service) -> Result<()> {
        let places = service.networks.values().flatten();
        let fixed = places.flat_map(|place| [&place.ipv4_address, &place.ipv6_address, &place.mac_address]);
        let mut fixed = fixed
            .chain([&service.mac_address])
            .filter(|address| !address.is_empty());
        match fixed.next() {
            Some(address) => Err(Error::unsupported(format!(
                "service {name:?} cannot be replaced by --rolling: two containers cannot have address {address} at once"
            ))),
            None => Ok(()),
        }
    }

    /// Replaces a service's containers, one after the other.
    fn replace(&mut self, name: &str, after: &[usize]) -> Vec<usize> {
        let Some(replaced) = self.replaced.remove(name) else {
            return Vec::new();
        };
        let mut after = after.to_vec();
        for (target, old, cause) in replaced {
            let step = self.plan.add(Action::Replace(target, old), cause, after);
            after = vec![step];
        }
        vec![
            self.plan
                .add(Action::Retire(name.to_owned()), "all were replaced", after),
        ]
    }

    /// Stops containers that are to be restarted with the service that they depend on.
    fn stop_dependents(&mut self, name: &str, cause: &str) -> Vec<usize> {
        let dependents = self.project.services.iter().filter(|(_, service)| {
            service
                .depends_on
                .get(name)
                .is_some_and(|dependency| dependency.restart)
        });
        let dependents: Vec<_> = dependents.map(|(dependent, _)| dependent.clone()).collect();
        let mut steps = Vec::new();
        for dependent in dependents {
            for container in self.observed.of_service(&dependent) {
                if container.state == "running" {
                    let cause = format!("service {name:?}, which it depends on, is made anew: {cause}");
                    let stop = Action::Stop(observed::target(container));
                    steps.push(self.plan.add(stop, cause, Vec::new()));
                }
            }
        }
        steps
    }

    fn start(&mut self, order: &[String]) {
        // Nothing starts before everything is made: what cannot be made is known before something runs.
        let made: Vec<_> = self.made.values().flatten().copied().collect();
        for name in order {
            let service = &self.project.services[name];
            let mut restarted = false;
            let mut after = made.clone();
            let containers = self.containers.get(name).cloned().unwrap_or_default();
            for (dependency, on) in &service.depends_on {
                after.extend(self.starts.get(dependency).into_iter().flatten());
                restarted |= on.restart && self.recreated.contains(dependency);
            }
            // Even where all runs: what it depends on may have been made anew, and fail.
            let waits = self.wait_for_dependencies(&service.depends_on, &after);
            after.extend(waits);
            let is_replaced = self.replaced.contains_key(name);
            let mut starts = self.replace(name, &after);
            for (target, runs) in &containers {
                if *runs && (!restarted || is_replaced) {
                    continue;
                }
                let (action, cause) = match runs {
                    // What it depends on was replaced, and it has not been stopped for that.
                    true if self.wanted.rolling => (Action::Restart(target.clone()), "it is restarted"),
                    true => (Action::Start(target.clone()), "it is restarted"),
                    false => (Action::Start(target.clone()), "it does not run"),
                };
                starts.push(self.plan.add(action, cause, after.clone()));
            }
            if self.wanted.start == Start::Awaited {
                for (target, _) in &containers {
                    let wait = Action::Wait {
                        target: target.clone(),
                        condition: Condition::RunningOrHealthy,
                        required: true,
                    };
                    self.plan.add(wait, "it was asked for", starts.clone());
                }
            }
            self.starts.insert(name.clone(), starts);
        }
    }

    fn wait_for_dependencies(&mut self, dependencies: &BTreeMap<String, Dependency>, after: &[usize]) -> Vec<usize> {
        let mut waits = Vec::new();
        for (dependency, on) in dependencies {
            let condition = match on.condition.as_str() {
                "service_healthy" => Condition::Healthy,
                "service_completed_successfully" => Condition::Completed,
                _ => continue,
            };
            for (target, _) in self.containers.get(dependency).cloned().unwrap_or_default() {
                let wait = Action::Wait {
                    target,
                    condition,
                    required: on.required,
                };
                let known = self.plan.steps.iter().position(|step| step.action == wait);
                waits.push(match known {
                    Some(step) => step,
                    None => self.plan.add(wait, "another service depends on it", after.to_vec()),
                });
            }
        }
        waits
    }
}

/// Whether this comes before the name of a container that was made in the place of another one.
fn is_beside(prefix: &str) -> bool {
    let Some(id) = prefix.strip_suffix('_') else {
        return false;
    };
    id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}
