//! Values that templates see, and how Go prints them.

use std::{collections::BTreeMap, fmt, rc::Rc};

use super::json::{Escape, Json};

/// A method with arguments.
pub type Method = Rc<dyn Fn(&[Value]) -> Result<Value, String>>;

/// A value.
#[derive(Clone)]
pub enum Value {
    /// No value: a missing key, or `null` in a document of unknown type.
    Nil,
    /// A pointer to nothing, of that type.
    NilPointer(&'static str),
    /// A list that was never made.
    NilList,
    /// A map that was never made.
    NilMap,
    /// A switch.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Str(Rc<str>),
    /// A list.
    List(Rc<[Value]>),
    /// A map, in the order of its keys.
    Map(Rc<BTreeMap<String, Value>>),
    /// A structure.
    Struct(Rc<Struct>),
    /// Something to call.
    Method(Method),
}

/// A structure with named fields, which may be computed.
#[derive(Clone, Default)]
pub struct Struct {
    /// Its type, as errors name it.
    pub kind: &'static str,
    /// Its fields in order.
    pub fields: Vec<(&'static str, Value)>,
    /// What it looks like as JSON, when that is not its fields.
    pub json: Option<Json>,
    /// What it looks like as text, when that is not its fields.
    pub text: Option<String>,
    /// Names that exist but are not shown among the fields.
    pub methods: Vec<(&'static str, Value)>,
}

impl Struct {
    /// A field or method.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields
            .iter()
            .chain(&self.methods)
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}

impl Value {
    /// A list.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Self {
        Self::List(items.into_iter().collect())
    }

    /// A map.
    pub fn map<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        Self::Map(Rc::new(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()))
    }

    /// A structure.
    pub fn record(kind: &'static str, fields: Vec<(&'static str, Value)>) -> Self {
        Self::Struct(Rc::new(Struct {
            kind,
            fields,
            ..Struct::default()
        }))
    }

    /// The type, as Go names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::NilPointer(kind) => kind,
            Self::NilList | Self::List(_) => "[]interface {}",
            Self::NilMap | Self::Map(_) => "map[string]interface {}",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::Struct(s) => s.kind,
            Self::Method(_) => "func",
        }
    }

    /// Whether it counts as true.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil | Self::NilPointer(_) | Self::NilList | Self::NilMap => false,
            Self::Bool(on) => *on,
            Self::Int(n) => *n != 0,
            Self::Float(n) => *n != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(members) => !members.is_empty(),
            Self::Struct(_) | Self::Method(_) => true,
        }
    }

    /// The text when an action prints it.
    pub fn print(&self) -> String {
        match self {
            Self::Nil => "<no value>".to_owned(),
            value => value.print_inner(),
        }
    }

    /// The text inside lists and for `print`.
    pub fn print_inner(&self) -> String {
        match self {
            Self::Nil | Self::NilPointer(_) => "<nil>".to_owned(),
            Self::NilList => "[]".to_owned(),
            Self::NilMap => "map[]".to_owned(),
            Self::Bool(on) => on.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Float(n) => super::number_format::shortest(*n),
            Self::Str(text) => text.to_string(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::print_inner).collect();
                format!("[{}]", items.join(" "))
            }
            Self::Map(members) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(k, v)| format!("{k}:{}", v.print_inner()))
                    .collect();
                format!("map[{}]", members.join(" "))
            }
            Self::Struct(s) => match &s.text {
                Some(text) => text.clone(),
                None => {
                    let fields: Vec<_> = s.fields.iter().map(|(_, v)| v.print_inner()).collect();
                    format!("{{{}}}", fields.join(" "))
                }
            },
            Self::Method(_) => "0x0".to_owned(),
        }
    }

    /// The value as JSON.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Nil | Self::NilPointer(_) | Self::NilList | Self::NilMap | Self::Method(_) => Json::Null,
            Self::Bool(on) => Json::Bool(*on),
            Self::Int(n) => Json::Int(*n),
            Self::Float(n) => Json::Float(*n),
            Self::Str(text) => Json::String(text.to_string()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(members) => Json::Object(members.iter().map(|(k, v)| (k.clone(), v.to_json())).collect()),
            Self::Struct(s) => match &s.json {
                Some(json) => json.clone(),
                None => {
                    let mut members: Vec<_> = s.fields.iter().map(|(k, v)| ((*k).to_owned(), v.to_json())).collect();
                    members.sort_by(|a, b| a.0.cmp(&b.0));
                    Json::Object(members)
                }
            },
        }
    }

    /// The text of the JSON: rows escape as Go's default encoder, everything else is left plain.
    pub fn json_text(&self) -> String {
        let escape = match self {
            Self::Struct(s) if s.json.is_none() => Escape::Html,
            _ => Escape::Plain,
        };
        let mut out = String::new();
        self.to_json().write(escape, &mut out);
        out
    }
}
