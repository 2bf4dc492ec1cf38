//! Files with variables and labels, and contents that come from variables.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{
    dotenv,
    error::{Error, Result},
    load::read_text,
    model::{EnvFile, Mapping, Project, SECRET_CONTENT, Variables},
    node::{Node, Value},
    warnings::Warnings,
};

/// Puts the contents of secrets and configs that are variables into the tree.
pub(crate) fn take_content(root: &mut Node, environment: &BTreeMap<String, String>) {
    for (kind, key) in [("secrets", SECRET_CONTENT), ("configs", "content")] {
        let resources = root.get_mut(kind).and_then(Node::as_map_mut);
        for resource in resources.into_iter().flat_map(|map| map.values_mut()) {
            let Some(variable) = resource.get("environment") else {
                continue;
            };
            let at = variable.at;
            let content = variable.as_text().and_then(|name| environment.get(name)).cloned();
            if let (Some(content), Some(map)) = (content, resource.as_map_mut()) {
                map.insert(key.to_owned(), Node::text(content, at));
            }
        }
    }
    let services = root.get_mut("services").and_then(Node::as_map_mut);
    for service in services.into_iter().flat_map(|map| map.values_mut()) {
        let list = service.get_mut("environment").and_then(Node::as_list_mut);
        for node in list.into_iter().flatten() {
            if let Value::Text(text) = &mut node.value
                && let Some(value) = environment.get(text.as_str())
            {
                *text = format!("{text}={value}");
            }
        }
    }
}

/// Fills in services' variables: those without a value, and those of `env_file`.
pub(crate) fn resolve_environment(project: &mut Project, warnings: &mut Warnings) -> Result<()> {
    let outside = project.environment.clone();
    for service in project.services.values_mut() {
        for (name, value) in &mut service.environment.0 {
            if value.is_none() {
                *value = outside.get(name).cloned();
            }
        }
        let given = &service.environment.0;
        let lookup = |name: &str| {
            outside
                .get(name)
                .cloned()
                .or_else(|| given.get(name).cloned().flatten())
        };
        let set = given
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        let mut all: Mapping = set.collect();
        for file in &service.env_file {
            read_env_file(file, &mut all, &lookup, warnings)?;
        }
        let mut merged: BTreeMap<String, Option<String>> =
            all.into_iter().map(|(name, value)| (name, Some(value))).collect();
        merged.extend(service.environment.0.clone());
        service.environment = Variables(merged);
        service.env_file.clear();
    }
    Ok(())
}

fn read_env_file(
    file: &EnvFile,
    vars: &mut Mapping,
    lookup: &dyn Fn(&str) -> Option<String>,
    warnings: &mut Warnings,
) -> Result<()> {
    let path = Path::new(&file.path);
    if !corten_sys::fs::exists(path).unwrap_or(false) {
        if !file.required {
            return Ok(());
        }
        let path = path.display();
        let message = format!("env file {path} not found: stat {path}: no such file or directory");
        return Err(Error::not_found(message));
    }
    let text = read_text(path)?;
    let result = match file.format.as_str() {
        "" | ".env" => dotenv::parse(&text, vars, lookup, &mut |name| warnings.unset(name))
            .map_err(|reason| format!("failed to read {}: {reason}", path.display())),
        "raw" => dotenv::parse_raw(&text, vars, lookup)
            .map_err(|reason| format!("failed to parse env_file {}: {reason}", path.display())),
        format => Err(format!("unsupported env_file format {format:?}")),
    };
    result.map_err(Error::invalid)
}

/// Adds the labels of files; those of the service itself win.
pub(crate) fn resolve_labels(project: &mut Project, warnings: &mut Warnings) -> Result<()> {
    for service in project.services.values_mut() {
        let mut labels = Mapping::new();
        for file in &service.label_file {
            let path = Path::new(file);
            if !corten_sys::fs::exists(path).unwrap_or(false) {
                let message = format!("label file {file} not found: stat {file}: no such file or directory");
                return Err(Error::not_found(message));
            }
            let known = labels.clone();
            let lookup = |name: &str| known.get(name).cloned();
            let text = read_text(path)?;
            dotenv::parse(&text, &mut labels, &lookup, &mut |name| warnings.unset(name))
                .map_err(|reason| Error::invalid(format!("failed to read {file}: {reason}")))?;
        }
        labels.append(&mut service.labels.0);
        service.labels.0 = labels;
        service.label_file.clear();
    }
    Ok(())
}

/// Reads files such as `.env` into variables; those of `environment` win over what they refer to.
///
/// # Errors
/// [`Kind::NotFound`](crate::Kind::NotFound) and [`Kind::Invalid`](crate::Kind::Invalid), naming the file.
pub(crate) fn read_files(
    files: &[std::path::PathBuf],
    environment: &BTreeMap<String, String>,
    warnings: &mut Warnings,
) -> Result<Mapping> {
    let mut vars = Mapping::new();
    for path in files {
        let shown = path.display();
        match corten_sys::fs::metadata(path) {
            Err(_) => return Err(Error::not_found(format!("couldn't find env file: {shown}"))),
            Ok(data) if data.is_dir() => return Err(Error::invalid(format!("{shown} is a directory"))),
            Ok(_) => {}
        }
        let text = read_text(path)?;
        let lookup = |name: &str| environment.get(name).cloned();
        dotenv::parse(&text, &mut vars, &lookup, &mut |name| warnings.unset(name))
            .map_err(|reason| Error::invalid(format!("failed to read {shown}: {reason}")))?;
    }
    Ok(vars)
}
