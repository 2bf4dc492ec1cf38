//! What `down` does: containers against the order of dependencies, then what they used.

use std::collections::BTreeMap;

use super::{Action, Observed, Plan, observed};
use crate::{labels, model::Project};

/// Which images go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Images {
    /// None.
    #[default]
    None,
    /// Those that have no name of their own.
    Local,
    /// All.
    All,
}

/// How to take a project down.
#[derive(Debug, Clone, Default)]
pub struct Down {
    /// The services that go; all when empty.
    pub services: Vec<String>,
    /// Whether volumes go as well.
    pub volumes: bool,
    /// Which images go.
    pub images: Images,
    /// Whether containers of services that are gone go as well.
    pub remove_orphans: bool,
}

/// The plan for a project; one without services is known by its containers only.
pub fn down(project: &Project, observed: &Observed, wanted: &Down) -> Plan {
    let mut plan = Plan::default();
    let cause = "the project goes down";
    let known = !project.services.is_empty() || !project.disabled.is_empty();
    let mut removed: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut all = Vec::new();
    let mut containers: Vec<_> = observed.containers.iter().collect();
    containers.sort_by_key(|c| std::cmp::Reverse(observed::number_of(c)));
    let dependents = super::lifecycle::Dependents::of(project, observed);
    for service in dependents.order() {
        for container in containers.iter().filter(|c| observed::service_of(c) == *service) {
            let asked = wanted.services.is_empty() || wanted.services.contains(service);
            let orphan = known && observed::is_orphan(project, container) && !observed::is_one_off(container);
            if !asked || (orphan && !wanted.remove_orphans) {
                continue;
            }
            let target = observed::target(container);
            let after = dependents.of_service(service);
            let after = after.filter_map(|dependent| removed.get(dependent)).flatten().copied();
            let stop = plan.add(Action::Stop(target.clone()), cause, after.collect());
            let remove = Action::Remove {
                target,
                volumes: wanted.volumes,
                force: true,
            };
            let step = plan.add(remove, cause, vec![stop]);
            removed.entry(service.clone()).or_default().push(step);
            all.push(step);
        }
    }
    if wanted.services.is_empty() {
        resources(&mut plan, project, observed, wanted, &all);
    }
    plan
}

fn resources(plan: &mut Plan, project: &Project, observed: &Observed, wanted: &Down, after: &[usize]) {
    let cause = "the project goes down";
    let is_external_network = |name: &str| project.networks.values().any(|n| n.external && n.name == name);
    let is_external_volume = |name: &str| project.volumes.values().any(|v| v.external && v.name == name);
    let ours = |labels: Option<&BTreeMap<String, String>>| {
        labels.and_then(|labels| labels.get(labels::PROJECT)) == Some(&project.name)
    };
    if wanted.images != Images::None {
        for name in project.services.keys() {
            let named = !project.services[name].image.is_empty();
            if !named || wanted.images == Images::All {
                let image = project.image_of(name);
                let action = Action::RemoveImage(image);
                if !plan.steps.iter().any(|step| step.action == action) {
                    plan.add(action, cause, after.to_vec());
                }
            }
        }
    }
    if wanted.volumes {
        for volume in &observed.volumes {
            if ours(volume.labels.as_ref()) && !is_external_volume(&volume.name) {
                plan.add(Action::RemoveVolume(volume.name.clone()), cause, after.to_vec());
            }
        }
    }
    for network in &observed.networks {
        if ours(Some(&network.labels)) && !is_external_network(&network.name) {
            let action = Action::RemoveNetwork(network.name.clone(), network.id.clone());
            plan.add(action, cause, after.to_vec());
        }
    }
}
