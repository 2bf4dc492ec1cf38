//! What a stage is after some of its steps: an image's configuration, and what only the build knows.

use corten_oci::digest::Digest;
use corten_oci::image::{History, ImageConfig};

use crate::error::{Error, Result};

/// What the history calls who made a line, as BuildKit does; tools look for it.
const FRONTEND: &str = "buildkit.dockerfile.v0";

/// A stage between two steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// The image that it would be.
    pub(crate) image: ImageConfig,
    /// Declared arguments that have a value, in the order they were declared.
    pub(crate) arguments: Vec<(String, String)>,
    /// The image that it is as long as nothing was added.
    pub(crate) base: Option<Digest>,
    /// Whether `CMD` was given in this stage, so that `ENTRYPOINT` leaves it alone.
    pub(crate) has_command: bool,
    /// The vertex that made it so.
    pub(crate) vertex: Option<Digest>,
    /// How many layers and lines of history are of the image that it is based on.
    pub(crate) below: (usize, usize),
}

/// What a step adds to the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// What made it.
    pub(crate) by: String,
    /// When, RFC 3339.
    pub(crate) created: String,
    /// Its layer.
    pub(crate) layer: Option<Digest>,
}

impl State {
    /// A stage that begins with an image.
    pub(crate) fn new(image: ImageConfig) -> Self {
        Self {
            below: (image.rootfs.diff_ids.len(), image.history.len()),
            image: ImageConfig {
                // The steps of another image are not this one's.
                inline_cache: None,
                ..image
            },
            ..Self::default()
        }
    }

    /// The image's bytes and id.
    pub(crate) fn document(&self) -> Result<(Vec<u8>, Digest)> {
        let bytes = serde_json::to_vec(&self.image).map_err(|error| Error::internal(error.to_string()))?;
        let id = Digest::sha256(&bytes);
        Ok((bytes, id))
    }

    /// The image's id.
    pub(crate) fn id(&self) -> Result<Digest> {
        match &self.base {
            Some(base) => Ok(base.clone()),
            None => Ok(self.document()?.1),
        }
    }

    /// A variable's value: of the environment, else of a declared argument.
    pub(crate) fn lookup(&self, name: &str) -> Option<String> {
        let env = self.image.config.env.iter();
        env.filter_map(|variable| variable.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
            .or_else(|| self.argument(name))
    }

    fn argument(&self, name: &str) -> Option<String> {
        let found = self.arguments.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    }

    /// Declares an argument; a later declaration takes the place of an earlier one.
    pub(crate) fn declare(&mut self, name: &str, value: Option<String>) {
        self.arguments.retain(|(key, _)| key != name);
        if let Some(value) = value {
            self.arguments.push((name.to_owned(), value));
        }
    }

    /// Sets a variable of the environment, in the place of an earlier value.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        let text = format!("{name}={value}");
        let env = &mut self.image.config.env;
        let is_same = |other: &&mut String| other.split_once('=').is_some_and(|(key, _)| key == name);
        match env.iter_mut().find(is_same) {
            Some(other) => *other = text,
            None => env.push(text),
        }
    }

    /// The folder that relative paths begin in.
    pub(crate) fn folder(&self) -> &str {
        match self.image.config.working_dir.as_str() {
            "" => "/",
            folder => folder,
        }
    }

    /// The shell of the shell forms.
    pub(crate) fn shell(&self) -> Vec<String> {
        match self.image.config.shell.as_slice() {
            [] => vec!["/bin/sh".to_owned(), "-c".to_owned()],
            shell => shell.to_vec(),
        }
    }

    /// Adds what a step did.
    pub(crate) fn add(&mut self, line: Line) {
        self.base = None;
        let image = &mut self.image;
        image.created = Some(line.created.clone());
        image.history.push(History {
            created: Some(line.created),
            created_by: line.by,
            comment: FRONTEND.to_owned(),
            empty_layer: line.layer.is_none(),
            ..History::default()
        });
        image.rootfs.diff_ids.extend(line.layer);
    }
}
