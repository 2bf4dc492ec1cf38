//! `GET /images/get`, `POST /images/load` and `POST /images/create?fromSrc=-`: images as tars.

use corten_api::image::{Progress, ProgressDetail};
use corten_oci::{platform::Platform, reference::Reference};
use corten_store::LoadEvent;
use tokio::sync::mpsc;

use super::{Images, changes, parse, pull::bar, signed};
use crate::{
    error::{Error, Result, blocking, on_thread},
    pipe::{self, Pieces},
};

/// What to make of a tar.
#[derive(Debug, Clone, Default)]
pub struct ImportRequest {
    /// The repository; empty for an image without a name.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// The remark in the history.
    pub message: String,
    /// Dockerfile instructions that are applied.
    pub changes: Vec<String>,
    /// `os/arch[/variant]`; empty for this machine's.
    pub platform: String,
}

/// The name that an image gets on the way; none for an empty repository.
pub(crate) fn named(repository: &str, tag: &str) -> Result<Option<Reference>> {
    let reference = match (repository, tag) {
        ("", _) => return Ok(None),
        (repository, "") => parse(repository)?.or_latest(),
        (repository, tag) => parse(repository)?
            .repository()
            .with_tag(tag)
            .map_err(|error| Error::invalid(error.to_string()))?,
    };
    if reference.digest().is_some() {
        return Err(Error::invalid("cannot import digest reference"));
    }
    Ok(Some(reference))
}

impl Images {
    /// Writes images as one tar, for all their platforms or only for some. The stream ends with an error if it cannot be finished.
    ///
    /// # Errors
    /// `NotFound` when an image is not there, before anything is written.
    pub async fn save(&self, names: Vec<String>, platforms: Vec<Platform>) -> Result<Pieces> {
        let images = self.clone();
        let first = names.clone();
        let found = blocking(move || images.saved(&first)).await?;
        let images = self.clone();
        let (mut writer, pieces) = pipe::Writer::new();
        tokio::spawn(on_thread(move || {
            let texts: Vec<_> = names.iter().map(String::as_str).collect();
            let saved = images
                .0
                .store
                .save(&texts, &platforms, &mut writer)
                .map_err(Error::from);
            if saved.is_ok() {
                found.iter().for_each(|image| images.emit_of("save", image));
            }
            writer.finish(saved);
            Ok(())
        }));
        Ok(pieces)
    }

    /// Loads all images of a tar, or those for one platform, and reports in Docker's words.
    ///
    /// # Errors
    /// `Invalid` when it is no such tar.
    pub async fn load(
        &self,
        mut input: pipe::Reader,
        platform: Option<Platform>,
        quiet: bool,
        progress: mpsc::Sender<Progress>,
    ) -> Result<()> {
        let images = self.clone();
        on_thread(move || {
            let mut report = |event: LoadEvent| {
                if !quiet {
                    // A client that left is noticed when its request is dropped.
                    let _ = progress.blocking_send(loading(&event));
                }
            };
            let loaded = images.0.store.load(&mut input, platform.as_ref(), &mut report)?;
            for image in loaded {
                let lines = match image.names.as_slice() {
                    [] => vec![format!("Loaded image ID: {}\n", image.id)],
                    names => names
                        .iter()
                        .map(|name| format!("Loaded image: {}\n", name.familiar()))
                        .collect(),
                };
                for stream in lines {
                    let _ = progress.blocking_send(Progress {
                        stream,
                        ..Progress::default()
                    });
                }
                if let Ok(image) = images.0.store.images().get(&image.id) {
                    images.emit_of("load", &image);
                }
            }
            Ok(())
        })
        .await
    }

    /// Makes an image of one layer out of a tar, and returns its id.
    ///
    /// # Errors
    /// `Invalid` for names, changes and platforms that are none, and when it is no tar.
    pub async fn import(&self, mut input: pipe::Reader, request: ImportRequest) -> Result<String> {
        let reference = named(&request.repository, &request.tag)?;
        let platform = match request.platform.as_str() {
            "" => None,
            text => Some(
                text.parse::<Platform>()
                    .map_err(|error| Error::invalid(error.to_string()))?,
            ),
        };
        let config = changes::apply(Default::default(), &request.changes)?;
        let order = corten_store::ImportRequest {
            message: request.message,
            config,
            platform,
            reference: reference.clone(),
        };
        let images = self.clone();
        let image = on_thread(move || {
            let id = images.0.store.import(&mut input, order)?;
            Ok(images.0.store.images().get(&id)?)
        })
        .await?;
        self.emit_of("import", &image);
        if let Some(reference) = reference {
            self.emit(
                "tag",
                image.id().as_str(),
                &reference.familiar(),
                Some(&image.config().config.labels),
            );
        }
        Ok(image.id().as_str().to_owned())
    }

    /// The images that names mean, for the events.
    fn saved(&self, names: &[String]) -> Result<Vec<corten_store::Image>> {
        let store = self.0.store.images();
        let mut found = Vec::new();
        for name in names {
            let reference = name.parse::<Reference>().ok();
            match reference.filter(|reference| reference.is_name_only()) {
                // A bare name means all tags of the repository.
                Some(reference) => {
                    let of_repository = |image: &corten_store::Image| {
                        image
                            .names()
                            .iter()
                            .any(|have| have.repository() == reference.repository())
                    };
                    let all: Vec<_> = store.list().into_iter().filter(of_repository).collect();
                    match all.is_empty() {
                        false => found.extend(all),
                        true => found.push(
                            store
                                .resolve(name)
                                .map_err(|_| Error::not_found(format!("No such image: {name}")))?,
                        ),
                    }
                }
                None => found.push(store.resolve(name)?),
            }
        }
        Ok(found)
    }
}

fn loading(event: &LoadEvent) -> Progress {
    let LoadEvent::Layer { name, current, total } = event;
    let detail = ProgressDetail {
        current: signed(*current),
        total: signed(*total),
    };
    Progress {
        status: "Loading layer".to_owned(),
        progress: bar(detail.current, detail.total),
        detail: Some(detail),
        id: name.clone(),
        ..Progress::default()
    }
}
