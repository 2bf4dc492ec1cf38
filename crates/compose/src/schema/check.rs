//! Holds a tree against the tables.

use std::collections::HashMap;

use super::{Field, Rule, Shape};
use crate::{
    Format,
    error::{Error, Result},
    model::Duration,
    nearest::nearest,
    node::{Map, Node, Value},
    path::{Path, show},
};

/// Checks a node.
pub(super) fn check(node: &Node, rule: Rule, path: &mut Path) -> Result<()> {
    let fitting: Vec<_> = rule.iter().filter(|shape| shape.fits(&node.value)).collect();
    if fitting.is_empty() {
        if matches!(node.value, Value::Time(_)) {
            let message = format!("{} invalid jsonType time.Time", show(path));
            return Err(Error::invalid(message).at(node.at).hint("put the date in quotes"));
        }
        return Err(Error::invalid(format!("{} must be a {}", show(path), wanted(rule))).at(node.at));
    }
    let mut last = Ok(());
    for shape in fitting {
        last = shape.check(node, path);
        if last.is_ok() {
            return Ok(());
        }
    }
    last
}

/// The types that a rule knows, in words.
fn wanted(rule: Rule) -> String {
    let mut names: Vec<_> = rule.iter().map(|shape| shape.name()).collect();
    names.sort_unstable();
    names.dedup();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => String::new(),
    }
}

impl Shape {
    /// What the specification calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "boolean",
            Self::Text | Self::Choice(_) | Self::PullPolicy => "string",
            Self::Int | Self::Between(..) | Self::From(_) => "integer",
            Self::Number => "number",
            Self::List(_) | Self::Set(_) => "array",
            Self::Object(..)
            | Self::Closed(..)
            | Self::Open(_)
            | Self::Any(_)
            | Self::Names(_)
            | Self::LooseNames(_) => "mapping",
            Self::Anything => "value",
        }
    }

    /// Whether a value is of that type.
    fn fits(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Anything, _) => true,
            (_, Value::Time(_)) => false,
            (Self::Int | Self::Between(..) | Self::From(_), Value::Float(number)) => number.fract() == 0.0,
            (Self::Number, Value::Float(_)) => true,
            (shape, value) => {
                let name = shape.name();
                match value {
                    Value::Null => name == "null",
                    Value::Bool(_) => name == "boolean",
                    Value::Int(_) => name == "integer" || name == "number",
                    Value::Float(_) => name == "number",
                    Value::Text(_) | Value::Time(_) => name == "string",
                    Value::List(_) => name == "array",
                    Value::Map(_) => name == "mapping",
                }
            }
        }
    }

    fn check(self, node: &Node, path: &mut Path) -> Result<()> {
        let wrong = |what: String| Err(Error::invalid(format!("{} {what}", show(path))).at(node.at));
        match (self, &node.value) {
            (Self::Choice(choices), Value::Text(text)) if !choices.contains(&text.as_str()) => {
                let quoted: Vec<_> = choices.iter().map(|choice| format!("'{choice}'")).collect();
                let message = match quoted.as_slice() {
                    [one] => format!("{} value must be {one}", show(path)),
                    several => format!("{} value must be one of {}", show(path), several.join(", ")),
                };
                let error = Error::invalid(message).at(node.at);
                Err(match nearest(text, choices.iter()) {
                    Some(near) => error.hint(format!("did you mean {near:?}?")),
                    None => error,
                })
            }
            (Self::PullPolicy, Value::Text(text)) if !is_pull_policy(text) => {
                let pattern =
                    "always, never, build, if_not_present, missing, refresh, daily, weekly or every_<duration>";
                wrong(format!("'{text}' is none of {pattern}"))
            }
            (Self::Between(least, _) | Self::From(least), Value::Int(number)) if *number < least => {
                wrong(format!("must be greater than or equal to {least}"))
            }
            (Self::Between(_, most), Value::Int(number)) if *number > most => {
                wrong(format!("must be less than or equal to {most}"))
            }
            (Self::List(rule), Value::List(list)) => items(list, rule, path),
            (Self::Set(rule), Value::List(list)) => {
                twice(list, path)?;
                items(list, rule, path)
            }
            (Self::Object(fields, required), Value::Map(map)) => {
                object(node, map, fields, required, path, |key| key.starts_with("x-"))
            }
            (Self::Closed(fields, required), Value::Map(map)) => object(node, map, fields, required, path, |_| false),
            (Self::Open(fields), Value::Map(map)) => object(node, map, fields, &[], path, |_| true),
            (Self::Any(rule), Value::Map(map)) => {
                named(map, path, |_| true)?;
                values(map, rule, path)
            }
            (Self::Names(rule), Value::Map(map)) => {
                named(map, path, |key| {
                    key.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
                })?;
                values(map, rule, path)
            }
            (Self::LooseNames(rule), Value::Map(map)) => values(map, rule, path),
            _ => Ok(()),
        }
    }
}

