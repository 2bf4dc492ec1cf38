//! What a build needs of an engine.

use std::io::Read;
use std::path::PathBuf;

use corten_dockerfile::{Network, Security};
use corten_oci::digest::Digest;
use corten_oci::image::ImageConfig;

use crate::error::Result;

/// Which of a command's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A command to be run in a container of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The container's id, and that of the root that was made for it.
    pub id: String,
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// Environment.
    pub environment: Vec<String>,
    /// Folder it starts in.
    pub folder: String,
    /// User and group.
    pub user: String,
    /// Its network.
    pub network: Network,
    /// What it may do.
    pub security: Security,
    /// A tree to be put below all layers, with an empty place for everything that is mounted.
    pub stubs: PathBuf,
    /// What is mounted.
    pub mounts: Vec<ProcessMount>,
}

/// Something mounted while a command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessMount {
    /// A file or folder of the host.
    Bind {
        /// Where it is.
        source: PathBuf,
        /// Where it appears.
        target: String,
        /// Whether it cannot be written.
        read_only: bool,
    },
    /// Memory.
    Tmpfs {
        /// Where it appears.
        target: String,
        /// Most bytes; 0 for no bound of its own.
        size: u64,
    },
}

/// The image that a stage begins with.
#[derive(Debug, Clone)]
pub struct BaseImage {
    /// Its id.
    pub id: Digest,
    /// Its configuration.
    pub config: ImageConfig,
}

/// The engine, as a build sees it. Its functions block, and return soon after the build was cancelled.
pub trait Executor {
    /// Finds an image, pulling it when it is not there or when the build wants the newest.
    ///
    /// # Errors
    /// As the registry says.
    fn image(&self, reference: &str, platform: &str, pulling: &mut dyn FnMut(String)) -> Result<BaseImage>;

    /// Runs a command to its end; gives its exit code. Nothing is left of it.
    ///
    /// # Errors
    /// When it cannot be started, or the build was cancelled.
    fn run(&self, process: &Process, output: &mut dyn FnMut(Stream, &[u8])) -> Result<i32>;

    /// Opens a file on a web server: its bytes, and when it was changed, in seconds since the epoch.
    ///
    /// # Errors
    /// As the server says.
    fn fetch(&self, url: &str) -> Result<(Box<dyn Read>, Option<i64>)>;

    /// Whether nobody wants the result any more.
    fn is_cancelled(&self) -> bool;
}
