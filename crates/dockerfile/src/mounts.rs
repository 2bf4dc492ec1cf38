//! `RUN --mount=type=…,…` (Dockerfile reference, "RUN --mount").

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::instruction::{Access, Mount, MountKind, Sharing};
use crate::suggest;

/// Keys of each type.
const KEYS: [(&str, &[&str]); 5] = [
    ("bind", &["target", "source", "from", "rw", "ro"]),
    (
        "cache",
        &[
            "id", "target", "ro", "rw", "sharing", "from", "source", "mode", "uid", "gid",
        ],
    ),
    ("tmpfs", &["target", "size"]),
    ("secret", &["id", "target", "env", "required", "mode", "uid", "gid"]),
    ("ssh", &["id", "target", "required", "mode", "uid", "gid"]),
];

/// Reads one mount.
pub(crate) fn parse(text: &str) -> Result<Mount> {
    let mut options: BTreeMap<String, String> = BTreeMap::new();
    let mut kind = "bind".to_owned();
    for field in text.split(',').filter(|field| !field.is_empty()) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), value.to_owned()),
            None => (field.to_ascii_lowercase(), String::new()),
        };
        match key.as_str() {
            "type" => kind = value.to_ascii_lowercase(),
            _ => drop(options.insert(canonical(&key).to_owned(), value)),
        }
    }
    let Some((_, known)) = KEYS.iter().find(|(name, _)| *name == kind) else {
        let names = KEYS.iter().map(|(name, _)| *name);
        let message = suggest::with_suggestion(format!("unsupported mount type {kind:?}"), &kind, names);
        return Err(Error::new(message));
    };
    if kind == "secret"
        && let Some(source) = options.remove("source")
    {
        options.insert("id".into(), source);
    }
    for key in options.keys() {
        if !known.contains(&key.as_str()) {
            let message = format!("unexpected key '{key}' for mount type {kind:?}");
            return Err(Error::new(suggest::with_suggestion(
                message,
                key,
                known.iter().copied(),
            )));
        }
    }
    Options(options).mount(&kind)
}

fn canonical(key: &str) -> &str {
    match key {
        "dst" | "destination" => "target",
        "src" => "source",
        "readwrite" => "rw",
        "readonly" => "ro",
        other => other,
    }
}

struct Options(BTreeMap<String, String>);

impl Options {
    fn text(&self, key: &str) -> String {
        self.0.get(key).cloned().unwrap_or_default()
    }

    fn given(&self, key: &str) -> Option<String> {
        self.0.get(key).filter(|value| !value.is_empty()).cloned()
    }

