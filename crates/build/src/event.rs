//! What a build tells while it goes on.

use corten_dockerfile::Warning;
use corten_oci::digest::Digest;

use crate::executor::Stream;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The Dockerfile was read: its checks' findings.
    Warnings(Vec<Warning>),
    /// A step begins.
    Step(Vertex),
    /// What the base image of a step is while it is fetched: one message of the pull.
    Pulling(String),
    /// So many triggers of the base image run now.
    Triggers(usize),
    /// The step was found in the cache.
    Cached,
    /// The step runs in a container, the one for keeping a configuration included.
    Running(String),
    /// The container wrote something.
    Output(Stream, Vec<u8>),
    /// The container was removed.
    Removed(String),
    /// The step has ended: the image as it is now; none for an empty root.
    Done(Option<Digest>),
    /// A stage has ended.
    Stage(Digest),
    /// Arguments that no instruction asked for.
    Unconsumed(Vec<String>),
    /// The image is made.
    Built(Digest),
    /// The image got a name.
    Tagged(String),
}

/// A step, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// Its number among all steps, from 1.
    pub number: usize,
    /// How many steps there are.
    pub total: usize,
    /// Its instruction as it is written.
    pub text: String,
    /// Its instruction with variables put in.
    pub expanded: String,
    /// The stage's name, or `stage-<number>`; empty when there is only one.
    pub stage: String,
    /// Its number among the stage's steps that make files, from 1; 0 when it makes none.
    pub position: usize,
    /// How many of those the stage has.
    pub positions: usize,
}
