//! What the flags of `build` ask for.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use corten_api::{
    build::{Extended, Output},
    container::Ulimit,
    image::AuthConfig,
};
use corten_client::{Body, BuildOptions};
use corten_dockerfile::Dockerfile;
use corten_oci::reference::Reference;

use super::{
    agents::Agents,
    caches::Caches,
    context::{Source, Way, is_address, with_preface},
    outputs::{self, Destination},
};
use crate::{
    cli::Cli,
    credentials,
    error::{Error, Result},
    flags::Matches,
    opts::address,
};

/// The most bytes of a secret, as BuildKit's client has it.
const MOST_SECRET: usize = 500 * 1024;

/// A build's options, checked.
#[derive(Debug)]
pub(super) struct Order {
    options: BuildOptions,
    extended: Extended,
    contexts: Vec<(String, Named)>,
    /// Where outputs go, by their numbers.
    pub(super) destinations: Vec<Destination>,
    /// Agents that were started for the build; they end with it.
    _agents: Agents,
}

/// What stands for a name.
#[derive(Debug, Clone)]
pub(super) enum Named {
    /// A folder.
    Folder(PathBuf),
    /// An image.
    Image(String),
    /// An address that the engine fetches.
    Remote(String),
}

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
        let hosts: std::result::Result<Vec<String>, String> =
            m.all("add-host").into_iter().map(address::parse_host).collect();
        let hosts = hosts.map_err(Error::new)?;
        let network = match m.get("network") {
            "default" => "",
            network => network,
        };
        let (asked, mut destinations) = outputs::read(m)?;
        let caches = Caches::read(m, &mut destinations)?;
        let mut contexts = named_contexts(m)?;
        contexts.named.extend(caches.folders);
        let (sockets, agents) = Agents::read(cli, m)?;
        let is_plain = asked.is_empty() || asked == [Output::Image(BTreeMap::new())];
        let extended = Extended {
            secrets: secrets(cli, m)?,
            agents: sockets,
            allow: allow(m)?,
            no_cache_filter: split(&owned("no-cache-filter")),
            outputs: if is_plain { Vec::new() } else { asked },
            attest: attest(m)?,
            layouts: contexts.layouts,
            cache_from: caches.from,
            cache_to: caches.to,
            explain: m.on("explain"),
            squash: m.on("squash"),
            ..Extended::default()
        };
        Ok(Self {
            extended,
            contexts: contexts.named,
            destinations,
            _agents: agents,
            options: BuildOptions {
                tags: split(&owned("tag")),
                target: m.get("target").to_owned(),
                context_name: context_name(m.arg(0)),
                arguments: with_epoch(cli, arguments.collect()),
                labels: labels.collect(),
                platform: cli.platform(m),
                quiet: m.on("quiet") || matches!(m.get("progress"), "quiet" | "none"),
                no_cache: m.on("no-cache"),
                pull: m.on("pull"),
                remove: m.on("rm") || m.on("force-rm"),
                cache_from: caches.images,
                network: network.to_owned(),
                extra_hosts: hosts,
                security: owned("security-opt"),
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
            },
        })
    }

    /// Whether more is asked than the classic builder can do.
    pub(super) fn is_extended(&self) -> bool {
        self.extended != Extended::default() || !self.contexts.is_empty()
    }

    /// Takes nothing from the cache.
    pub(super) fn fresh(&mut self) {
        self.options.no_cache = true;
    }

    /// Sets an argument that was not given.
    pub(super) fn argument(&mut self, name: &str, value: &str) {
        let arguments = &mut self.options.arguments;
        arguments
            .entry(name.to_owned())
            .or_insert_with(|| Some(value.to_owned()));
    }

    /// The options with what the context adds, and the context's bytes.
    pub(super) fn options(&self, cli: &Cli, source: &mut Source, way: Way) -> Result<(BuildOptions, Body)> {
        let mut options = self.options.clone();
        let mut extended = self.extended.clone();
        let named = self.extended.outputs.iter().filter_map(|output| match output {
            Output::Image(options) => options.get("name"),
            _ => None,
        });
        let caches = self.extended.cache_to.iter().filter_map(|options| options.get("ref"));
        let named = named.chain(caches).chain(&self.options.cache_from);
        let named: Vec<String> = named.flat_map(|names| names.split(',').map(str::to_owned)).collect();
        options.registries = registries(cli, source, &[options.tags.as_slice(), named.as_slice()].concat());
        let sending = source.send(way, &self.contexts, &mut extended)?;
        (options.dockerfile, options.remote) = (sending.dockerfile, sending.remote);
        if extended == Extended::default() {
            return Ok((options, sending.body));
        }
        let preface = serde_json::to_vec(&extended).map_err(|error| Error::new(error.to_string()))?;
        options.preface = preface.len();
        Ok((options, with_preface(preface, sending.body)))
    }
}

