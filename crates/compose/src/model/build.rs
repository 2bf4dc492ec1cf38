//! `build`.

use std::collections::BTreeMap;

use super::{
    Bytes, Decode, ExtraHosts, FileMount, Mapping, Options, Render, Strings, Ulimit, Variables,
    decode::{mapping, text},
    model,
};
use crate::{
    Node,
    error::Result,
    output::{Format, Output},
};

model! {
    /// How to build a service's image (Compose specification, `build`).
    pub struct Build {
        /// The folder, archive or repository to build from.
        "context" context: String,
        /// The Dockerfile, in the context.
        "dockerfile" dockerfile: String,
        /// The Dockerfile itself.
        "dockerfile_inline" dockerfile_inline: String,
        /// What the build is allowed beyond the usual.
        "entitlements" entitlements: Strings,
        /// Variables of the Dockerfile.
        "args" args: Variables,
        /// Which provenance to attest.
        "provenance" provenance: String,
        /// Which bill of materials to attest.
        "sbom" sbom: String,
        /// Agents and keys for mounts of the kind `ssh`.
        "ssh" ssh: SshList,
        /// Labels of the image.
        "labels" labels: Options,
        /// Where to take the cache from.
        "cache_from" cache_from: Strings,
        /// Where to put the cache.
        "cache_to" cache_to: Strings,
        /// Whether to use no cache.
        "no_cache" no_cache: bool,
        /// Further contexts by name.
        "additional_contexts" additional_contexts: Options,
        /// Whether to look for newer images.
        "pull" pull: bool,
        /// Further names of hosts.
        "extra_hosts" extra_hosts: ExtraHosts,
        /// How containers are kept apart; for Windows.
        "isolation" isolation: String,
        /// The network of commands.
        "network" network: String,
        /// The stage to build.
        "target" target: String,
        /// Secrets for mounts of the kind `secret`.
        "secrets" secrets: Vec<FileMount>,
        /// The size of `/dev/shm`.
        "shm_size" shm_size: Bytes,
        /// Further names of the image.
        "tags" tags: Strings,
        /// Limits of commands.
        "ulimits" ulimits: BTreeMap<String, Option<Ulimit>>,
        /// The platforms to build for.
        "platforms" platforms: Strings,
        /// Whether commands have all privileges.
        "privileged" privileged: bool,
    }
}

/// An agent or a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshKey {
    /// What Dockerfiles call it.
    pub id: String,
    /// The agent's socket or the key's file; the default agent when empty.
    pub path: String,
}

/// Agents and keys, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshList(pub Vec<SshKey>);

impl Decode for SshList {
    fn decode(node: &Node) -> Result<Self> {
        let keys = mapping(node)?.iter().map(|(id, path)| {
            let path = if path.is_null() { String::new() } else { text(path)? };
            Ok(SshKey { id: id.clone(), path })
        });
        keys.collect::<Result<_>>().map(Self)
    }
}

impl Render for SshList {
    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn render(&self, _: Format) -> Output {
        let texts = self.0.iter().map(|key| {
            Output::Text(if key.path.is_empty() {
                key.id.clone()
            } else {
                format!("{}: {}", key.id, key.path)
            })
        });
        Output::List(texts.collect())
    }
}

impl Build {
    /// Further contexts by name.
    pub fn contexts(&self) -> &Mapping {
        &self.additional_contexts.0
    }
}
