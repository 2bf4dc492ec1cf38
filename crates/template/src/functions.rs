//! The functions of templates: Go's own and Docker's.

use super::{Mode, number_format::printf, value::Value};

/// Why a call failed.
pub(super) enum Failure {
    /// Wrong number or kind of arguments.
    Arguments(String),
    /// The function itself failed.
    Call(String),
}

use Failure::{Arguments, Call};

type Result<T> = std::result::Result<T, Failure>;

const NAMES: [&str; 27] = [
    "and", "or", "not", "len", "index", "slice", "print", "printf", "println", "html", "js", "urlquery", "eq", "ne",
    "lt", "le", "gt", "ge", "json", "split", "join", "title", "lower", "upper", "pad", "truncate", "call",
];

/// Whether there is such a function.
pub(super) fn is_defined(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls a function.
pub(super) fn call(name: &str, args: &[Value], mode: Mode) -> Result<Value> {
    if mode == Mode::Headings
        && let "json" | "split" | "join" | "title" | "lower" | "upper" | "pad" | "truncate" = name
    {
        return Ok(args
            .iter()
            .find(|a| matches!(a, Value::Str(_)))
            .cloned()
            .unwrap_or(Value::Nil));
    }
    match name {
        "not" => exactly(name, args, 1).map(|a| Value::Bool(!a[0].is_true())),
        "len" => length(&exactly(name, args, 1)?[0]),
        "index" => index(args),
        "slice" => slice(args),
        "print" => Ok(print(args).into()),
        "println" => {
            let parts: Vec<_> = args.iter().map(Value::print_inner).collect();
            Ok(format!("{}\n", parts.join(" ")).into())
        }
        "printf" => match args.split_first() {
            Some((Value::Str(format), rest)) => Ok(printf(format, rest).into()),
            Some((other, _)) => Err(wrong_type(name, other, "string")),
            None => Err(Arguments(
                "wrong number of args for printf: want at least 1 got 0".to_owned(),
            )),
        },
        "html" => Ok(escape_html(&print(args)).into()),
        "js" => Ok(escape_js(&print(args)).into()),
        "urlquery" => Ok(escape_query(&print(args)).into()),
        "eq" => equal(args).map(Value::Bool),
        "ne" => equal(exactly(name, args, 2)?).map(|e| Value::Bool(!e)),
        "lt" => less(exactly(name, args, 2)?).map(Value::Bool),
        "ge" => less(exactly(name, args, 2)?).map(|l| Value::Bool(!l)),
        "gt" => not_above(exactly(name, args, 2)?).map(|le| Value::Bool(!le)),
        "le" => not_above(exactly(name, args, 2)?).map(Value::Bool),
        "call" => match args.split_first() {
            Some((Value::Method(method), rest)) => method(rest).map_err(Call),
            _ => Err(Call("call of nil".to_owned())),
        },
        "json" if mode == Mode::Indented => {
            let text = exactly(name, args, 1)?[0].json_text();
            Ok(crate::indent_by(&text, "  ").into())
        }
        _ => docker(name, args),
    }
}

/// Docker's functions.
fn docker(name: &str, args: &[Value]) -> Result<Value> {
    match name {
        "json" => Ok(exactly(name, args, 1)?[0].json_text().into()),
        "title" => text(name, &exactly(name, args, 1)?[0]).map(|t| title(t).into()),
        "lower" => text(name, &exactly(name, args, 1)?[0]).map(|t| t.to_lowercase().into()),
        "upper" => text(name, &exactly(name, args, 1)?[0]).map(|t| t.to_uppercase().into()),
        "split" => {
            let args = exactly(name, args, 2)?;
            let (whole, separator) = (text(name, &args[0])?, text(name, &args[1])?);
            Ok(if separator.is_empty() {
                Value::list(whole.chars().map(|c| c.to_string().into()))
            } else {
                Value::list(whole.split(separator).map(Value::from))
            })
        }
        "join" => {
            let args = exactly(name, args, 2)?;
            let separator = text(name, &args[1])?;
            match &args[0] {
                Value::List(items) => {
                    let items: Vec<_> = items.iter().map(Value::print_inner).collect();
                    Ok(items.join(separator).into())
                }
                Value::NilList => Ok("".into()),
                Value::Nil => Err(Call("expected slice, got <nil>".to_owned())),
                other => Err(Call(format!("expected slice, got {}", other.kind()))),
            }
        }
        "pad" => {
            let args = exactly(name, args, 3)?;
            let (source, before, after) = (text(name, &args[0])?, count(name, &args[1])?, count(name, &args[2])?);
            if source.is_empty() {
                return Ok("".into());
            }
            Ok(format!("{}{source}{}", " ".repeat(before), " ".repeat(after)).into())
        }
        "truncate" => {
            let args = exactly(name, args, 2)?;
            let (source, length) = (text(name, &args[0])?, count(name, &args[1])?);
            Ok(source.get(..length.min(source.len())).unwrap_or(source).into())
        }
        _ => Err(Arguments(format!("{} is not a defined function", crate::quote(name)))),
    }
}

/// The most spaces that `pad` adds.
const MAX_PAD: usize = 10_000;

fn exactly<'a>(name: &str, args: &'a [Value], count: usize) -> Result<&'a [Value]> {
    if args.len() == count {
        return Ok(args);
    }
    Err(Arguments(format!(
        "wrong number of args for {name}: want {count} got {}",
        args.len()
    )))
}

