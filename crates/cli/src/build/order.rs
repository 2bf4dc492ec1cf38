//! What the flags of `build` ask for.

use std::collections::BTreeMap;

use corten_api::{container::Ulimit, image::AuthConfig};
use corten_client::{Body, BuildOptions};
use corten_dockerfile::Dockerfile;
use corten_oci::reference::Reference;

use super::context::Source;
use crate::{
    cli::Cli,
    credentials,
    error::{Error, Result},
    flags::Matches,
};

/// A build's options, checked.
#[derive(Debug)]
pub(super) struct Order(BuildOptions);

impl Order {
    pub(super) fn read(cli: &Cli, m: &Matches) -> Result<Self> {
        let owned = |name: &str| m.all(name).into_iter().map(str::to_owned).collect::<Vec<_>>();
        for tag in m.all("tag") {
            if tag.parse::<Reference>().is_err() {
                return Err(Error::new(format!("invalid tag {tag:?}: invalid reference format")));
            }
        }
        let arguments = m.all("build-arg").into_iter().map(|text| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), cli.variable(text)),
        });
        let labels = m.all("label").into_iter().map(|text| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (name.to_owned(), value.to_owned())
        });
        let ulimits: std::result::Result<Vec<Ulimit>, String> =
            m.all("ulimit").into_iter().map(Ulimit::parse).collect();
        let network = match m.get("network") {
            "default" => "",
            network => network,
        };
        Ok(Self(BuildOptions {
            tags: owned("tag"),
            target: m.get("target").to_owned(),
            arguments: arguments.collect(),
            labels: labels.collect(),
            platform: cli.platform(m),
            quiet: m.on("quiet") || m.get("progress") == "quiet",
            no_cache: m.on("no-cache"),
            pull: m.on("pull"),
            remove: m.on("rm") || m.on("force-rm"),
            cache_from: owned("cache-from"),
            network: network.to_owned(),
            extra_hosts: m.strings("add-host"),
            shm_size: m.bytes("shm-size"),
            memory: m.bytes("memory"),
            memory_swap: m.bytes("memory-swap"),
            cpu_period: m.int("cpu-period"),
            cpu_quota: m.int("cpu-quota"),
            cpu_shares: m.int("cpu-shares"),
            cpuset_cpus: m.get("cpuset-cpus").to_owned(),
            cpuset_mems: m.get("cpuset-mems").to_owned(),
            cgroup_parent: m.get("cgroup-parent").to_owned(),
            ulimits: ulimits?,
            ..BuildOptions::default()
        }))
    }

    /// The options with what the context adds, and the context's bytes.
    pub(super) fn options(&self, cli: &Cli, source: Source) -> Result<(BuildOptions, Body)> {
        let mut options = self.0.clone();
        options.registries = registries(cli, &source);
        let (dockerfile, remote, body) = source.into_body()?;
        (options.dockerfile, options.remote) = (dockerfile, remote);
        Ok((options, body))
    }
}

/// Credentials for the registries that base images come from.
fn registries(cli: &Cli, source: &Source) -> BTreeMap<String, AuthConfig> {
    let text = source.dockerfile().unwrap_or_default();
    let Ok(file) = Dockerfile::parse(text.as_bytes()) else {
        return BTreeMap::new();
    };
    let images = file.stages.iter().map(|stage| stage.from.image.as_str());
    let domains = images.filter_map(|image| Some(image.parse::<Reference>().ok()?.domain().to_owned()));
    let known = domains.filter_map(|domain| {
        // Whoever has no credentials pulls without.
        let auth = credentials::find(cli.config(), &domain).ok()??;
        Some((domain, auth))
    });
    known.collect()
}
