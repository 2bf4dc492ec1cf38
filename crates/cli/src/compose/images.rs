//! The images of services: looked up, fetched or built before containers are made.

use std::collections::{BTreeMap, BTreeSet};

use corten_api::{image::Inspect, time::Time};
use corten_compose::{
    Service,
    execute::Phase,
    labels,
    model::{Build, Duration, FileMount, FileObject, Ulimit},
};

use super::{builds, models, open::Open, parallel, providers, socket};
use crate::error::{Error, Result};

/// How images come to be there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// `always`, `missing`, `never` or `build`; empty leaves it to each service.
    pub(crate) pull: String,
    /// Whether what can be built is built.
    pub(crate) build: bool,
    /// Whether nothing is built.
    pub(crate) no_build: bool,
    /// Whether builds say only what fails.
    pub(crate) quiet_build: bool,
    /// Whether pulls show no progress.
    pub(crate) quiet_pull: bool,
}

/// Sees to it that every service has what it is made of: its image, and what others provide. Gives the images' ids
/// by service.
pub(crate) fn ensure(open: &mut Open<'_>, wanted: &Wanted) -> Result<BTreeMap<String, String>> {
    providers::up(open)?;
    models::ensure(open)?;
    socket::mount(open)?;
    tell_of_owners(open);
    open.cli.catch_interrupts()?;
    let open = &*open;
    let services = || open.project.services.iter();
    let image_of = |name: &String| open.project.image_of(name);
    let found = parallel::inspect_all(open, distinct(services().map(|(name, _)| image_of(name))))?;
    let (mut builds, mut fetches) = (Vec::new(), BTreeMap::new());
    for (name, service) in services() {
        let image = image_of(name);
        match decide(wanted, service, found.get(&image), &image)? {
            Step::Keep => {}
            Step::Build(definition) => builds.push((name, service, definition)),
            Step::Fetch if !found.contains_key(&image) && is_built(open, wanted, &image) => {}
            Step::Fetch => drop(fetches.insert((whole(&image), &service.platform), (name, service))),
        }
    }
    if let Some((_, error)) = parallel::fetch_all(open, fetches.values().copied().collect(), wanted.quiet_pull)?.pop() {
        return Err(error);
    }
    if open.is_dry() {
        for (name, ..) in &builds {
            open.progress.tell(name, "Building", Phase::Working);
        }
    } else {
        let extra = Extra::quiet(wanted.quiet_build);
        build_sources(open, &builds.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), &extra)?;
        let prepared = builds
            .iter()
            .map(|(name, service, build)| prepare(open, name, service, build, &extra));
        builds::build_all(open, prepared.collect::<Result<_>>()?)?;
    }
    let changed = fetches.values().map(|(name, _)| *name);
    let changed = changed.chain(builds.iter().map(|(name, ..)| *name));
    let changed: BTreeSet<_> = changed.map(|name| whole(&image_of(name))).collect();
    let images = services().map(|(name, _)| image_of(name));
    let changed = distinct(images.filter(|image| changed.contains(&whole(image))));
    let mut all = found;
    all.extend(parallel::inspect_all(open, changed)?);
    let ids = services().filter_map(|(name, _)| Some((name.clone(), all.get(&image_of(name))?.id.clone())));
    Ok(ids.collect())
}

/// An image's name with its tag, which several services may write in several ways.
pub(super) fn whole(image: &str) -> String {
    // What is wrong with it is told when it is asked for.
    crate::remote::named(image).map_or_else(|_| image.to_owned(), |reference| reference.to_string())
}

/// Whether another service's build makes an image.
fn is_built(open: &Open<'_>, wanted: &Wanted, image: &str) -> bool {
    let mut services = open.project.services.iter();
    !wanted.no_build
        && services
            .any(|(name, service)| service.build.is_some() && whole(&open.project.image_of(name)) == whole(image))
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Brings the project into the form that [`ensure`] gives it, as far as that needs nobody else.
pub(crate) fn foresee(open: &mut Open<'_>) -> Result<()> {
    providers::leave_out(open);
    socket::mount(open)
}

/// Says which owners and modes of files have no effect: a file of this machine is mounted as it is.
fn tell_of_owners(open: &Open<'_>) {
    let given = |file: &&FileMount| !file.uid.is_empty() || !file.gid.is_empty() || file.mode.is_some();
    let project = &open.project;
    let services = || project.services.values();
    let mut configs = services().flat_map(|service| &service.configs).filter(given);
    let mut secrets = services().flat_map(|service| &service.secrets).filter(given);
    let is_file = |object: Option<&FileObject>| object.is_some_and(|object| !object.file.is_empty());
    let ignored = [
        (
            "config",
            configs.any(|file| is_file(project.configs.get(&file.source).map(|o| &o.0))),
        ),
        (
            "secrets",
            secrets.any(|file| is_file(project.secrets.get(&file.source).map(|o| &o.0))),
        ),
    ];
    for (kind, _) in ignored.iter().filter(|(_, ignored)| *ignored) {
        open.progress.warn(&format!(
            "{kind} `uid`, `gid` and `mode` are not supported, they will be ignored"
        ));
    }
}

/// What is to be done about a service's image.
enum Step<'a> {
    Keep,
    Fetch,
    Build(&'a Build),
}

fn decide<'a>(wanted: &Wanted, service: &'a Service, found: Option<&Inspect>, image: &str) -> Result<Step<'a>> {
    let policy = match wanted.pull.as_str() {
        "" => service.pull_policy.as_str(),
        policy => policy,
    };
    let build = !wanted.no_build && (wanted.build || policy == "build" || found.is_none());
    if let Some(definition) = &service.build
        && build
    {
        return Ok(Step::Build(definition));
    }
    match (found, policy) {
        (Some(found), policy) if service.build.is_none() && is_stale(policy, found) => Ok(Step::Fetch),
        (Some(_), _) => Ok(Step::Keep),
        // What has no name of its own is in no registry.
        (None, policy) if policy == "never" || service.image.is_empty() => Err(Error::new(format!(
            "Error response from daemon: No such image: {image}"
        ))),
        (None, _) => Ok(Step::Fetch),
    }
}

