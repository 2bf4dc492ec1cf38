//! The engine's error: a class that callers act on, a sentence for the user, and what caused it.

use std::fmt;

pub use corten_sys::failure::Kind;

/// What failed, on which object, why, and what to do.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of an engine's function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a class with a sentence.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// The object does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// The request makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// The object's state, or another object, is in the way.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// This engine cannot do it.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, message)
    }

    /// Anything else.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Puts what was being done before the sentence.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The class.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The sentence without hint and cause.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the user sees: the sentence, its causes, and the hint.
    pub fn report(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        if let Some(hint) = &self.hint {
            text.push_str(" (");
            text.push_str(hint);
            text.push(')');
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// The text of a cause whose type is not ours to move.
#[derive(Debug)]
pub(crate) struct Cause(pub(crate) String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<corten_api::filters::FilterError> for Error {
    fn from(error: corten_api::filters::FilterError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<corten_store::Error> for Error {
    fn from(error: corten_store::Error) -> Self {
        let mut converted = Self::new(error.kind(), error.to_string());
        if let Some(hint) = error.hint() {
            converted = converted.hint(hint);
        }
        match std::error::Error::source(&error) {
            Some(cause) => converted.source(Cause(cause.to_string())),
            None => converted,
        }
    }
}

/// Runs blocking work on the pool meant for it.
///
/// # Errors
/// What the work returns; [`Kind::Internal`] when it panicked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal(format!("an internal task ended early: {error}"))),
    }
}

/// Runs work that waits for a client, as long as that takes, on a thread of its own: the pool of
/// [`blocking`] is for work that ends by itself.
///
/// # Errors
/// What the work returns; [`Kind::Internal`] when no thread can be started or it panicked.
pub(crate) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("archive".into())
        .spawn(move || {
            // Whoever asked may have left.
            let _ = sender.send(work());
        })
        .map_err(|e| Error::internal("cannot start a thread").source(e))?;
    match receiver.await {
        Ok(result) => result,
        Err(_) => Err(Error::internal("an internal thread ended early")),
    }
}
