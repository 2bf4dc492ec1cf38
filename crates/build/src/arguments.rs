//! `ARG`: what is given, what is declared where, and what the platform adds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use corten_dockerfile::{Argument, expand};
use corten_oci::platform::Platform;

use crate::error::Result;

/// Known without being declared, and part of neither history nor cache (Dockerfile reference,
/// "Predefined ARGs").
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The values of a build's arguments.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    given: BTreeMap<String, Option<String>>,
    platform: BTreeMap<String, String>,
    /// Declared before the first stage.
    global: BTreeMap<String, String>,
    /// Asked for by some instruction.
    consumed: Mutex<BTreeSet<String>>,
}

impl Arguments {
    pub(crate) fn new(given: BTreeMap<String, Option<String>>, target: &Platform, stage: &str) -> Self {
        let host = Platform::host();
        let mut platform = BTreeMap::new();
        for (prefix, of) in [("TARGET", target), ("BUILD", &host)] {
            platform.insert(format!("{prefix}PLATFORM"), of.to_string());
            platform.insert(format!("{prefix}OS"), of.os.clone());
            platform.insert(format!("{prefix}OSVERSION"), of.os_version.clone());
            platform.insert(format!("{prefix}ARCH"), of.architecture.clone());
            platform.insert(format!("{prefix}VARIANT"), of.variant.clone());
        }
        let stage = if stage.is_empty() { "default" } else { stage };
        platform.insert("TARGETSTAGE".into(), stage.into());
        Self {
            given,
            platform,
            ..Self::default()
        }
    }

    /// Declares arguments before the first stage.
    pub(crate) fn declare_global(&mut self, arguments: &[Argument], escape: char) -> Result<()> {
        for argument in arguments {
            let value = match self.given.get(&argument.name) {
                Some(Some(value)) => Some(value.clone()),
                _ => match &argument.default {
                    Some(default) => Some(expand(default, escape, &|name| self.outside(name))?.text),
                    None => None,
                },
            };
            self.consume(&argument.name);
            if let Some(value) = value {
                self.global.insert(argument.name.clone(), value);
            }
        }
        Ok(())
    }

    /// What `FROM` sees.
    pub(crate) fn outside(&self, name: &str) -> Option<String> {
        self.global.get(name).or_else(|| self.platform.get(name)).cloned()
    }

    /// The value of an argument that a stage declares; its default has its variables put in.
    pub(crate) fn declare(&self, name: &str, default: Option<String>) -> Option<String> {
        self.consume(name);
        match self.given.get(name) {
            Some(Some(value)) => Some(value.clone()),
            _ => default.or_else(|| self.outside(name)),
        }
    }

    fn consume(&self, name: &str) {
        let mut consumed = self.consumed.lock().unwrap_or_else(PoisonError::into_inner);
        consumed.insert(name.to_owned());
    }

    /// The value of an argument that was given, declared or not.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.given.get(name)?.as_deref()
    }

    /// Proxies that were given, for the environment of commands.
    pub(crate) fn proxies(&self) -> Vec<(String, String)> {
        let given = |name: &&str| Some(((*name).to_owned(), self.given.get(*name)?.clone()?));
        PROXIES.iter().filter_map(given).collect()
    }

    /// Arguments that were given and that nobody asked for.
    pub(crate) fn unconsumed(&self) -> Vec<String> {
        let known =
            |name: &str| PROXIES.contains(&name) || name.starts_with("BUILDKIT_") || name == "SOURCE_DATE_EPOCH";
        let consumed = self.consumed.lock().unwrap_or_else(PoisonError::into_inner);
        let given = self.given.keys();
        given
            .filter(|name| !consumed.contains(*name) && !known(name))
            .cloned()
            .collect()
    }
}

/// Whether an argument stays out of history and cache.
pub(crate) fn is_proxy(name: &str) -> bool {
    PROXIES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(name: &str, default: Option<&str>) -> Argument {
        Argument {
            name: name.into(),
            default: default.map(str::to_owned),
        }
    }

    #[test]
    fn scopes_and_precedence() {
        let given = [("A", "given"), ("X", "unused"), ("HTTP_PROXY", "p")];
        let given = given.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
        let mut arguments = Arguments::new(given.into(), &Platform::host(), "");
        let declared = [
            argument("A", Some("1")),
            argument("B", Some("${A}-2")),
            argument("C", None),
        ];
        arguments.declare_global(&declared, '\\').unwrap();
        assert_eq!(arguments.outside("B").as_deref(), Some("given-2"));
        assert_eq!(arguments.outside("TARGETOS").as_deref(), Some("linux"));
        assert_eq!(arguments.declare("A", Some("stage".into())).as_deref(), Some("given"));
        assert_eq!(arguments.declare("B", None).as_deref(), Some("given-2"));
        assert_eq!(arguments.declare("B", Some("own".into())).as_deref(), Some("own"));
        assert_eq!(arguments.declare("D", None), None);
        assert_eq!(arguments.unconsumed(), ["X"]);
        assert_eq!(arguments.proxies(), [("HTTP_PROXY".to_owned(), "p".to_owned())]);
    }
}
