//! Values of options: read from flags' texts and from JSON, printed as Go prints them.

use std::{collections::BTreeMap, fmt};

use corten_api::container::Ulimit;
use ipnet::IpNet;

use super::options::{OptionSpec, Type};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Of [`Type::Bool`].
    Bool(bool),
    /// Of [`Type::Text`].
    Text(String),
    /// Of [`Type::Number`] and [`Type::Bytes`].
    Number(i64),
    /// Of [`Type::List`].
    List(Vec<String>),
    /// Of [`Type::Map`].
    Map(BTreeMap<String, String>),
    /// Of [`Type::Maps`].
    Maps(BTreeMap<String, BTreeMap<String, String>>),
    /// Of [`Type::Pools`].
    Pools(Vec<(IpNet, u8)>),
    /// Of [`Type::Ulimits`].
    Ulimits(BTreeMap<String, Ulimit>),
}

/// Why a text is no value.
type Refusal = String;

impl Value {
    /// Reads the texts given to a flag, in their order; the last counts where only one can.
    pub(crate) fn from_flag(kind: Type, texts: &[String]) -> Result<Self, (String, Refusal)> {
        let last = texts.last().cloned().unwrap_or_default();
        let one = |result: Result<Self, Refusal>| result.map_err(|why| (last.clone(), why));
        match kind {
            Type::Bool => one(bool_of(&last).map(Self::Bool)),
            Type::Text => Ok(Self::Text(last)),
            Type::Number => one(number_of(&last).map(Self::Number)),
            Type::Bytes => one(bytes_of(&last).map(Self::Number)),
            Type::List => Ok(Self::List(texts.to_vec())),
            Type::Map => collect(texts, pair_of).map(|pairs| Self::Map(pairs.into_iter().collect())),
            Type::Maps => collect(texts, triple_of).map(|triples| {
                let mut maps: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
                for (group, key, value) in triples {
                    maps.entry(group).or_default().insert(key, value);
                }
                Self::Maps(maps)
            }),
            Type::Pools => collect(texts, pool_of).map(Self::Pools),
            Type::Ulimits => collect(texts, Ulimit::parse).map(Self::ulimits),
        }
    }

