//! How a whole project differs from what there is of it.

use std::collections::BTreeMap;

use corten_api::{
    container::{Inspect, Summary},
    image,
};

use super::{Difference, cause, container, place, resources};
use crate::{
    convert::Around,
    error::Result,
    hash, labels,
    model::{Project, Service},
    names,
    plan::{Action, Observed, Plan, is_one_off, is_orphan, name_of, number_of, service_of},
    shared,
    source::Place,
};

/// What plans say of a definition that changed.
pub(crate) const CHANGED: &str = "its definition changed";

/// Images by the service whose they are to be.
pub type Images = BTreeMap<String, image::Inspect>;

/// What was found out of containers and images.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Containers by id.
    pub containers: BTreeMap<String, Inspect>,
    /// Images by service.
    pub images: Images,
}

/// Something that is not as the files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is not there.
    Missing {
        /// `container`, `network` or `volume`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Where it is written.
        place: Option<Place>,
    },
    /// It is there, and no file has it.
    Extra {
        /// `container`, `network` or `volume`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// One of its attributes is another one.
    Differs {
        /// `container`, `network` or `volume`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What differs.
        difference: Difference,
        /// Where it is written.
        place: Option<Place>,
    },
}

/// All that is not as the files say: of some services' containers, or of everything when none is named.
///
/// # Errors
/// What definitions refer to in vain.
pub fn project(project: &Project, observed: &Observed, found: &Found, services: &[String]) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let all = services.is_empty();
    for (name, service) in &project.services {
        if all || services.contains(name) {
            of_service(project, (name, service), observed, found, &mut changes)?;
        }
    }
    if all {
        let orphans = observed.containers.iter();
        let orphans = orphans.filter(|c| !is_one_off(c) && is_orphan(project, c));
        changes.extend(orphans.map(|container| extra("container", name_of(container))));
        of_networks(project, observed, &mut changes);
        of_volumes(project, observed, &mut changes);
    }
    Ok(changes)
}

fn extra(kind: &'static str, name: &str) -> Change {
    let name = name.to_owned();
    Change::Extra { kind, name }
}

fn of_service(
    project: &Project,
    (name, service): (&str, &Service),
    observed: &Observed,
    found: &Found,
    changes: &mut Vec<Change>,
) -> Result<()> {
    if service.provider.is_some() {
        return Ok(());
    }
    let existing = observed.of_service(name);
    let count = usize::try_from(service.replicas()).unwrap_or(0);
    let (kept, surplus) = existing.split_at(count.min(existing.len()));
    for container in kept {
        let differences = of_container(project, (name, service), observed, container, found)?;
        changes.extend(differences.into_iter().map(|difference| Change::Differs {
            kind: "container",
            name: name_of(container).to_owned(),
            place: place(project, name, &difference.path),
            difference,
        }));
    }
    changes.extend(surplus.iter().map(|container| extra("container", name_of(container))));
    let next = existing.iter().map(|c| number_of(c)).max().unwrap_or(0) + 1;
    let missing = u32::try_from(count.saturating_sub(existing.len())).unwrap_or(u32::MAX);
    changes.extend((next..next.saturating_add(missing)).map(|number| Change::Missing {
        kind: "container",
        name: names::container(project, name, service, number),
        place: place(project, name, &[]),
    }));
    Ok(())
}

fn of_container(
    project: &Project,
    (name, service): (&str, &Service),
    observed: &Observed,
    summary: &Summary,
    found: &Found,
) -> Result<Vec<Difference>> {
    let mut differences = definition(project, (name, service), observed, summary, found)?;
    let label = |label: &str| summary.labels.get(label).map(String::as_str);
    if let Some(image) = found.images.get(name)
        && label(labels::IMAGE).is_some_and(|id| id != image.id)
    {
        differences.push(one("image", label(labels::IMAGE), Some(&image.id)));
    }
    if differences.is_empty() && !is_up_to_date(project, service, observed, summary) {
        let made = label(labels::CONFIG_HASH);
        differences.push(one("definition", made, Some(&hash::service(service))));
    }
    match summary.state.as_str() {
        "running" | "restarting" => {}
        // It may have had only so much to do.
        "exited" if exit_code(summary, found) == Some(0) => {}
        state => differences.push(one("state", Some(state), Some("running"))),
    }
    Ok(differences)
}

fn one(attribute: &str, is: Option<&str>, wanted: Option<&str>) -> Difference {
    Difference {
        path: vec![attribute.to_owned()],
        is: is.map(str::to_owned),
        wanted: wanted.map(str::to_owned),
    }
}

fn exit_code(summary: &Summary, found: &Found) -> Option<i64> {
    let inspect = found.containers.get(&summary.id)?;
    Some(i64::from(inspect.state.exit_code))
}