/// What the history calls a context: a folder by its whole path, and an address without what proves who asks.
fn context_name(context: &str) -> String {
    if !is_address(context) {
        let folder = corten_sys::fs::canonicalize(context);
        return folder.map_or_else(|_| context.to_owned(), |path| path.display().to_string());
    }
    match (context.split_once("://"), context.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => context.to_owned(),
    }
}

/// `SOURCE_DATE_EPOCH` of the environment counts as an argument.
fn with_epoch(cli: &Cli, mut arguments: BTreeMap<String, Option<String>>) -> BTreeMap<String, Option<String>> {
    const EPOCH: &str = "SOURCE_DATE_EPOCH";
    if let Some(epoch) = cli.variable(EPOCH).filter(|epoch| !epoch.is_empty()) {
        arguments.entry(EPOCH.to_owned()).or_insert(Some(epoch));
    }
    arguments
}

fn split(texts: &[String]) -> Vec<String> {
    let words = texts.iter().flat_map(|text| text.split(','));
    words
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// `--attest type=kind,…`, and its short forms.
fn attest(m: &Matches) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for text in m.all("attest") {
        let fields = outputs::fields(text)?;
        let kind = fields.get("type").filter(|kind| !kind.is_empty());
        let kind = kind.ok_or_else(|| Error::new("attestation type not specified"))?;
        let rest = text.split(',').filter(|field| !field.trim().starts_with("type="));
        if found.insert(kind.clone(), rest.collect::<Vec<_>>().join(",")).is_some() {
            return Err(Error::new(format!("duplicate attestation field {kind}")));
        }
    }
    for kind in ["provenance", "sbom"] {
        if let Some(text) = m.opt(kind) {
            found.insert(kind.to_owned(), text.to_owned());
        }
    }
    // What is not wanted is not asked for.
    found.retain(|_, text| !matches!(text.as_str(), "false" | "0" | "disabled=true"));
    for text in found.values_mut().filter(|text| matches!(text.as_str(), "true" | "1")) {
        text.clear();
    }
    Ok(found)
}

fn allow(m: &Matches) -> Result<Vec<String>> {
    let names = split(&m.all("allow").into_iter().map(str::to_owned).collect::<Vec<_>>());
    for name in &names {
        let is_device = name.starts_with("device=");
        if !is_device && !matches!(name.as_str(), "network.host" | "security.insecure" | "device") {
            return Err(Error::new(format!(
                "invalid entitlement {name:?}: known are network.host, security.insecure and device"
            )));
        }
    }
    Ok(names)
}

/// `--build-context`.
#[derive(Debug, Default)]
struct Contexts {
    named: Vec<(String, Named)>,
    /// Those that are OCI layouts, with what is meant of them.
    layouts: BTreeMap<String, String>,
}

/// `path[:tag][@digest]` of `oci-layout://`: the folder, and the digest or else the tag.
fn layout(text: &str) -> (PathBuf, String) {
    let (place, digest) = text.split_once('@').unwrap_or((text, ""));
    let (folder, tag) = match place.rsplit_once(':') {
        Some((folder, tag)) if !tag.contains('/') => (folder, tag),
        _ => (place, ""),
    };
    let which = if digest.is_empty() { tag } else { digest };
    (PathBuf::from(folder), which.to_owned())
}

