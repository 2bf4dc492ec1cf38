//! Short syntaxes become long ones, and attributes that must have a value get it.

use crate::{
    error::{Error, Result},
    node::{Map, Node, Value},
    path::{Path, matches, show},
    short,
    source::Position,
    warnings::Warnings,
};

/// Rewrites a tree into long syntaxes. With variables still in it, what cannot be read stays as it is.
pub(crate) fn canonical(root: &mut Node, lenient: bool, warnings: &mut Warnings) -> Result<()> {
    Canonical { lenient, warnings }.walk(root, &mut Path::new())
}

struct Canonical<'a> {
    lenient: bool,
    warnings: &'a mut Warnings,
}

impl Canonical<'_> {
    fn walk(&mut self, node: &mut Node, path: &mut Path) -> Result<()> {
        self.rewrite(node, path).map_err(|error| error.at(node.at))?;
        match &mut node.value {
            Value::Map(map) => {
                for (key, child) in map {
                    path.push(key.clone());
                    self.walk(child, path)?;
                    path.pop();
                }
            }
            Value::List(list) => {
                path.push("[]".to_owned());
                for child in list {
                    self.walk(child, path)?;
                }
                path.pop();
            }
            _ => {}
        }
        Ok(())
    }

    fn rewrite(&mut self, node: &mut Node, path: &Path) -> Result<()> {
        match path.first().map(String::as_str) {
            Some("services") if path.len() >= 3 => self.service(node, path),
            Some("volumes" | "networks" | "secrets" | "configs") if path.len() == 2 => self.external(node, path),
            _ => Ok(()),
        }
    }

    fn service(&mut self, node: &mut Node, path: &Path) -> Result<()> {
        let fits = |pattern: &str| matches(&path[2..], pattern);
        let at = node.at;
        match path[2].as_str() {
            "build" if path.len() == 3 => wrap_text(node, "context"),
            "extends" if path.len() == 3 => wrap_text(node, "service"),
            "secrets" | "configs" if path.len() == 4 => wrap_text(node, "source"),
            "build" if fits("build.secrets.[]") => wrap_text(node, "source"),
            "build" if fits("build.provenance") || fits("build.sbom") => into_text(node),
            "build" if fits("build.additional_contexts") => self.key_values(node, path)?,
            "build" if fits("build.ssh") => ssh(node)?,
            "depends_on" if path.len() == 3 => depends_on(node, path)?,
            "env_file" if path.len() == 3 => env_files(node),
            "label_file" | "dns" if path.len() == 3 => wrap_in_list(node),
            "develop" if fits("develop.watch.[].ignore") || fits("develop.watch.[].include") => wrap_in_list(node),
            "gpus" if path.len() == 3 && node.as_text().is_some() => {
                let all = Node::map([("count", Value::Text("all".to_owned()))], at);
                node.value = Value::List(vec![all]);
            }
            "networks" | "models" if path.len() == 3 => names_to_map(node),
            "volumes" if path.len() == 4 => self.volume(node)?,
            "devices" if path.len() == 4 => self.device(node)?,
            "ports" if path.len() == 3 => self.ports(node, path)?,
            _ => {}
        }
        Ok(())
    }

    fn key_values(&self, node: &mut Node, path: &Path) -> Result<()> {
        let Value::List(list) = &node.value else {
            return Ok(());
        };
        let mut map = Map::new();
        for item in list {
            let text = item.as_text().unwrap_or_default();
            let Some((key, value)) = text.split_once('=') else {
                if self.lenient {
                    return Ok(());
                }
                let message = format!("{}: invalid value {text}, expected key=value", show(path));
                return Err(Error::invalid(message).at(item.at));
            };
            map.insert(key.to_owned(), Node::text(value, item.at));
        }
        node.value = Value::Map(map);
        Ok(())
    }

    fn volume(&self, node: &mut Node) -> Result<()> {
        let Some(text) = node.as_text() else {
            return Ok(());
        };
        match short::volume(text, node.at) {
            Ok(value) => node.value = value,
            Err(_) if self.lenient => {}
            Err(reason) => return Err(Error::invalid(reason).at(node.at)),
        }
        Ok(())
    }

    fn device(&self, node: &mut Node) -> Result<()> {
        let Some(text) = node.as_text() else {
            return Ok(());
        };
        let parts: Vec<_> = text.split(':').collect();
        let (source, target, permissions) = match parts.as_slice() {
            [source] => (*source, *source, "rwm"),
            [source, target] => (*source, *target, "rwm"),
            [source, target, permissions] => (*source, *target, *permissions),
            _ if self.lenient => ("", "", "rwm"),
            _ => {
                let message = format!("confusing device mapping, please use long syntax: {text}");
                return Err(Error::invalid(message).at(node.at));
            }
        };
        let target = if target.is_empty() { source } else { target };
        let field = |text: &str| Value::Text(text.to_owned());
        let fields = [
            ("source", field(source)),
            ("target", field(target)),
            ("permissions", field(permissions)),
        ];
        node.value = Node::map(fields, node.at).value;
        Ok(())
    }

    /// Ports as a whole: a range becomes several.
    fn ports(&self, node: &mut Node, path: &Path) -> Result<()> {
        let Value::List(list) = &node.value else {
            let message = format!("{}: invalid type for port", show(path));
            return Err(Error::invalid(message));
        };
        let mut ports = Vec::new();
        for item in list {
            let text = match &item.value {
                Value::Map(_) => {
                    ports.push(item.clone());
                    continue;
                }
                Value::Text(text) => text.clone(),
                Value::Int(port) => port.to_string(),
                _ => {
                    let message = format!("{}: invalid type {} for port", show(path), item.value.describe());
                    return Err(Error::invalid(message).at(item.at));
                }
            };
            match short::ports(&text) {
                Ok(parsed) => ports.extend(parsed.into_iter().map(|port| port.into_node(item.at))),
                // Still a text with variables, so the list stays as it is.
                Err(_) if self.lenient && item.as_text().is_some() => return Ok(()),
                Err(reason) => return Err(Error::invalid(reason).at(item.at)),
            }
        }
        node.value = Value::List(ports);
        Ok(())
    }

    /// `external: {name: x}`, which is an old way of saying it.
    fn external(&mut self, node: &mut Node, path: &Path) -> Result<()> {
        let Some(map) = node.as_map_mut() else {
            return Ok(());
        };
        let Some(external) = map.get_mut("external") else {
            return Ok(());
        };
        let Value::Map(inner) = &external.value else {
            return Ok(());
        };
        let given = inner.get("name").cloned();
        let at = external.at;
        external.value = Value::Bool(true);
        let Some(given) = given else {
            return Ok(());
        };
        let path = show(path);
        self.warnings.add(format!(
            "{path}: external.name is deprecated. Please set name and external: true"
        ));
        match map.get("name") {
            Some(name) if *name != given => {
                let message = format!("{path}: name and external.name conflict; only use name");
                Err(Error::invalid(message).at(at))
            }
            Some(_) => Ok(()),
            None => {
                map.insert("name".to_owned(), given);
                Ok(())
            }
        }
    }
}

