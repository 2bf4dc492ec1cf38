//! Values of a file, each with its place in it.

use std::collections::BTreeMap;

use crate::{number, source::Position};

/// Values by key.
pub type Map = BTreeMap<String, Node>;

/// A value and where it is.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it begins.
    pub at: Position,
    /// Where its key is, when it has one.
    pub key: Position,
}

/// A value.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value {
    /// None.
    #[default]
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A date or a time, which no attribute takes.
    Time(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
}

/// Nodes are equal when their values are, wherever they are written.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// A value that the loader adds because of something at that place.
    pub fn new(value: Value, at: Position) -> Self {
        Self { value, at, key: at }
    }

    /// A text that the loader adds because of something at that place.
    pub fn text(text: impl Into<String>, at: Position) -> Self {
        Self::new(Value::Text(text.into()), at)
    }

    /// A mapping that the loader adds because of something at that place.
    pub fn map(fields: impl IntoIterator<Item = (&'static str, Value)>, at: Position) -> Self {
        let fields = fields
            .into_iter()
            .map(|(key, value)| (key.to_owned(), Self::new(value, at)));
        Self::new(Value::Map(fields.collect()), at)
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The text that it is.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The mapping that it is.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The mapping that it is, to change.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list that it is.
    pub fn as_list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// The list that it is, to change.
    pub fn as_list_mut(&mut self) -> Option<&mut Vec<Self>> {
        match &mut self.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key)
    }

    /// The value of a key, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        self.as_map_mut()?.get_mut(key)
    }

    /// The tree as a file, with its keys sorted.
    pub fn render(&self, format: crate::Format) -> String {
        crate::output::Output::of(self, format).write(format)
    }

    /// The value at the end of a path of keys and indexes.
    pub fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| match &node.value {
            Value::Map(map) => map.get(*step),
            Value::List(list) => list.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl Value {
    /// A plain value as text, as Go prints it.
    pub fn to_text(&self) -> String {
        match self {
            Self::Null => "<nil>".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => number::shortest(*value),
            Self::Time(text) | Self::Text(text) => text.clone(),
            Self::List(_) | Self::Map(_) => String::new(),
        }
    }

    /// What people call such a value.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Time(_) => "a date",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}
