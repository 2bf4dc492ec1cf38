//! OCI runtimes of `--add-runtime name=path` and of the key `runtimes`.

use std::collections::BTreeMap;

use corten_engine::settings::Runtime;
use serde::Deserialize;

use super::{Config, ConfigError, Value, Values};

/// The name that means our own runtime and no other.
const RESERVED: &str = "corten";
/// Names that need not be registered.
const KNOWN: [&str; 3] = [RESERVED, "runc", "io.containerd.runc.v2"];
const KEY: &str = "runtimes";

/// One value of the key.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    path: String,
    runtime_args: Vec<String>,
    runtime_type: String,
}

/// Flags as they count over the file: the one option that both may set comes of both.
pub(super) fn merged(flags: &Values, file: &Values) -> Values {
    let mut flags = flags.clone();
    if let (Some(Value::Map(own)), Some(Value::Map(others))) = (flags.get_mut(KEY), file.get(KEY)) {
        for (name, runtime) in others {
            own.entry(name.clone()).or_insert_with(|| runtime.clone());
        }
    }
    flags
}

/// Reads all runtimes.
pub(super) fn parse(config: &Config) -> Result<BTreeMap<String, Runtime>, ConfigError> {
    let runtimes = config.map(KEY);
    let read = |(name, text): (&String, &String)| Ok((name.clone(), runtime(name, text)?));
    runtimes.iter().map(read).collect()
}

/// A path from a flag, or an object from the file.
fn runtime(name: &str, text: &str) -> Result<Runtime, ConfigError> {
    let refused = |why: &str| ConfigError::new(format!("runtime {name}: {why}"));
    if name == RESERVED {
        return Err(ConfigError::new(format!("runtime name '{RESERVED}' is reserved")));
    }
    let entry: Entry = match text.starts_with('{') {
        true => serde_json::from_str(text).map_err(|error| refused(&error.to_string()))?,
        false => Entry {
            path: text.to_owned(),
            ..Entry::default()
        },
    };
    if !entry.runtime_type.is_empty() {
        return Err(refused(
            "runtimeType names a shim of containerd, which this engine does not use; give the runtime's path",
        ));
    }
    if entry.path.is_empty() {
        return Err(refused("path is required"));
    }
    Ok(Runtime {
        path: entry.path,
        args: entry.runtime_args,
    })
}

/// The default runtime; empty for our own.
pub(super) fn default(config: &Config) -> Result<String, ConfigError> {
    let Some(name) = config.text("default-runtime") else {
        return Ok(String::new());
    };
    if KNOWN.contains(&name) || config.map(KEY).contains_key(name) {
        return Ok(name.to_owned());
    }
    Err(ConfigError::new(format!(
        "specified default runtime '{name}' does not exist"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_are_paths_or_objects() {
        let check = |text: &str, path: &str, args: &[&str]| {
            let runtime = runtime("crun", text).unwrap();
            assert_eq!((runtime.path.as_str(), runtime.args.join(" ")), (path, args.join(" ")));
        };
        check("/usr/bin/crun", "/usr/bin/crun", &[]);
        check(
            "{\"path\":\"crun\",\"runtimeArgs\":[\"--debug\"]}",
            "crun",
            &["--debug"],
        );
        let refused = |name: &str, text: &str| runtime(name, text).unwrap_err().message;
        assert_eq!(refused("corten", "x"), "runtime name 'corten' is reserved");
        assert_eq!(refused("a", "{}"), "runtime a: path is required");
        assert!(refused("a", "{\"runtimeType\":\"io.containerd.kata.v2\"}").contains("shim of containerd"));
    }

    #[test]
    fn flags_and_file_merge() {
        let map = |name: &str| Value::Map([(name.to_owned(), "p".to_owned())].into());
        let values = |name| Values::from([(KEY, map(name))]);
        let merged = merged(&values("a"), &values("b"));
        let Some(Value::Map(all)) = merged.get(KEY) else {
            panic!()
        };
        assert_eq!(all.keys().collect::<Vec<_>>(), ["a", "b"]);
    }
}
