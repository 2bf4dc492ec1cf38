//! `compose build --print`: the builds of a project as a file of targets, as `buildx bake` takes them.

use std::collections::{BTreeMap, BTreeSet};

use corten_compose::{Project, Service, labels, model::Build};
use serde::Serialize;

use super::images::{Extra, dockerfile, limit_text};
use crate::error::{Error, Result};

#[derive(Serialize)]
struct File {
    group: BTreeMap<&'static str, Group>,
    target: BTreeMap<String, Target>,
}

#[derive(Serialize)]
struct Group {
    targets: Vec<String>,
}

/// What is built, in the order and with the names of bake's files.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Target {
    context: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    contexts: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    dockerfile: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    dockerfile_inline: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    args: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache_from: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache_to: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    target: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secret: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ssh: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    platforms: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pull: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_cache: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    network: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    shm_size: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ulimits: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    call: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entitlements: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra_hosts: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    output: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attest: Vec<String>,
}

/// The file of targets for the services of a project that are built, and which of them are built when none is named.
pub(super) fn render(project: &Project, wanted: &[String], extra: &Extra) -> Result<String> {
    let sources = |names: &[String]| {
        names
            .iter()
            .flat_map(|name| project.built_from(name))
            .collect::<Vec<_>>()
    };
    let enabled: Vec<String> = project.services.keys().cloned().collect();
    let wanted = if wanted.is_empty() {
        enabled.clone()
    } else {
        wanted.to_vec()
    };
    let service = |name: &String| project.services.get(name).or_else(|| project.disabled.get(name));
    let built = |name: &String| Some((service(name)?, service(name)?.build.as_ref()?));
    let mut target = BTreeMap::new();
    for name in enabled.iter().chain(&sources(&enabled)) {
        if let Some((service, build)) = built(name) {
            target.insert(target_name(name), of(project, name, service, build, extra));
        }
    }
    let named = wanted.iter().cloned().chain(sources(&wanted));
    let named: BTreeSet<_> = named.filter(|name| built(name).is_some()).collect();
    let targets = named.iter().map(|name| target_name(name)).collect();
    let file = File {
        group: BTreeMap::from([("default", Group { targets })]),
        target,
    };
    let text = serde_json::to_string_pretty(&file).map_err(|error| Error::new(error.to_string()))?;
    Ok(text + "\n")
}

/// Targets have no dots in their names.
fn target_name(service: &str) -> String {
    service.replace('.', "_")
}

fn of(project: &Project, name: &str, service: &Service, build: &Build, extra: &Extra) -> Target {
    let on = |flag: &str| extra.flags.iter().any(|word| *word == format!("--{flag}=true"));
    let given = |flag: &str| {
        extra
            .flags
            .iter()
            .find_map(|word| word.strip_prefix(&format!("--{flag}=")))
    };
    let contexts = build
        .contexts()
        .iter()
        .map(|(key, value)| match value.strip_prefix("service:") {
            Some(service) => (key.clone(), format!("target:{}", target_name(service))),
            None => (key.clone(), value.clone()),
        });
    let mut labels = build.labels.0.clone();
    labels.extend([
        (labels::PROJECT.to_owned(), project.name.clone()),
        (labels::SERVICE.to_owned(), name.to_owned()),
        (labels::VERSION.to_owned(), labels::VERSION_VALUE.to_owned()),
    ]);
    let mut tags = build.tags.clone();
    tags.push(project.image_of(name));
    let keys = build.ssh.0.iter().map(|key| format!("{}={}", key.id, key.path));
    let limits = build.ulimits.iter();
    let limits = limits.map(|(limit, value)| format!("{limit}={}", limit_text(value.unwrap_or_default())));
    let mut entitlements = build.entitlements.clone();
    entitlements.extend(build.privileged.then(|| "security.insecure".to_owned()));
    let is_check = on("check");
    let is_inline = !build.dockerfile_inline.is_empty();
    Target {
        context: build.context.clone(),
        contexts: contexts.collect(),
        dockerfile: if is_inline { String::new() } else { dockerfile(build) },
        dockerfile_inline: escaped(&build.dockerfile_inline),
        args: arguments(project, build, extra),
        labels,
        tags,
        cache_from: build.cache_from.clone(),
        cache_to: build.cache_to.clone(),
        target: build.target.clone(),
        secret: build
            .secrets
            .iter()
            .map(|file| secret(project, &file.source, &file.target))
            .collect(),
        ssh: keys.chain(given("ssh").map(str::to_owned)).collect(),
        platforms: match build.platforms.as_slice() {
            [] if !service.platform.is_empty() => vec![service.platform.clone()],
            platforms => platforms.to_vec(),
        },
        pull: build.pull || on("pull"),
        no_cache: build.no_cache || on("no-cache"),
        network: build.network.clone(),
        shm_size: match build.shm_size.0 {
            0 => String::new(),
            size => size.to_string(),
        },
        ulimits: limits.collect(),
        call: if is_check { "lint".to_owned() } else { String::new() },
        entitlements,
        extra_hosts: hosts(build),
        output: output(service, build, on("push"), is_check),
        attest: attestations(build),
    }
}

fn output(service: &Service, build: &Build, push: bool, is_check: bool) -> Vec<String> {
    let push = push && !service.image.is_empty();
    match (is_check, build.platforms.len() > 1, push) {
        (true, ..) => Vec::new(),
        (_, true, push) => vec![format!("type=image,push={push}")],
        (_, _, true) => vec!["type=registry".to_owned()],
        _ => vec!["type=docker".to_owned()],
    }
}

fn attestations(build: &Build) -> Vec<String> {
    let given = [("provenance", &build.provenance), ("sbom", &build.sbom)];
    let wanted = given
        .into_iter()
        .filter(|(_, value)| !matches!(value.as_str(), "" | "false"));
    let texts = wanted.map(|(kind, value)| match value.as_str() {
        "true" => format!("type={kind}"),
        value => format!("type={kind},{value}"),
    });
    texts.collect()
}

fn hosts(build: &Build) -> BTreeMap<String, String> {
    let hosts = build.extra_hosts.0.iter();
    hosts
        .map(|(host, addresses)| (host.clone(), addresses.join(",")))
        .collect()
}

/// Bake fills in variables of its own.
fn escaped(text: &str) -> String {
    text.replace("${", "$${")
}

fn arguments(project: &Project, build: &Build, extra: &Extra) -> BTreeMap<String, String> {
    let mut arguments = BTreeMap::new();
    let mut add = |key: &str, value: Option<&str>| {
        let value = value.or_else(|| project.environment.get(key).map(String::as_str));
        if let Some(value) = value {
            arguments.insert(key.to_owned(), escaped(value));
        }
    };
    for (key, value) in build.args.iter() {
        add(key, value.as_deref());
    }
    for argument in &extra.arguments {
        match argument.split_once('=') {
            Some((key, value)) => add(key, Some(value)),
            None => add(argument, None),
        }
    }
    arguments
}

fn secret(project: &Project, source: &str, target: &str) -> String {
    let id = if target.is_empty() { source } else { target };
    match project.secrets.get(source) {
        Some(secret) if secret.file.is_empty() => format!("id={id},type=env,env={}", secret.environment),
        Some(secret) => format!("id={id},type=file,src={}", secret.file),
        None => format!("id={id}"),
    }
}