/// A text becomes a mapping with that text under `key`.
fn wrap_text(node: &mut Node, key: &'static str) {
    if let Value::Text(text) = &mut node.value {
        let text = std::mem::take(text);
        node.value = Node::map([(key, Value::Text(text))], node.at).value;
    }
}

/// A plain value becomes a text.
fn into_text(node: &mut Node) {
    if !matches!(node.value, Value::List(_) | Value::Map(_)) {
        node.value = Value::Text(node.value.to_text());
    }
}

fn wrap_in_list(node: &mut Node) {
    if node.as_text().is_some() {
        let text = Node::new(std::mem::take(&mut node.value), node.at);
        node.value = Value::List(vec![text]);
    }
}

/// A list of names becomes a mapping without values.
pub(crate) fn names_to_map(node: &mut Node) {
    if let Value::List(list) = &node.value {
        let names = list.iter().filter_map(|name| {
            let null = Node::new(Value::Null, name.at);
            Some((name.as_text()?.to_owned(), null))
        });
        node.value = Value::Map(names.collect());
    }
}

/// What a name in the short form of `depends_on` means.
pub(crate) fn dependency(at: Position) -> Node {
    let condition = Value::Text("service_started".to_owned());
    Node::map([("condition", condition), ("required", Value::Bool(true))], at)
}

