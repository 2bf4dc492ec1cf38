//! How one file overrides another (Compose specification, "Merge").

use crate::{
    canonical::{dependency, names_to_map},
    error::{Error, Result},
    node::{Map, Node, Value},
    path::{Path, matches, show},
};

/// How an attribute is merged that is no plain mapping, list or value.
type Rule = fn(Node, Node, &mut Path) -> Result<Node>;

/// The attributes with a rule of their own.
const RULES: &[(&str, Rule)] = &[
    ("networks.*.ipam.config", ipam),
    ("networks.*.labels", lines),
    ("volumes.*.labels", lines),
    ("services.*.annotations", lines),
    ("services.*.build", build),
    ("services.*.build.args", lines),
    ("services.*.build.additional_contexts", lines),
    ("services.*.build.extra_hosts", hosts),
    ("services.*.build.labels", lines),
    ("services.*.command", replace),
    ("services.*.depends_on", depends_on),
    ("services.*.deploy.labels", lines),
    ("services.*.dns", lines),
    ("services.*.dns_opt", lines),
    ("services.*.dns_search", lines),
    ("services.*.entrypoint", replace),
    ("services.*.env_file", lines),
    ("services.*.label_file", lines),
    ("services.*.environment", lines),
    ("services.*.extra_hosts", hosts),
    ("services.*.healthcheck.test", replace),
    ("services.*.labels", lines),
    ("services.*.volumes.*.volume.labels", lines),
    ("services.*.logging", logging),
    ("services.*.models", named),
    ("services.*.networks", named),
    ("services.*.sysctls", lines),
    ("services.*.tmpfs", lines),
    ("services.*.ulimits.*", replace),
];

/// Merges a file into those before it.
pub(crate) fn merge(base: Node, other: Node) -> Result<Node> {
    merge_at(base, other, &mut Path::new())
}

/// Merges a service into the one that it extends.
pub(crate) fn extend(base: Node, service: Node) -> Result<Node> {
    merge_at(base, service, &mut vec!["services".to_owned(), "x".to_owned()])
}

fn merge_at(base: Node, other: Node, path: &mut Path) -> Result<Node> {
    if let Some((_, rule)) = RULES.iter().find(|(pattern, _)| matches(path, pattern)) {
        return rule(base, other, path);
    }
    if other.is_null() {
        return Ok(base);
    }
    match base.value {
        Value::Map(_) => mappings(base, other, path),
        Value::List(_) => {
            let Value::List(more) = other.value else {
                return Err(cannot(path, &other));
            };
            let mut merged = base;
            merged
                .as_list_mut()
                .into_iter()
                .for_each(|list| list.extend(more.iter().cloned()));
            Ok(merged)
        }
        _ => Ok(other),
    }
}

fn cannot(path: &Path, other: &Node) -> Error {
    Error::invalid(format!("cannot override {}", show(path))).at(other.at)
}

/// Merges mappings key by key. What the result says comes from the later one.
fn mappings(base: Node, other: Node, path: &mut Path) -> Result<Node> {
    let (at, key) = (other.at, other.key);
    let Value::Map(more) = other.value else {
        return Err(cannot(
            path,
            &Node {
                value: other.value,
                at,
                key,
            },
        ));
    };
    let Value::Map(mut map) = base.value else {
        return Ok(Node {
            value: Value::Map(more),
            at,
            key,
        });
    };
    for (name, node) in more {
        let Some(old) = map.remove(&name) else {
            map.insert(name, node);
            continue;
        };
        path.push(name.clone());
        let merged = merge_at(old, node, path)?;
        path.pop();
        map.insert(name, merged);
    }
    Ok(Node {
        value: Value::Map(map),
        at: base.at,
        key: base.key,
    })
}

fn replace(_: Node, other: Node, _: &mut Path) -> Result<Node> {
    Ok(other)
}

/// Both as lists of lines, one after the other; what is said twice counts once, later ([`crate::unique`]).
fn lines(base: Node, other: Node, _: &mut Path) -> Result<Node> {
    let (at, key) = (base.at, base.key);
    let mut list = into_lines(base);
    list.extend(into_lines(other));
    Ok(Node {
        value: Value::List(list),
        at,
        key,
    })
}

/// Lines of the later one are added unless they are there.
fn hosts(base: Node, other: Node, _: &mut Path) -> Result<Node> {
    let (at, key) = (base.at, base.key);
    let mut list = into_lines(base);
    for line in into_lines(other) {
        if !list.contains(&line) {
            list.push(line);
        }
    }
    Ok(Node {
        value: Value::List(list),
        at,
        key,
    })
}

