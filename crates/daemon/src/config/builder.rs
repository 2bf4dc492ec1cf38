//! The key `builder`: what keeps the cache of builds small (`gc`).

use corten_api::filters::Filters;
use corten_engine::builds::{CacheRules, builder::Rule, prune_rule};
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

/// The rules that the cache is kept by.
pub(super) fn rules(config: &Config) -> Result<CacheRules, ConfigError> {
    let builder = config.map("builder");
    if let Some(other) = builder.keys().find(|key| *key != "gc") {
        return Err(ConfigError::new(format!("builder.{other} is not supported")));
    }
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
