//! What differs between a project and what there is of it, attribute by attribute.
//!
//! A container carries only the hash of the definition that it was made by. What it was made *with* is told by the
//! engine, so that is compared with what would be asked for today: whichever tool made the container.
//!
//! ```text
//!   Service ── convert ──► CreateRequest ── over the image ──► facts ─┐
//!                                                                     ├─► differences, by path
//!   container ── inspect ───────────────────────────────────► facts ─┘
//! ```

mod facts;
mod project;
mod resources;

use std::collections::BTreeMap;

use corten_api::{container::Inspect, image};

pub(crate) use project::CHANGED;
pub use project::{Change, Found, Images, explain, project, unexplained};

use crate::{
    convert::{self, Around},
    error::Result,
    model::{Project, Service},
    source::Place,
};
use facts::Facts;

/// An attribute that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The attribute below its service, network or volume: `["environment", "DEBUG"]`.
    pub path: Vec<String>,
    /// What it is; nothing when it is not there.
    pub is: Option<String>,
    /// What it should be; nothing when it is to go.
    pub wanted: Option<String>,
}

impl Difference {
    /// The path as one text: `environment.DEBUG`.
    pub fn attribute(&self) -> String {
        self.path.join(".")
    }
}

/// How a container differs from what its definition asks for.
///
/// # Errors
/// What the definition refers to in vain.
pub fn container(
    project: &Project,
    (name, service): (&str, &Service),
    around: &Around,
    container: &Inspect,
    image: &image::Config,
) -> Result<Vec<Difference>> {
    let request = convert::container(project, name, service, around)?;
    let networks: BTreeMap<_, _> = project
        .networks
        .iter()
        .map(|(key, network)| (network.name.as_str(), key.as_str()))
        .collect();
    let wanted = Facts::of_request(&request, image, &networks);
    let is = Facts::of_container(container, image, &networks);
    Ok(facts::differences(is, wanted))
}

/// Where an attribute of a service is written, or else the nearest thing that is.
pub fn place(project: &Project, service: &str, path: &[String]) -> Option<Place> {
    let definition = project.services.get(service)?;
    let mut full = vec!["services", service];
    let index;
    match path {
        [list, target] if list == "volumes" => {
            let mut volumes = definition.volumes.iter();
            index = volumes
                .position(|volume| volume.target == *target)
                .map(|at| at.to_string());
            full.push("volumes");
            full.extend(index.as_deref());
        }
        [list, target] if list == "ports" => {
            let mut ports = definition.ports.iter();
            let same = |port: &crate::model::Port| format!("{}/{}", port.target, port.protocol) == *target;
            index = ports.position(same).map(|at| at.to_string());
            full.push("ports");
            full.extend(index.as_deref());
        }
        [first, ..] => {
            let limits = limit(first).filter(|path| project.has_place(&[&full[..], path].concat()));
            match limits {
                Some(limits) => full.extend(limits),
                None => full.extend(path.iter().map(String::as_str)),
            }
        }
        [] => {}
    }
    project.place(&full)
}

/// Where limits are written that may stand in two places.
fn limit(attribute: &str) -> Option<&'static [&'static str]> {
    Some(match attribute {
        "cpus" => &["deploy", "resources", "limits", "cpus"],
        "mem_limit" => &["deploy", "resources", "limits", "memory"],
        "mem_reservation" => &["deploy", "resources", "reservations", "memory"],
        "pids_limit" => &["deploy", "resources", "limits", "pids"],
        "gpus" => &["deploy", "resources", "reservations", "devices"],
        "restart" => &["deploy", "restart_policy"],
        _ => return None,
    })
}

/// Differences in words, each with its line: `environment.DEBUG (compose.yaml:7)`.
pub fn cause(project: &Project, service: &str, differences: &[Difference]) -> Option<String> {
    const SHOWN: usize = 4;
    let told = differences.iter().take(SHOWN).map(|difference| {
        let what = match (&difference.is, &difference.wanted) {
            (_, None) => " is gone",
            (None, _) => " is new",
            _ => " changed",
        };
        let place = place(project, service, &difference.path);
        let at = place.map(|place| format!(" ({}:{})", shown(&place), place.line));
        format!("{}{what}{}", difference.attribute(), at.unwrap_or_default())
    });
    let mut told: Vec<_> = told.collect();
    if let Some(more @ 1..) = differences.len().checked_sub(SHOWN) {
        told.push(format!("and {more} more"));
    }
    (!told.is_empty()).then(|| told.join(", "))
}

/// A file's name without its folder.
pub fn shown(place: &Place) -> String {
    let name = place.file.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| place.file.display().to_string())
}
