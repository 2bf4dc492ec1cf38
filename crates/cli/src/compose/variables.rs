//! `compose config --variables`.

use std::collections::BTreeMap;

use corten_compose::{Map, Node, Position, Value, Variable};

use crate::error::{Error, Result};

/// The variables as a table, or for programs.
pub(crate) fn show(variables: &BTreeMap<String, Variable>, format: &str) -> Result<String> {
    match format.to_lowercase().as_str() {
        "yaml" => {
            Ok(tree(variables, ["name", "defaultvalue", "presencevalue", "required"])
                .render(corten_compose::Format::Yaml))
        }
        "json" | "{{json .}}" => {
            let keys = ["Name", "DefaultValue", "PresenceValue", "Required"];
            let text = tree(variables, keys).render(corten_compose::Format::Json);
            let value: serde_json::Value =
                serde_json::from_str(&text).map_err(|error| Error::new(error.to_string()))?;
            Ok(format!("{}\n", serde_json::to_string(&value).unwrap_or_default()))
        }
        "" | "table" | "pretty" => Ok(table(variables)),
        _ => Err(Error::new(format!(
            "format value {format:?} could not be parsed: parsing failed"
        ))),
    }
}

fn tree(variables: &BTreeMap<String, Variable>, keys: [&str; 4]) -> Node {
    let at = Position::default();
    let entries = variables.iter().map(|(name, variable)| {
        let values = [
            Value::Text(name.clone()),
            Value::Text(variable.default.clone()),
            Value::Text(variable.replacement.clone()),
            Value::Bool(variable.required),
        ];
        let fields = keys.iter().zip(values);
        let fields: Map = fields
            .map(|(key, value)| ((*key).to_owned(), Node::new(value, at)))
            .collect();
        (name.clone(), Node::new(Value::Map(fields), at))
    });
    Node::new(Value::Map(entries.collect()), at)
}

fn table(variables: &BTreeMap<String, Variable>) -> String {
    let heading = ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"].map(str::to_owned);
    let rows = variables.iter().map(|(name, variable)| {
        [
            name.clone(),
            variable.required.to_string(),
            variable.default.clone(),
            variable.replacement.clone(),
        ]
    });
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        (widest + 3).max(20)
    };
    let widths = [width(0), width(1), width(2)];
    let line = |row: &[String; 4]| {
        let [name, required, default, alternate] = row;
        let [first, second, third] = widths;
        format!("{name:<first$}{required:<second$}{default:<third$}{alternate}\n")
    };
    rows.iter().map(line).collect()
}