    /// The value as JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Bool(on) => (*on).into(),
            Self::Text(text) => text.clone().into(),
            Self::Number(number) => (*number).into(),
            Self::List(items) => items.clone().into(),
            Self::Map(map) => map.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            Self::Maps(_) | Self::Pools(_) | Self::Ulimits(_) => self.to_string().into(),
        }
    }

    /// Reads a value of `daemon.json`.
    pub(crate) fn from_json(spec: &OptionSpec, json: &serde_json::Value) -> Result<Self, Refusal> {
        use serde_json::Value as Json;
        let wrong = |expected: &str| {
            let found = match json {
                Json::Null => "null",
                Json::Bool(_) => "bool",
                Json::Number(_) => "number",
                Json::String(_) => "string",
                Json::Array(_) => "array",
                Json::Object(_) => "object",
            };
            format!(
                "cannot unmarshal {found} into the option {} of type {expected}",
                spec.key
            )
        };
        match (spec.kind, json) {
            (Type::Bool, Json::Bool(on)) => Ok(Self::Bool(*on)),
            (Type::Bool, _) => Err(wrong("bool")),
            (Type::Text, Json::String(text)) => Ok(Self::Text(text.clone())),
            (Type::Text, _) => Err(wrong("string")),
            (Type::Number, Json::Number(number)) => number.as_i64().map(Self::Number).ok_or_else(|| wrong("int")),
            (Type::Number, _) => Err(wrong("int")),
            (Type::Bytes, Json::Number(number)) => number.as_i64().map(Self::Number).ok_or_else(|| wrong("bytes")),
            (Type::Bytes, Json::String(text)) => bytes_of(text).map(Self::Number),
            (Type::Bytes, _) => Err(wrong("bytes")),
            (Type::List, Json::Array(items)) => {
                let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
                texts
                    .collect::<Option<_>>()
                    .map(Self::List)
                    .ok_or_else(|| wrong("list of strings"))
            }
            (Type::List, _) => Err(wrong("list of strings")),
            (Type::Map, Json::Object(map)) => {
                // Features are booleans, log options strings; both are kept as Go prints them.
                let text = |value: &Json| match value {
                    Json::String(text) => text.clone(),
                    other => other.to_string(),
                };
                Ok(Self::Map(
                    map.iter().map(|(key, value)| (key.clone(), text(value))).collect(),
                ))
            }
            (Type::Map, _) => Err(wrong("map")),
            (Type::Maps, Json::Object(groups)) => {
                let map = |(group, values): (&String, &Json)| {
                    let values = values.as_object().ok_or_else(|| wrong("map of maps"))?;
                    let pair = |(key, value): (&String, &Json)| {
                        let text = value.as_str().ok_or_else(|| wrong("map of maps of strings"))?;
                        Ok((key.clone(), text.to_owned()))
                    };
                    let values = values.iter().map(pair).collect::<Result<_, Refusal>>()?;
                    Ok((group.clone(), values))
                };
                groups.iter().map(map).collect::<Result<_, Refusal>>().map(Self::Maps)
            }
            (Type::Maps, _) => Err(wrong("map of maps")),
            (Type::Pools, Json::Array(items)) => {
                let pool = |item: &Json| {
                    let base = item.get("base")?.as_str()?;
                    let size = item.get("size")?.as_u64()?;
                    Some(pool_parts(base, &size.to_string()))
                };
                let pools = items
                    .iter()
                    .map(|item| pool(item).unwrap_or_else(|| Err(wrong("list of base and size"))));
                pools.collect::<Result<_, _>>().map(Self::Pools)
            }
            (Type::Pools, _) => Err(wrong("list of base and size")),
            (Type::Ulimits, Json::Object(map)) => {
                let ulimit = |(name, value): (&String, &Json)| {
                    let number = |key: &str| value.get(key).and_then(Json::as_i64);
                    let (soft, hard) = (number("Soft").unwrap_or(0), number("Hard").unwrap_or(0));
                    let name = value.get("Name").and_then(Json::as_str).unwrap_or(name);
                    let name = name.to_owned();
                    Ulimit { name, hard, soft }.check()
                };
                map.iter().map(ulimit).collect::<Result<Vec<_>, _>>().map(Self::ulimits)
            }
            (Type::Ulimits, _) => Err(wrong("map of limits")),
        }
    }

    fn ulimits(list: Vec<Ulimit>) -> Self {
        Self::Ulimits(list.into_iter().map(|ulimit| (ulimit.name.clone(), ulimit)).collect())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(on) => write!(f, "{on}"),
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::List(items) => write!(f, "[{}]", items.join(" ")),
            Self::Map(map) => {
                let pairs: Vec<_> = map.iter().map(|(key, value)| format!("{key}:{value}")).collect();
                write!(f, "map[{}]", pairs.join(" "))
            }
            Self::Maps(maps) => {
                let group = |(name, map): (&String, &BTreeMap<String, String>)| {
                    let pairs: Vec<_> = map.iter().map(|(key, value)| format!("{key}:{value}")).collect();
                    format!("{name}:map[{}]", pairs.join(" "))
                };
                let groups: Vec<_> = maps.iter().map(group).collect();
                write!(f, "map[{}]", groups.join(" "))
            }
            Self::Pools(pools) => {
                let pools: Vec<_> = pools.iter().map(|(base, size)| format!("{{{base} {size}}}")).collect();
                write!(f, "[{}]", pools.join(" "))
            }
            Self::Ulimits(limits) => {
                let limits: Vec<_> = limits
                    .values()
                    .map(|u| format!("{}={}:{}", u.name, u.soft, u.hard))
                    .collect();
                write!(f, "[{}]", limits.join(" "))
            }
        }
    }
}

fn collect<T>(texts: &[String], read: fn(&str) -> Result<T, Refusal>) -> Result<Vec<T>, (String, Refusal)> {
    texts
        .iter()
        .map(|text| read(text).map_err(|why| (text.clone(), why)))
        .collect()
}

/// Go's `strconv.ParseBool`.
fn bool_of(text: &str) -> Result<bool, Refusal> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing \"{text}\": invalid syntax")),
    }
}

fn number_of(text: &str) -> Result<i64, Refusal> {
    text.parse()
        .map_err(|_| format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))
}

/// Docker's sizes: a number and `b`, `k`, `m`, `g` or `t`, with or without a second `b` or `ib`.
pub(crate) fn bytes_of(text: &str) -> Result<i64, Refusal> {
    let bad = || format!("invalid size: '{text}'");
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(bad()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i64 = whole.parse().map_err(|_| bad())?;
    let unit = 1_i64 << shift;
    let total = whole.checked_mul(unit).ok_or_else(bad)?;
    if fraction.len() > 9 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(bad());
    }
    let part: i128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().map_err(|_| bad())?
    };
    let scale = fraction.bytes().fold(1_i128, |scale, _| scale * 10);
    let part = i64::try_from(i128::from(unit) * part / scale).map_err(|_| bad())?;
    total.checked_add(part).ok_or_else(bad)
}

fn pair_of(text: &str) -> Result<(String, String), Refusal> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    Ok((key.to_owned(), value.to_owned()))
}

