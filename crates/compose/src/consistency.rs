//! Whether what a project refers to exists, and whether its attributes agree.

use std::collections::BTreeMap;

use crate::{
    error::{Error, Result},
    model::{Project, Service},
    nearest::nearest,
    source::Position,
};

/// How many services may wait for one another in a row.
const MAX_CHAIN: usize = 1000;

/// Checks a project.
pub(crate) fn check(project: &mut Project) -> Result<()> {
    let names: Vec<String> = project.services.keys().cloned().collect();
    for name in &names {
        let checks = Checks { project, name };
        let service = &project.services[name];
        checks.source(service)?;
        checks.references(service)?;
        checks.scale(service)?;
        checks.limits(service)?;
        checks.develop(service)?;
        checks.mounts(service)?;
    }
    for service in project.services.values_mut() {
        if let (Some(scale), Some(deploy)) = (service.scale, &mut service.deploy) {
            deploy.replicas = Some(scale);
        }
    }
    for (name, secret) in &project.secrets {
        if !secret.external && secret.file.is_empty() && secret.environment.is_empty() {
            let message =
                format!("secret {name:?} must declare either `file` or `environment`: invalid compose project");
            return Err(Error::invalid(message).at(place(project, &["secrets", name])));
        }
    }
    cycles(project)
}

/// No two services may have containers of the same name.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid): two have.
pub fn check_container_names(project: &Project) -> Result<()> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, service) in &project.services {
        if service.container_name.is_empty() {
            continue;
        }
        if let Some(other) = names.insert(&service.container_name, name) {
            let container = &service.container_name;
            let message =
                format!("services.{name}: container name {container:?} is already in use by service {other}\"");
            let at = place(project, &["services", name, "container_name"]);
            return Err(Error::invalid(message).at(at).locate(&project.sources));
        }
    }
    Ok(())
}

/// Where something is written, or what it belongs to.
fn place(project: &Project, path: &[&str]) -> Position {
    let found = (1..=path.len())
        .rev()
        .filter_map(|length| project.tree.find(&path[..length]));
    let mut positions = found.map(|node| if node.key.is_known() { node.key } else { node.at });
    positions.find(|at| at.is_known()).unwrap_or_default()
}

struct Checks<'a> {
    project: &'a Project,
    name: &'a str,
}