fn depends_on(node: &mut Node, path: &Path) -> Result<()> {
    match &mut node.value {
        Value::List(list) => {
            let names = list
                .iter()
                .filter_map(|name| Some((name.as_text()?.to_owned(), dependency(name.at))));
            node.value = Value::Map(names.collect());
            Ok(())
        }
        Value::Map(map) => {
            for (name, node) in map {
                let at = node.at;
                let Some(fields) = node.as_map_mut() else {
                    let message = format!("{}.{name}: unsupported value", show(path));
                    return Err(Error::invalid(message).at(at));
                };
                let defaults = dependency(at);
                for (key, value) in defaults.as_map().into_iter().flatten() {
                    fields.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            Ok(())
        }
        _ => Err(Error::invalid(format!("{}: invalid type for depend_on", show(path)))),
    }
}

fn env_files(node: &mut Node) {
    wrap_in_list(node);
    for file in node.as_list_mut().into_iter().flatten() {
        wrap_text(file, "path");
        let at = file.at;
        if let Some(map) = file.as_map_mut() {
            map.entry("required".to_owned())
                .or_insert_with(|| Node::new(Value::Bool(true), at));
        }
    }
}

fn ssh(node: &mut Node) -> Result<()> {
    let Value::List(list) = &node.value else {
        return Ok(());
    };
    let mut keys = Map::new();
    for item in list {
        let text = item.as_text().unwrap_or_default();
        let (id, path) = match text.split_once('=') {
            Some((id, path)) => (id, Value::Text(path.to_owned())),
            None if text == "default" => (text, Value::Null),
            None => return Err(Error::invalid(format!("invalid ssh key {text:?}")).at(item.at)),
        };
        keys.insert(id.to_owned(), Node::new(path, item.at));
    }
    node.value = Value::Map(keys);
    Ok(())
}

/// Fills in the defaults of attributes.
pub(crate) fn set_defaults(root: &mut Node) {
    let Some(services) = root.get_mut("services").and_then(Node::as_map_mut) else {
        return;
    };
    for service in services.values_mut() {
        let default = |node: Option<&mut Node>, key: &str, value: Value| {
            let Some(node) = node else { return };
            let at = node.at;
            if let Some(map) = node.as_map_mut() {
                map.entry(key.to_owned()).or_insert_with(|| Node::new(value, at));
            }
        };
        default(service.get_mut("build"), "context", Value::Text(".".to_owned()));
        for secret in list_of(service, &["secrets"]) {
            let source = secret.get("source").map(|source| source.value.to_text());
            let target = format!("/run/secrets/{}", source.unwrap_or_default());
            default(Some(secret), "target", Value::Text(target));
        }
        for port in list_of(service, &["ports"]) {
            default(Some(port), "protocol", Value::Text("tcp".to_owned()));
            default(Some(port), "mode", Value::Text("ingress".to_owned()));
        }
        let reserved = ["deploy", "resources", "reservations", "devices"];
        for path in [&reserved[..], &["gpus"]] {
            for device in list_of(service, path) {
                if device.get("count").is_none() && device.get("device_ids").is_none() {
                    default(Some(device), "count", Value::Text("all".to_owned()));
                }
            }
        }
    }
}

fn list_of<'a>(node: &'a mut Node, path: &[&str]) -> impl Iterator<Item = &'a mut Node> {
    let found = path.iter().try_fold(node, |node, key| node.get_mut(key));
    found.and_then(Node::as_list_mut).into_iter().flatten()
}
