//! The labels by which a project's containers, networks and volumes are found again: Compose's own, so that
//! projects pass from one tool to the other.

use std::collections::BTreeMap;

use crate::model::{Project, Service};

/// The version of Compose that ours answers as.
pub const VERSION_VALUE: &str = "2.40.3";

/// The project.
pub const PROJECT: &str = "com.docker.compose.project";
/// The service.
pub const SERVICE: &str = "com.docker.compose.service";
/// Which container of its service it is, from 1.
pub const NUMBER: &str = "com.docker.compose.container-number";
/// `True` for containers of `run`.
pub const ONE_OFF: &str = "com.docker.compose.oneoff";
/// What tells containers of `run` apart.
pub const SLUG: &str = "com.docker.compose.slug";
/// The hash of the definition that it was made by.
pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// What it depends on: `service:condition:restart`, with commas between.
pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// The id of its image.
pub const IMAGE: &str = "com.docker.compose.image";
/// The container in whose place it came.
pub const REPLACE: &str = "com.docker.compose.replace";
/// The project's files.
pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
/// The project's folder.
pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
/// The version of Compose.
pub const VERSION: &str = "com.docker.compose.version";
/// A network's key.
pub const NETWORK: &str = "com.docker.compose.network";
/// A volume's key.
pub const VOLUME: &str = "com.docker.compose.volume";

/// The labels of a container: the service's own, and Compose's.
pub fn of_container(project: &Project, name: &str, service: &Service, image: &str) -> BTreeMap<String, String> {
    let mut labels = service.labels.0.clone();
    let files: Vec<_> = project.files.iter().map(|file| file.display().to_string()).collect();
    let dependencies = service.depends_on.iter();
    let dependencies: Vec<_> = dependencies
        .map(|(name, on)| format!("{name}:{}:{}", on.condition, on.restart))
        .collect();
    let mut add = |key: &str, value: String| _ = labels.insert(key.to_owned(), value);
    add(PROJECT, project.name.clone());
    add(SERVICE, name.to_owned());
    add(VERSION, VERSION_VALUE.to_owned());
    add(WORKING_DIR, project.working_dir.display().to_string());
    add(CONFIG_FILES, files.join(","));
    add(ONE_OFF, "False".to_owned());
    add(CONFIG_HASH, crate::hash::service(service));
    add(DEPENDS_ON, dependencies.join(","));
    if !image.is_empty() {
        add(IMAGE, image.to_owned());
    }
    labels
}

/// The labels of a network or a volume: its own, and Compose's.
pub(crate) fn of_resource(
    project: &Project,
    own: &BTreeMap<String, String>,
    kind: &str,
    key: &str,
    hash: String,
) -> BTreeMap<String, String> {
    let mut labels = own.clone();
    let ours = [
        (kind, key.to_owned()),
        (PROJECT, project.name.clone()),
        (VERSION, VERSION_VALUE.to_owned()),
        (CONFIG_HASH, hash),
    ];
    labels.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    labels
}