/// A mapping as lines `key=value`, sorted.
fn into_lines(node: Node) -> Vec<Node> {
    match node.value {
        Value::List(list) => list,
        Value::Text(_) => vec![node],
        Value::Map(map) => {
            let mut lines: Vec<_> = map
                .into_iter()
                .flat_map(|(key, node)| {
                    let (at, place) = (node.at, node.key);
                    let texts = match node.value {
                        Value::Null => vec![key],
                        Value::List(list) => list
                            .iter()
                            .map(|item| format!("{key}={}", item.value.to_text()))
                            .collect(),
                        value => vec![format!("{key}={}", value.to_text())],
                    };
                    texts.into_iter().map(move |text| Node {
                        value: Value::Text(text),
                        at,
                        key: place,
                    })
                })
                .collect();
            lines.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
            lines
        }
        _ => Vec::new(),
    }
}

/// `build: folder` is `build: {context: folder}`.
fn build(base: Node, other: Node, path: &mut Path) -> Result<Node> {
    let long = |mut node: Node| {
        if let Value::Text(text) = &node.value {
            node.value = Node::map([("context", Value::Text(text.clone()))], node.at).value;
        }
        node
    };
    let (base, other) = (long(base), long(other));
    if other.is_null() {
        Ok(base)
    } else {
        mappings(base, other, path)
    }
}

fn depends_on(base: Node, other: Node, path: &mut Path) -> Result<Node> {
    let long = |mut node: Node| {
        if let Value::List(list) = &node.value {
            let names = list
                .iter()
                .filter_map(|name| Some((name.as_text()?.to_owned(), dependency(name.at))));
            node.value = Value::Map(names.collect());
        }
        node
    };
    let (base, other) = (long(base), long(other));
    if other.is_null() {
        Ok(base)
    } else {
        mappings(base, other, path)
    }
}

/// Lists of names are mappings without values.
fn named(mut base: Node, mut other: Node, path: &mut Path) -> Result<Node> {
    names_to_map(&mut base);
    names_to_map(&mut other);
    if other.is_null() {
        Ok(base)
    } else {
        mappings(base, other, path)
    }
}

/// Options of another driver mean nothing to this one.
fn logging(base: Node, other: Node, path: &mut Path) -> Result<Node> {
    let driver = |node: &Node| node.get("driver").cloned();
    match (driver(&base), driver(&other)) {
        (Some(old), Some(new)) if old != new => Ok(other),
        _ if other.is_null() => Ok(base),
        _ => mappings(base, other, path),
    }
}

/// Ranges are the same when their subnets are.
fn ipam(base: Node, other: Node, path: &mut Path) -> Result<Node> {
    let (at, key) = (base.at, base.key);
    let (Value::List(old), Value::List(new)) = (base.value, &other.value) else {
        return Err(Error::invalid(format!("{}: unexpected type", show(path))).at(other.at));
    };
    let mut pools: Vec<Node> = Vec::new();
    let known = |pools: &[Node], pool: &Node| pools.iter().position(|other| other.get("subnet") == pool.get("subnet"));
    for original in old {
        let mut original = original;
        for pool in new {
            if pool.get("subnet") != original.get("subnet") && known(&pools, pool).is_none() {
                pools.push(pool.clone());
                continue;
            }
            original = mappings(original, pool.clone(), path)?;
            match known(&pools, &original) {
                Some(index) => pools[index] = original.clone(),
                None => pools.push(original.clone()),
            }
        }
    }
    Ok(Node {
        value: Value::List(pools),
        at,
        key,
    })
}

/// Takes away what a file resets or overrides: what earlier ones say there.
pub(crate) fn reset(node: &mut Node, paths: &[Path]) {
    if !paths.is_empty() {
        reset_at(node, &mut Path::new(), paths);
    }
}

fn reset_at(node: &mut Node, path: &mut Path, resets: &[Path]) {
    match &mut node.value {
        Value::Map(map) => map.retain(|key, child| {
            path.push(key.clone());
            let goes = resets.contains(path);
            if !goes {
                reset_at(child, path, resets);
            }
            path.pop();
            !goes
        }),
        Value::List(list) => {
            for (index, child) in list.iter_mut().enumerate() {
                path.push(format!("[{index}]"));
                reset_at(child, path, resets);
                path.pop();
            }
        }
        _ => {}
    }
}

/// An empty tree to merge into.
pub(crate) fn nothing() -> Node {
    Node::new(Value::Map(Map::new()), crate::source::Position::default())
}