fn wrong_type(_name: &str, value: &Value, wanted: &str) -> Failure {
    match value {
        Value::Nil => Arguments("invalid value; expected string".replace("string", wanted)),
        value => Arguments(format!("wrong type for value; expected {wanted}; got {}", value.kind())),
    }
}

fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str> {
    match value {
        Value::Str(text) => Ok(text),
        other => Err(wrong_type(name, other, "string")),
    }
}

fn count(name: &str, value: &Value) -> Result<usize> {
    match value {
        Value::Int(n) => Ok(usize::try_from(*n).unwrap_or(0).min(MAX_PAD)),
        other => Err(wrong_type(name, other, "int")),
    }
}

/// `print`: a space between operands when neither is a string.
fn print(args: &[Value]) -> String {
    let mut out = String::new();
    for (index, arg) in args.iter().enumerate() {
        let is_text = |v: &Value| matches!(v, Value::Str(_));
        if index > 0 && !is_text(arg) && !is_text(&args[index - 1]) {
            out.push(' ');
        }
        out.push_str(&arg.print_inner());
    }
    out
}

fn length(value: &Value) -> Result<Value> {
    let length = match value {
        Value::Str(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(members) => members.len(),
        Value::NilList | Value::NilMap => 0,
        Value::Nil => return Err(Call("len of nil pointer".to_owned())),
        other => return Err(Call(format!("len of type {}", other.kind()))),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// A position in something of that length.
fn position(value: &Value, length: usize) -> Result<usize> {
    match value {
        Value::Int(n) => usize::try_from(*n)
            .ok()
            .filter(|at| *at < length)
            .ok_or_else(|| Call(format!("index out of range: {n}"))),
        Value::Nil => Err(Call("cannot index slice/array with nil".to_owned())),
        other => Err(Call(format!("cannot index slice/array with type {}", other.kind()))),
    }
}

fn index(args: &[Value]) -> Result<Value> {
    let Some((first, keys)) = args.split_first() else {
        return Err(Arguments(
            "wrong number of args for index: want at least 1 got 0".to_owned(),
        ));
    };
    let mut value = first.clone();
    for key in keys {
        value = match (&value, key) {
            (Value::List(items), key) => items[position(key, items.len())?].clone(),
            (Value::NilList, key) => {
                position(key, 0)?;
                Value::Nil
            }
            (Value::Str(text), key) => {
                let bytes = text.as_bytes();
                Value::Int(i64::from(bytes[position(key, bytes.len())?]))
            }
            (Value::Map(members), Value::Str(key)) => members.get(&**key).cloned().unwrap_or(Value::Nil),
            (Value::NilMap, Value::Str(_)) => Value::Nil,
            (Value::Map(_) | Value::NilMap, other) => {
                return Err(Call(format!("value has type {}; should be string", other.kind())));
            }
            (Value::Nil, _) => return Err(Call("index of untyped nil".to_owned())),
            (Value::NilPointer(_), _) => return Err(Call("index of nil pointer".to_owned())),
            (other, _) => return Err(Call(format!("can't index item of type {}", other.kind()))),
        };
    }
    Ok(value)
}

fn slice(args: &[Value]) -> Result<Value> {
    let Some((value, bounds)) = args.split_first() else {
        return Err(Arguments(
            "wrong number of args for slice: want at least 1 got 0".to_owned(),
        ));
    };
    let length = match value {
        Value::Str(text) => text.len(),
        Value::List(items) => items.len(),
        Value::NilList => 0,
        Value::Nil => return Err(Call("slice of untyped nil".to_owned())),
        other => return Err(Call(format!("can't slice item of type {}", other.kind()))),
    };
    if bounds.len() > 3 || (bounds.len() == 3 && matches!(value, Value::Str(_))) {
        return Err(Call("cannot 3-index slice a string".to_owned()));
    }
    let bound = |index: usize, default: usize| match bounds.get(index) {
        None => Ok(default),
        Some(value) => position(value, length + 1),
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    if from > to {
        return Err(Call(format!("invalid slice index: {from} > {to}")));
    }
    Ok(match value {
        Value::Str(text) => String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned().into(),
        Value::List(items) => Value::list(items[from..to].iter().cloned()),
        _ => Value::NilList,
    })
}

fn incompatible<T>() -> Result<T> {
    Err(Call("incompatible types for comparison".to_owned()))
}

fn same(a: &Value, b: &Value) -> Result<bool> {
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Nil | Value::NilPointer(_), Value::Nil | Value::NilPointer(_)) => true,
        (Value::Nil | Value::NilPointer(_), _) | (_, Value::Nil | Value::NilPointer(_)) => false,
        (Value::List(_) | Value::Map(_) | Value::Struct(_), _) => {
            return Err(Call(format!("non-comparable type {}: {}", a.print_inner(), a.kind())));
        }
        _ => return incompatible(),
    })
}

/// Whether the first is equal to any of the others.
fn equal(args: &[Value]) -> Result<bool> {
    let Some((first, others)) = args.split_first() else {
        return Err(Arguments(
            "wrong number of args for eq: want at least 1 got 0".to_owned(),
        ));
    };
    if others.is_empty() {
        return Err(Call("missing argument for comparison".to_owned()));
    }
    for other in others {
        if same(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn less(args: &[Value]) -> Result<bool> {
    Ok(match (&args[0], &args[1]) {
        (Value::Int(a), Value::Int(b)) => a < b,
        (Value::Float(a), Value::Float(b)) => a < b,
        (Value::Str(a), Value::Str(b)) => a < b,
        (Value::Bool(_), _) => return Err(Call("invalid type for comparison".to_owned())),
        _ => return incompatible(),
    })
}

fn not_above(args: &[Value]) -> Result<bool> {
    Ok(less(args)? || same(&args[0], &args[1])?)
}

/// Capital letters at the start of words (Go's `strings.Title`).
fn title(text: &str) -> String {
    let mut previous = ' ';
    text.chars()
        .map(|c| {
            let start = !(previous.is_alphanumeric() || previous == '_' || previous == '\'');
            previous = c;
            if start { c.to_uppercase().next().unwrap_or(c) } else { c }
        })
        .collect()
}

fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}

fn escape_js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => {
                out.push('\\');
                out.push(c);
            }
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn escape_query(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b' ' => "+".to_owned(),
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}
