//! JSON documents with the order of their keys kept, and how Go writes them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::value::Value;

/// A JSON document.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<Json>),
    /// Members in their order.
    Object(Vec<(String, Json)>),
}

/// Whether `<`, `>` and `&` are written as escapes, as Go's encoder does unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// As Go does by default: `<`, `>` and `&` as `\u00xx`.
    Html,
    /// Without that.
    Plain,
}

impl Json {
    /// Reads a document.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| e.to_string())
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Self::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text of a string member, or nothing.
    pub fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Self::String(text)) => text,
            _ => "",
        }
    }

    /// A number member, or 0.
    pub fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            Some(Self::Int(n)) => *n,
            _ => 0,
        }
    }

    /// A switch member.
    pub fn on(&self, name: &str) -> bool {
        self.get(name) == Some(&Self::Bool(true))
    }

    /// The elements of an array member.
    pub fn items(&self, name: &str) -> &[Json] {
        match self.get(name) {
            Some(Self::Array(items)) => items,
            _ => &[],
        }
    }

    /// The members of an object member.
    pub fn members(&self, name: &str) -> &[(String, Json)] {
        match self.get(name) {
            Some(Self::Object(members)) => members,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value for templates, as Go decodes a document without knowing its type.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Nil,
            Self::Bool(on) => Value::Bool(*on),
            Self::Int(n) => Value::Int(*n),
            Self::Float(n) => Value::Float(*n),
            Self::String(text) => Value::from(text.as_str()),
            Self::Array(items) => Value::list(items.iter().map(Self::to_value)),
            Self::Object(members) => Value::map(members.iter().map(|(k, v)| (k.as_str(), v.to_value()))),
        }
    }

    /// The document on one line.
    pub fn write(&self, escape: Escape, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(on) => out.push_str(if *on { "true" } else { "false" }),
            Self::Int(n) => out.push_str(&n.to_string()),
            Self::Float(n) => out.push_str(&float(*n)),
            Self::String(text) => string(text, escape, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(escape, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    string(name, escape, out);
                    out.push(':');
                    value.write(escape, out);
                }
                out.push('}');
            }
        }
    }
}

/// A number as Go's encoder writes it.
fn float(n: f64) -> String {
    let magnitude = n.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{n:e}");
        return match text.contains("e-") {
            // Unlike strconv's, such an exponent is not filled up to two digits.
            true => text,
            false => text.replacen('e', "e+", 1),
        };
    }
    format!("{n}")
}

/// Adds a string as Go's encoder writes it, in quotes.
pub fn string(text: &str, escape: Escape, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' if escape == Escape::Html => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Indents a document by four spaces a level, as [`indent_by`].
pub fn indent(text: &str) -> String {
    indent_by(text, "    ")
}

/// Indents a document, leaving its tokens as they are (Go's `json.Indent`).
pub fn indent_by(text: &str, unit: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    // Whether a bracket has just been opened: an empty pair stays on its line.
    let mut opened = false;
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(unit, depth));
    };
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            out.push(c);
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        if opened && !matches!(c, ']' | '}') {
            opened = false;
            depth += 1;
            newline(&mut out, depth);
        }
        match c {
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                opened = true;
                out.push(c);
            }
            ',' => {
                out.push(c);
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            '}' | ']' => {
                if opened {
                    opened = false;
                } else {
                    depth = depth.saturating_sub(1);
                    newline(&mut out, depth);
                }
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON document")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, on: bool) -> Result<Json, E> {
        Ok(Json::Bool(on))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Json, E> {
        Ok(Json::Int(n))
    }

    #[expect(clippy::cast_precision_loss, reason = "Go decodes such numbers into floats, too")]
    fn visit_u64<E>(self, n: u64) -> Result<Json, E> {
        Ok(i64::try_from(n).map_or(Json::Float(n as f64), Json::Int))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Json, E> {
        Ok(Json::Float(n))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_as_go() {
        let check = |text: &str, escape, expected: &str| {
            let mut out = String::new();
            Json::parse(text.as_bytes()).unwrap().write(escape, &mut out);
            assert_eq!(out, expected);
        };
        check(
            r#"{"b":1,"a":[1.5,null,"<x>"]}"#,
            Escape::Html,
            r#"{"b":1,"a":[1.5,null,"\u003cx\u003e"]}"#,
        );
        check(r#"["<\u0001\n"]"#, Escape::Plain, r#"["<\u0001\n"]"#);
        check("[1e30]", Escape::Plain, "[1e+30]");
        check(
            "[1e-7, -2.5e-7, 1e-10, 1e-6, 1e21, 1e20]",
            Escape::Plain,
            "[1e-7,-2.5e-7,1e-10,0.000001,1e+21,100000000000000000000]",
        );
    }

    #[test]
    fn indents_as_go() {
        assert_eq!(
            indent(r#"[{"a":{},"b":[],"c":[1,"x:,{"]}]"#),
            "[\n    {\n        \"a\": {},\n        \"b\": [],\n        \"c\": [\n            1,\n            \"x:,{\"\n        ]\n    }\n]"
        );
    }
}
