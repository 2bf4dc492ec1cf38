//! Device documents in YAML, as the JSON that they stand for.
//!
//! Words without quotes mean what YAML 1.2's core schema says of them. Names of fields are texts, and each is there once;
//! aliases are filled in, in bounds.

use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// How deep a document may nest.
const MAX_DEPTH: usize = 32;
/// How many values a document may have, those of aliases counted each time.
const MAX_VALUES: usize = 100_000;

/// Reads a text with one document.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader::default();
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, _)) => reader.event(event)?,
            Err(error) => return Err(format!("yaml: line {}: {}", error.marker().line(), error.info())),
        }
    }
    match <[Value; 1]>::try_from(reader.roots) {
        Ok([root]) => Ok(root),
        Err(roots) => Err(format!("yaml: one document is expected, not {}", roots.len())),
    }
}

/// A list or map that has not ended yet.
struct Open {
    anchor: usize,
    is_map: bool,
    items: Vec<Value>,
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    anchors: HashMap<usize, (Value, usize)>,
    roots: Vec<Value>,
    values: usize,
}

impl Reader {
    fn event(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = match style {
                    ScalarStyle::Plain if !self.is_key() => plain(&text),
                    _ => Value::String(text.into_owned()),
                };
                self.close(anchor, value, 1)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(anchor, false),
            Event::MappingStart(_, anchor, _) => self.begin(anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let (value, size) = self.anchors.get(&anchor).cloned().ok_or("yaml: unknown anchor")?;
                self.close(0, value, size)
            }
            _ => Ok(()),
        }
    }

    /// Whether a field's name comes next.
    fn is_key(&self) -> bool {
        let open = self.open.last();
        open.is_some_and(|open| open.is_map && open.items.len().is_multiple_of(2))
    }

    fn begin(&mut self, anchor: usize, is_map: bool) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err("yaml: it nests too deeply".to_owned());
        }
        self.open.push(Open {
            anchor,
            is_map,
            items: Vec::new(),
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        if !open.is_map {
            return self.close(open.anchor, Value::Array(open.items), 1);
        }
        let mut fields = Map::new();
        let mut items = open.items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            let Value::String(key) = key else {
                return Err("yaml: the name of a field is no text".to_owned());
            };
            if fields.insert(key.clone(), value).is_some() {
                return Err(format!("yaml: the field {key:?} is there twice"));
            }
        }
        self.close(open.anchor, Value::Object(fields), 1)
    }

    fn close(&mut self, anchor: usize, value: Value, size: usize) -> Result<(), String> {
        self.values += size;
        if self.values > MAX_VALUES {
            return Err("yaml: it has too many values".to_owned());
        }
        if anchor != 0 {
            let size = count(&value);
            self.anchors.insert(anchor, (value.clone(), size));
        }
        match self.open.last_mut() {
            Some(open) => open.items.push(value),
            None => self.roots.push(value),
        }
        Ok(())
    }
}

/// How many values there are in one.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

/// What a word without quotes stands for (YAML 1.2.2, 10.3.2).
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let radix = |prefix: &str, radix: u32| {
        let digits = text.strip_prefix(prefix)?;
        i64::from_str_radix(digits, radix)
            .ok()
            .filter(|_| !digits.starts_with(['+', '-']))
    };
    // An older YAML's octal numbers, which modes of files are written as.
    let octal = || radix("0", 8).filter(|_| text.len() > 1);
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(octal) {
        return Value::Number(number.into());
    }
    let number = text.parse::<i64>().map(Number::from).ok();
    let is_float = || text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let float = || {
        text.parse::<f64>()
            .ok()
            .filter(|_| is_float())
            .and_then(Number::from_f64)
    };
    number
        .or_else(float)
        .map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_the_json_that_they_stand_for() {
        let text = "a: &x\n  - 1\n  - \"2\"\n  - 0o666\n  - 0644\n  - -3\n  - true\n  - yes\n  - 1.5\n  - ~\nb: *x\nc: {d: e, 1: 2}\n\
                    v: 0.6.0\n";
        let list = json!([1, "2", 0o666, 0o644, -3, true, "yes", 1.5, null]);
        let expected = json!({"a": list, "b": list, "c": {"d": "e", "1": 2}, "v": "0.6.0"});
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("a: 1\na: 2\n", "there twice"),
            ("a: [1\n", "yaml: line"),
            ("a: 1\n---\nb: 2\n", "one document is expected, not 2"),
            ("", "not 0"),
            ("? [1]\n: 2\n", "is no text"),
            ("a: *nosuch\n", "yaml"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(why), "{text:?}: {said}");
        }
        let deep = "[".repeat(MAX_DEPTH + 2);
        assert!(read(&deep).is_err());
        let mut bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
        for number in 1..8 {
            let before = format!("*a{}", number - 1);
            bomb.push_str(&format!("a{number}: &a{number} [{}]\n", vec![before; 10].join(",")));
        }
        assert!(read(&bomb).unwrap_err().contains("too many values"));
    }
}
