//! `compose config`: the project in its normalised form, or a part of it.

use corten_compose::{Format, Project, Step, Warnings, check_container_names, hash};

use super::{
    digests::{self, Digests},
    globals::{Globals, warn},
    variables,
};
use crate::{
    cli::Cli,
    command::{Command, Flag},
    error::{Error, Result, file_error},
    flags::Matches,
};

/// `compose config`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS] [SERVICE...]", "Show the project in its full form", run)
    .paths(&["compose config", "compose convert"])
    .flags(&[&[
        Flag::switch("dry-run", "Only show what would be done"),
        Flag::switch("environment", "Show the variables that files could use"),
        Flag::string("format", "Format of the output (yaml, json)"),
        Flag::string("hash", "Show the hashes of services' definitions"),
        Flag::switch("images", "Show the names of images"),
        Flag::switch(
            "lock-image-digests",
            "Show a file that overrides images with their digests",
        ),
        Flag::switch("models", "Show the names of models"),
        Flag::switch("networks", "Show the names of networks"),
        Flag::switch("no-consistency", "Do not check that what is referred to exists"),
        Flag::switch("no-env-resolution", "Do not read services' files with variables"),
        Flag::switch("no-interpolate", "Leave variables as they are"),
        Flag::switch("no-normalize", "Do not fill in what follows from other attributes"),
        Flag::switch("no-path-resolution", "Leave paths as they are"),
        Flag::string("output", "File to write to").short('o'),
        Flag::switch("profiles", "Show the names of profiles"),
        Flag::switch("quiet", "Only check the project").short('q'),
        Flag::switch("resolve-image-digests", "Replace tags of images by their digests"),
        Flag::switch("services", "Show the names of services"),
        Flag::switch("variables", "Show the variables that files use, and their defaults"),
        Flag::switch("volumes", "Show the names of volumes"),
    ]]);

fn run(cli: &Cli, m: &Matches) -> Result<()> {
    let config = Config {
        cli,
        m,
        globals: Globals::of(m)?,
    };
    let text = config.text()?;
    if m.on("quiet") {
        return Ok(());
    }
    match m.get("output") {
        file if !file.is_empty() && config.is_whole() => {
            corten_sys::fs::write(file, text).map_err(|error| Error::new(file_error("open", file, &error)))
        }
        _ => {
            cli.print(&text);
            Ok(())
        }
    }
}

struct Config<'a> {
    cli: &'a Cli,
    m: &'a Matches,
    globals: Globals<'a>,
}

