//! Images that a build leaves with the engine, and pushes.

use std::{collections::BTreeMap, sync::Arc};

use corten_api::image::Progress;
use corten_build::{Error, Finished, ImageOptions, ImageOutput, Output, Stored};
use corten_oci::{digest::Digest, reference::Reference};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use super::{
    Builds, StepSettings,
    executor::{auth_for, build_error},
};
use crate::{error::Kind, images::push::Built};

/// Messages of a push that may wait.
const WAITING: usize = 64;

impl Builds {
    /// What keeps an image, and pushes it if its options say so; that is done on a runtime.
    #[must_use]
    pub fn image_output(
        &self,
        options: ImageOptions,
        settings: &StepSettings,
        cancel: &watch::Sender<bool>,
        runtime: &Handle,
    ) -> Arc<dyn Output> {
        let image = ImageOutput { options };
        if !image.options.push {
            return Arc::new(image);
        }
        Arc::new(PushOutput {
            image,
            runtime: runtime.clone(),
            builds: self.clone(),
            settings: settings.clone(),
            cancel: cancel.clone(),
        })
    }
}

/// An image that is pushed under its names.
#[derive(Debug)]
struct PushOutput {
    image: ImageOutput,
    runtime: Handle,
    builds: Builds,
    settings: StepSettings,
    cancel: watch::Sender<bool>,
}

impl Output for PushOutput {
    fn title(&self) -> String {
        self.image.title()
    }

    fn export(&self, result: &Finished<'_>) -> corten_build::Result<BTreeMap<String, String>> {
        let options = &self.image.options;
        let stored = result.stored(&|platform| options.form(platform), true)?;
        let id = stored.images.first().cloned();
        let id = id.ok_or_else(|| Error::new(Kind::Internal, "no image was made"))?;
        result.done("exporting layers");
        let mut answers = match options.passes {
            false => self.image.keep(result, &stored)?,
            true => BTreeMap::from([("containerimage.config.digest".to_owned(), id.to_string())]),
        };
        let mut pushed = Vec::new();
        for name in &options.names {
            let name = match options.by_digest {
                true => name.clone(),
                false => Reference::clone(name).or_latest(),
            };
            let digest = match self.push(&name, &stored.images) {
                Ok(digest) => digest,
                Err(error) => {
                    self.forget(result, stored);
                    return Err(error.context(format!("failed to push {name}")));
                }
            };
            result.done(format!("pushing manifest for {name}@{digest}"));
            answers.insert("containerimage.digest".to_owned(), digest.to_string());
            pushed.push(name.to_string());
        }
        answers.insert("image.name".to_owned(), pushed.join(","));
        self.forget(result, stored);
        Ok(answers)
    }
}

impl PushOutput {
    /// Removes what was only wanted for the push.
    fn forget(&self, result: &Finished<'_>, stored: Stored) {
        if self.image.options.passes {
            result.forget(stored);
        }
    }

    fn push(&self, name: &Reference, images: &[Digest]) -> corten_build::Result<Digest> {
        let mut cancelled = self.cancel.subscribe();
        self.runtime.block_on(async {
            let (sender, mut messages) = mpsc::channel::<Progress>(WAITING);
            let work = async move {
                let mut auth = auth_for(&self.settings.registries, name.domain());
                if let (None, Some(credentials)) = (&auth, &self.settings.credentials) {
                    auth = credentials.of(name.domain()).await;
                }
                let built = Built {
                    name: name.clone(),
                    images: images.to_vec(),
                    by_digest: self.image.options.by_digest,
                    auth,
                };
                self.builds.0.images.push_built(built, &sender).await
            };
            let told = async { while messages.recv().await.is_some() {} };
            let work = async { tokio::join!(work, told).0 };
            tokio::select! {
                result = work => result.map_err(|error| build_error(&error)),
                _ = cancelled.wait_for(|cancelled| *cancelled) => {
                    Err(Error::new(Kind::Cancelled, "the build was cancelled"))
                }
            }
        })
    }
}
