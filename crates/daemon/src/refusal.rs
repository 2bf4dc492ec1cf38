//! Why a JSON body was refused, in the words of Go's decoder, which clients of Docker know.
//!
//! This is computed only after a body could not be read. The offending value is found by leaving
//! out one value after the other and reading again; large bodies get the sentence without the path.

use std::any::type_name;

use corten_api::{case, decode};
use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};

/// Bodies longer than this get no path.
const LONGEST: usize = 64 << 10;

/// How often a body is read again at most.
const TRIES: usize = 512;

/// The sentence for a body that is no `T`.
pub(crate) fn reason<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> String {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(mut document) => {
            case::fold(&mut document);
            let why = mismatch::<T>(bytes.len(), document, &error.to_string());
            format!("invalid JSON: {why}")
        }
        Err(error) => syntax(bytes, &error),
    }
}

/// The sentence for a list where an object should be, which a structure of Rust would take.
pub(crate) fn array<T>(bytes: &[u8]) -> String {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(_) => format!(
            "invalid JSON: json: cannot unmarshal array into Go value of type {}",
            go_type::<T>().0
        ),
        Err(error) => syntax(bytes, &error),
    }
}

/// The sentence for bytes that are no JSON.
fn syntax(bytes: &[u8], error: &serde_json::Error) -> String {
    let text = error.to_string();
    if error.classify() == Category::Eof {
        return "invalid JSON: unexpected EOF".to_owned();
    }
    if text.starts_with("trailing characters") {
        return "unexpected content after JSON".to_owned();
    }
    let place = match text.as_str() {
        t if t.starts_with("key must be a string") || t.starts_with("trailing comma") => {
            "looking for beginning of object key string"
        }
        t if t.starts_with("expected value") => "looking for beginning of value",
        t if t.starts_with("expected `:`") => "after object key",
        t if t.starts_with("expected `,` or `}`") => "after object key:value pair",
        t if t.starts_with("expected `,` or `]`") => "after array element",
        t if t.starts_with("expected ident") => "in literal",
        _ => return format!("invalid JSON: {text}"),
    };
    let line = bytes.split(|b| *b == b'\n').nth(error.line().saturating_sub(1));
    let byte = line.and_then(|line| line.get(error.column().saturating_sub(1)));
    match byte {
        Some(byte) => format!("invalid JSON: invalid character '{}' {place}", char::from(*byte)),
        None => format!("invalid JSON: {text}"),
    }
}

/// The sentence for a value of another type than expected.
fn mismatch<T: DeserializeOwned>(length: usize, document: Value, why: &str) -> String {
    let expected = why.rsplit_once("expected ").map_or(why, |(_, expected)| expected);
    let mut path = Vec::new();
    if length <= LONGEST {
        path = offender::<T>(&document, why);
    }
    let value = path
        .iter()
        .try_fold(&document, |value, key| child(value, key))
        .unwrap_or(&document);
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if is_number(expected) => format!("number {number}"),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    };
    let (document_type, fields) = go_type::<T>();
    let last = path.last().map_or("", String::as_str);
    if path.is_empty() {
        return format!("json: cannot unmarshal {found} into Go value of type {document_type}");
    }
    if matches!(last, "Cmd" | "Entrypoint") && fields.is_empty() {
        return format!("json: cannot unmarshal {found} into Go value of type string");
    }
    let into = if last.bytes().all(|b| b.is_ascii_digit()) {
        "into"
    } else {
        "into Go struct field"
    };
    let path: Vec<String> = path
        .iter()
        .map(|key| key.replace('~', "~0").replace('/', "~1"))
        .collect();
    format!(
        "json: cannot unmarshal {found} {into} {fields}.{} of type {}",
        path.join("."),
        go_field(last, expected)
    )
}

fn is_number(expected: &str) -> bool {
    matches!(
        expected,
        "i64" | "i32" | "i16" | "u64" | "u32" | "u16" | "u8" | "f64" | "usize"
    )
}