fn is_up_to_date(project: &Project, service: &Service, observed: &Observed, summary: &Summary) -> bool {
    let first = |name: &str| observed.of_service(name).first().map(|other| other.id.as_str());
    let resolved = shared::resolved(service, first);
    debug_assert!(project.services.contains_key(service_of(summary)));
    summary.labels.get(labels::CONFIG_HASH) == Some(&hash::service(&resolved))
}

/// What of a container's definition differs.
fn definition(
    project: &Project,
    service: (&str, &Service),
    observed: &Observed,
    summary: &Summary,
    found: &Found,
) -> Result<Vec<Difference>> {
    let Some(inspect) = found.containers.get(&summary.id) else {
        return Ok(Vec::new());
    };
    let image = found.images.get(service.0).map(|image| image.config.clone());
    let mut containers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for container in observed.containers.iter().filter(|c| !is_one_off(c)) {
        let entry = containers.entry(service_of(container).to_owned()).or_default();
        entry.push(container.id.clone());
    }
    let number = number_of(summary);
    let around = Around {
        name: names::container(project, service.0, service.1, number),
        number: Some(number),
        containers,
        ..Around::default()
    };
    container(project, service, &around, inspect, &image.unwrap_or_default())
}

fn of_networks(project: &Project, observed: &Observed, changes: &mut Vec<Change>) {
    for (key, network) in &project.networks {
        let at = || project.place(&["networks", key]);
        let Some(is) = observed.network(&project.name, &network.name) else {
            if !matches!(network.name.as_str(), "host" | "none" | "bridge") {
                changes.push(Change::Missing {
                    kind: "network",
                    name: network.name.clone(),
                    place: at(),
                });
            }
            continue;
        };
        let differences = match network.external {
            true => Vec::new(),
            false => resources::network(project, key, network, is),
        };
        changes.extend(differences.into_iter().map(|difference| Change::Differs {
            kind: "network",
            name: network.name.clone(),
            place: below(project, "networks", key, &difference),
            difference,
        }));
    }
    let ours = observed.networks.iter();
    let ours = ours.filter(|network| network.labels.get(labels::PROJECT) == Some(&project.name));
    let is_known = |name: &str| project.networks.values().any(|network| network.name == name);
    let unknown = ours.filter(|network| !is_known(&network.name));
    changes.extend(unknown.map(|network| extra("network", &network.name)));
}

fn of_volumes(project: &Project, observed: &Observed, changes: &mut Vec<Change>) {
    for (key, volume) in &project.volumes {
        let Some(is) = observed.volume(&volume.name) else {
            changes.push(Change::Missing {
                kind: "volume",
                name: volume.name.clone(),
                place: project.place(&["volumes", key]),
            });
            continue;
        };
        let differences = match volume.external {
            true => Vec::new(),
            false => resources::volume(project, key, volume, is),
        };
        changes.extend(differences.into_iter().map(|difference| Change::Differs {
            kind: "volume",
            name: volume.name.clone(),
            place: below(project, "volumes", key, &difference),
            difference,
        }));
    }
    let label = |volume: &corten_api::volume::Volume| {
        let labels = volume.labels.as_ref()?;
        labels.get(labels::PROJECT).cloned()
    };
    let ours = observed
        .volumes
        .iter()
        .filter(|volume| label(volume).as_ref() == Some(&project.name));
    let is_known = |name: &str| project.volumes.values().any(|volume| volume.name == name);
    let unknown = ours.filter(|volume| !is_known(&volume.name));
    changes.extend(unknown.map(|volume| extra("volume", &volume.name)));
}

fn below(project: &Project, kind: &str, key: &str, difference: &Difference) -> Option<Place> {
    let path = difference.path.iter().map(String::as_str);
    project.place(&[kind, key].into_iter().chain(path).collect::<Vec<_>>())
}

/// The containers of a plan of which it would be told better why they are made anew.
pub fn unexplained(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter().filter(|step| step.cause.starts_with(CHANGED));
    let ids = steps.filter_map(|step| match &step.action {
        Action::Recreate(_, id) | Action::Replace(_, id) => Some(id.clone()),
        _ => None,
    });
    ids.collect()
}

/// Says in a plan which attributes changed, each with its line.
///
/// # Errors
/// What definitions refer to in vain.
pub fn explain(project: &Project, observed: &Observed, found: &Found, plan: &mut Plan) -> Result<()> {
    for step in &mut plan.steps {
        let (Action::Recreate(target, id) | Action::Replace(target, id)) = &step.action else {
            continue;
        };
        let summary = observed.containers.iter().find(|container| container.id == *id);
        let service = project.services.get(&target.service);
        let (Some(summary), Some(service)) = (summary, service) else {
            continue;
        };
        if !step.cause.starts_with(CHANGED) {
            continue;
        }
        let differences = definition(project, (&target.service, service), observed, summary, found)?;
        match cause(project, &target.service, &differences) {
            Some(cause) => step.cause = cause,
            // Its hash is of more than an engine tells.
            None => step.cause.push_str(", in nothing that the container shows"),
        }
    }
    Ok(())
}