/// `--build-context name=value`.
fn named_contexts(m: &Matches) -> Result<Contexts> {
    let mut found = Contexts::default();
    let mut read = |text: &str| -> Result<(String, Named)> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Error::new(format!("invalid context value: {text}, expected key=value")))?;
        let named = match value.strip_prefix("docker-image://") {
            Some(image) => Named::Image(image.to_owned()),
            None if value.starts_with("oci-layout:") => {
                let (folder, which) = layout(value.trim_start_matches("oci-layout:").trim_start_matches("//"));
                if !folder.join("oci-layout").is_file() {
                    return Err(Error::new(format!(
                        "failed to get build context {name}: {} is no OCI layout",
                        folder.display()
                    )));
                }
                found.layouts.insert(name.to_owned(), which);
                Named::Folder(folder)
            }
            None if value.starts_with("target:") => {
                return Err(Error::new(format!(
                    "--build-context {name}={value} is not supported yet"
                )));
            }
            None if is_address(value) => Named::Remote(value.to_owned()),
            None if Path::new(value).is_dir() => Named::Folder(PathBuf::from(value)),
            None => {
                return Err(Error::new(format!(
                    "failed to get build context {name}: stat {value}: no such file or directory"
                )));
            }
        };
        Ok((name.to_owned(), named))
    };
    let named: Result<Vec<_>> = m.all("build-context").into_iter().map(&mut read).collect();
    found.named = named?;
    Ok(found)
}

/// `--secret id=name[,src=path|,env=VARIABLE]`, in base64.
fn secrets(cli: &Cli, m: &Matches) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for text in m.all("secret") {
        let (id, bytes) = secret(cli, text)?;
        if bytes.len() > MOST_SECRET {
            return Err(Error::new(format!("secret {id} too big. max size 500KB")));
        }
        found.insert(id, STANDARD.encode(bytes));
    }
    Ok(found)
}

fn secret(cli: &Cli, text: &str) -> Result<(String, Vec<u8>)> {
    let mut fields = outputs::fields(text)?;
    for key in fields.keys() {
        if !matches!(key.as_str(), "type" | "id" | "source" | "src" | "env") {
            return Err(Error::new(format!(
                "failed to parse secret {text}: unexpected key '{key}' in '{text}'"
            )));
        }
    }
    let id = fields.remove("id").filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Error::new("secret missing ID"))?;
    let mut file = fields.remove("src").or_else(|| fields.remove("source"));
    let mut variable = fields.remove("env");
    match fields.get("type").map(String::as_str) {
        None | Some("file") => {}
        Some("env") => variable = variable.or_else(|| file.take()).or_else(|| Some(id.clone())),
        Some(other) => {
            return Err(Error::new(format!(
                "failed to parse secret {text}: unsupported secret type {other:?}"
            )));
        }
    }
    if file.is_none() && variable.is_none() {
        // Of that name: a variable, else a file.
        match cli.variable(&id) {
            Some(_) => variable = Some(id.clone()),
            None => file = Some(id.clone()),
        }
    }
    if let Some(name) = variable {
        return Ok((id, cli.variable(&name).unwrap_or_default().into_bytes()));
    }
    let path = file.unwrap_or_default();
    let bytes = corten_sys::fs::read(&path)
        .map_err(|error| Error::new(format!("failed to stat {path}: {}", corten_sys::fs::reason(&error))))?;
    Ok((id, bytes))
}

/// Credentials for the registries that base images come from, and the image goes to.
fn registries(cli: &Cli, source: &Source, tags: &[String]) -> BTreeMap<String, AuthConfig> {
    let text = source.dockerfile().unwrap_or_default();
    let file = Dockerfile::parse(text.as_bytes());
    let stages = file.as_ref().map_or(&[][..], |file| &file.stages);
    let images = stages.iter().map(|stage| stage.from.image.as_str());
    let images = images.chain(tags.iter().map(String::as_str));
    let domains = images.filter_map(|image| Some(image.parse::<Reference>().ok()?.domain().to_owned()));
    let known = domains.filter_map(|domain| {
        // Whoever has no credentials pulls without.
        let auth = credentials::find(cli.config(), &domain).ok()??;
        Some((domain, auth))
    });
    known.collect()
}
