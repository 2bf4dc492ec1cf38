//! Language models that services use: Docker's plugin `model` fetches and runs them, and services are told where
//! they are (Compose specification, `models`).

use std::{path::Path, process::Stdio};

use corten_compose::{execute::Phase, model::Model};
use serde::Deserialize;

use super::{open::Open, programs};
use crate::error::{Error, Result};

/// Where models are reached.
#[derive(Deserialize)]
struct Status {
    endpoint: String,
}

/// A model that is here.
#[derive(Deserialize)]
struct Here {
    #[serde(default)]
    tags: Vec<String>,
}

/// Sees to it that the models that services use are there, and tells the services where.
pub(super) fn ensure(open: &mut Open<'_>) -> Result<()> {
    let used = |key: &String| open.project.services.values().any(|s| s.models.contains_key(key));
    let models: Vec<(String, Model)> = open
        .project
        .models
        .iter()
        .filter(|(key, _)| used(key))
        .map(|(key, model)| (key.clone(), model.clone()))
        .collect();
    if models.is_empty() {
        return Ok(());
    }
    let program = programs::plugin(open.cli, "model")
        .ok_or_else(|| Error::new("'models' support requires Docker Model plugin"))?;
    let here: Vec<Here> = asked(open, &program, &["ls", "--json"], "error checking available models")?;
    let status: Status = asked(
        open,
        &program,
        &["status", "--json"],
        "error checking docker-model status",
    )?;
    for (key, model) in &models {
        let name = if model.name.is_empty() { key } else { &model.name };
        if !here.iter().any(|here| here.tags.contains(&model.model)) {
            open.progress.tell(name, "Pulling", Phase::Working);
            run(open, name, &program, &["pull".to_owned(), model.model.clone()])?;
            open.progress.tell(name, "Pulled", Phase::Working);
        }
        open.progress.tell(name, "Configuring", Phase::Working);
        run(open, name, &program, &configuration(model))?;
        open.progress.tell(name, "Configured", Phase::Done);
    }
    tell(open, &models, &status.endpoint);
    Ok(())
}

fn configuration(model: &Model) -> Vec<String> {
    let mut words = vec!["configure".to_owned()];
    if model.context_size > 0 {
        words.extend(["--context-size".to_owned(), model.context_size.to_string()]);
    }
    words.push(model.model.clone());
    if !model.runtime_flags.is_empty() {
        words.push("--".to_owned());
        words.extend(model.runtime_flags.iter().cloned());
    }
    words
}

/// Puts the address and the name of each model into the environment of the services that use it.
fn tell(open: &mut Open<'_>, models: &[(String, Model)], endpoint: &str) {
    for service in open.project.services.values_mut() {
        for (key, model) in models {
            let Some(given) = service.models.get(key) else { continue };
            let prefix = key.to_uppercase().replace('-', "_");
            let variable = |given: Option<&String>, end: &str| match given {
                Some(name) if !name.is_empty() => name.clone(),
                _ => format!("{prefix}_{end}"),
            };
            let name = variable(given.as_ref().map(|given| &given.model_var), "MODEL");
            let address = variable(given.as_ref().map(|given| &given.endpoint_var), "URL");
            let environment = &mut service.environment.0;
            environment.insert(name, Some(model.model.clone()));
            environment.insert(address, Some(endpoint.to_owned()));
        }
    }
}

/// What the plugin answers, in JSON.
fn asked<T: for<'a> Deserialize<'a>>(open: &Open<'_>, program: &Path, words: &[&str], what: &str) -> Result<T> {
    let failed = |error: &dyn std::fmt::Display| Error::new(format!("{what}: {error}"));
    let output = programs::command(open.cli, &open.project, program)
        .args(words)
        .output()
        .map_err(|error| failed(&error))?;
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(&error))
}

fn run(open: &Open<'_>, name: &str, program: &Path, words: &[String]) -> Result<()> {
    if open.is_dry() {
        return Ok(());
    }
    let status = programs::command(open.cli, &open.project, program)
        .args(words)
        .stdout(Stdio::null())
        .status();
    let reason = match status {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    open.progress.tell(name, "Error", Phase::Failed);
    let verb = words.first().map_or("", String::as_str);
    Err(Error::new(format!("model {name:?}: cannot {verb} it: {reason}")))
}
