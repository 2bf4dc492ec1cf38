//! The `filters` query parameter: a map from filter names to values.
//!
//! Current clients send `{"label":{"a=b":true}}`, old ones (API before 1.22) `{"label":["a=b"]}`;
//! both are read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Values by filter name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

/// Why a `filters` parameter cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError(String);

impl std::fmt::Display for FilterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FilterError {}

impl Filters {
    /// Reads the parameter's JSON; an empty text is no filter.
    ///
    /// # Errors
    /// When the text is no such map.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let bad = || FilterError("invalid filter".to_owned());
        let map = match serde_json::from_str(text).map_err(|_| bad())? {
            Value::Object(map) => map,
            Value::Null => return Ok(Self::default()),
            _ => return Err(bad()),
        };
        let mut filters = Self::default();
        for (name, values) in map {
            let entry = filters.0.entry(name).or_default();
            match values {
                Value::Object(values) => {
                    for (value, on) in values {
                        match on {
                            Value::Bool(true) => _ = entry.insert(value),
                            Value::Bool(false) => {}
                            _ => return Err(bad()),
                        }
                    }
                }
                Value::Array(values) => {
                    for value in values {
                        let Value::String(value) = value else {
                            return Err(bad());
                        };
                        entry.insert(value);
                    }
                }
                _ => return Err(bad()),
            }
        }
        Ok(filters)
    }

    /// Adds a value.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.entry(name.into()).or_default().insert(value.into());
    }

    /// The parameter's JSON, as current clients send it; empty without filters.
    pub fn to_json(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let map: BTreeMap<_, BTreeMap<_, _>> = self
            .0
            .iter()
            .map(|(k, v)| (k, v.iter().map(|v| (v, true)).collect()))
            .collect();
        serde_json::to_string(&map).unwrap_or_default()
    }

    /// Whether there is no filter at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a filter is given.
    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|values| !values.is_empty())
    }

    /// The values of a filter, none when it is not given.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// Whether a filter is absent or has this very value.
    pub fn exact(&self, name: &str, value: &str) -> bool {
        !self.has(name) || self.values(name).any(|v| v == value)
    }

    /// Whether a filter is absent or one of its values satisfies `test`.
    pub fn any(&self, name: &str, test: impl FnMut(&str) -> bool) -> bool {
        !self.has(name) || self.values(name).any(test)
    }

    /// Reads a filter as a switch.
    ///
    /// # Errors
    /// When its value is no boolean, or it has contradicting ones; in Docker's words.
    pub fn switch(&self, name: &str, default: bool) -> Result<bool, FilterError> {
        let mut values = self.values(name).map(|v| match v {
            "1" | "true" | "True" | "TRUE" | "t" => Ok(true),
            "0" | "false" | "False" | "FALSE" | "f" => Ok(false),
            _ => Err(self.invalid(name)),
        });
        let Some(first) = values.next() else {
            return Ok(default);
        };
        let first = first?;
        for other in values {
            if other? != first {
                return Err(self.invalid(name));
            }
        }
        Ok(first)
    }

    /// The error for a filter whose values make no sense.
    pub fn invalid(&self, name: &str) -> FilterError {
        let values: Vec<_> = self.values(name).collect();
        FilterError(format!("invalid filter '{name}=[{}]'", values.join(" ")))
    }

    /// Whether labels satisfy the `label` (each `key` or `key=value` is there) and `label!` filters.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &str| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").all(has) && !(self.has("label!") && self.values("label!").all(has))
    }

    /// Refuses filters that a list does not know.
    ///
    /// # Errors
    /// Names the first unknown one, in Docker's words.
    pub fn accept(&self, known: &[&str]) -> Result<(), FilterError> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(FilterError(format!("invalid filter '{name}'"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        let new = Filters::parse(r#"{"label":{"a=b":true,"c":true,"d":false}}"#).unwrap();
        let old = Filters::parse(r#"{"label":["a=b","c"]}"#).unwrap();
        assert_eq!(new, old);
        assert_eq!(Filters::parse(&new.to_json()).unwrap(), new);
        assert_eq!(Filters::parse("[]").unwrap_err().to_string(), "invalid filter");
    }

    #[test]
    fn matches_labels() {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let check = |json, expected| assert_eq!(Filters::parse(json).unwrap().labels(&labels), expected, "{json}");
        check(r#"{"label":["a"]}"#, true);
        check(r#"{"label":["a=b"]}"#, true);
        check(r#"{"label":["a=c"]}"#, false);
        check(r#"{"label!":["a"]}"#, false);
        check(r#"{"label!":["x"]}"#, true);
    }
}