fn child<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    }
}

/// The way to the value without which reading fails no more, or fails otherwise.
fn offender<T: DeserializeOwned>(document: &Value, why: &str) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    let mut tries = 0;
    loop {
        let Some(here) = path.iter().try_fold(document, |value, key| child(value, key)) else {
            return path;
        };
        let keys: Vec<String> = match here {
            Value::Object(map) => map.keys().cloned().collect(),
            Value::Array(items) => (0..items.len()).map(|index| index.to_string()).collect(),
            _ => return path,
        };
        let guilty = keys.into_iter().find(|key| {
            tries += 1;
            tries <= TRIES && without(document, &path, key).is_some_and(|rest| changes::<T>(&rest, why))
        });
        match guilty {
            Some(key) => path.push(key),
            None => return path,
        }
    }
}

/// The document without one value.
fn without(document: &Value, path: &[String], key: &str) -> Option<Value> {
    let mut copy = document.clone();
    let mut here = &mut copy;
    for step in path {
        here = match here {
            Value::Object(map) => map.get_mut(step)?,
            Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    match here {
        Value::Object(map) => map.remove(key)?,
        Value::Array(items) => items.remove(key.parse::<usize>().ok()?),
        _ => return None,
    };
    Some(copy)
}

fn changes<T: DeserializeOwned>(document: &Value, why: &str) -> bool {
    match decode::<T>(document.to_string().as_bytes()) {
        Ok(_) => true,
        Err(error) => error.to_string() != why,
    }
}

/// Docker's name of a document's type, and what stands before its fields.
fn go_type<T>() -> (String, &'static str) {
    let name = type_name::<T>();
    let mut parts = name.rsplit("::");
    let (own, module) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (name, fields) = match (module, own) {
        ("container", "CreateRequest") => ("container.CreateRequest", ""),
        ("container", "UpdateRequest") => ("container.UpdateConfig", "UpdateConfig"),
        ("exec", "ExecConfig") => ("container.ExecOptions", "ExecOptions"),
        ("exec", "ExecStart") => ("container.ExecStartOptions", "ExecStartOptions"),
        ("network", "CreateRequest") => ("network.CreateRequest", "CreateRequest"),
        ("network", "ConnectRequest") => ("network.ConnectOptions", "ConnectOptions"),
        ("network", "DisconnectRequest") => ("network.DisconnectOptions", "DisconnectOptions"),
        ("volume", "CreateRequest") => ("volume.CreateOptions", "CreateOptions"),
        (_, "AuthConfig") => ("registry.AuthConfig", ""),
        _ => return (format!("{module}.{own}"), ""),
    };
    (name.to_owned(), fields)
}

/// Docker's name of a field's type.
fn go_field(name: &str, expected: &str) -> String {
    let known = match (name, expected) {
        ("MaximumRetryCount" | "StopTimeout" | "Retries", _) => "int",
        ("Interval" | "Timeout" | "StartPeriod" | "StartInterval", _) => "time.Duration",
        ("ExposedPorts", _) => "nat.PortSet",
        ("PortBindings", _) => "nat.PortMap",
        ("Volumes", "a map") => "map[string]struct {}",
        ("EndpointsConfig", _) => "map[string]*network.EndpointSettings",
        ("Config", "a sequence") => "[]network.IPAMConfig",
        ("Ulimits", _) => "[]*units.Ulimit",
        ("Mounts", _) => "[]mount.Mount",
        ("Devices", _) => "[]container.DeviceMapping",
        ("DeviceRequests", _) => "[]container.DeviceRequest",
        (_, "a string") => "string",
        (_, "a boolean") => "bool",
        (_, "a sequence") => "[]string",
        (_, "a map") => "map[string]string",
        (_, "i64") => "int64",
        (_, "u64") => "uint64",
        (_, "u16") => "uint16",
        (_, "u8") => "uint8",
        (_, "f64") => "float64",
        (_, "an array of length 2") => "[2]uint",
        (_, "struct PortBinding") => "nat.PortBinding",
        (_, "struct NetworkingConfig") => "network.NetworkingConfig",
        (_, "struct Ipam") => "network.IPAM",
        (_, "struct EndpointIpam") => "network.EndpointIPAMConfig",
        (_, "struct EndpointSettings") => "network.EndpointSettings",
        (_, other) => {
            return match other.strip_prefix("struct ") {
                Some(own) => format!("container.{own}"),
                None => other.to_owned(),
            };
        }
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_api::container::{CreateRequest, UpdateRequest};

    #[track_caller]
    fn case<T: DeserializeOwned + std::fmt::Debug>(body: &str, expected: &str) {
        let error = corten_api::decode_request::<T>(body.as_bytes()).unwrap_err();
        assert_eq!(reason::<T>(body.as_bytes(), &error), expected, "{body}");
    }

    /// As dockerd 28.5.2 answered.
    #[test]
    fn wrong_types_are_told_with_their_place() {
        let create = |body: &str, rest: &str| {
            case::<CreateRequest>(body, &format!("invalid JSON: json: cannot unmarshal {rest}"));
        };
        create(r#"{"Image":5}"#, "number into Go struct field .Image of type string");
        create(
            r#"{"Image":"a","Tty":"true"}"#,
            "string into Go struct field .Tty of type bool",
        );
        create(
            r#"{"Labels":["a"]}"#,
            "array into Go struct field .Labels of type map[string]string",
        );
        create(
            r#"{"Labels":{"a":5}}"#,
            "number into Go struct field .Labels.a of type string",
        );
        create(r#"{"Env":[5]}"#, "number into .Env.0 of type string");
        create(r#"{"imAGE":5}"#, "number into Go struct field .Image of type string");
        create(r#"{"Cmd":5}"#, "number into Go value of type string");
        create(r#"[]"#, "array into Go value of type container.CreateRequest");
        create(
            r#"{"HostConfig":{"Memory":"5"}}"#,
            "string into Go struct field .HostConfig.Memory of type int64",
        );
        create(
            r#"{"HostConfig":{"Memory":5.5}}"#,
            "number 5.5 into Go struct field .HostConfig.Memory of type int64",
        );
        create(
            r#"{"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":5}]}}}"#,
            "number into Go struct field .HostConfig.PortBindings.80~1tcp.0.HostPort of type string",
        );
        create(
            r#"{"HostConfig":{"RestartPolicy":{"MaximumRetryCount":"x"}}}"#,
            "string into Go struct field .HostConfig.RestartPolicy.MaximumRetryCount of type int",
        );
        case::<UpdateRequest>(
            r#"{"Memory":"x"}"#,
            "invalid JSON: json: cannot unmarshal string into Go struct field UpdateConfig.Memory of type int64",
        );
    }

    /// As dockerd 28.5.2 answered.
    #[test]
    fn broken_documents_are_told_with_the_character() {
        let create = |body: &str, expected: &str| case::<CreateRequest>(body, expected);
        create("{", "invalid JSON: unexpected EOF");
        create("{\"Image\":\"busy", "invalid JSON: unexpected EOF");
        create("{}{\"a\":1}", "unexpected content after JSON");
        create(
            "{\"Image\":\"a\",}",
            "invalid JSON: invalid character '}' looking for beginning of object key string",
        );
        create(
            "{Image:1}",
            "invalid JSON: invalid character 'I' looking for beginning of object key string",
        );
        create(
            "xyz",
            "invalid JSON: invalid character 'x' looking for beginning of value",
        );
    }

    #[test]
    fn long_bodies_cost_one_reading() {
        let body = format!("{{\"Image\":5,\"User\":\"{}\"}}", "x".repeat(LONGEST));
        let error = decode::<CreateRequest>(body.as_bytes()).unwrap_err();
        let text = reason::<CreateRequest>(body.as_bytes(), &error);
        assert!(
            text.ends_with("into Go value of type container.CreateRequest"),
            "{text}"
        );
    }
}
