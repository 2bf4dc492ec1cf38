//! The key `builder`: what keeps the cache of builds small (`gc`), what builds may be allowed (`entitlements`), and how long
//! they are remembered (`history`).

use std::time::Duration;

use corten_api::filters::Filters;
use corten_engine::builds::{
    CacheRules, HistoryRules,
    builder::{Granted, Rule},
    prune_rule,
};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::{Config, ConfigError, bytes_of};

/// `builder.gc`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Gc {
    enabled: Option<bool>,
    policy: Vec<Policy>,
    default_keep_storage: String,
    default_reserved_space: String,
    default_max_used_space: String,
    default_min_free_space: String,
}

/// One of `builder.gc.policy`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Policy {
    all: bool,
    filter: Json,
    keep_storage: String,
    reserved_space: String,
    max_used_space: String,
    min_free_space: String,
}

/// `builder.entitlements`; what is not said is granted.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
struct Entitlements {
    network_host: Option<bool>,
    security_insecure: Option<bool>,
    device: Option<bool>,
}

/// `builder.history`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct History {
    max_age: Json,
    max_entries: Option<usize>,
}

/// Checks all of the key.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let builder = config.map("builder");
    let known = ["gc", "entitlements", "history"];
    if let Some(other) = builder.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(ConfigError::new(format!("builder.{other} is not supported")));
    }
    rules(config)?;
    granted(config)?;
    history(config).map(drop)
}

/// What builds may be allowed.
pub(super) fn granted(config: &Config) -> Result<Granted, ConfigError> {
    let builder = config.map("builder");
    let Some(text) = builder.get("entitlements") else {
        return Ok(Granted::default());
    };
    let read: Entitlements =
        serde_json::from_str(text).map_err(|error| ConfigError::new(format!("builder.entitlements: {error}")))?;
    Ok(Granted {
        host_network: read.network_host.unwrap_or(true),
        insecure: read.security_insecure.unwrap_or(true),
        devices: read.device.unwrap_or(true),
    })
}

/// How long builds are remembered.
pub(super) fn history(config: &Config) -> Result<HistoryRules, ConfigError> {
    let builder = config.map("builder");
    match builder.get("history") {
        Some(text) => remembered(text).map_err(|why| ConfigError::new(format!("builder.history: {why}"))),
        None => Ok(HistoryRules::default()),
    }
}

fn remembered(text: &str) -> Result<HistoryRules, String> {
    let read: History = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let age = match &read.max_age {
        Json::Null => None,
        // Seconds, or a duration as Go writes it.
        Json::Number(seconds) => Some(Duration::from_secs(
            seconds.as_u64().ok_or("maxAge: it is no number of seconds")?,
        )),
        Json::String(text) => {
            let read: jiff::SignedDuration = text.parse().map_err(|error| format!("maxAge: {error}"))?;
            Some(read.try_into().map_err(|_| "maxAge: it is negative")?)
        }
        _ => return Err("maxAge: a duration is expected".to_owned()),
    };
    let usual = HistoryRules::default();
    Ok(HistoryRules {
        most: read.max_entries.unwrap_or(usual.most),
        age,
    })
}

/// The rules that the cache is kept by.
pub(super) fn rules(config: &Config) -> Result<CacheRules, ConfigError> {
    let builder = config.map("builder");
    match builder.get("gc") {
        Some(text) => read(text).map_err(|why| ConfigError::new(format!("builder.gc: {why}"))),
        None => Ok(CacheRules::default()),
    }
}

fn read(text: &str) -> Result<CacheRules, String> {
    let gc: Gc = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if gc.enabled == Some(false) {
        return Ok(CacheRules::Off);
    }
    if gc.policy.is_empty() {
        let reserved = either(&gc.default_reserved_space, &gc.default_keep_storage);
        let sizes = [reserved, &gc.default_max_used_space, &gc.default_min_free_space];
        return Ok(CacheRules::Usual(sized(sizes)?));
    }
    let own = gc.policy.iter().map(policy).collect::<Result<_, _>>()?;
    Ok(CacheRules::Own(own))
}