impl Config<'_> {
    /// Whether it shows the project, and not a part.
    fn is_whole(&self) -> bool {
        let parts = [
            "services",
            "volumes",
            "networks",
            "models",
            "profiles",
            "images",
            "variables",
            "environment",
        ];
        self.m.get("hash").is_empty() && parts.iter().all(|part| !self.m.on(part))
    }

    fn text(&self) -> Result<String> {
        let on = |flag: &str| self.m.on(flag);
        let names = &self.m.args;
        if on("services") {
            return self.services();
        }
        if on("volumes") {
            return Ok(lines(self.part(&[])?.volumes.keys()));
        }
        if on("networks") {
            return Ok(lines(self.part(&[])?.networks.keys()));
        }
        if on("models") {
            let project = self.part(&[])?;
            return Ok(lines(
                project
                    .models
                    .values()
                    .map(|model| &model.model)
                    .filter(|model| !model.is_empty()),
            ));
        }
        if !self.m.get("hash").is_empty() {
            return self.hashes();
        }
        if on("profiles") {
            let project = self.part(names)?;
            let services = project.services.values().chain(project.disabled.values());
            let profiles: std::collections::BTreeSet<_> = services.flat_map(|service| &service.profiles).collect();
            return Ok(lines(profiles.into_iter()));
        }
        if on("images") {
            let project = self.part(names)?;
            let images = project.services.keys().map(|name| project.image_of(name));
            return Ok(lines(images.collect::<Vec<_>>().iter()));
        }
        if on("variables") {
            let mut steps = self.left_out();
            steps.push(Step::Interpolation);
            let tree = self.globals.tree(self.cli, &steps)?;
            return variables::show(&corten_compose::variables_of(&tree), self.m.get("format"));
        }
        if on("environment") {
            let project = self.globals.project(self.cli, names, &self.left_out())?;
            let variables = project
                .environment
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            return Ok(lines(variables.collect::<Vec<_>>().iter()));
        }
        self.whole()
    }

    /// The parts of loading that flags leave out.
    fn left_out(&self) -> Vec<Step> {
        let flags = [
            ("no-interpolate", Step::Interpolation),
            ("no-normalize", Step::Normalization),
            ("no-path-resolution", Step::PathResolution),
            ("no-consistency", Step::Consistency),
        ];
        let mut steps: Vec<_> = flags
            .into_iter()
            .filter(|(flag, _)| self.m.on(flag))
            .map(|(_, step)| step)
            .collect();
        // By the flag alone: Compose does not look at the variable here.
        if self.m.parent().on("compatibility") {
            steps.push(Step::Normalization);
        }
        steps
    }

    /// The project for a part of it, which needs no files with variables.
    fn part(&self, services: &[String]) -> Result<Project> {
        let mut steps = self.left_out();
        steps.push(Step::Environment);
        self.globals.project(self.cli, services, &steps)
    }

    /// Names of services, each after those that it depends on.
    fn services(&self) -> Result<String> {
        if self.m.on("no-interpolate") {
            let tree = self.globals.tree(self.cli, &self.left_out())?;
            let services = tree.get("services").and_then(corten_compose::Node::as_map);
            return Ok(lines(services.into_iter().flat_map(|services| services.keys())));
        }
        let project = self.part(&[])?;
        let mut order = Vec::new();
        for name in project.services.keys() {
            visit(&project, name, &mut order);
        }
        Ok(lines(order.iter()))
    }

    fn hashes(&self) -> Result<String> {
        let mut project = self.part(&[])?;
        let platform = project
            .environment
            .get("DOCKER_DEFAULT_PLATFORM")
            .cloned()
            .unwrap_or_default();
        for service in project.services.values_mut() {
            if service.build.is_some() && service.platform.is_empty() {
                service.platform.clone_from(&platform);
            }
        }
        let mut names: Vec<&str> = match self.m.get("hash") {
            "*" => project.services.keys().map(String::as_str).collect(),
            listed => listed.split(',').collect(),
        };
        names.sort_unstable();
        let mut text = String::new();
        for name in names {
            text.push_str(&format!("{name} {}\n", hash::service(project.service(name)?)));
        }
        Ok(text)
    }

    fn whole(&self) -> Result<String> {
        let locks = self.m.on("lock-image-digests");
        let pins = locks || self.m.on("resolve-image-digests");
        let format = match self.m.get("format") {
            "" | "yaml" => Format::Yaml,
            "json" => Format::Json,
            other => return Err(Error::new(format!("unsupported format {other:?}"))),
        };
        if self.m.on("no-interpolate") {
            let mut tree = self.globals.tree(self.cli, &self.left_out())?;
            if pins {
                Digests::new(self.cli)?.pin_tree(&mut tree)?;
            }
            if locks {
                digests::lock_tree(&mut tree);
            }
            return Ok(tree.render(format));
        }
        let mut project = self.globals.project(self.cli, &self.m.args, &self.left_out())?;
        let mut warnings = Warnings::default();
        if !self.m.on("no-env-resolution") {
            project.resolve_environment(&mut warnings)?;
        }
        warn(self.cli, &warnings);
        if !self.m.on("no-consistency") {
            check_container_names(&project)?;
        }
        if pins {
            Digests::new(self.cli)?.pin(&mut project)?;
        }
        if locks {
            project = digests::lock(&project);
        }
        let text = match self.m.on("quiet") {
            true => String::new(),
            false => project.render(format).replace('$', "$$"),
        };
        // The process ends: to free a large project part by part takes longer than to write it.
        std::mem::forget(project);
        Ok(text)
    }
}

fn visit(project: &Project, name: &str, order: &mut Vec<String>) {
    if order.iter().any(|seen| seen == name) {
        return;
    }
    let Some(service) = project.services.get(name) else {
        return;
    };
    for dependency in service.depends_on.keys() {
        visit(project, dependency, order);
    }
    order.push(name.to_owned());
}

fn lines<'a>(texts: impl Iterator<Item = &'a String>) -> String {
    texts.map(|text| format!("{text}\n")).collect()
}