fn items(list: &[Node], rule: Rule, path: &mut Path) -> Result<()> {
    for (index, item) in list.iter().enumerate() {
        path.push(index.to_string());
        check(item, rule, path)?;
        path.pop();
    }
    Ok(())
}

/// Refuses elements that are there twice.
fn twice(list: &[Node], path: &Path) -> Result<()> {
    let mut seen: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, item) in list.iter().enumerate() {
        // What is written differently is different; so long lists stay cheap.
        let same_looks = seen.entry(item.render(Format::Json)).or_default();
        if let Some(first) = same_looks.iter().find(|other| list[**other] == *item) {
            let message = format!("{} items at {first} and {index} are equal", show(path));
            return Err(Error::invalid(message).at(item.at));
        }
        same_looks.push(index);
    }
    Ok(())
}

fn values(map: &Map, rule: Rule, path: &mut Path) -> Result<()> {
    for (key, node) in map {
        path.push(key.clone());
        check(node, rule, path)?;
        path.pop();
    }
    Ok(())
}

/// Refuses keys that are no names.
fn named(map: &Map, path: &Path, is_name: impl Fn(&str) -> bool) -> Result<()> {
    match map.iter().find(|(key, _)| key.is_empty() || !is_name(key)) {
        Some((key, node)) => {
            let message = format!("{} additional properties '{key}' not allowed", show(path));
            let hint = "names have letters, digits, '.', '_' and '-'";
            Err(Error::invalid(message).at(node.key).hint(hint))
        }
        None => Ok(()),
    }
}

fn object(
    node: &Node,
    map: &Map,
    fields: &[Field],
    required: &[&str],
    path: &mut Path,
    is_free: impl Fn(&str) -> bool,
) -> Result<()> {
    for (key, child) in map {
        if let Some((_, rule)) = fields.iter().find(|(name, _)| name == key) {
            path.push(key.clone());
            check(child, rule, path)?;
            path.pop();
        } else if !is_free(key) {
            let message = format!("{} additional properties '{key}' not allowed", show(path));
            let error = Error::invalid(message.trim_start().to_owned()).at(child.key);
            return Err(match nearest(key, fields.iter().map(|(name, _)| *name)) {
                Some(near) => error.hint(format!("did you mean {near:?}?")),
                None => error.hint(format!("known here: {}", known(fields))),
            });
        }
    }
    match required.iter().find(|key| !map.contains_key(**key)) {
        Some(key) => {
            let message = format!("{} missing property '{key}'", show(path));
            Err(Error::invalid(message).at(if node.key.is_known() { node.key } else { node.at }))
        }
        None => Ok(()),
    }
}

/// The keys of a table, as far as they fit on a line.
fn known(fields: &[Field]) -> String {
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    if names.len() > 12 {
        format!("{} and {} more", names[..12].join(", "), names.len() - 12)
    } else {
        names.join(", ")
    }
}

fn is_pull_policy(text: &str) -> bool {
    let words = [
        "always",
        "never",
        "build",
        "if_not_present",
        "missing",
        "refresh",
        "daily",
        "weekly",
    ];
    words.iter().any(|word| text.contains(word))
        || text.strip_prefix("every_").is_some_and(|span| {
            let ends = span.ends_with(|c| "wdhms".contains(c));
            ends && Duration::parse(span).is_some()
        })
}
