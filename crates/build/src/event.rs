//! What a build tells while it goes on.
//!
//! Events are BuildKit's (`moby.buildkit.v1.StatusResponse`): vertices that are begun and completed, the
//! progress of what they transfer, what they write; and besides, for the classic builder's text, the
//! Dockerfile's steps by their numbers. Steps of several stages go on at once.

use corten_dockerfile::Warning;
use corten_oci::digest::Digest;
use jiff::Timestamp;

use crate::executor::Stream;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The Dockerfile was read: its checks' findings.
    Warnings(Vec<Warning>),
    /// What a check found that had to see a base image.
    Warned(Warning),
    /// A vertex began, was completed, was found in the cache, or failed.
    Vertex(Vertex),
    /// How far something is that a vertex does.
    Status(Status),
    /// A command wrote something, or the builder says something of a vertex.
    Log(Log),
    /// A step of the Dockerfile, by its number among all steps, from 1.
    Step(usize, StepEvent),
    /// Arguments that no instruction asked for.
    Unconsumed(Vec<String>),
    /// The image is made.
    Built(Digest),
    /// The image got a name.
    Tagged(String),
    /// A piece of what an output makes, for the client: the output's number and bytes; none at its end.
    Exported(usize, Option<Vec<u8>>),
}

/// Something that is done once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// Its identity.
    pub digest: Digest,
    /// What it is called: `[2/3] RUN make`.
    pub name: String,
    /// What it needed.
    pub inputs: Vec<Digest>,
    /// When it began; none when it was found in the cache.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// Whether it was found in the cache.
    pub cached: bool,
    /// Why it failed; empty when it did not.
    pub error: String,
}

/// How far something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whose.
    pub vertex: Digest,
    /// What is done, or moved: `transferring context:`, a layer's digest.
    pub id: String,
    /// What is done with it: `extracting`; may be empty.
    pub name: String,
    /// Bytes, or what else is counted, so far.
    pub current: u64,
    /// Of how many; 0 when it is not known.
    pub total: u64,
    /// When this was so.
    pub timestamp: Timestamp,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub completed: Option<Timestamp>,
}

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Whose.
    pub vertex: Digest,
    /// The step's number, as in [`Event::Step`]; 0 for what is no step.
    pub step: usize,
    /// Which stream.
    pub stream: Stream,
    /// When.
    pub timestamp: Timestamp,
    /// Bytes, perhaps half a line.
    pub bytes: Vec<u8>,
}

/// What happens with a step of the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEvent {
    /// It begins.
    Begun {
        /// How many steps there are.
        total: usize,
        /// Its instruction as it is written.
        text: String,
    },
    /// Something is fetched for it.
    Pulling(Transfer),
    /// So many triggers of the base image run now.
    Triggers(usize),
    /// It was found in the cache.
    Cached,
    /// It runs in a container, the one for keeping a configuration included.
    Running(String),
    /// The container was removed.
    Removed(String),
    /// It has ended: the image as it is now; none for an empty root.
    Done(Option<Digest>),
    /// Its stage has ended with it.
    Stage(Digest),
    /// Nothing more happens with it.
    Ended,
}

/// How far the fetching of an image is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transfer {
    /// The layer, or the tag; may be empty.
    pub id: String,
    /// What is done.
    pub status: String,
    /// Bytes so far.
    pub current: u64,
    /// Of how many; 0 when it is not known.
    pub total: u64,
}
