//! What follows from other attributes: the default network, dependencies, names.

use std::collections::BTreeMap;

use crate::{
    node::{Map, Node, Value},
    short,
    source::Position,
};

/// Completes a project's tree.
pub(crate) fn normalize(root: &mut Node, environment: &BTreeMap<String, String>) {
    networks(root);
    if let Some(services) = root.get_mut("services").and_then(Node::as_map_mut) {
        for service in services.values_mut() {
            let at = service.at;
            if let Some(map) = service.as_map_mut() {
                normalize_service(map, at, environment);
            }
        }
    }
    name_resources(root);
}

/// Services without a network are in the default one, which exists when one is.
fn networks(root: &mut Node) {
    let mut used = false;
    if let Some(services) = root.get_mut("services").and_then(Node::as_map_mut) {
        for service in services.values_mut() {
            let at = service.at;
            let Some(map) = service.as_map_mut() else { continue };
            if map.contains_key("provider") || map.contains_key("network_mode") {
                continue;
            }
            let given = map.get("networks").and_then(Node::as_map);
            if given.is_none_or(Map::is_empty) {
                let default = Map::from([("default".to_owned(), Node::new(Value::Null, at))]);
                map.insert("networks".to_owned(), Node::new(Value::Map(default), at));
                used = true;
            } else if given.is_some_and(|networks| networks.contains_key("default")) {
                used = true;
            }
        }
    }
    let at = root.at;
    let Some(map) = root.as_map_mut() else { return };
    if used {
        let networks = map
            .entry("networks".to_owned())
            .or_insert_with(|| Node::new(Value::Map(Map::new()), at));
        if networks.is_null() {
            networks.value = Value::Map(Map::new());
        }
        if let Some(networks) = networks.as_map_mut() {
            networks
                .entry("default".to_owned())
                .or_insert_with(|| Node::new(Value::Null, at));
        }
    }
}

fn normalize_service(service: &mut Map, at: Position, environment: &BTreeMap<String, String>) {
    if let Some(policy) = service.get_mut("pull_policy")
        && policy.as_text() == Some("if_not_present")
    {
        policy.value = Value::Text("missing".to_owned());
    }
    if let Some(build) = service.get_mut("build") {
        normalize_build(build, environment);
    }
    if let Some(variables) = service.get_mut("environment") {
        resolve(variables, environment, true);
    }
    for volume in service
        .get_mut("volumes")
        .and_then(Node::as_list_mut)
        .into_iter()
        .flatten()
    {
        if let Some(target) = volume.get_mut("target")
            && let Some(path) = target.as_text()
        {
            let cleaned = short::clean(path);
            target.value = Value::Text(if cleaned.is_empty() { ".".to_owned() } else { cleaned });
        }
    }
    dependencies(service, at);
}

fn normalize_build(build: &mut Node, environment: &BTreeMap<String, String>) {
    let at = build.at;
    let Some(map) = build.as_map_mut() else { return };
    let absent = |map: &Map, key: &str| map.get(key).is_none_or(Node::is_null);
    if absent(map, "context") {
        map.insert("context".to_owned(), Node::text(".", at));
    }
    if absent(map, "dockerfile") && absent(map, "dockerfile_inline") {
        map.insert("dockerfile".to_owned(), Node::text("Dockerfile", at));
    }
    if let Some(arguments) = map.get_mut("args") {
        resolve(arguments, environment, false);
    }
}

/// Gives variables without a value the one that the environment has.
fn resolve(node: &mut Node, environment: &BTreeMap<String, String>, keep: bool) {
    match &mut node.value {
        Value::Map(map) => map.retain(|key, node| {
            if !node.is_null() {
                return true;
            }
            if let Some(value) = environment.get(key) {
                node.value = Value::Text(value.clone());
                return true;
            }
            keep
        }),
        Value::List(list) => list.retain_mut(|node| {
            let Value::Text(text) = &mut node.value else {
                return false;
            };
            if text.contains('=') {
                return true;
            }
            match environment.get(text.as_str()) {
                Some(value) => {
                    *text = format!("{text}={value}");
                    true
                }
                None => keep,
            }
        }),
        _ => {}
    }
}

/// Links, shared namespaces and shared mounts are dependencies as well.
fn dependencies(service: &mut Map, at: Position) {
    let mut more: Vec<(String, bool, Position)> = Vec::new();
    let texts = |key: &str| {
        let list = service.get(key).and_then(Node::as_list).unwrap_or_default();
        list.iter().filter_map(|node| Some((node.as_text()?, node.at)))
    };
    for (link, at) in texts("links") {
        let parts: Vec<_> = link.split(':').collect();
        let name = if parts.len() == 2 { parts[0] } else { link };
        more.push((name.to_owned(), true, at));
    }
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(node) = service.get(key)
            && let Some(name) = node.as_text().and_then(|text| text.strip_prefix("service:"))
        {
            more.push((name.to_owned(), true, node.at));
        }
    }
    for (from, at) in texts("volumes_from") {
        if !from.starts_with("container:") {
            let name = from.split(':').next().unwrap_or_default();
            more.push((name.to_owned(), false, at));
        }
    }
    if more.is_empty() {
        return;
    }
    let node = service
        .entry("depends_on".to_owned())
        .or_insert_with(|| Node::new(Value::Map(Map::new()), at));
    let Some(dependencies) = node.as_map_mut() else { return };
    for (name, restart, at) in more {
        dependencies.entry(name).or_insert_with(|| {
            let condition = Value::Text("service_started".to_owned());
            let fields = [
                ("condition", condition),
                ("restart", Value::Bool(restart)),
                ("required", Value::Bool(true)),
            ];
            Node::map(fields, at)
        });
    }
}

/// Resources without a name are called after the project and their key.
fn name_resources(root: &mut Node) {
    let project = root.get("name").map(|name| name.value.to_text()).unwrap_or_default();
    for kind in ["networks", "volumes", "configs", "secrets"] {
        let Some(resources) = root.get_mut(kind).and_then(Node::as_map_mut) else {
            continue;
        };
        for (key, resource) in resources {
            if resource.is_null() {
                resource.value = Value::Map(Map::new());
            }
            let at = resource.at;
            let Some(map) = resource.as_map_mut() else { continue };
            if map.get("name").is_none_or(Node::is_null) {
                let external = map.get("external").is_some_and(|node| {
                    matches!(
                        node.value.to_text().as_str(),
                        "1" | "t" | "T" | "TRUE" | "true" | "True"
                    )
                });
                let name = if external {
                    key.clone()
                } else {
                    format!("{project}_{key}")
                };
                map.insert("name".to_owned(), Node::text(name, at));
            }
        }
    }
}
