//! Images by their digests: what tags mean at their registries now.

use std::collections::BTreeMap;

use corten_compose::{Node, Project, Service, Value};
use corten_distribution::Purpose;

use crate::{
    cli::Cli,
    error::Result,
    remote::{Remote, named, selector, wrong},
};

/// Asks registries, each image once.
pub(super) struct Digests<'a> {
    cli: &'a Cli,
    remote: Remote<'a>,
    known: BTreeMap<String, String>,
}

impl<'a> Digests<'a> {
    pub(super) fn new(cli: &'a Cli) -> Result<Self> {
        Ok(Self {
            cli,
            remote: Remote::new(cli, &[])?,
            known: BTreeMap::new(),
        })
    }

    /// The whole name of an image with its digest.
    pub(super) fn of(&mut self, image: &str) -> Result<String> {
        if let Some(known) = self.known.get(image) {
            return Ok(known.clone());
        }
        let reference = named(image)?;
        let pinned = match reference.digest() {
            Some(_) => reference.to_string(),
            None => {
                let digest = self.cli.wait(async {
                    let documents = self.remote.open(&reference, Purpose::Pull).await?;
                    let fetched = documents.manifest(&selector(&reference)).await.map_err(wrong)?;
                    Ok(fetched.digest)
                })?;
                format!("{reference}@{digest}")
            }
        };
        self.known.insert(image.to_owned(), pinned.clone());
        Ok(pinned)
    }

    /// Gives every service of a project its image by digest.
    pub(super) fn pin(&mut self, project: &mut Project) -> Result<()> {
        for service in project
            .services
            .values_mut()
            .filter(|service| !service.image.is_empty())
        {
            service.image = self.of(&service.image)?;
        }
        Ok(())
    }

    /// Gives every service of a tree its image by digest.
    pub(super) fn pin_tree(&mut self, tree: &mut Node) -> Result<()> {
        let services = tree.get_mut("services").and_then(Node::as_map_mut);
        for service in services.into_iter().flat_map(|services| services.values_mut()) {
            let Some(image) = service.get_mut("image") else {
                continue;
            };
            if let Some(text) = image.as_text().filter(|text| !text.is_empty()) {
                image.value = Value::Text(self.of(text)?);
            }
        }
        Ok(())
    }
}

/// A project that says only which images services have.
pub(super) fn lock(project: &Project) -> Project {
    let services = project.services.iter().map(|(name, service)| {
        let locked = Service {
            image: service.image.clone(),
            ..Service::default()
        };
        (name.clone(), locked)
    });
    let mut locked = Project::default();
    locked.services = services.collect();
    locked
}

/// Leaves of a tree only which images services have.
pub(super) fn lock_tree(tree: &mut Node) {
    let Some(map) = tree.as_map_mut() else { return };
    map.retain(|key, _| key == "services");
    let services = map.get_mut("services").and_then(Node::as_map_mut);
    for service in services.into_iter().flat_map(|services| services.values_mut()) {
        if let Some(service) = service.as_map_mut() {
            service.retain(|key, _| key == "image");
        }
    }
}
