//! A project: its services and what they share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{ConfigObject, Extensions, Mapping, Model, Network, Render, Secret, Service, Volume, decode};
use crate::{
    Node, Place,
    error::{Error, Result},
    output::{Format, Output},
    source::Files,
};

/// Services by name.
pub type Services = BTreeMap<String, Service>;

/// A project in its normalised form.
#[derive(Debug, Clone, Default)]
pub struct Project {
    /// Its name: what containers, networks and volumes are called after.
    pub name: String,
    /// The folder that relative paths begin at.
    pub working_dir: PathBuf,
    /// The files that it was read from, without those that they include.
    pub files: Vec<PathBuf>,
    /// What standard input had, when it was one of them: it can be read once.
    pub input: Option<String>,
    /// The variables that its files could use: the environment and those of `.env`.
    pub environment: Mapping,
    /// The profiles that are enabled.
    pub profiles: Vec<String>,
    /// Whether names are as the first Compose made them: with `_` between their parts.
    pub has_old_names: bool,
    /// The services that are enabled.
    pub services: Services,
    /// The services that no enabled profile has, or that were not asked for.
    pub disabled: Services,
    /// Networks by their key.
    pub networks: BTreeMap<String, Network>,
    /// Volumes by their key.
    pub volumes: BTreeMap<String, Volume>,
    /// Secrets by their key.
    pub secrets: BTreeMap<String, Secret>,
    /// Configs by their key.
    pub configs: BTreeMap<String, ConfigObject>,
    /// Language models by their key.
    pub models: BTreeMap<String, Model>,
    /// Attributes that begin with `x-`.
    pub extensions: Extensions,
    /// The tree that all this was read from, with the places of its nodes.
    pub(crate) tree: Node,
    pub(crate) sources: Files,
}

impl Project {
    /// Reads a normalised tree.
    pub(crate) fn decode(tree: Node, sources: Files) -> Result<Self> {
        let mut project = Self::default();
        for (key, node) in decode::mapping(&tree)? {
            match key.as_str() {
                "name" => project.name = decode::field(node)?,
                "services" => project.services = decode::field(node)?,
                "networks" => project.networks = decode::field(node)?,
                "volumes" => project.volumes = decode::field(node)?,
                "secrets" => project.secrets = decode::field(node)?,
                "configs" => project.configs = decode::field(node)?,
                "models" => project.models = decode::field(node)?,
                key if key.starts_with("x-") => {
                    project.extensions.insert(key.to_owned(), node.clone());
                }
                _ => {}
            }
        }
        project.tree = tree;
        project.sources = sources;
        Ok(project)
    }

    /// Where an attribute is written: `["services", "web", "image"]`. What a default filled in has the place of
    /// what it belongs to.
    pub fn place(&self, path: &[&str]) -> Option<Place> {
        (1..=path.len()).rev().find_map(|length| {
            let node = self.tree.find(&path[..length])?;
            self.sources.place(if node.key.is_known() { node.key } else { node.at })
        })
    }

    /// Whether an attribute is written, or filled in.
    pub(crate) fn has_place(&self, path: &[&str]) -> bool {
        self.tree.find(path).is_some()
    }

    /// Whether an attribute is in the files: `["services", "web", "env_file"]`.
    pub fn is_written(&self, path: &[&str]) -> bool {
        self.tree.find(path).is_some_and(|node| !node.is_null())
    }

    /// A service that is enabled.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound): there is none of that name, or it is disabled.
    pub fn service(&self, name: &str) -> Result<&Service> {
        self.services.get(name).ok_or_else(|| {
            let disabled = self.disabled.contains_key(name);
            let why = if disabled { ": disabled" } else { ": not found" };
            let error = Error::not_found(format!("no such service: {name}{why}"));
            match crate::nearest::nearest(name, self.services.keys()) {
                Some(near) if !disabled => error.hint(format!("did you mean {near:?}?")),
                _ => error,
            }
        })
    }

    /// Enables exactly the services that these profiles have, and those that have none.
    pub(crate) fn select_profiles(&mut self, profiles: &[String]) {
        let mut all = std::mem::take(&mut self.services);
        all.append(&mut self.disabled);
        (self.services, self.disabled) = all
            .into_iter()
            .partition(|(_, service)| service.is_enabled_by(profiles));
        self.profiles = profiles.to_vec();
    }

    /// Enables services by name, with all others of their profiles.
    pub fn enable(&mut self, names: &[String]) {
        let mut profiles = self.profiles.clone();
        let disabled = names.iter().filter_map(|name| self.disabled.get(name));
        profiles.extend(disabled.flat_map(|service| service.profiles.iter().cloned()));
        if !names.is_empty() {
            self.select_profiles(&profiles);
        }
    }

    /// Keeps only these services and what they depend on; all when none is named.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound): one of them is not there.
    pub fn select(&mut self, names: &[String]) -> Result<()> {
        self.keep(names, true)
    }

    /// Keeps only these services, without what they depend on; all when none is named.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound): one of them is not there.
    pub fn select_alone(&mut self, names: &[String]) -> Result<()> {
        self.keep(names, false)
    }

