//! What the Dockerfile frontend is asked (`frontend/dockerui` of moby/buildkit): attributes by their names.

use std::collections::{BTreeMap, BTreeSet};

use corten_build::{Allowed, Fresh};
use corten_oci::platform::Platform;

use crate::grpc::{Result, Status};

/// The attributes, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The Dockerfile's name in its folder.
    pub(crate) filename: String,
    /// The stage to build.
    pub(crate) target: String,
    /// Values for `ARG`.
    pub(crate) arguments: BTreeMap<String, Option<String>>,
    /// Labels for the image.
    pub(crate) labels: BTreeMap<String, String>,
    /// What is built anew.
    pub(crate) fresh: Fresh,
    /// Whether base images are fetched even if they are here.
    pub(crate) pull: bool,
    /// `os/arch[/variant]`, with commas between them; empty for this machine's.
    pub(crate) platform: String,
    /// `host:address`
    pub(crate) hosts: Vec<String>,
    /// Bytes of `/dev/shm`.
    pub(crate) shm_size: i64,
    /// `name=soft:hard`
    pub(crate) ulimits: Vec<(String, i64, i64)>,
    /// `none`, `host`, or empty.
    pub(crate) network: String,
    /// The parent of the steps' cgroups.
    pub(crate) cgroup_parent: String,
    /// What stands for names.
    pub(crate) contexts: BTreeMap<String, String>,
    /// Where the context is, when no folder of the client is.
    pub(crate) remote: String,
    /// The folder of the context in the session.
    pub(crate) context_key: String,
    /// The folder of the Dockerfile in the session.
    pub(crate) dockerfile_key: String,
    /// Sessions that have folders, by the folders' names, where it is not the build's own.
    pub(crate) sessions: BTreeMap<String, String>,
    /// What is asked instead of a build.
    pub(crate) request: String,
    /// What is stated about the image, by kinds.
    pub(crate) attest: BTreeMap<String, String>,
    /// Images whose layers may be used again.
    pub(crate) cache_from: Vec<String>,
}

/// Attributes that change nothing here, or that other parts of the request say as well.
const KNOWN: &[&str] = &[
    "frontend.caps",
    "multi-platform",
    "contextsubdir",
    "build-arg:BUILDKIT_INLINE_CACHE",
    "cmdline",
    "source",
];

