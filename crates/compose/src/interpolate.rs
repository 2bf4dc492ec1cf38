//! Variables in a file's values, and the types of what they give.

use crate::{
    error::{Error, Result},
    node::{Node, Value},
    path::{Path, matches, show},
    template::{self, Lookup},
    warnings::Warnings,
};

/// What a text with variables is turned into.
#[derive(Clone, Copy)]
enum Cast {
    Int,
    Float,
    Bool,
}

/// Attributes that are no texts. Their values may be texts with variables, which then become what they should be.
const CASTS: &[(&str, Cast)] = &[
    ("services.*.cpu_count", Cast::Int),
    ("services.*.cpu_percent", Cast::Float),
    ("services.*.cpu_period", Cast::Int),
    ("services.*.cpu_quota", Cast::Int),
    ("services.*.cpu_rt_period", Cast::Int),
    ("services.*.cpu_rt_runtime", Cast::Int),
    ("services.*.cpus", Cast::Float),
    ("services.*.cpu_shares", Cast::Int),
    ("services.*.init", Cast::Bool),
    ("services.*.deploy.replicas", Cast::Int),
    ("services.*.deploy.update_config.parallelism", Cast::Int),
    ("services.*.deploy.update_config.max_failure_ratio", Cast::Float),
    ("services.*.deploy.rollback_config.parallelism", Cast::Int),
    ("services.*.deploy.rollback_config.max_failure_ratio", Cast::Float),
    ("services.*.deploy.restart_policy.max_attempts", Cast::Int),
    ("services.*.deploy.placement.max_replicas_per_node", Cast::Int),
    ("services.*.healthcheck.retries", Cast::Int),
    ("services.*.healthcheck.disable", Cast::Bool),
    ("services.*.oom_kill_disable", Cast::Bool),
    ("services.*.oom_score_adj", Cast::Int),
    ("services.*.pids_limit", Cast::Int),
    ("services.*.ports.[].target", Cast::Int),
    ("services.*.privileged", Cast::Bool),
    ("services.*.read_only", Cast::Bool),
    ("services.*.scale", Cast::Int),
    ("services.*.stdin_open", Cast::Bool),
    ("services.*.tty", Cast::Bool),
    ("services.*.ulimits.*", Cast::Int),
    ("services.*.ulimits.*.hard", Cast::Int),
    ("services.*.ulimits.*.soft", Cast::Int),
    ("services.*.volumes.[].read_only", Cast::Bool),
    ("services.*.volumes.[].volume.nocopy", Cast::Bool),
    ("networks.*.external", Cast::Bool),
    ("networks.*.internal", Cast::Bool),
    ("networks.*.attachable", Cast::Bool),
    ("networks.*.enable_ipv4", Cast::Bool),
    ("networks.*.enable_ipv6", Cast::Bool),
    ("volumes.*.external", Cast::Bool),
    ("secrets.*.external", Cast::Bool),
    ("configs.*.external", Cast::Bool),
];

/// Fills in the variables of every value of a file.
pub(crate) fn interpolate(root: &mut Node, lookup: &Lookup<'_>, warnings: &mut Warnings) -> Result<()> {
    walk(root, &mut Path::new(), lookup, warnings)
}

fn walk(node: &mut Node, path: &mut Path, lookup: &Lookup<'_>, warnings: &mut Warnings) -> Result<()> {
    match &mut node.value {
        Value::Text(text) => {
            let filled = template::substitute(text, lookup, &mut |name| warnings.unset(name))
                .map_err(|failure| failure.about(&show(path)).at(node.at))?;
            node.value = match CASTS.iter().find(|(pattern, _)| matches(path, pattern)) {
                None => Value::Text(filled),
                Some((_, cast)) => cast.apply(&filled, warnings).map_err(|reason| {
                    let path = show(path);
                    let doing = format!("error while interpolating {path}: failed to cast to expected type: ");
                    Error::invalid(doing + &reason).at(node.at)
                })?,
            };
        }
        Value::List(list) => {
            path.push("[]".to_owned());
            for item in list {
                walk(item, path, lookup, warnings)?;
            }
            path.pop();
        }
        Value::Map(map) => {
            for (key, item) in map {
                path.push(key.clone());
                walk(item, path, lookup, warnings)?;
                path.pop();
            }
        }
        _ => {}
    }
    Ok(())
}

/// The variables that a tree's values use.
pub fn variables(root: &Node) -> std::collections::BTreeMap<String, template::Variable> {
    let mut found = std::collections::BTreeMap::new();
    let mut left = vec![root];
    while let Some(node) = left.pop() {
        match &node.value {
            Value::Text(text) => template::collect(text, &mut found),
            Value::List(list) => left.extend(list.iter().rev()),
            Value::Map(map) => left.extend(map.values().rev()),
            _ => {}
        }
    }
    found
}

impl Cast {
    fn apply(self, text: &str, warnings: &mut Warnings) -> std::result::Result<Value, String> {
        let number = |function: &str| {
            let range = !text.is_empty() && text.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
            let reason = if range { "value out of range" } else { "invalid syntax" };
            format!("strconv.{function}: parsing {text:?}: {reason}")
        };
        match self {
            Self::Int => text.parse().map(Value::Int).map_err(|_| number("ParseInt")),
            Self::Float => text.parse().map(Value::Float).map_err(|_| number("ParseFloat")),
            Self::Bool => {
                let value = parse_bool(text).ok_or_else(|| format!("invalid boolean: {text}"))?;
                if !matches!(text.to_lowercase().as_str(), "true" | "false") {
                    warnings.add(format!(
                        "{text:?} for boolean is not supported by YAML 1.2, please use `{value}`"
                    ));
                }
                Ok(Value::Bool(value))
            }
        }
    }
}

/// Yes or no, in the words of YAML 1.1.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "y" | "yes" | "on" => Some(true),
        "false" | "n" | "no" | "off" => Some(false),
        _ => None,
    }
}
