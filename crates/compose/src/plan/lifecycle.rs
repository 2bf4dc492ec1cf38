//! Starting, stopping and the like of containers that are there, in the order of dependencies or against it.

use std::collections::{BTreeMap, BTreeSet};

use corten_api::container::Summary;

use super::{Action, Condition, Observed, Plan, Target, observed};
use crate::{labels, model::Project};

/// What becomes of containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// They are started.
    Start,
    /// They are stopped.
    Stop,
    /// They are stopped and started.
    Restart,
    /// They are sent a signal.
    Kill(String),
    /// They are frozen.
    Pause,
    /// They go on.
    Unpause,
}

/// Which services depend on which, by the files, or else by the labels of containers.
pub(super) struct Dependents {
    /// Those that depend on a service, by its name.
    dependents: BTreeMap<String, Vec<String>>,
    /// All services, each after those that depend on it.
    order: Vec<String>,
}

impl Dependents {
    pub(super) fn of(project: &Project, observed: &Observed) -> Self {
        let mut dependencies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, service) in project.services.iter().chain(&project.disabled) {
            dependencies.insert(name.clone(), service.depends_on.keys().cloned().collect());
        }
        for container in &observed.containers {
            let entry = dependencies.entry(observed::service_of(container).to_owned());
            entry.or_insert_with(|| labelled(container));
        }
        let mut dependents: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, on) in &dependencies {
            for dependency in on {
                dependents.entry(dependency.clone()).or_default().push(name.clone());
            }
        }
        let mut order = Vec::new();
        let mut left: BTreeSet<_> = dependencies.keys().cloned().collect();
        while !left.is_empty() {
            let free = |name: &&String| {
                let mut above = dependents.get(*name).into_iter().flatten();
                !above.any(|dependent| left.contains(dependent))
            };
            // Labels may have a cycle, which must not keep a project from going down.
            let next: Vec<_> = left.iter().filter(free).cloned().collect();
            let next = if next.is_empty() {
                left.iter().cloned().collect()
            } else {
                next
            };
            for name in next {
                left.remove(&name);
                order.push(name);
            }
        }
        Self { dependents, order }
    }

    pub(super) fn order(&self) -> impl DoubleEndedIterator<Item = &String> {
        self.order.iter()
    }

    pub(super) fn of_service(&self, service: &str) -> impl Iterator<Item = &String> {
        self.dependents.get(service).into_iter().flatten()
    }
}

fn labelled(container: &Summary) -> BTreeSet<String> {
    let text = container.labels.get(labels::DEPENDS_ON).map_or("", String::as_str);
    let names = text.split(',').filter(|part| !part.is_empty());
    names
        .filter_map(|part| part.split(':').next())
        .map(str::to_owned)
        .collect()
}

/// The plan for some containers.
pub fn change(project: &Project, observed: &Observed, containers: &[&Summary], change: &Change) -> Plan {
    let mut plan = Plan::default();
    let dependents = Dependents::of(project, observed);
    let mut steps: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let forward = matches!(change, Change::Start | Change::Restart);
    let order: Vec<_> = if forward {
        dependents.order().rev().collect()
    } else {
        dependents.order().collect()
    };
    for service in order {
        let others: Vec<usize> = if forward {
            let definition = project.services.get(service);
            let on = definition.into_iter().flat_map(|service| service.depends_on.keys());
            on.filter_map(|name| steps.get(name.as_str()))
                .flatten()
                .copied()
                .collect()
        } else {
            let above = dependents.of_service(service);
            above
                .filter_map(|name| steps.get(name.as_str()))
                .flatten()
                .copied()
                .collect()
        };
        for container in containers.iter().filter(|c| observed::service_of(c) == service) {
            let target = observed::target(container);
            let (action, ordered) = match change {
                Change::Start if container.state == "running" => continue,
                Change::Start => (Action::Start(target), true),
                Change::Stop => (Action::Stop(target), true),
                Change::Restart => (Action::Restart(target), true),
                Change::Kill(signal) => (Action::Kill(target, signal.clone()), false),
                Change::Pause => (Action::Pause(target), false),
                Change::Unpause => (Action::Unpause(target), false),
            };
            let mut after = if ordered { others.clone() } else { Vec::new() };
            if matches!(change, Change::Start) {
                after.extend(awaited(project, observed, service, &others, &mut plan));
            }
            let step = plan.add(action, "it was asked for", after);
            steps.entry(service.as_str()).or_default().push(step);
        }
    }
    plan
}

/// What a service that starts waits for.
fn awaited(project: &Project, observed: &Observed, service: &str, after: &[usize], plan: &mut Plan) -> Vec<usize> {
    let mut waits = Vec::new();
    let Some(service) = project.services.get(service) else {
        return waits;
    };
    for (dependency, on) in &service.depends_on {
        let condition = match on.condition.as_str() {
            "service_healthy" => Condition::Healthy,
            "service_completed_successfully" => Condition::Completed,
            _ => continue,
        };
        for container in observed.of_service(dependency) {
            let wait = Action::Wait {
                target: observed::target(container),
                condition,
                required: on.required,
            };
            let known = plan.steps.iter().position(|step| step.action == wait);
            waits.push(match known {
                Some(step) => step,
                None => plan.add(wait, "another service depends on it", after.to_vec()),
            });
        }
    }
    waits
}

/// The plan that removes containers.
pub fn remove(targets: Vec<Target>, volumes: bool, force: bool) -> Plan {
    let mut plan = Plan::default();
    for target in targets {
        let action = Action::Remove { target, volumes, force };
        plan.add(action, "it was asked for", Vec::new());
    }
    plan
}