impl Options {
    /// Reads attributes.
    pub(crate) fn read(attributes: &BTreeMap<String, String>) -> Result<Self> {
        let mut options = Self {
            filename: "Dockerfile".to_owned(),
            context_key: "context".to_owned(),
            dockerfile_key: "dockerfile".to_owned(),
            ..Self::default()
        };
        for (name, value) in attributes {
            options.take(name, value)?;
        }
        Ok(options)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<()> {
        if let Some((kind, name)) = name.split_once(':') {
            return self.take_named(kind, name, value);
        }
        let text = value.to_owned();
        match name {
            "filename" => self.filename = text,
            "target" => self.target = text,
            "no-cache" => self.fresh = fresh(value),
            "image-resolve-mode" => self.pull = value == "pull",
            "platform" => self.platform = value.to_lowercase(),
            "add-hosts" => {
                let pairs = value.split(',').filter(|pair| !pair.is_empty());
                self.hosts = pairs.map(|pair| pair.replacen('=', ":", 1)).collect();
            }
            "shm-size" => self.shm_size = number(name, value)?,
            "ulimit" => self.ulimits = ulimits(value)?,
            "force-network-mode" => self.network = network(value)?,
            "cgroup-parent" => self.cgroup_parent = text,
            "context" => self.remote = text,
            "contextkey" => self.context_key = text,
            "dockerfilekey" => self.dockerfile_key = text,
            "requestid" => self.request = text,
            "cache-from" => {
                let names = value.split(',').filter(|name| !name.is_empty());
                self.cache_from.extend(names.map(str::to_owned));
            }
            // As JSON; the request's own list has the same.
            "cache-imports" => {}
            "hostname" => return Err(refused(name)),
            name if KNOWN.contains(&name) => {}
            name => return Err(refused(name)),
        }
        Ok(())
    }

    fn take_named(&mut self, kind: &str, name: &str, value: &str) -> Result<()> {
        match kind {
            "build-arg" => drop(self.arguments.insert(name.to_owned(), Some(value.to_owned()))),
            "label" => drop(self.labels.insert(name.to_owned(), value.to_owned())),
            "context" => drop(self.contexts.insert(name.to_lowercase(), value.to_owned())),
            // Provenance is made for the history whether it is asked for or not.
            "attest" if name == "provenance" && (value.contains("disabled=true") || value.contains("mode=min")) => {}
            "attest" => drop(self.attest.insert(name.to_owned(), value.to_owned())),
            // The configuration of an image that a context is: the image has it.
            "input-metadata" => {}
            "local-sessionid" => drop(self.sessions.insert(name.to_owned(), value.to_owned())),
            kind => return Err(refused(&format!("{kind}:{name}"))),
        }
        Ok(())
    }

    /// What is built for; this machine when nothing is said.
    pub(crate) fn platforms(&self) -> Result<Vec<Platform>> {
        let mut found = Vec::new();
        for text in self.platform.split(',').filter(|text| !text.is_empty()) {
            let platform: Platform = text.parse().map_err(|error| Status::invalid(format!("{error}")))?;
            if !found.contains(&platform) {
                found.push(platform);
            }
        }
        if found.is_empty() {
            found.push(Platform::host());
        }
        Ok(found)
    }

    /// What the request allows.
    pub(crate) fn allowed(entitlements: &[String]) -> Result<Allowed> {
        let mut allowed = Allowed::default();
        for name in entitlements {
            allowed.add(name).map_err(|error| Status::invalid(error.to_string()))?;
        }
        Ok(allowed)
    }
}

fn refused(name: &str) -> Status {
    Status::unimplemented(format!("frontend option {name:?} is not supported"))
}

fn number(name: &str, value: &str) -> Result<i64> {
    let wrong = |_| Status::invalid(format!("{name}: {value:?} is no number"));
    value.parse().map_err(wrong)
}

fn fresh(value: &str) -> Fresh {
    let stages: BTreeSet<String> = value
        .split(',')
        .map(|stage| stage.trim().to_lowercase())
        .filter(|stage| !stage.is_empty())
        .collect();
    match stages.is_empty() {
        true => Fresh::Everything,
        false => Fresh::Stages(stages),
    }
}

fn network(value: &str) -> Result<String> {
    match value {
        "" | "sandbox" | "default" => Ok(String::new()),
        "none" | "host" => Ok(value.to_owned()),
        other => Err(Status::invalid(format!("invalid network mode {other:?}"))),
    }
}

fn ulimits(value: &str) -> Result<Vec<(String, i64, i64)>> {
    let wrong = |one: &str| Status::invalid(format!("invalid ulimit {one:?}"));
    let limits = value.split(',').filter(|one| !one.is_empty());
    limits
        .map(|one| {
            let (name, bounds) = one.split_once('=').ok_or_else(|| wrong(one))?;
            let (soft, hard) = bounds.split_once(':').unwrap_or((bounds, bounds));
            match (soft.parse(), hard.parse()) {
                (Ok(soft), Ok(hard)) => Ok((name.to_owned(), soft, hard)),
                _ => Err(wrong(one)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Options> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Options::read(&pairs.collect())
    }

    #[test]
    fn attributes_are_read() {
        let options = read(&[
            ("filename", "x/Dockerfile.dev"),
            ("build-arg:A", "1=2"),
            ("label:com.x", "v"),
            ("context:Base", "docker-image://busybox"),
            ("add-hosts", "a=1.2.3.4,b=::1"),
            ("ulimit", "nofile=1:2,core=3"),
            ("no-cache", "one,Two"),
            ("image-resolve-mode", "pull"),
            ("force-network-mode", "none"),
            ("shm-size", "99"),
        ])
        .unwrap();
        assert_eq!(options.arguments["A"].as_deref(), Some("1=2"));
        assert_eq!(
            (options.labels["com.x"].as_str(), options.contexts["base"].as_str()),
            ("v", "docker-image://busybox")
        );
        assert_eq!(options.hosts, ["a:1.2.3.4", "b:::1"]);
        assert_eq!(options.ulimits, [("nofile".into(), 1, 2), ("core".into(), 3, 3)]);
        assert_eq!(
            options.fresh,
            Fresh::Stages(["one".to_owned(), "two".to_owned()].into())
        );
        assert!(options.pull && options.network == "none" && options.shm_size == 99);
        assert_eq!(read(&[("no-cache", "")]).unwrap().fresh, Fresh::Everything);
        assert_eq!(read(&[]).unwrap().fresh, Fresh::Nothing);
    }

    #[test]
    fn what_is_not_done_is_refused() {
        for (name, value) in [
            ("nosuch", ""),
            ("force-network-mode", "bridge"),
            ("shm-size", "x"),
            ("ulimit", "nofile"),
        ] {
            assert!(read(&[(name, value)]).is_err(), "{name}");
        }
    }
}