/// Whether a policy wants an image that is here to be fetched again.
fn is_stale(policy: &str, image: &Inspect) -> bool {
    let most = match policy {
        "always" | "refresh" => return true,
        "daily" => Duration::parse("1d"),
        "weekly" => Duration::parse("1w"),
        policy => policy.strip_prefix("every_").and_then(Duration::parse),
    };
    let age = Time::now()
        .nanoseconds()
        .saturating_sub(image.metadata.last_tag_time.nanoseconds());
    most.is_some_and(|most| age > most.nanoseconds)
}

/// The id of an image that is here.
pub(crate) fn find(open: &Open<'_>, image: &str) -> Result<Option<String>> {
    let found = open.cli.wait(inspect(open, image))?;
    Ok(found.map(|image| image.id))
}

/// An image that is here.
pub(super) async fn inspect(open: &Open<'_>, image: &str) -> Result<Option<Inspect>> {
    match open.cli.client()?.inspect_image(image, "").await {
        Ok(bytes) => {
            let inspect = corten_api::decode(&bytes).map_err(|error| Error::new(error.to_string()))?;
            Ok(Some(inspect))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A build that is about to be.
pub(super) struct Prepared {
    /// Whose image it is.
    pub(super) service: String,
    /// The image's name.
    pub(super) image: String,
    /// The words for the command `build`.
    pub(super) words: Vec<String>,
    /// Services whose images it begins from.
    pub(super) needs: Vec<String>,
    /// The Dockerfile that the project itself holds, as long as it is needed.
    _inline: Option<Inline>,
}

#[cfg(test)]
impl Prepared {
    /// A build with nothing to do.
    pub(super) fn bare(service: &str, needs: &[&str]) -> Self {
        Self {
            service: service.to_owned(),
            image: format!("shop-{service}"),
            words: Vec::new(),
            needs: needs.iter().map(|&needed| needed.to_owned()).collect(),
            _inline: None,
        }
    }
}

/// What flags say of a build beyond the service's definition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extra {
    /// Values of arguments.
    pub(crate) arguments: Vec<String>,
    /// Further flags of `build`.
    pub(crate) flags: Vec<String>,
    /// Whether the image is to run here, and so is for one platform.
    pub(crate) to_run: bool,
}

impl Extra {
    fn quiet(quiet: bool) -> Self {
        Self {
            arguments: Vec::new(),
            to_run: true,
            flags: if quiet {
                vec!["--progress=none".to_owned()]
            } else {
                Vec::new()
            },
        }
    }
}

/// What the command `build` is to be told for the image of a service.
pub(super) fn prepare(
    open: &Open<'_>,
    name: &str,
    service: &Service,
    build: &Build,
    extra: &Extra,
) -> Result<Prepared> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |flag: &str, value: &str| words.extend([format!("--{flag}"), value.to_owned()]);
    add("tag", &open.project.image_of(name));
    for tag in &build.tags {
        add("tag", tag);
    }
    for (key, value) in build.args.iter() {
        match value {
            Some(value) => add("build-arg", &format!("{key}={value}")),
            None => add("build-arg", key),
        }
    }
    for argument in &extra.arguments {
        add("build-arg", argument);
    }
    for (key, value) in build.labels.iter() {
        add("label", &format!("{key}={value}"));
    }
    add("label", &format!("{}={}", labels::PROJECT, open.project.name));
    add("label", &format!("{}={name}", labels::SERVICE));
    add("label", &format!("{}={}", labels::VERSION, labels::VERSION_VALUE));
    for (key, value) in build.contexts() {
        let value = match value.strip_prefix("service:") {
            Some(service) => format!("docker-image://{}", open.project.image_of(service)),
            None => value.clone(),
        };
        add("build-context", &format!("{key}={value}"));
    }
    for host in build.extra_hosts.lines(":") {
        add("add-host", &host);
    }
    for entitlement in &build.entitlements {
        add("allow", entitlement);
    }
    if build.privileged {
        add("allow", "security.insecure");
    }
    for from in &build.cache_from {
        add("cache-from", from);
    }
    for to in &build.cache_to {
        add("cache-to", to);
    }
    for (limit, value) in &build.ulimits {
        add("ulimit", &format!("{limit}={}", limit_text(value.unwrap_or_default())));
    }
    for (flag, value) in [("provenance", &build.provenance), ("sbom", &build.sbom)] {
        let given = extra.flags.iter().any(|word| word.starts_with(&format!("--{flag}=")));
        if !value.is_empty() && !given {
            add(flag, value);
        }
    }
    for key in &build.ssh.0 {
        match key.path.as_str() {
            "" => add("ssh", &key.id),
            path => add("ssh", &format!("{}={path}", key.id)),
        }
    }
    for secret in &build.secrets {
        add("secret", &secret_flag(open, &secret.source, &secret.target)?);
    }
    if build.shm_size.0 > 0 {
        add("shm-size", &build.shm_size.0.to_string());
    }
    let platforms = match (build.platforms.as_slice(), extra.to_run) {
        ([], _) => service.platform.clone(),
        ([one], _) => one.clone(),
        // What is to run here is built for this machine, or for the one that the service asks for.
        (_, true) => service.platform.clone(),
        (several, false) => several.join(","),
    };
    for (flag, value) in [
        ("target", &build.target),
        ("network", &build.network),
        ("isolation", &build.isolation),
        ("platform", &platforms),
    ] {
        if !value.is_empty() {
            add(flag, value);
        }
    }
    words.extend(build.no_cache.then(|| "--no-cache".to_owned()));
    words.extend(build.pull.then(|| "--pull".to_owned()));
    words.extend(extra.flags.iter().cloned());
    let inline = inline_file(build)?;
    let file = match &inline {
        Some(file) => file.0.clone(),
        None => dockerfile(build),
    };
    words.extend(["--file".to_owned(), file]);
    words.push(build.context.clone());
    let contexts = build.contexts();
    let needs = contexts.values().filter_map(|value| value.strip_prefix("service:"));
    Ok(Prepared {
        service: name.to_owned(),
        image: open.project.image_of(name),
        words,
        needs: needs.map(str::to_owned).collect(),
        _inline: inline,
    })
}

/// Builds the images that services' builds take files of, as far as they are not here and not built anyway.
pub(super) fn build_sources(open: &Open<'_>, services: &[&String], extra: &Extra) -> Result<()> {
    let project = &open.project;
    let mut builds = Vec::new();
    let mut known: Vec<String> = services.iter().map(|name| (*name).clone()).collect();
    for name in services {
        for other in project.built_from(name) {
            let service = project.services.get(&other).or_else(|| project.disabled.get(&other));
            if let Some((service, build)) = service.and_then(|service| Some((service, service.build.as_ref()?)))
                && !known.contains(&other)
                && find(open, &project.image_of(&other))?.is_none()
            {
                builds.push(prepare(open, &other, service, build, extra)?);
                known.push(other);
            }
        }
    }
    builds::build_all(open, builds)
}

pub(super) fn dockerfile(build: &Build) -> String {
    let name = if build.dockerfile.is_empty() {
        "Dockerfile"
    } else {
        &build.dockerfile
    };
    if name.starts_with('/') || build.context.contains("://") || build.context.starts_with("git@") {
        return name.to_owned();
    }
    std::path::Path::new(&build.context).join(name).display().to_string()
}

/// `soft:hard`, or one number for both.
pub(super) fn limit_text(limit: Ulimit) -> String {
    match limit.single {
        0 => format!("{}:{}", limit.soft, limit.hard),
        single => single.to_string(),
    }
}

fn secret_flag(open: &Open<'_>, source: &str, target: &str) -> Result<String> {
    let secret = open.project.secrets.get(source);
    let secret = secret.ok_or_else(|| Error::new(format!("build.secrets: undefined secret {source:?}")))?;
    let id = if target.is_empty() { source } else { target };
    match (secret.file.as_str(), secret.environment.as_str()) {
        ("", "") => Err(Error::new(format!(
            "build.secrets only supports environment or file-based secrets: {source:?}"
        ))),
        ("", variable) => Ok(format!("id={id},env={variable}")),
        (file, _) => Ok(format!("id={id},src={file}")),
    }
}

/// A Dockerfile that the project itself holds, in a file that goes with this value.
struct Inline(String);

impl Drop for Inline {
    fn drop(&mut self) {
        // It lies in the folder for such files, which is emptied anyway.
        let _ = corten_sys::fs::remove_file(&self.0);
    }
}

fn inline_file(build: &Build) -> Result<Option<Inline>> {
    if build.dockerfile_inline.is_empty() {
        return Ok(None);
    }
    let mut random = [0_u8; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Error::new(format!("cannot make a name: {error}")))?;
    let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = std::env::temp_dir().join(format!("corten-dockerfile-{name}"));
    let file = Inline(path.display().to_string());
    corten_sys::fs::write(&path, &build.dockerfile_inline)
        .map_err(|error| Error::new(crate::error::file_error("open", &file.0, &error)))?;
    Ok(Some(file))
}