fn policy(policy: &Policy) -> Result<Rule, String> {
    let reserved = either(&policy.reserved_space, &policy.keep_storage);
    let sizes = sized([reserved, &policy.max_used_space, &policy.min_free_space])?;
    let sizes = Rule {
        all: policy.all,
        ..sizes
    };
    let filters = filters(&policy.filter)?;
    prune_rule(&filters, sizes).map_err(|error| error.report())
}

fn either<'a>(new: &'a str, old: &'a str) -> &'a str {
    if new.is_empty() { old } else { new }
}

fn sized([reserved, most, free]: [&str; 3]) -> Result<Rule, String> {
    let bytes = |text: &str| match text {
        "" => Ok(0),
        text => bytes_of(text).map(|bytes| u64::try_from(bytes).unwrap_or(0)),
    };
    Ok(Rule {
        reserved: bytes(reserved)?,
        most: bytes(most)?,
        free: bytes(free)?,
        ..Rule::default()
    })
}

/// Filters as a list of `name=value`, or as the older map of names to values.
fn filters(json: &Json) -> Result<Filters, String> {
    let mut filters = Filters::default();
    match json {
        Json::Null => {}
        Json::Array(items) => {
            for item in items {
                let text = item.as_str().ok_or("filter: a list of texts is expected")?;
                let (name, value) = text.split_once('=').unwrap_or((text, ""));
                filters.add(name.trim(), value.trim_start_matches('=').trim());
            }
        }
        Json::Object(fields) => by_field(fields, &mut filters)?,
        _ => return Err("filter: a list of texts is expected".to_owned()),
    }
    Ok(filters)
}

fn by_field(fields: &Map<String, Json>, filters: &mut Filters) -> Result<(), String> {
    for (name, values) in fields {
        let values = values.as_object().ok_or("filter: a map of maps is expected")?;
        values.keys().for_each(|value| filters.add(name, value));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_are_bounded() {
        let rules = remembered(r#"{"maxAge": "1h30m", "maxEntries": 3}"#).unwrap();
        assert_eq!((rules.most, rules.age), (3, Some(Duration::from_secs(5400))));
        let rules = remembered(r#"{"maxAge": 60}"#).unwrap();
        assert_eq!((rules.most, rules.age), (50, Some(Duration::from_secs(60))));
        for bad in [
            r#"{"maxAge": "x"}"#,
            r#"{"maxAge": []}"#,
            r#"{"nosuch": 1}"#,
            r#"{"maxEntries": -1}"#,
        ] {
            assert!(remembered(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn policies_are_read_as_dockerd_does() {
        assert_eq!(read("{}").unwrap(), CacheRules::default());
        assert_eq!(read(r#"{"enabled": false}"#).unwrap(), CacheRules::Off);
        let CacheRules::Usual(sizes) = read(r#"{"enabled": true, "defaultKeepStorage": "1GB"}"#).unwrap() else {
            panic!()
        };
        assert_eq!((sizes.reserved, sizes.most), (1 << 30, 0));
        let text = r#"{"policy": [{"keepStorage": "2MB", "filter": ["unused-for=1h", "type==regular"]},
            {"all": true, "maxUsedSpace": "3MB", "minFreeSpace": "1kB", "filter": {"type": {"exec.cachemount": true}}}]}"#;
        let CacheRules::Own(rules) = read(text).unwrap() else {
            panic!()
        };
        assert_eq!((rules[0].reserved, rules[0].unused_for.is_some()), (2 << 20, true));
        assert_eq!((rules[1].most, rules[1].free, rules[1].all), (3 << 20, 1024, true));
        for bad in [
            r#"{"nosuch": 1}"#,
            r#"{"defaultKeepStorage": "x"}"#,
            r#"{"policy": [{"filter": ["nosuch=1"]}]}"#,
            r#"{"policy": [{"filter": ["unused-for=x"]}]}"#,
            r#"{"policy": [{"filter": 5}]}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
