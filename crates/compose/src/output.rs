//! What is written, and how it is put into JSON.

use corten_template::{Escape, json_string};

use crate::{
    node::{Node, Value},
    number, yaml,
};

/// A notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As files have it.
    Yaml,
    /// For programs.
    Json,
}

/// A value to write, with the keys of mappings in their final order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Float32(f32),
    Text(String),
    /// A date and a time, which YAML writes without quotes.
    Time(String),
    List(Vec<Output>),
    Map(Vec<(String, Output)>),
}

impl Output {
    /// A node, with its keys sorted.
    pub(crate) fn of(node: &Node, format: Format) -> Self {
        match &node.value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(i128::from(*value)),
            Value::Float(value) => Self::Float(*value),
            Value::Text(text) => Self::Text(text.clone()),
            Value::Time(text) if text.len() <= 10 => Self::Time(format!("{text}T00:00:00Z")),
            Value::Time(text) => Self::Time(text.clone()),
            Value::List(list) => Self::List(list.iter().map(|node| Self::of(node, format)).collect()),
            Value::Map(map) => {
                let mut fields: Vec<_> = map
                    .iter()
                    .map(|(key, node)| (key.clone(), Self::of(node, format)))
                    .collect();
                sort(&mut fields, format);
                Self::Map(fields)
            }
        }
    }

    /// The whole document.
    pub(crate) fn write(&self, format: Format) -> String {
        match format {
            Format::Yaml => yaml::write(self),
            Format::Json => self.json(Some("  ")),
        }
    }

    /// As JSON, with line breaks and so much before each level, or without.
    pub(crate) fn json(&self, indent: Option<&str>) -> String {
        let mut out = String::new();
        self.write_json(&mut out, indent, 0);
        out
    }

    fn write_json(&self, out: &mut String, indent: Option<&str>, depth: usize) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => out.push_str(&value.to_string()),
            Self::Float(value) => out.push_str(&number::json(&format!("{value:e}"))),
            Self::Float32(value) => out.push_str(&number::json(&format!("{value:e}"))),
            Self::Text(text) | Self::Time(text) => json_string(text, Escape::Html, out),
            Self::List(list) => {
                let mut items = list.iter();
                json_block(out, ['[', ']'], list.len(), indent, depth, |out| {
                    if let Some(item) = items.next() {
                        item.write_json(out, indent, depth + 1);
                    }
                });
            }
            Self::Map(fields) => {
                let mut fields_left = fields.iter();
                json_block(out, ['{', '}'], fields.len(), indent, depth, |out| {
                    if let Some((key, value)) = fields_left.next() {
                        json_string(key, Escape::Html, out);
                        out.push_str(if indent.is_some() { ": " } else { ":" });
                        value.write_json(out, indent, depth + 1);
                    }
                });
            }
        }
    }
}

fn json_block(
    out: &mut String,
    [open, close]: [char; 2],
    count: usize,
    indent: Option<&str>,
    depth: usize,
    mut item: impl FnMut(&mut String),
) {
    out.push(open);
    for index in 0..count {
        if index > 0 {
            out.push(',');
        }
        break_line(out, indent, depth + 1);
        item(out);
    }
    if count > 0 {
        break_line(out, indent, depth);
    }
    out.push(close);
}

fn break_line(out: &mut String, indent: Option<&str>, depth: usize) {
    if let Some(indent) = indent {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str(indent));
    }
}

/// Sorts a mapping's keys: JSON by bytes, YAML so that numbers in them count.
pub(crate) fn sort(fields: &mut [(String, Output)], format: Format) {
    match format {
        Format::Json => fields.sort_by(|(a, _), (b, _)| a.cmp(b)),
        Format::Yaml => fields.sort_by(|(a, _), (b, _)| natural(a, b)),
    }
}

/// The order of keys in YAML: letters by their code, runs of digits by their number, other characters first.
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    for index in 0..a.len().min(b.len()) {
        let (left, right) = (a[index], b[index]);
        if left == right {
            continue;
        }
        match (left.is_alphabetic(), right.is_alphabetic()) {
            (true, true) => return left.cmp(&right),
            (true, false) => return std::cmp::Ordering::Greater,
            (false, true) => return std::cmp::Ordering::Less,
            (false, false) => {}
        }
        // After a digit that is no zero, a zero continues a number.
        let zero = left == '0' || right == '0';
        let before = a[..index].iter().rev().take_while(|c| c.is_ascii_digit());
        let start = i64::from(zero && before.into_iter().any(|c| *c != '0'));
        let run = |text: &[char]| {
            let digits: Vec<_> = text[index..].iter().map_while(|c| c.to_digit(10)).collect();
            let number = digits
                .iter()
                .fold(start, |sum, digit| sum.wrapping_mul(10).wrapping_add(i64::from(*digit)));
            (number, digits.len())
        };
        return run(&a).cmp(&run(&b)).then(left.cmp(&right));
    }
    a.len().cmp(&b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_keys_as_yaml_does() {
        let check = |expected: &[&str]| {
            let mut shuffled: Vec<_> = expected.iter().rev().copied().collect();
            shuffled.sort_by(|a, b| natural(a, b));
            assert_eq!(shuffled, expected);
        };
        check(&["a1", "a2", "a10", "b"]);
        check(&["A", "B", "a", "b"]);
        check(&["a", "a-b", "a.b", "a_b", "aa"]);
        check(&["v0", "v1", "v01"]);
    }

    #[test]
    fn writes_json_as_go_does() {
        let value = Output::Map(vec![
            ("a".to_owned(), Output::List(vec![])),
            ("b".to_owned(), Output::Text("<&>\u{1}\n".to_owned())),
            ("c".to_owned(), Output::Float(1e21)),
            ("d".to_owned(), Output::Float32(0.1)),
        ]);
        assert_eq!(
            value.json(None),
            r#"{"a":[],"b":"\u003c\u0026\u003e\u0001\n","c":1e+21,"d":0.1}"#
        );
        assert_eq!(
            Output::Map(vec![("a".to_owned(), Output::Null)]).json(Some("  ")),
            "{\n  \"a\": null\n}"
        );
    }
}
