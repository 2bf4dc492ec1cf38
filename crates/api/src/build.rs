//! A build's events as data: what `POST /build?output=trace` sends in `aux`, under the id [`TRACE`].
//!
//! This is Corten's own; Docker's clients get text.

use serde::{Deserialize, Serialize};

/// The id of messages that carry an [`Event`].
pub const TRACE: &str = "corten.build.trace";

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
        /// What could be better.
        warnings: Vec<Warning>,
    },
    /// A step begins.
    Step(Step),
    /// It was found in the cache.
    Cached,
    /// It wrote something.
    Output(String),
    /// It has ended.
    Done,
    /// Arguments that no instruction asked for.
    Unconsumed(Vec<String>),
    /// The image is made.
    Built(String),
    /// It got a name.
    Tagged(String),
    /// The build failed.
    Failed(Failed),
}

/// A step, as people see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Step {
    /// The instruction with its variables put in.
    pub text: String,
    /// The stage's name; empty when there is only one.
    pub stage: String,
    /// Its number among the stage's steps that make files; 0 when it makes none.
    pub position: usize,
    /// How many of those there are.
    pub positions: usize,
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
    /// Whether it happened in the step that began last.
    pub in_step: bool,
}
