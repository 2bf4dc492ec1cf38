//! What a stage begins with, and what it copies from: images, earlier stages and contexts.

use corten_oci::image::ImageConfig;
use corten_oci::platform::Platform;
use corten_store::Access;
use jiff::Timestamp;

use super::Stage;
use crate::contents;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::event::{Event, Status, StepEvent, Transfer};
use crate::key::Key;
use crate::plan::Base;
use crate::request::Named;
use crate::roots::Owner;
use crate::state::State;
use crate::transfer::{self, Attributes, Place};

impl Stage<'_> {
    /// Warns of a base image that is for another machine than what is built.
    pub(super) fn check_platform(&self, state: &State) {
        let Base::Image(name) = &self.planned.base else { return };
        let wanted = match &self.planned.platform {
            Some(platform) => platform.parse::<Platform>().ok(),
            None => Some(self.build.platform.clone()),
        };
        let Some(wanted) = wanted else { return };
        let image = &state.image;
        if (&image.os, &image.architecture) == (&wanted.os, &wanted.architecture) {
            return;
        }
        let found = match image.variant.as_str() {
            "" => format!("{}/{}", image.os, image.architecture),
            variant => format!("{}/{}/{variant}", image.os, image.architecture),
        };
        let lines = self.build.file.stages[self.index].begin.lines;
        let warning = self
            .build
            .file
            .platform_warning(name, &found, &wanted.to_string(), lines);
        if let Some(warning) = warning {
            (self.build.tell)(Event::Warned(warning));
        }
    }

    pub(super) fn base(&mut self, pulled: &mut bool) -> Result<State> {
        match &self.planned.base {
            Base::Scratch => Ok(self.scratch()),
            Base::Stage(index) => {
                let mut state = self.build.stage_result(*index)?;
                state.has_command = false;
                state.base = Some(state.id()?);
                Ok(state)
            }
            Base::Image(name) => {
                let platform = self.planned.platform.as_deref();
                self.image(name, platform, pulled)
            }
            Base::Context(name) => match self.build.request.contexts.get(name) {
                Some(Named::Image(image)) => self.image(image, self.planned.platform.as_deref(), pulled),
                Some(Named::Layout(blobs)) => self.layout(name, blobs.as_ref(), self.planned.platform.as_deref()),
                Some(Named::Files(context)) => {
                    let mut state = self.scratch();
                    self.all_of(name, context.as_ref(), &mut state)?;
                    Ok(state)
                }
                None => Err(Error::internal(format!("the context {name} vanished"))),
            },
        }
    }

    /// An empty root.
    pub(crate) fn scratch(&self) -> State {
        let platform = self.build.platform;
        let mut state = State::new(ImageConfig {
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
            os: platform.os.clone(),
            ..ImageConfig::default()
        });
        state.image.rootfs.kind = "layers".into();
        state
    }

    /// The state that an image is.
    pub(crate) fn image(&self, name: &str, platform: Option<&str>, pulled: &mut bool) -> Result<State> {
        let request = self.build.request;
        let platform = match platform {
            Some(platform) => platform.to_owned(),
            None if request.platform_given => self.build.platform.to_string(),
            None => String::new(),
        };
        self.build
            .image(name, &platform, &mut |transfer: Transfer| {
                // The metadata come first; what is pulled is the step's own.
                if !std::mem::replace(pulled, true) {
                    self.announce();
                }
                self.progress(&transfer);
                self.say(StepEvent::Pulling(transfer));
            })
            .map_err(|error| match error.to_string().contains(name) {
                true => error,
                false => {
                    let told = format!("{name}: failed to resolve source metadata for {name}: {error}");
                    error.in_other_words(told)
                }
            })
    }

    /// Tells how far a pull is.
    fn progress(&self, transfer: &Transfer) {
        let Some(vertex) = &self.vertex else { return };
        let now = Timestamp::now();
        let is_over = matches!(transfer.status.as_str(), "Pull complete" | "Already exists");
        (self.build.tell)(Event::Status(Status {
            vertex: vertex.digest.clone(),
            id: transfer.id.clone(),
            name: transfer.status.clone(),
            current: transfer.current,
            total: transfer.total,
            timestamp: now,
            started: vertex.started.unwrap_or(now),
            completed: is_over.then_some(now),
        }));
    }

    /// The stage or image that files are taken from.
    pub(crate) fn source(&mut self, name: &str) -> Result<State> {
        let build = self.build;
        if let Some(index) = crate::plan::stage_of(build.file, name)? {
            if self.triggered {
                build.also(self.index, index)?;
            }
            let state = build.stage_result(index)?;
            if let Some(vertex) = &state.vertex {
                self.needs(vertex);
            }
            return Ok(state);
        }
        self.image(name, None, &mut false).map_err(|error| {
            let names = build.file.stages.iter().filter_map(|stage| stage.from.name.as_deref());
            let names: Vec<&str> = names.collect();
            match names.is_empty() {
                true => error,
                false => error.context(format!(
                    "{name:?} is no stage of this Dockerfile ({}), and as an image",
                    names.join(", ")
                )),
            }
        })
    }

    /// Puts all of a context into a stage that begins with it.
    pub(super) fn all_of(&mut self, name: &str, context: &dyn Context, state: &mut State) -> Result<()> {
        let origin = self.origin_of(name, context, &[String::new()])?;
        let filter = origin.filter("", None);
        let (digest, _) = contents::digest(&origin.root, "", &filter, origin.owners, &self.build.cache.known)?;
        let key = Key::new("context").with(digest.as_str()).finish();
        let by = format!("FROM {name}");
        if self.reuse(state, &key, &by, &by) {
            return Ok(());
        }
        let work = self.work(&[])?;
        let place = Place {
            path: String::new(),
            is_folder: false,
        };
        let attributes = Attributes {
            owner: (origin.owners == contents::Owners::Reset).then(Owner::default),
            ..Attributes::default()
        };
        transfer::copy(
            &origin.root,
            "",
            &work.open(Access::ReadWrite)?,
            &place,
            &attributes,
            &filter,
        )?;
        let layer = self.commit(&work)?;
        self.keep(state, &key, by.clone(), Some(layer), &by)
    }
}
