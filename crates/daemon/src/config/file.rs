//! `daemon.json`: from bytes to values, and the rule that flag and file must not both set an option.

use super::{Value, Values, by_key};

/// Reads the file's bytes.
pub(super) fn parse(bytes: &[u8]) -> Result<Values, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Ok(Values::new());
    }
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let serde_json::Value::Object(mut map) = json else {
        return Err("the file must hold a JSON object".to_owned());
    };
    // The only keys that lie in an object of their own.
    match map.remove("proxies") {
        Some(serde_json::Value::Object(proxies)) => map.extend(proxies),
        Some(_) => return Err("cannot unmarshal the option proxies: it must be an object".to_owned()),
        None => {}
    }
    let mut unknown: Vec<_> = map
        .keys()
        .filter(|key| key.is_empty() || by_key(key).is_none())
        .cloned()
        .collect();
    unknown.sort();
    if !unknown.is_empty() {
        return Err(format!(
            "the following directives don't match any configuration option: {}",
            unknown.join(", ")
        ));
    }
    let mut values = Values::new();
    for (key, json) in &map {
        let Some(spec) = by_key(key) else {
            continue;
        };
        // Go leaves an option alone whose value is null.
        if json.is_null() {
            continue;
        }
        values.insert(spec.name(), Value::from_json(spec, json)?);
    }
    Ok(values)
}

/// Refuses options that are both flags and in the file; `runtimes` merge, as in dockerd.
pub(super) fn check_conflicts(flags: &Values, file: &Values) -> Result<(), String> {
    let conflicts: Vec<_> = flags
        .iter()
        .filter(|(name, _)| **name != "runtimes")
        .filter_map(|(name, flag)| file.get(name).map(|file| (name, flag, file)))
        .map(|(name, flag, file)| format!("{name}: (from flag: {flag}, from file: {file})"))
        .collect();
    if conflicts.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the following directives are specified both as a flag and in the configuration file: {}",
        conflicts.join(", ")
    ))
}