    fn keep(&mut self, names: &[String], dependencies: bool) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut wanted = BTreeSet::new();
        let mut left: Vec<(String, bool)> = names.iter().map(|name| (name.clone(), true)).collect();
        while let Some((name, required)) = left.pop() {
            let Some(service) = self.services.get(&name) else {
                if required {
                    return Err(Error::not_found(format!("no such service: {name}")));
                }
                continue;
            };
            if wanted.insert(name) && dependencies {
                let more = service.depends_on.iter();
                left.extend(more.map(|(name, dependency)| (name.clone(), dependency.required)));
            }
        }
        let all = std::mem::take(&mut self.services);
        let (kept, dropped): (Services, Services) = all.into_iter().partition(|(name, _)| wanted.contains(name));
        self.services = kept;
        self.disabled.extend(dropped);
        for service in self.services.values_mut() {
            service.depends_on.retain(|name, _| wanted.contains(name));
        }
        Ok(())
    }

    /// Fills in services' variables: those without a value, and those of `env_file`.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) and [`Kind::Invalid`](crate::Kind::Invalid) for such a file.
    pub fn resolve_environment(&mut self, warnings: &mut crate::Warnings) -> Result<()> {
        crate::variables::resolve_environment(self, warnings)
    }

    /// Drops resources that no enabled service uses.
    pub fn drop_unused_resources(&mut self) {
        let services = || self.services.values();
        let names = |list: Vec<&String>| list.into_iter().cloned().collect::<BTreeSet<_>>();
        let networks = names(services().flat_map(|s| s.networks.keys()).collect());
        let models = names(services().flat_map(|s| s.models.keys()).collect());
        let mounts = services()
            .flat_map(|s| &s.volumes)
            .filter(|mount| mount.kind == "volume");
        let volumes = names(mounts.map(|mount| &mount.source).collect());
        let configs = names(services().flat_map(|s| &s.configs).map(|mount| &mount.source).collect());
        let built = services()
            .filter_map(|s| s.build.as_ref())
            .flat_map(|build| &build.secrets);
        let secrets = services().flat_map(|s| &s.secrets).chain(built);
        let secrets = names(secrets.map(|mount| &mount.source).collect());
        self.networks.retain(|name, _| networks.contains(name));
        self.volumes.retain(|name, _| volumes.contains(name));
        self.secrets.retain(|name, _| secrets.contains(name));
        self.configs.retain(|name, _| configs.contains(name));
        self.models.retain(|name, _| models.contains(name));
    }

    /// The services whose images a service's build takes files of, each after those that it takes files of itself.
    pub fn built_from(&self, name: &str) -> Vec<String> {
        let mut order = Vec::new();
        self.built_before(name, &mut Vec::new(), &mut order);
        order
    }

    fn built_before(&self, name: &str, path: &mut Vec<String>, order: &mut Vec<String>) {
        let service = self.services.get(name).or_else(|| self.disabled.get(name));
        let contexts = service
            .and_then(|service| service.build.as_ref())
            .map(|build| build.contexts());
        path.push(name.to_owned());
        let others = contexts.into_iter().flat_map(|contexts| contexts.values());
        for other in others.filter_map(|context| context.strip_prefix("service:")) {
            if !order.iter().chain(path.iter()).any(|known| known == other) {
                self.built_before(other, path, order);
                order.push(other.to_owned());
            }
        }
        path.pop();
    }

    /// What stands between the parts of names that are made.
    pub fn separator(&self) -> &'static str {
        if self.has_old_names { "_" } else { "-" }
    }

    /// The name of a service's image: the one given, or `<project>-<service>` for those that are built.
    pub fn image_of(&self, name: &str) -> String {
        let service = self.services.get(name).or_else(|| self.disabled.get(name));
        match service.map(|service| service.image.as_str()) {
            Some(image) if !image.is_empty() => image.to_owned(),
            _ => format!("{}{}{name}", self.name, self.separator()),
        }
    }

    /// The project as a file, in its normalised form.
    pub fn render(&self, format: Format) -> String {
        let mut fields = Vec::new();
        let json = format == Format::Json;
        if json || !self.name.is_empty() {
            fields.push(("name".to_owned(), self.name.render(format)));
        }
        fields.push(("services".to_owned(), self.services.render(format)));
        let mut add = |key: &str, value: &dyn Render| {
            if !value.is_zero() {
                fields.push((key.to_owned(), value.render(format)));
            }
        };
        add("networks", &self.networks);
        add("volumes", &self.volumes);
        add("secrets", &self.secrets);
        add("configs", &self.configs);
        if !json {
            add("models", &self.models);
        }
        let mut extra: Vec<_> = self
            .extensions
            .iter()
            .map(|(key, node)| (key.clone(), Output::of(node, format)))
            .collect();
        crate::output::sort(&mut extra, format);
        fields.extend(extra);
        if json {
            crate::output::sort(&mut fields, format);
        }
        Output::Map(fields).write(format)
    }
}
