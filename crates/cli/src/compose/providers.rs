//! Services that are no containers: a program makes and removes them, and says how they are reached
//! (Compose specification, `provider`; Compose's documentation of its providers' protocol).
//!
//! ```text
//!   PROGRAM compose metadata                               what it takes, as JSON; may be missing
//!   PROGRAM compose --project-name=P up --option=value… S  answers lines of JSON:
//!       {"type": "info" | "debug" | "error" | "setenv" | "rawsetenv", "message": …}
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use corten_compose::{Service, execute::Phase, model::Provider};
use serde::Deserialize;

use super::{open::Open, programs};
use crate::error::{Error, Result};

/// What a provider says.
#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

/// What a provider takes.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    description: String,
    up: Takes,
    down: Takes,
}

/// What one of its commands takes.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Takes {
    parameters: Option<Vec<Parameter>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameter {
    name: String,
    required: bool,
}

/// Variables for the services that depend on a provider's.
#[derive(Default)]
struct Variables {
    /// Those that get the service's name before their own.
    prefixed: BTreeMap<String, String>,
    raw: BTreeMap<String, String>,
}

/// What is asked of a provider.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Up,
    Down,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Has every provider make what it provides, tells the services that depend on it how it is reached, and takes it
/// out of the services that have containers.
pub(super) fn up(open: &mut Open<'_>) -> Result<()> {
    for name in open.project.in_order()? {
        let Some(service) = open
            .project
            .services
            .get(&name)
            .filter(|s| s.provider.is_some())
            .cloned()
        else {
            continue;
        };
        let variables = ask(open, &name, &service, Verb::Up)?;
        let prefix = name.to_uppercase();
        for dependent in open.project.services.values_mut() {
            if !dependent.depends_on.contains_key(&name) {
                continue;
            }
            for (key, value) in &variables.prefixed {
                let key = format!("{prefix}_{key}");
                dependent.environment.0.insert(key, Some(value.clone()));
            }
            for (key, value) in &variables.raw {
                dependent.environment.0.insert(key.clone(), Some(value.clone()));
            }
        }
    }
    leave_out(open);
    Ok(())
}

/// Takes services that are no containers out of the project.
pub(super) fn leave_out(open: &mut Open<'_>) {
    open.project.services.retain(|_, service| service.provider.is_none());
}

/// Has every provider remove what it provides, the last one first.
pub(super) fn down(open: &Open<'_>, services: &[String]) -> Result<()> {
    for name in open.project.in_order()?.iter().rev() {
        let service = &open.project.services[name];
        if service.provider.is_some() && (services.is_empty() || services.contains(name)) {
            ask(open, name, service, Verb::Down)?;
        }
    }
    Ok(())
}

fn ask(open: &Open<'_>, name: &str, service: &Service, verb: Verb) -> Result<Variables> {
    let Some(provider) = &service.provider else {
        return Ok(Variables::default());
    };
    let (begins, ends) = match verb {
        Verb::Up => ("Creating", "Created"),
        Verb::Down => ("Removing", "Removed"),
    };
    open.progress.tell(name, begins, Phase::Working);
    let program = program(open, &provider.kind)?;
    let arguments = arguments(open, name, provider, &program, verb)?;
    let variables = if open.is_dry() {
        Ok(Variables::default())
    } else {
        call(open, name, &program, &arguments, verb)
    };
    match &variables {
        Ok(_) => open.progress.tell(name, ends, Phase::Done),
        Err(_) => open.progress.tell(name, "Error", Phase::Failed),
    }
    variables
}

fn program(open: &Open<'_>, kind: &str) -> Result<PathBuf> {
    if kind == "compose" {
        return Err(Error::new("'compose' is not a valid provider type"));
    }
    let found = programs::plugin(open.cli, kind).or_else(|| corten_sys::program::on_path(kind));
    found.ok_or_else(|| Error::new(format!("exec: {kind:?}: executable file not found in $PATH")))
}

fn arguments(open: &Open<'_>, name: &str, provider: &Provider, program: &Path, verb: Verb) -> Result<Vec<String>> {
    let metadata = metadata(open, program);
    let says_nothing =
        metadata.description.is_empty() && metadata.up.parameters.is_none() && metadata.down.parameters.is_none();
    let takes = match verb {
        Verb::Up => metadata.up,
        Verb::Down => metadata.down,
    };
    let parameters = takes.parameters.unwrap_or_default();
    let missing = parameters
        .iter()
        .find(|parameter| parameter.required && !provider.options.contains_key(&parameter.name));
    if let Some(parameter) = missing {
        return Err(Error::new(format!(
            "required parameter {:?} is missing from provider {:?} definition",
            parameter.name, provider.kind
        )));
    }
    let project = &open.project.name;
    let mut words = vec![
        "compose".to_owned(),
        format!("--project-name={project}"),
        verb.word().to_owned(),
    ];
    for (key, values) in &provider.options {
        if says_nothing || parameters.iter().any(|parameter| parameter.name == *key) {
            words.extend(values.iter().map(|value| format!("--{key}={value}")));
        }
    }
    words.push(name.to_owned());
    Ok(words)
}

/// What a program takes; nothing known when it does not say.
fn metadata(open: &Open<'_>, program: &Path) -> Metadata {
    let output = programs::command(open.cli, &open.project, program)
        .args(["compose", "metadata"])
        .stderr(Stdio::null())
        .output();
    let said = output.ok().filter(|output| output.status.success());
    said.and_then(|output| serde_json::from_slice(&output.stdout).ok())
        .unwrap_or_default()
}

fn call(open: &Open<'_>, name: &str, program: &Path, arguments: &[String], verb: Verb) -> Result<Variables> {
    let failed = |error: &dyn std::fmt::Display| {
        let action = if verb == Verb::Up { "create" } else { "remove" };
        Error::new(format!("failed to {action} service provider: {error}"))
    };
    let mut child = programs::command(open.cli, &open.project, program)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let answered = match child.stdout.take() {
        Some(stdout) => listen(open, name, stdout),
        None => Ok(Variables::default()),
    };
    if answered.is_err() {
        // It has said that it failed; it may be told to end although it ended.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| failed(&error))?;
    let variables = answered?;
    match status.code() {
        Some(0) => Ok(variables),
        Some(code) => Err(failed(&format!("exit status {code}"))),
        None => Err(failed(&status)),
    }
}

fn listen(open: &Open<'_>, name: &str, stdout: impl std::io::Read) -> Result<Variables> {
    let invalid = |what: &str| Error::new(format!("invalid response from plugin: {what}"));
    let mut variables = Variables::default();
    for message in serde_json::Deserializer::from_reader(stdout).into_iter::<Message>() {
        let message = message.map_err(|error| invalid(&error.to_string()))?;
        let text = &message.message;
        let pair = || {
            let pair = text.split_once('=').ok_or_else(|| invalid(text))?;
            Ok::<_, Error>((pair.0.to_owned(), pair.1.to_owned()))
        };
        match message.kind.as_str() {
            "error" => return Err(Error::new(text.clone())),
            "info" => open
                .progress
                .tell(name, text.lines().next().unwrap_or_default(), Phase::Working),
            "setenv" => variables.prefixed.extend([pair()?]),
            "rawsetenv" => variables.raw.extend([pair()?]),
            "debug" => {}
            other => return Err(invalid(other)),
        }
    }
    Ok(variables)
}
