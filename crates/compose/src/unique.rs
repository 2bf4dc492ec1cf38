//! Elements of lists that mean the same thing: the last one counts, in the place of the first.

use std::collections::HashMap;

use crate::{
    error::{Error, Result},
    node::{Node, Value},
    path::{Path, matches, show},
    short,
};

/// What makes an element the same as another one.
#[derive(Clone, Copy)]
enum Same {
    /// What is before `=`.
    Key,
    /// The path in the container.
    MountTarget,
    /// The device in the container.
    DeviceTarget,
    /// The text or the number.
    Expose,
    /// The path in the container, in that folder when only a name is given.
    FileTarget(&'static str),
    /// The file.
    EnvFile,
    /// Both ports, the address and the protocol.
    Port,
}

const LISTS: &[(&str, Same)] = &[
    ("networks.*.labels", Same::Key),
    ("networks.*.ipam.options", Same::Key),
    ("services.*.annotations", Same::Key),
    ("services.*.build.args", Same::Key),
    ("services.*.build.additional_contexts", Same::Key),
    ("services.*.build.platform", Same::Key),
    ("services.*.build.tags", Same::Key),
    ("services.*.build.labels", Same::Key),
    ("services.*.cap_add", Same::Key),
    ("services.*.cap_drop", Same::Key),
    ("services.*.configs", Same::FileTarget("")),
    ("services.*.deploy.labels", Same::Key),
    ("services.*.devices", Same::DeviceTarget),
    ("services.*.dns", Same::Key),
    ("services.*.dns_opt", Same::Key),
    ("services.*.dns_search", Same::Key),
    ("services.*.environment", Same::Key),
    ("services.*.env_file", Same::EnvFile),
    ("services.*.expose", Same::Expose),
    ("services.*.labels", Same::Key),
    ("services.*.links", Same::Key),
    ("services.*.networks.*.aliases", Same::Key),
    ("services.*.networks.*.link_local_ips", Same::Key),
    ("services.*.ports", Same::Port),
    ("services.*.profiles", Same::Key),
    ("services.*.secrets", Same::FileTarget("/run/secrets")),
    ("services.*.sysctls", Same::Key),
    ("services.*.tmpfs", Same::Key),
    ("services.*.volumes", Same::MountTarget),
];

/// Removes what is said again later.
pub(crate) fn enforce(root: &mut Node) -> Result<()> {
    walk(root, &mut Path::new())
}

fn walk(node: &mut Node, path: &mut Path) -> Result<()> {
    match &mut node.value {
        Value::Map(map) => {
            for (key, child) in map {
                path.push(key.clone());
                walk(child, path)?;
                path.pop();
            }
        }
        Value::List(list) => {
            if let Some((_, same)) = LISTS.iter().find(|(pattern, _)| matches(path, pattern)) {
                let old = std::mem::take(list);
                *list = last_ones(old, *same, path)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn last_ones(list: Vec<Node>, same: Same, path: &Path) -> Result<Vec<Node>> {
    let mut kept: Vec<Node> = Vec::with_capacity(list.len());
    let mut places: HashMap<String, usize> = HashMap::new();
    for (index, node) in list.into_iter().enumerate() {
        let key = same.key(&node).map_err(|reason| {
            let path = show(path);
            Error::invalid(reason.replace("{}", &format!("{path}.[{index}]"))).at(node.at)
        })?;
        match places.get(&key) {
            Some(place) => kept[*place] = node,
            None => {
                places.insert(key, kept.len());
                kept.push(node);
            }
        }
    }
    Ok(kept)
}

impl Same {
    /// The element's key; an error has `{}` where the path goes.
    fn key(self, node: &Node) -> std::result::Result<String, String> {
        let field = |name: &str| node.get(name).map(|node| node.value.to_text());
        match (self, &node.value) {
            (Self::Key, Value::Text(text)) => Ok(text.split_once('=').map_or(text.as_str(), |(key, _)| key).to_owned()),
            (Self::Key, _) => Err(format!("{{}}: unexpected type: {}", node.value.describe())),
            (Self::MountTarget, Value::Map(_)) => {
                field("target").ok_or_else(|| "service volume {} is missing a mount target".to_owned())
            }
            (Self::MountTarget, Value::Text(text)) => {
                let value = short::volume(text, node.at)?;
                let mount = Node::new(value, node.at);
                Ok(mount.get("target").map(|node| node.value.to_text()).unwrap_or_default())
            }
            (Self::DeviceTarget, Value::Map(_)) => {
                field("target").ok_or_else(|| "service device {} is missing a mount target".to_owned())
            }
            (Self::DeviceTarget, Value::Text(text)) => {
                let mut parts = text.split(':');
                let source = parts.next().unwrap_or_default();
                Ok(parts.next().unwrap_or(source).to_owned())
            }
            (Self::Expose, Value::Text(_) | Value::Int(_)) => Ok(node.value.to_text()),
            (Self::Expose, _) => Err("{}: unsupported expose value".to_owned()),
            (Self::FileTarget(folder), Value::Text(name)) => Ok(format!("{folder}/{name}")),
            (Self::FileTarget(folder), Value::Map(_)) => {
                Ok(field("target").unwrap_or_else(|| format!("{folder}/{}", field("source").unwrap_or_default())))
            }
            (Self::FileTarget(_), _) => Err("{}: unsupported value".to_owned()),
            (Self::EnvFile, Value::Map(_)) => {
                field("path").ok_or_else(|| "environment path attribute {} is missing".to_owned())
            }
            (Self::Port, Value::Map(_)) => {
                let target = field("target").ok_or_else(|| "service ports {} is missing a target port".to_owned())?;
                let host = field("host_ip").unwrap_or_else(|| "0.0.0.0".to_owned());
                let published = field("published").unwrap_or_default();
                let protocol = field("protocol").unwrap_or_else(|| "tcp".to_owned());
                Ok(format!("{host}:{published}:{target}/{protocol}"))
            }
            (Self::EnvFile | Self::Port, Value::Text(_) | Value::Int(_)) => Ok(node.value.to_text()),
            _ => Ok(String::new()),
        }
    }
}