fn triple_of(text: &str) -> Result<(String, String, String), Refusal> {
    let parts = text
        .split_once('=')
        .and_then(|(group, rest)| rest.split_once('=').map(|(key, value)| (group, key, value)));
    let (group, key, value) =
        parts.ok_or_else(|| format!("invalid value \"{text}\" for map option, should be root-key=key=value"))?;
    Ok((group.to_owned(), key.to_owned(), value.to_owned()))
}

fn pool_of(text: &str) -> Result<(IpNet, u8), Refusal> {
    let (mut base, mut size) = (None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("base", value)) => base = Some(value),
            Some(("size", value)) => size = Some(value),
            Some((other, _)) => return Err(format!("unexpected key '{other}' in '{field}'")),
            None => return Err(format!("invalid field '{field}' must be a key=value pair")),
        }
    }
    match (base, size) {
        (Some(base), Some(size)) => pool_parts(base, size),
        _ => Err("a pool needs base and size".to_owned()),
    }
}

fn pool_parts(base: &str, size: &str) -> Result<(IpNet, u8), Refusal> {
    let net: IpNet = base
        .parse()
        .map_err(|_| format!("invalid base pool {base}: invalid CIDR address: {base}"))?;
    let bits = size.parse::<u8>().map_err(|_| format!("invalid size value: {size}"))?;
    if bits < net.prefix_len() || bits > net.max_prefix_len() {
        return Err(format!(
            "invalid default address pool: size {bits} does not fit into {base}"
        ));
    }
    Ok((net.trunc(), bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::by_key;

    fn flag(kind: Type, texts: &[&str]) -> Result<String, String> {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        Value::from_flag(kind, &texts)
            .map(|value| value.to_string())
            .map_err(|(_, why)| why)
    }

    #[test]
    fn flags_are_read_and_printed_as_go_does() {
        let case = |kind, texts: &[&str], expected: &str| assert_eq!(flag(kind, texts).as_deref(), Ok(expected));
        case(Type::Bool, &["false", "t"], "true");
        case(Type::Number, &["-5"], "-5");
        case(Type::Bytes, &["64m"], "67108864");
        case(Type::Bytes, &["1.5KiB"], "1536");
        case(Type::List, &["a", "b"], "[a b]");
        case(Type::Map, &["b=2", "a=1", "c"], "map[a:1 b:2 c:]");
        case(
            Type::Maps,
            &["bridge=mtu=1400", "bridge=a=b=c"],
            "map[bridge:map[a:b=c mtu:1400]]",
        );
        case(Type::Pools, &["base=10.0.0.0/8,size=24"], "[{10.0.0.0/8 24}]");
        case(Type::Ulimits, &["nofile=1:2"], "[nofile=1:2]");
        for (kind, text) in [
            (Type::Bool, "yes"),
            (Type::Number, "x"),
            (Type::Bytes, "12q"),
            (Type::Maps, "bridge=mtu"),
            (Type::Pools, "base=10.0.0.0/8"),
            (Type::Pools, "base=10.0.0.0/8,size=4"),
            (Type::Ulimits, "nosuch=1"),
            (Type::Ulimits, "nofile=2:1"),
        ] {
            assert!(flag(kind, &[text]).is_err(), "{text}");
        }
    }

    #[test]
    fn json_is_read_by_type() {
        let case = |key: &str, json: &str, expected: Option<&str>| {
            let json = serde_json::from_str(json).unwrap();
            let value = Value::from_json(by_key(key).unwrap(), &json)
                .ok()
                .map(|value| value.to_string());
            assert_eq!(value.as_deref(), expected, "{key}");
        };
        case("debug", "true", Some("true"));
        case("debug", "\"true\"", None);
        case("mtu", "1400", Some("1400"));
        case("mtu", "1.5", None);
        case("dns", "[\"1.1.1.1\"]", Some("[1.1.1.1]"));
        case("dns", "[1]", None);
        case("features", "{\"buildkit\":true}", Some("map[buildkit:true]"));
        case(
            "default-network-opts",
            r#"{"bridge":{"mtu":"1400"}}"#,
            Some("map[bridge:map[mtu:1400]]"),
        );
        case("default-network-opts", r#"{"bridge":{"mtu":1400}}"#, None);
        case("default-shm-size", "\"128M\"", Some("134217728"));
        case(
            "default-address-pools",
            r#"[{"base":"10.1.0.0/16","size":24}]"#,
            Some("[{10.1.0.0/16 24}]"),
        );
        case(
            "default-ulimits",
            r#"{"nofile":{"Name":"nofile","Soft":1,"Hard":2}}"#,
            Some("[nofile=1:2]"),
        );
    }
}
