//! `--ulimit`, `--sysctl`, `--restart`, `--log-opt`, `--security-opt`, `--storage-opt`.

use std::collections::BTreeMap;

use corten_api::container::{RestartPolicy, Ulimit};

use super::quote;

/// Checks `--ulimit`.
pub(crate) fn check_ulimit(text: &str) -> Result<(), String> {
    Ulimit::parse(text).map(drop)
}

/// Kernel parameters that belong to a namespace.
const SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Checks `--sysctl name=value`.
pub(crate) fn check_sysctl(text: &str) -> Result<(), String> {
    match text.split_once('=') {
        Some((name, _)) if SYSCTLS.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue.") => {
            Ok(())
        }
        _ => Err(format!("sysctl '{text}' is not allowed")),
    }
}

/// Reads `--restart policy[:count]`.
pub(crate) fn parse_restart(text: &str) -> Result<RestartPolicy, String> {
    let (name, count) = match text.split_once(':') {
        Some(("", _)) => return Err("invalid restart policy format: no policy provided before colon".to_owned()),
        Some((name, count)) => (name, count),
        None => (text, ""),
    };
    let count = match count {
        "" => 0,
        count => count
            .parse()
            .map_err(|_| "invalid restart policy format: maximum retry count must be an integer".to_owned())?,
    };
    Ok(RestartPolicy {
        name: name.to_owned(),
        maximum_retry_count: count,
    })
}

/// Reads `--storage-opt name=value`.
pub(crate) fn parse_storage(values: &[&str]) -> Result<Option<BTreeMap<String, String>>, String> {
    let mut options = BTreeMap::new();
    for value in values {
        let (name, value) = value.split_once('=').ok_or("invalid storage option")?;
        options.insert(name.to_owned(), value.to_owned());
    }
    Ok((!options.is_empty()).then_some(options))
}

/// What `--security-opt` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Security {
    /// The options for the engine.
    pub(crate) options: Vec<String>,
    /// Whether nothing below `/proc` and `/sys` is hidden or read-only (`systempaths=unconfined`).
    pub(crate) all_paths: bool,
}

/// Reads `--security-opt`; `read` fetches the contents of a seccomp profile.
pub(crate) fn parse_security(
    values: &[&str],
    read: impl Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Security, String> {
    let mut security = Security::default();
    for option in values {
        if *option == "systempaths=unconfined" {
            security.all_paths = true;
            continue;
        }
        let (name, value) = match option.split_once('=') {
            Some(pair) => pair,
            None if *option == "no-new-privileges" => (*option, ""),
            None => option.split_once(':').unwrap_or((option, "")),
        };
        if value.is_empty() && name != "no-new-privileges" {
            return Err(format!("Invalid --security-opt: {}", quote(option)));
        }
        if name != "seccomp" || matches!(value, "builtin" | "unconfined") {
            security.options.push((*option).to_owned());
            continue;
        }
        let profile = read(value).map_err(|e| format!("opening seccomp profile ({value}) failed: {e}"))?;
        let profile =
            compact(&profile).map_err(|e| format!("compacting json for seccomp profile ({value}) failed: {e}"))?;
        security.options.push(format!("seccomp={profile}"));
    }
    Ok(security)
}

/// A JSON document without the space between its tokens.
fn compact(document: &[u8]) -> Result<String, String> {
    serde_json::from_slice::<serde::de::IgnoredAny>(document).map_err(|e| e.to_string())?;
    let text = std::str::from_utf8(document).map_err(|e| e.to_string())?;
    let mut compact = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        compact.push(c);
    }
    Ok(compact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ulimits() {
        let check = |text, soft, hard| {
            let u = Ulimit::parse(text).unwrap();
            assert_eq!((u.soft, u.hard), (soft, hard), "{text}");
        };
        check("nofile=10", 10, 10);
        check("nofile=10:20", 10, 20);
        check("core=-1", -1, -1);
        let refuse = |text, expected| assert_eq!(Ulimit::parse(text).unwrap_err(), expected);
        refuse("nofile", "invalid ulimit argument: nofile");
        refuse("nofile=abc", "strconv.ParseInt: parsing \"abc\": invalid syntax");
        refuse("foo=1", "invalid ulimit type: foo");
        refuse(
            "nofile=2:1",
            "ulimit soft limit must be less than or equal to hard limit: 2 > 1",
        );
    }

    #[test]
    fn reads_policies() {
        assert_eq!(parse_restart("on-failure:5").unwrap().maximum_retry_count, 5);
        assert_eq!(parse_restart("always").unwrap().name, "always");
        assert!(parse_restart(":3").is_err() && parse_restart("on-failure:x").is_err());
        assert_eq!(check_sysctl("a").unwrap_err(), "sysctl 'a' is not allowed");
        assert!(check_sysctl("net.ipv4.ip_forward=1").is_ok());
    }

    #[test]
    fn reads_security() {
        let read = |name: &str| match name {
            "p.json" => Ok(b"{ \"a b\" : [ 1,\n2 ] }".to_vec()),
            _ => Err(format!("open {name}: no such file or directory")),
        };
        let parse = |values: &[&str]| parse_security(values, read);
        assert_eq!(parse(&["nope"]).unwrap_err(), "Invalid --security-opt: \"nope\"");
        assert_eq!(parse(&["seccomp=p.json"]).unwrap().options, ["seccomp={\"a b\":[1,2]}"]);
        assert_eq!(
            parse(&["seccomp=x"]).unwrap_err(),
            "opening seccomp profile (x) failed: open x: no such file or directory"
        );
        let security = parse(&["no-new-privileges", "apparmor:x", "systempaths=unconfined"]).unwrap();
        assert_eq!(security.options, ["no-new-privileges", "apparmor:x"]);
        assert!(security.all_paths);
    }
}
