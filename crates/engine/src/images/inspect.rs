//! `GET /images/{name}/json` and `GET /images/{name}/history`.

use std::collections::BTreeMap;

use corten_api::{
    image::{Config, Empty, GraphDriver, History, Inspect, Metadata, RootFs},
    time::Time,
};
use corten_oci::{
    digest::Digest,
    image::{ContainerConfig, ImageConfig},
    platform::Platform,
    reference::Reference,
};
use corten_store::Image;

use super::{Images, signed};
use crate::{containers::health, error::Result};

/// What is asked of an image.
#[derive(Debug, Clone, Default)]
pub struct InspectRequest {
    /// The platform, if there are several.
    pub platform: Option<Platform>,
    /// Whether all its platforms are told.
    pub manifests: bool,
}

impl Images {
    /// Describes an image, of several platforms the one that is wanted.
    ///
    /// # Errors
    /// As [`Images::find_for`].
    pub fn inspect(&self, reference: &str, request: &InspectRequest) -> Result<Inspect> {
        let image = self.resolved(reference, request.platform.as_ref())?;
        let config = image.config();
        let comment = match (config.comment.as_str(), config.history.last()) {
            ("", Some(last)) => last.comment.clone(),
            (comment, _) => comment.to_owned(),
        };
        Ok(Inspect {
            id: image.id().as_str().to_owned(),
            repo_tags: familiar(image.names()),
            repo_digests: familiar(image.digests()),
            parent: image.parent().map(|id| id.as_str().to_owned()).unwrap_or_default(),
            comment,
            created: config.created.clone().unwrap_or_default(),
            docker_version: config.docker_version.clone(),
            author: config.author.clone(),
            config: container_config(&config.config),
            architecture: config.architecture.clone(),
            variant: config.variant.clone(),
            os: config.os.clone(),
            os_version: config.os_version.clone(),
            size: signed(image.size()),
            graph_driver: self.graph_driver(&image),
            root_fs: RootFs {
                kind: "layers".to_owned(),
                layers: image.layers().iter().map(|layer| layer.as_str().to_owned()).collect(),
            },
            metadata: Metadata {
                last_tag_time: image.last_tagged().map(Time::from).unwrap_or_default(),
            },
            manifests: request.manifests.then(|| self.manifests(&image)).flatten(),
        })
    }

    /// The steps an image was made by, the last first.
    ///
    /// # Errors
    /// As [`Images::find_for`].
    pub fn history(&self, reference: &str, platform: Option<&Platform>) -> Result<Vec<History>> {
        let image = self.resolved(reference, platform)?;
        let mut sizes = image.layers().iter().map(|layer| self.layer_size(layer));
        let mut steps: Vec<_> = entries(image.config())
            .into_iter()
            .map(|(mut step, has_layer)| {
                step.size = if has_layer { sizes.next().unwrap_or(0) } else { 0 };
                step
            })
            .collect();
        steps.reverse();
        self.name_steps(&image, &mut steps);
        Ok(steps)
    }

    /// The steps that are images of their own on this machine get their ids; the others have none.
    fn name_steps(&self, image: &Image, steps: &mut [History]) {
        let mut current = Some(image.clone());
        for step in steps {
            step.id = match &current {
                Some(image) => {
                    step.tags = Some(familiar(image.names())).filter(|names| !names.is_empty());
                    image.id().as_str().to_owned()
                }
                None => "<missing>".to_owned(),
            };
            let parent = current.as_ref().and_then(Image::parent);
            current = parent.and_then(|parent| self.0.store.images().get(parent).ok());
        }
    }

    fn layer_size(&self, diff_id: &Digest) -> i64 {
        self.0
            .store
            .layers()
            .get(diff_id)
            .map_or(0, |layer| signed(layer.size()))
    }

    fn graph_driver(&self, image: &Image) -> GraphDriver {
        let layers = image
            .layers()
            .iter()
            .rev()
            .filter_map(|layer| self.0.store.layers().get(layer));
        let paths: Vec<_> = layers.map(|layer| layer.path().to_owned()).collect();
        let mut data = BTreeMap::new();
        if let Some((top, below)) = paths.split_first() {
            let beside = |name| top.with_file_name(name).display().to_string();
            data.insert("UpperDir".to_owned(), top.display().to_string());
            data.insert("MergedDir".to_owned(), beside("merged"));
            data.insert("WorkDir".to_owned(), beside("work"));
            if !below.is_empty() {
                let below: Vec<_> = below.iter().map(|path| path.display().to_string()).collect();
                data.insert("LowerDir".to_owned(), below.join(":"));
            }
        }
        GraphDriver {
            data: Some(data),
            name: "overlay2".to_owned(),
        }
    }
}

/// The history's entries, and whether each added a layer; an image without one has its layers.
fn entries(config: &ImageConfig) -> Vec<(History, bool)> {
    if config.history.is_empty() {
        let bare = || {
            (
                History {
                    created: seconds(config.created.as_deref()),
                    ..History::default()
                },
                true,
            )
        };
        return config.rootfs.diff_ids.iter().map(|_| bare()).collect();
    }
    config
        .history
        .iter()
        .map(|step| {
            let entry = History {
                comment: step.comment.clone(),
                created: seconds(step.created.as_deref()),
                created_by: step.created_by.clone(),
                ..History::default()
            };
            (entry, !step.empty_layer)
        })
        .collect()
}

fn seconds(time: Option<&str>) -> i64 {
    time.and_then(|text| text.parse::<Time>().ok())
        .unwrap_or_default()
        .seconds()
}

fn familiar(names: &[Reference]) -> Vec<String> {
    names.iter().map(Reference::familiar).collect()
}

/// An image's configuration as the API shows it.
fn container_config(config: &ContainerConfig) -> Config {
    let keys = |map: &BTreeMap<String, corten_oci::image::Empty>| {
        Some(
            map.keys()
                .map(|key| (key.clone(), Empty {}))
                .collect::<BTreeMap<_, _>>(),
        )
        .filter(|map| !map.is_empty())
    };
    let some = |list: &[String]| Some(list.to_vec()).filter(|list| !list.is_empty());
    Config {
        user: config.user.clone(),
        exposed_ports: keys(&config.exposed_ports),
        env: some(&config.env),
        cmd: config.cmd.clone(),
        healthcheck: config.healthcheck.as_ref().map(health::of_image),
        args_escaped: config.args_escaped,
        volumes: keys(&config.volumes),
        working_dir: config.working_dir.clone(),
        entrypoint: config.entrypoint.clone(),
        on_build: some(&config.on_build),
        labels: Some(config.labels.clone()).filter(|labels| !labels.is_empty()),
        stop_signal: config.stop_signal.clone(),
        shell: some(&config.shell),
    }
}