impl Checks<'_> {
    fn wrong(&self, path: &[&str], message: String) -> Error {
        let mut full = vec!["services", self.name];
        full.extend(path);
        Error::invalid(format!("{message}: invalid compose project")).at(place(self.project, &full))
    }

    /// A service is something: an image, a build, or somebody else's.
    fn source(&self, service: &Service) -> Result<()> {
        let name = self.name;
        let Some(build) = &service.build else {
            if service.image.is_empty() && service.provider.is_none() {
                let message = format!("service {name:?} has neither an image nor a build context specified");
                return Err(self.wrong(&[], message));
            }
            return Ok(());
        };
        if !build.dockerfile_inline.is_empty() && !build.dockerfile.is_empty() {
            let message = format!("service {name:?} declares mutualy exclusive dockerfile and dockerfile_inline");
            return Err(self.wrong(&["build", "dockerfile"], message));
        }
        for (context, value) in build.additional_contexts.iter() {
            let Some(target) = value.strip_prefix("service:") else {
                continue;
            };
            let fault = match self.project.services.get(target) {
                None => "unknown",
                Some(target) if target.build.is_none() => "non-buildable",
                Some(_) => continue,
            };
            let message =
                format!("service {name:?} declares {fault} service {target:?} as additional contexts {context}");
            return Err(self.wrong(&["build", "additional_contexts", context], message));
        }
        if !build.platforms.is_empty() && !service.platform.is_empty() && !build.platforms.contains(&service.platform) {
            let platform = &service.platform;
            let message = format!("service.build.platforms MUST include service.platform {platform:?}");
            return Err(self.wrong(&["build", "platforms"], message));
        }
        Ok(())
    }

    /// Networks, services, volumes, configs, models and secrets exist.
    fn references(&self, service: &Service) -> Result<()> {
        let name = self.name;
        if !service.network_mode.is_empty() && !service.networks.is_empty() {
            let message = format!("service {name} declares mutually exclusive `network_mode` and `networks`");
            return Err(self.wrong(&["network_mode"], message));
        }
        for network in service.networks.keys() {
            self.known(&self.project.networks, network, "network", &["networks", network])?;
        }
        if let Some(first) = service.healthcheck.as_ref().and_then(|check| check.test.0.first())
            && !matches!(first.as_str(), "CMD" | "CMD-SHELL" | "NONE")
        {
            let message = r#"healthcheck.test must start either by "CMD", "CMD-SHELL" or "NONE""#;
            let at = place(self.project, &["services", name, "healthcheck", "test"]);
            return Err(Error::invalid(message).at(at));
        }
        self.dependencies(service)?;
        let named = service
            .volumes
            .iter()
            .enumerate()
            .filter(|(_, mount)| mount.kind == "volume");
        for (index, mount) in named.filter(|(_, mount)| !mount.source.is_empty()) {
            let index = index.to_string();
            self.known(&self.project.volumes, &mount.source, "volume", &["volumes", &index])?;
        }
        for (index, secret) in service.build.iter().flat_map(|build| &build.secrets).enumerate() {
            let index = index.to_string();
            self.known(
                &self.project.secrets,
                &secret.source,
                "build secret",
                &["build", "secrets", &index],
            )?;
        }
        for (index, config) in service.configs.iter().enumerate() {
            let index = index.to_string();
            self.known(&self.project.configs, &config.source, "config", &["configs", &index])?;
        }
        for model in service.models.keys() {
            self.known(&self.project.models, model, "model", &["models", model])?;
        }
        for (index, secret) in service.secrets.iter().enumerate() {
            let index = index.to_string();
            self.known(&self.project.secrets, &secret.source, "secret", &["secrets", &index])?;
        }
        Ok(())
    }

    fn known<T>(&self, all: &BTreeMap<String, T>, wanted: &str, kind: &str, path: &[&str]) -> Result<()> {
        if all.contains_key(wanted) {
            return Ok(());
        }
        let name = self.name;
        let error = self.wrong(path, format!("service {name:?} refers to undefined {kind} {wanted}"));
        Err(match nearest(wanted, all.keys()) {
            Some(near) => error.hint(format!("did you mean {near:?}?")),
            None => error,
        })
    }

    fn dependencies(&self, service: &Service) -> Result<()> {
        let name = self.name;
        for (other, dependency) in &service.depends_on {
            let disabled = self.project.disabled.contains_key(other);
            if self.project.services.contains_key(other) || (disabled && !dependency.required) {
                continue;
            }
            let message = format!("service {name:?} depends on undefined service {other:?}");
            let error = self.wrong(&["depends_on", other], message);
            return Err(match nearest(other, self.project.services.keys()) {
                _ if disabled => error.hint(format!("{other:?} is in a profile that is not enabled")),
                Some(near) => error.hint(format!("did you mean {near:?}?")),
                None => error,
            });
        }
        match service.network_mode.strip_prefix("service:") {
            Some(other) if !self.project.services.contains_key(other) => {
                let message = format!("service {other:?} not found for network_mode 'service:{other}'");
                let at = place(self.project, &["services", name, "network_mode"]);
                Err(Error::invalid(message).at(at))
            }
            _ => Ok(()),
        }
    }

    fn scale(&self, service: &Service) -> Result<()> {
        let name = self.name;
        let deployed = service.deploy.as_ref().and_then(|deploy| deploy.replicas);
        if let (Some(scale), Some(replicas)) = (service.scale, deployed)
            && scale != replicas
        {
            let message = format!("services.{name}: can't set distinct values on 'scale' and 'deploy.replicas'");
            return Err(self.wrong(&["scale"], message));
        }
        let negative = |attribute: &str, path: &[&str]| {
            let mut full = vec!["services", name];
            full.extend(path);
            let message = format!("services.{name}.{attribute}: must be greater than or equal to 0");
            Err(Error::invalid(message).at(place(self.project, &full)))
        };
        if service.scale.is_some_and(|scale| scale < 0) {
            return negative("scale", &["scale"]);
        }
        if deployed.is_some_and(|replicas| replicas < 0) {
            return negative("deploy.replicas", &["deploy", "replicas"]);
        }
        if service.replicas() > 1 && !service.container_name.is_empty() {
            let attribute = if service.scale.is_none() {
                "deploy.replicas"
            } else {
                "scale"
            };
            let message =
                format!("services.{attribute}: can't set container_name and {name} as container name must be unique");
            return Err(self.wrong(&["container_name"], message));
        }
        Ok(())
    }

    /// Old and new ways of setting a limit agree.
    fn limits(&self, service: &Service) -> Result<()> {
        let Some(deploy) = &service.deploy else { return Ok(()) };
        let limits = deploy.resources.limits.as_ref();
        let reserved = deploy.resources.reservations.as_ref();
        #[expect(clippy::float_cmp, reason = "the same text gives the same number")]
        let pairs = [
            (
                "cpus",
                "limits.cpus",
                service.cpus != 0.0 && limits.is_some_and(|limits| limits.cpus.0 != service.cpus),
            ),
            (
                "mem_limit",
                "limits.memory",
                service.mem_limit.0 != 0 && limits.is_some_and(|limits| limits.memory != service.mem_limit),
            ),
            (
                "mem_reservation",
                "reservations.memory",
                service.mem_reservation.0 != 0
                    && reserved.is_some_and(|reserved| reserved.memory != service.mem_reservation),
            ),
            (
                "pids_limit",
                "limits.pids",
                service.pids_limit != 0 && limits.is_some_and(|limits| limits.pids != service.pids_limit),
            ),
        ];
        match pairs.into_iter().find(|(_, _, differ)| *differ) {
            Some((old, new, _)) => {
                let name = self.name;
                let message =
                    format!("services.{name}: can't set distinct values on '{old}' and 'deploy.resources.{new}'");
                Err(self.wrong(&[old], message))
            }
            None => Ok(()),
        }
    }

    fn develop(&self, service: &Service) -> Result<()> {
        let triggers = service.develop.iter().flat_map(|develop| &develop.watch).enumerate();
        for (index, trigger) in triggers {
            if trigger.target.is_empty() && !matches!(trigger.action.as_str(), "rebuild" | "restart") {
                let name = self.name;
                let message = format!("services.{name}.develop.watch: target is required for non-rebuild actions");
                return Err(self.wrong(&["develop", "watch", &index.to_string()], message));
            }
        }
        Ok(())
    }

    /// Nothing is mounted twice at the same place.
    fn mounts(&self, service: &Service) -> Result<()> {
        let name = self.name;
        let folders = service
            .tmpfs
            .iter()
            .map(|line| line.split(':').next().unwrap_or_default());
        let folders = folders.enumerate().map(|(index, path)| ("tmpfs", index, path));
        let mounts = service.volumes.iter().map(|mount| mount.target.as_str());
        let mounts = mounts.enumerate().map(|(index, path)| ("volumes", index, path));
        let mut taken: BTreeMap<&str, String> = BTreeMap::new();
        for (list, index, path) in folders.chain(mounts) {
            let here = format!("services.{name}.{list}[{index}]");
            if let Some(other) = taken.get(path) {
                let message = format!("{here}: target {path} already mounted as {other}");
                let index = index.to_string();
                let at = place(self.project, &["services", name, list, &index]);
                return Err(Error::invalid(message).at(at));
            }
            taken.insert(path, here);
        }
        Ok(())
    }
}

/// Services do not wait for each other in a circle.
fn cycles(project: &Project) -> Result<()> {
    let mut done = std::collections::BTreeSet::new();
    for name in project.services.keys() {
        follow(project, name, &mut Vec::new(), &mut done)?;
    }
    Ok(())
}

fn follow<'a>(
    project: &'a Project,
    name: &'a str,
    path: &mut Vec<&'a str>,
    done: &mut std::collections::BTreeSet<&'a str>,
) -> Result<()> {
    if let Some(start) = path.iter().position(|step| *step == name) {
        let last = path[path.len() - 1];
        let message = format!("dependency cycle detected: {} -> {name}", path[start..].join(" -> "));
        return Err(Error::invalid(message).at(place(project, &["services", last, "depends_on", name])));
    }
    if done.contains(name) {
        return Ok(());
    }
    if path.len() >= MAX_CHAIN {
        let message = format!("more than {MAX_CHAIN} services wait for one another in a row");
        return Err(Error::invalid(message).at(place(project, &["services", name])));
    }
    path.push(name);
    for other in project
        .services
        .get(name)
        .into_iter()
        .flat_map(|service| service.depends_on.keys())
    {
        follow(project, other, path, done)?;
    }
    path.pop();
    done.insert(name);
    Ok(())
}
