//! What is well-formed and wrong all the same, before the project is complete.

use crate::{
    error::{Error, Result},
    node::{Map, Node},
    short,
};

/// Checks a tree in long syntaxes.
pub(crate) fn validate(root: &Node) -> Result<()> {
    for (name, volume) in children(root, "volumes") {
        external(name, volume)?;
    }
    for (name, config) in children(root, "configs") {
        one_of(&format!("configs.{name}"), config, &["file", "environment", "content"])?;
    }
    for (name, secret) in children(root, "secrets") {
        one_of(&format!("secrets.{name}"), secret, &["file", "environment"])?;
    }
    children(root, "services").try_for_each(|(name, node)| service(name, node))
}

fn children<'a>(root: &'a Node, key: &str) -> impl Iterator<Item = (&'a String, &'a Node)> {
    root.get(key).and_then(Node::as_map).into_iter().flatten()
}

/// What exists outside has nothing but a name.
fn external(name: &str, node: &Node) -> Result<()> {
    let Some(map) = node.as_map() else { return Ok(()) };
    if map.get("external").map(|node| node.value.to_text()).as_deref() != Some("true") {
        return Ok(());
    }
    let other = map
        .iter()
        .find(|(key, _)| !matches!(key.as_str(), "name" | "external") && !key.starts_with("x-"));
    match other {
        Some((key, node)) => {
            let message = format!("volumes.{name}: conflicting parameters \"external\" and {key:?} specified");
            Err(Error::invalid(message).at(node.key))
        }
        None => Ok(()),
    }
}

/// Content comes from one place.
fn one_of(path: &str, node: &Node, keys: &[&str]) -> Result<()> {
    let empty = Map::new();
    let map = node.as_map().unwrap_or(&empty);
    let at = if node.key.is_known() { node.key } else { node.at };
    let count = keys.iter().filter(|key| map.contains_key(**key)).count();
    let names = keys.join("|");
    if count > 1 {
        let message = format!("{path}: {names} attributes are mutually exclusive");
        return Err(Error::invalid(message).at(at));
    }
    if count == 0 && !map.contains_key("driver") && !map.contains_key("external") {
        return Err(Error::invalid(format!("{path}: one of {names} must be set")).at(at));
    }
    Ok(())
}

fn service(name: &str, node: &Node) -> Result<()> {
    let list = |path: &[&str]| node.find(path).and_then(Node::as_list).unwrap_or_default();
    for port in list(&["ports"]) {
        if let Some(host_ip) = port.get("host_ip")
            && !short::is_address(&host_ip.value.to_text())
        {
            let address = host_ip.value.to_text();
            let message = format!("services.{name}.ports.[]: invalid ip address: {address}");
            return Err(Error::invalid(message).at(host_ip.at));
        }
    }
    for trigger in list(&["develop", "watch"]) {
        if let Some(path) = trigger.get("path")
            && path.as_text() == Some("")
        {
            let message = format!("services.{name}.develop.watch.[].path: value can't be blank");
            return Err(Error::invalid(message).at(path.at));
        }
    }
    let reserved = ["deploy", "resources", "reservations", "devices"];
    for path in [&reserved[..], &["gpus"]] {
        for device in list(path) {
            if device.get("count").is_some() && device.get("device_ids").is_some() {
                let path = path.join(".");
                let message =
                    format!("services.{name}.{path}.[]: \"count\" and \"device_ids\" attributes are exclusive");
                return Err(Error::invalid(message).at(device.at));
            }
        }
    }
    Ok(())
}
