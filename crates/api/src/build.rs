//! Corten's own side of `POST /build`: what it can be asked beyond Docker's parameters, and a build's events
//! as data, which `output=trace` sends in `aux`, under the id [`TRACE`]. Docker's clients get text.
//!
//! With `preface=<n>`, the first n bytes of the body are an [`Extended`] as JSON; the context follows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The id of messages that carry an [`Event`].
pub const TRACE: &str = "corten.build.trace";

/// What a build is asked beyond Docker's parameters.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Extended {
    /// The Dockerfile, when it is not in the context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// What `.dockerignore` beside such a Dockerfile says, in place of the context's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<String>,
    /// The context, when it is a folder of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<LocalFolder>,
    /// The folder of the archive that is the context; empty for all of it.
    pub below: String,
    /// What stands for names (`--build-context`).
    pub contexts: BTreeMap<String, NamedContext>,
    /// Named contexts that are OCI layouts, with the tag or digest that is meant.
    pub layouts: BTreeMap<String, String>,
    /// What is stated about the image, by kinds: `provenance`, `sbom`.
    pub attest: BTreeMap<String, String>,
    /// Secrets, in base64.
    pub secrets: BTreeMap<String, String>,
    /// Sockets of agents on this machine.
    pub agents: BTreeMap<String, String>,
    /// What steps are allowed: `network.host`, `security.insecure`.
    pub allow: Vec<String>,
    /// Stages that are built anew.
    pub no_cache_filter: Vec<String>,
    /// What becomes of the result; an image when there is none.
    pub outputs: Vec<Output>,
    /// Whether misses of the cache are explained.
    pub explain: bool,
    /// Whether all layers of the build become one.
    pub squash: bool,
    /// Where cached steps come from.
    pub cache_from: Vec<BTreeMap<String, String>>,
    /// Where cached steps go.
    pub cache_to: Vec<BTreeMap<String, String>>,
}

impl std::fmt::Debug for Extended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extended")
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

/// A folder of this machine, with what proves that both ends see the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalFolder {
    /// Where it is.
    pub path: String,
    /// Its device, as stat(2) has it.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
}

/// What stands for a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NamedContext {
    /// A folder of this machine.
    Folder(LocalFolder),
    /// A folder of the archive that was sent.
    Sent(String),
    /// An image.
    Image(String),
    /// An address that the engine fetches.
    Remote(String),
}

/// What becomes of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Output {
    /// Nothing: only the cache grows.
    Nothing,
    /// An image of the engine, with these options by BuildKit's names (`push`, `compression`, `annotation.…`).
    Image(BTreeMap<String, String>),
    /// Its files, as a tar that the client gets.
    Files,
    /// The image as an archive that the client gets.
    Archive {
        /// Options, as for an image.
        options: BTreeMap<String, String>,
        /// Whether it is OCI's layout and not `docker save`'s.
        oci: bool,
    },
}

/// Something that happened in a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// The Dockerfile was read.
    Loaded {
        /// Its name.
        name: String,
        /// Its length in bytes.
        size: u64,
        /// Its text, for excerpts.
        text: String,
        /// What could be better.
        warnings: Vec<Warning>,
    },
    /// What a check found that had to see a base image.
    Warned(Warning),
    /// Something is begun or completed.
    Vertex(Vertex),
    /// Something of a vertex goes on.
    Status(Status),
    /// A vertex wrote something.
    Log(Log),
    /// Arguments that no instruction asked for.
    Unconsumed(Vec<String>),
    /// The image is made.
    Built(String),
    /// It got a name.
    Tagged(String),
    /// A piece of an output, in base64; none at its end.
    Exported(usize, Option<String>),
    /// The build is over: what its outputs say.
    Finished(BTreeMap<String, String>),
    /// The build failed.
    Failed(Failed),
}

/// Something that is done once (BuildKit's `client.Vertex`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Vertex {
    /// Its identity.
    pub digest: String,
    /// What it needed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// What it is called.
    pub name: String,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,
    /// Whether it was found in the cache.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// How far something is (`client.VertexStatus`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// What is done.
    pub id: String,
    /// Whose.
    pub vertex: String,
    /// What is done with it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Of how many.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub total: u64,
    /// So far.
    pub current: u64,
    /// When this was so.
    pub timestamp: String,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,
}

/// A piece of output (`client.VertexLog`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Log {
    /// Whose.
    pub vertex: String,
    /// 1 or 2.
    pub stream: u8,
    /// The bytes, in base64.
    pub data: String,
    /// When.
    pub timestamp: String,
}

/// What could be better in a Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Warning {
    /// The check's name.
    pub rule: String,
    /// What is wrong.
    pub message: String,
    /// The line.
    pub line: usize,
}

/// Why a build failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failed {
    /// The sentence.
    pub message: String,
    /// The lines of the Dockerfile around it; empty when it is at none.
    pub excerpt: String,
    /// Whether it happened in a step.
    pub in_step: bool,
    /// The exit code of the command that failed; 0 for other failures.
    pub code: i32,
}

/// A build of the history (Corten's `GET /builds`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Past {
    /// Its name.
    pub reference: String,
    /// `Running`, `Completed`, `Error` or `Canceled`.
    pub status: String,
    /// What was asked for, by BuildKit's names: `context`, `filename`, `target`, …
    pub attributes: BTreeMap<String, String>,
    /// When it began, RFC 3339.
    pub created: String,
    /// When it ended; empty while it goes on.
    pub completed: String,
    /// Steps that were found in the cache.
    pub cached_steps: i32,
    /// All steps.
    pub total_steps: i32,
    /// Steps that were completed.
    pub completed_steps: i32,
    /// Warnings about the Dockerfile.
    pub warnings: i32,
    /// Why it failed.
    pub error: String,
    /// The image that it made.
    pub image: String,
    /// Names that the image got.
    pub names: String,
}
