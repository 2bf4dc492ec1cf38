//! What all of Compose's commands begin with: the flags before the command, and the project that they mean.

use std::collections::BTreeMap;

use corten_compose::{Loaded, Node, Project, Request, Sources, Step, Warnings, discover, load_tree_with, load_with};

use super::elsewhere::Elsewhere;
use crate::{
    cli::Cli,
    error::{Error, Result},
    flags::Matches,
};

impl From<corten_compose::Error> for Error {
    fn from(error: corten_compose::Error) -> Self {
        Self {
            not_found: error.kind() == corten_compose::Kind::NotFound,
            ..Self::new(error.to_string())
        }
    }
}

/// The flags before the command.
pub(crate) struct Globals<'a> {
    group: &'a Matches,
}

impl<'a> Globals<'a> {
    /// Reads them from a command of the group.
    ///
    /// # Errors
    /// Flags that do not go together, or values that are none.
    pub(crate) fn of(m: &'a Matches) -> Result<Self> {
        let globals = Self { group: m.parent() };
        let ansi = globals.group.get("ansi");
        match globals.group.get("progress") {
            "" | "auto" | "json" | "quiet" | "none" => {}
            "tty" if ansi == "never" => {
                return Err(Error::new("can't use --progress tty while ANSI support is disabled"));
            }
            "plain" if ansi == "always" => {
                return Err(Error::new("can't use --progress plain while ANSI support is forced"));
            }
            "tty" | "plain" => {}
            other => return Err(Error::new(format!("unsupported --progress value {other:?}"))),
        }
        if globals.group.given("workdir") && globals.group.given("project-directory") {
            return Err(Error::new(
                "cannot specify DEPRECATED \"--workdir\" and \"--project-directory\". Please use only \
                 \"--project-directory\" instead",
            ));
        }
        Ok(globals)
    }

    /// Whether names have `_` instead of `-`.
    fn is_compatible(&self, environment: &BTreeMap<String, String>) -> bool {
        let wanted = environment.get("COMPOSE_COMPATIBILITY").map(String::as_str);
        self.group.on("compatibility") || matches!(wanted, Some("1" | "t" | "T" | "TRUE" | "true" | "True"))
    }

    /// Whether resources that no service uses are kept.
    pub(crate) fn keeps_all_resources(&self) -> bool {
        self.group.on("all-resources")
    }

    /// What to load.
    ///
    /// # Errors
    /// Files that are not there, and names that are none.
    pub(crate) fn sources(&self, cli: &Cli) -> Result<(Sources, Warnings)> {
        let texts = |flag: &str| self.group.all(flag).into_iter().map(str::to_owned).collect();
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let directory = match self.group.opt("workdir") {
            Some(directory) => {
                cli.err("option '--workdir' is DEPRECATED at root level! Please use '--project-directory' instead.");
                directory
            }
            None => self.group.get("project-directory"),
        };
        let current_dir = std::env::current_dir().map_err(|error| Error::new(format!("getwd: {error}")))?;
        let request = Request {
            files: texts("file"),
            project_name: self.group.get("project-name").to_owned(),
            project_directory: directory.to_owned(),
            profiles: texts("profile"),
            env_files: texts("env-file"),
            current_dir,
            environment,
        };
        let (sources, warnings) = discover(&request, &Elsewhere(cli))?;
        if self.group.on("verbose") {
            for file in &sources.files {
                log(cli, Level::Debug, &format!("reading {}", file.display()));
            }
        }
        Ok((sources, warnings))
    }

    /// Loads the project and keeps the services asked for, with what they depend on.
    ///
    /// # Errors
    /// Whatever is wrong with the files, with its place.
    pub(crate) fn project(&self, cli: &Cli, services: &[String], without: &[Step]) -> Result<Project> {
        let (mut sources, warnings) = self.sources(cli)?;
        sources.without = without.to_vec();
        warn(cli, &warnings);
        let Loaded {
            value: mut project,
            warnings,
        } = load_with(&sources, &Elsewhere(cli))?;
        warn(cli, &warnings);
        if project.name.is_empty() {
            let message = "project name can't be empty. Use `--project-name` to set a valid name";
            return Err(Error::new(message));
        }
        project.input = sources.input;
        project.has_old_names = self.is_compatible(&project.environment);
        project.enable(services);
        project.select(services)?;
        if !self.keeps_all_resources() {
            project.drop_unused_resources();
        }
        Ok(project)
    }

    /// Loads the files without turning them into a project.
    ///
    /// # Errors
    /// Whatever is wrong with the files, with its place.
    pub(crate) fn tree(&self, cli: &Cli, without: &[Step]) -> Result<Node> {
        let (mut sources, warnings) = self.sources(cli)?;
        sources.without = without.to_vec();
        warn(cli, &warnings);
        let loaded = load_tree_with(&sources, &Elsewhere(cli))?;
        warn(cli, &loaded.warnings);
        Ok(loaded.value)
    }
}

/// Tells the user, as Compose's log does.
pub(crate) fn warn(cli: &Cli, warnings: &Warnings) {
    for remark in warnings.iter() {
        log(cli, Level::Warning, remark);
    }
}

/// What sort of thing the log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// What only `--verbose` shows.
    Debug,
    /// What is borne.
    Warning,
}

/// Tells the user a line, as Compose's log does.
pub(crate) fn log(cli: &Cli, level: Level, text: &str) {
    let (short, name) = match level {
        Level::Debug => ("\u{1b}[37mDEBU\u{1b}[0m", "debug"),
        Level::Warning => ("\u{1b}[33mWARN\u{1b}[0m", "warning"),
    };
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        return cli.err(&format!("{short}[0000] {text} "));
    }
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    cli.err(&format!("time=\"{now}\" level={name} msg={text:?}"));
}