    fn switch(&self, key: &str) -> Result<Option<bool>> {
        match self.0.get(key).map(|value| value.to_ascii_lowercase()).as_deref() {
            None => Ok(None),
            Some("" | "true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(value) => Err(Error::new(format!("invalid value for {key}: {value}"))),
        }
    }

    fn number(&self, key: &str, radix: u32, default: u32) -> Result<u32> {
        match self.given(key) {
            None => Ok(default),
            Some(text) => u32::from_str_radix(&text, radix)
                .map_err(|_| Error::new(format!("invalid value {text} for {key}, which is a number"))),
        }
    }

    /// The mount cannot be written: `ro`, or not `rw`.
    fn read_only(&self, default: bool) -> Result<bool> {
        let read_only = self.switch("ro")?;
        let writable = self.switch("rw")?;
        Ok(read_only.or(writable.map(|writable| !writable)).unwrap_or(default))
    }

    fn mount(&self, kind: &str) -> Result<Mount> {
        let target = self.text("target");
        if target.is_empty() && matches!(kind, "bind" | "cache" | "tmpfs") {
            return Err(Error::new(format!("a mount of type {kind:?} needs target=…")));
        }
        let (kind, read_only) = match kind {
            "bind" => (
                MountKind::Bind {
                    from: self.given("from"),
                    source: self.text("source"),
                },
                self.read_only(true)?,
            ),
            "cache" => (self.cache()?, self.read_only(false)?),
            "tmpfs" => (
                MountKind::Tmpfs {
                    size: self.given("size").map_or(Ok(0), |text| size(&text))?,
                },
                false,
            ),
            "secret" => (self.secret(&target)?, true),
            _ => (
                MountKind::Ssh {
                    id: self.given("id").unwrap_or_else(|| "default".into()),
                    required: self.switch("required")?.unwrap_or(false),
                    access: self.access(0o600)?,
                },
                false,
            ),
        };
        Ok(Mount {
            kind,
            target,
            read_only,
        })
    }

    fn cache(&self) -> Result<MountKind> {
        let sharing = match self.text("sharing").to_ascii_lowercase().as_str() {
            "" | "shared" => Sharing::Shared,
            "private" => Sharing::Private,
            "locked" => Sharing::Locked,
            other => {
                let message = format!("unsupported sharing mode {other:?}");
                let words = ["shared", "private", "locked"];
                return Err(Error::new(suggest::with_suggestion(message, other, words)));
            }
        };
        Ok(MountKind::Cache {
            id: self.text("id"),
            sharing,
            from: self.given("from"),
            source: self.text("source"),
            mode: self.number("mode", 8, 0o755)?,
            uid: self.number("uid", 10, 0)?,
            gid: self.number("gid", 10, 0)?,
        })
    }

    fn secret(&self, target: &str) -> Result<MountKind> {
        let id = self.given("id").unwrap_or_else(|| {
            let name = target.rsplit('/').next().unwrap_or_default();
            name.to_owned()
        });
        if id.is_empty() {
            return Err(Error::new("a mount of type \"secret\" needs id=… or target=…"));
        }
        Ok(MountKind::Secret {
            id,
            env: self.given("env"),
            required: self.switch("required")?.unwrap_or(false),
            access: self.access(0o400)?,
        })
    }

    fn access(&self, mode: u32) -> Result<Access> {
        Ok(Access {
            mode: self.number("mode", 8, mode)?,
            uid: self.number("uid", 10, 0)?,
            gid: self.number("gid", 10, 0)?,
        })
    }
}

/// Bytes with a unit, of 1024.
fn size(text: &str) -> Result<u64> {
    let bad = || Error::new(format!("invalid size: '{text}'"));
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().trim_end_matches(['b', 'i']) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(bad()),
    };
    let number: u64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(1 << (10 * unit)).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read() {
        let bind = parse("from=a,src=/x,dst=/y,rw").unwrap();
        assert_eq!((bind.target.as_str(), bind.read_only), ("/y", false));
        assert!(matches!(bind.kind, MountKind::Bind { from: Some(from), source } if from == "a" && source == "/x"));
        let cache = parse("type=cache,target=/c,sharing=locked,mode=0700,uid=5").unwrap();
        assert!(matches!(
            cache.kind,
            MountKind::Cache {
                sharing: Sharing::Locked,
                mode: 0o700,
                uid: 5,
                ..
            }
        ));
        let secret = parse("type=secret,target=/run/x/token").unwrap();
        assert!(matches!(secret.kind, MountKind::Secret { id, required: false, .. } if id == "token"));
        let memory = parse("type=tmpfs,target=/t,size=2m").unwrap();
        assert_eq!(memory.kind, MountKind::Tmpfs { size: 2 << 20 });
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(
            error("type=cach,target=/x"),
            "unsupported mount type \"cach\" (did you mean cache?)"
        );
        assert_eq!(
            error("type=bind,taget=/x"),
            "unexpected key 'taget' for mount type \"bind\" (did you mean target?)"
        );
        assert_eq!(error("type=cache"), "a mount of type \"cache\" needs target=…");
        assert!(error("type=secret").contains("needs id"));
        assert!(error("type=cache,target=/x,mode=9").contains("invalid value 9"));
    }
}
