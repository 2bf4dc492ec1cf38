//! What pulls and pushes report while they go on, in Docker's words (moby `distribution/xfer`, `pkg/progress`).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use corten_oci::digest::Digest;

/// Something that happened in a pull or push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The reference was found; layers follow.
    Pulling {
        /// The tag, or the whole familiar reference when it is by digest.
        id: String,
        /// The repository's path.
        from: String,
    },
    /// A layer got on.
    Layer {
        /// First twelve digits of the layer's digest.
        id: String,
        /// How far it is.
        step: Step,
    },
    /// The digest that the reference led to.
    Digest(Digest),
    /// Something the user should know; nothing stops for it.
    Warning(String),
    /// The registry has the image under a tag.
    Pushed {
        /// The tag.
        tag: String,
        /// Digest of its manifest.
        digest: Digest,
        /// Bytes of its manifest.
        size: usize,
    },
    /// The reference names the image now.
    Finished {
        /// The reference as people write it.
        reference: String,
        /// Whether it did before.
        outcome: Outcome,
    },
}

/// Whether a pull changed what a reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It names another image than before, or one at all.
    Downloaded,
    /// It named this image already.
    UpToDate,
}

/// How far a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is to be fetched.
    PullingFsLayer,
    /// Others are fetched first.
    Waiting,
    /// Bytes come.
    Downloading {
        /// Bytes here so far.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The connection broke or the registry is busy.
    Retrying {
        /// Seconds until the next attempt.
        seconds: u64,
    },
    /// All bytes are here and are compared with the digest.
    VerifyingChecksum,
    /// All bytes are here and right.
    DownloadComplete,
    /// What is here is being unpacked.
    Extracting {
        /// Packed bytes unpacked so far.
        current: u64,
        /// Packed bytes in all.
        total: u64,
    },
    /// The layer is ready for use.
    PullComplete,
    /// The layer was here before.
    AlreadyExists,
    /// It is to be sent.
    Preparing,
    /// Its files are packed and sent.
    Pushing {
        /// Bytes of its tar so far.
        current: u64,
        /// Bytes of its tar in all.
        total: u64,
    },
    /// The registry has it now.
    Pushed,
    /// The registry had it before.
    LayerExists,
    /// The registry took it from another of its repositories.
    Mounted {
        /// That repository.
        from: String,
    },
}

impl Step {
    /// Docker's word for it, the `status` of its JSON message.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Self::PullingFsLayer => "Pulling fs layer".into(),
            Self::Waiting => "Waiting".into(),
            Self::Downloading { .. } => "Downloading".into(),
            Self::Retrying { seconds: 1 } => "Retrying in 1 second".into(),
            Self::Retrying { seconds } => format!("Retrying in {seconds} seconds").into(),
            Self::VerifyingChecksum => "Verifying Checksum".into(),
            Self::DownloadComplete => "Download complete".into(),
            Self::Extracting { .. } => "Extracting".into(),
            Self::PullComplete => "Pull complete".into(),
            Self::AlreadyExists => "Already exists".into(),
            Self::Preparing => "Preparing".into(),
            Self::Pushing { .. } => "Pushing".into(),
            Self::Pushed => "Pushed".into(),
            Self::LayerExists => "Layer already exists".into(),
            Self::Mounted { from } => format!("Mounted from {from}").into(),
        }
    }

    /// Bytes done and bytes in all, the `progressDetail` of Docker's JSON message.
    pub fn counts(&self) -> Option<(u64, u64)> {
        match self {
            Self::Downloading { current, total }
            | Self::Extracting { current, total }
            | Self::Pushing { current, total } => Some((*current, *total)),
            Self::PullingFsLayer
            | Self::Waiting
            | Self::Retrying { .. }
            | Self::VerifyingChecksum
            | Self::DownloadComplete
            | Self::PullComplete
            | Self::AlreadyExists
            | Self::Preparing
            | Self::Pushed
            | Self::LayerExists
            | Self::Mounted { .. } => None,
        }
    }
}

impl Event {
    /// The `id` of Docker's JSON message; none for lines about the whole.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Pulling { id, .. } | Self::Layer { id, .. } => Some(id),
            Self::Digest(_) | Self::Warning(_) | Self::Pushed { .. } | Self::Finished { .. } => None,
        }
    }

    /// The `status` of Docker's JSON message.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Pulling { from, .. } => format!("Pulling from {from}").into(),
            Self::Layer { step, .. } => step.text(),
            Self::Digest(digest) => format!("Digest: {digest}").into(),
            Self::Warning(text) => format!("WARNING: {text}").into(),
            Self::Pushed { tag, digest, size } => format!("{tag}: digest: {digest} size: {size}").into(),
            Self::Finished { reference, outcome } => match outcome {
                Outcome::Downloaded => format!("Status: Downloaded newer image for {reference}").into(),
                Outcome::UpToDate => format!("Status: Image is up to date for {reference}").into(),
            },
        }
    }
}

/// Where events go. It is called from several tasks and must not block.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Event) + Send + Sync>);

impl Progress {
    /// Hands each event to a function.
    pub fn new(report: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    /// Reports to nobody.
    pub fn none() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn report(&self, event: Event) {
        (self.0)(event);
    }

    pub(crate) fn layer(&self, digest: &Digest, step: Step) {
        let id = digest.short().to_owned();
        self.report(Event::Layer { id, step });
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
