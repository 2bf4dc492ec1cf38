//! `POST /images/{name}/push`: images to registries.

use corten_api::image::{AuthConfig, Progress};
use corten_oci::{digest::Digest, platform::Platform, reference::Reference};
use tokio::sync::mpsc;

use super::{
    Images, parse,
    pull::{credentials, send},
};
use crate::error::{Error, Result, blocking};

/// What to push.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// The repository, with its registry.
    pub repository: String,
    /// The tag; without one all tags of the repository are pushed.
    pub tag: String,
    /// The platform to push alone; an image goes with those that it is for other platforms otherwise.
    pub platform: Option<Platform>,
    /// Who asks.
    pub auth: Option<AuthConfig>,
}

/// What was built, to be pushed.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    /// Where to.
    pub(crate) name: Reference,
    /// The images, that of this machine's platform first.
    pub(crate) images: Vec<Digest>,
    /// Whether the tag is left alone.
    pub(crate) by_digest: bool,
    /// Who asks.
    pub(crate) auth: Option<AuthConfig>,
}

impl Images {
    /// Pushes one image, or all of a repository, and reports in Docker's words. Dropping the future
    /// ends the push.
    ///
    /// # Errors
    /// `NotFound` when there is no such image here; else as the registry says.
    pub async fn push(&self, request: PushRequest, progress: mpsc::Sender<Progress>) -> Result<()> {
        let name = parse(&request.repository)?;
        let wanted = match request.tag.as_str() {
            "" => name.clone(),
            tag => name
                .repository()
                .with_tag(tag)
                .map_err(|error| Error::invalid(error.to_string()))?,
        };
        // A client that left is noticed when its request is dropped.
        let _ = progress
            .send(Progress {
                status: format!("The push refers to repository [{}]", name.repository()),
                ..Progress::default()
            })
            .await;
        let registries = self.registries();
        let reporter = {
            let progress = progress.clone();
            corten_distribution::Progress::new(move |event| send(&progress, &event))
        };
        for reference in self.pushed(&wanted).await? {
            let image = self.0.store.images().resolve(&reference.to_string())?;
            let (image, others) = match &request.platform {
                Some(platform) => (self.resolved(&reference.to_string(), Some(platform))?, Vec::new()),
                None => {
                    let companions = self.0.store.images().whole(&image).into_iter().skip(1);
                    let ids = companions.map(|image| image.id().clone()).collect();
                    (image, ids)
                }
            };
            let asked = corten_distribution::PushRequest {
                reference: reference.clone(),
                image: image.id().clone(),
                others,
                by_digest: false,
                auth: request.auth.clone().map(credentials),
            };
            registries
                .push(&self.0.store, &asked, &reporter)
                .await
                .map_err(Error::from)?;
            let labels = &image.config().config.labels;
            let name = reference.repository().familiar();
            self.emit("push", &reference.familiar(), &name, Some(labels));
        }
        Ok(())
    }

    /// Pushes what was built for one platform or several under one name; gives the digest.
    ///
    /// # Errors
    /// As the registry says.
    pub(crate) async fn push_built(&self, built: Built, progress: &mpsc::Sender<Progress>) -> Result<Digest> {
        let Some((image, others)) = built.images.split_first() else {
            return Err(Error::internal("nothing was built that could be pushed"));
        };
        let reporter = {
            let progress = progress.clone();
            corten_distribution::Progress::new(move |event| send(&progress, &event))
        };
        let asked = corten_distribution::PushRequest {
            reference: built.name.clone(),
            image: image.clone(),
            others: others.to_vec(),
            by_digest: built.by_digest,
            auth: built.auth.map(credentials),
        };
        let pushed = self.registries().push(&self.0.store, &asked, &reporter).await;
        let digest = pushed.map_err(Error::from)?.digest;
        let image = self.0.store.images().get(image)?;
        let name = built.name.repository().familiar();
        let labels = &image.config().config.labels;
        self.emit("push", &built.name.familiar(), &name, Some(labels));
        Ok(digest)
    }

    /// The references that a push of one means: itself, or every tag of the repository.
    async fn pushed(&self, wanted: &Reference) -> Result<Vec<Reference>> {
        let (images, wanted) = (self.clone(), wanted.clone());
        blocking(move || {
            let is_meant = |reference: &Reference| match wanted.tag() {
                Some(_) => *reference == wanted,
                None => reference.repository() == wanted.repository(),
            };
            let list = images.0.store.images().list();
            let mut found: Vec<_> = list
                .iter()
                .flat_map(|image| image.names().iter().filter(|name| is_meant(name)).cloned())
                .collect();
            found.sort_by_key(ToString::to_string);
            if found.is_empty() {
                let repository = wanted.repository().familiar();
                return Err(Error::not_found(format!(
                    "An image does not exist locally with the tag: {repository}"
                )));
            }
            Ok(found)
        })
        .await
    }
}
