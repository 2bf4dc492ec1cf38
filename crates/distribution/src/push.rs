//! Pushing: an image of the store to a registry, only what the registry lacks.
//!
//! Layers are kept unpacked, so one that the registry has in no known compressed form is packed anew
//! while it is sent; what it became is remembered, and the next push of it sends nothing. An upload that was
//! cut goes on from what the registry has: a layer is packed into the same bytes each time. An image
//! whose layers are all there in the forms it was pulled with keeps its manifest byte for byte, hence
//! its digest.

mod assemble;
mod cache;
mod pack;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corten_oci::digest::Digest;
use corten_oci::image::MediaKind;
use corten_oci::reference::Reference;
use corten_store::{CompressedBlob, Form, Image, ImageId, Layer, Packed, Packing, Store};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::auth::AuthConfig;
use crate::client::{Purpose, Session, Upload};
use crate::endpoint::endpoints;
use crate::error::{Error, Kind, Result};
use crate::layers::blocking;
use crate::progress::{Progress, Step};
use crate::registries::Registries;
use crate::transport::Pieces;
use assemble::Made;
pub use cache::CachePush;
use pack::pack;

/// Packed blocks of a layer that may wait to be sent.
const DEPTH: usize = 2;
/// Bytes of one request when an upload goes on after it was cut.
const PART: usize = 4 << 20;
/// Time between two reports of an upload.
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// Repositories of the registry that are asked to lend a layer.
const MOUNTS_MAX: usize = 3;

/// What to push.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// Where to, with a tag.
    pub reference: Reference,
    /// The image.
    pub image: ImageId,
    /// Images for other platforms that go with it, under one name.
    pub others: Vec<ImageId>,
    /// Whether the tag is left alone: the image is put under its digest only.
    pub by_digest: bool,
    /// Who asks.
    pub auth: Option<AuthConfig>,
}

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Digest of the manifest.
    pub digest: Digest,
}

impl Registries {
    /// Pushes an image to its registry, never to a mirror, and gives it the digest as a name.
    ///
    /// # Errors
    /// As the registry says. What was sent before the error stays there, for the next attempt.
    pub async fn push(&self, store: &Store, request: &PushRequest, progress: &Progress) -> Result<Pushed> {
        let push = self.open_push(store, &request.reference, request.auth.clone(), progress);
        push.await?.run(request).await
    }

    async fn open_push(
        &self,
        store: &Store,
        reference: &Reference,
        auth: Option<AuthConfig>,
        progress: &Progress,
    ) -> Result<Push> {
        let mut last = None;
        let places = endpoints(&self.shared.config, reference.domain()).await?;
        for endpoint in places.into_iter().filter(|endpoint| !endpoint.is_mirror) {
            let (shared, auth) = (self.shared.clone(), auth.clone());
            match Session::open(shared, endpoint, reference.path(), auth, Purpose::Push).await {
                Err(error) if error.is_unreachable() => last = Some(error),
                Err(error) => return Err(error),
                Ok(session) => {
                    let push = Push {
                        session: Arc::new(session),
                        store: store.clone(),
                        reference: reference.clone(),
                        progress: progress.clone(),
                        slots: self.upload_slots.clone(),
                        attempts: self.shared.config.max_download_attempts,
                    };
                    return Ok(push);
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::new(Kind::Internal, "no endpoint for the registry")))
    }
}

/// How layers are sent.
#[derive(Debug, Clone, Copy)]
struct How {
    packing: Packing,
    /// Whether every layer must be packed so.
    force: bool,
}

impl How {
    fn of(form: &Form) -> Self {
        Self {
            packing: form.packing.unwrap_or_default(),
            force: form.force && form.packing.is_some(),
        }
    }

    /// Whether a layer may go in a form that it has already.
    fn takes(&self, blob: &CompressedBlob) -> bool {
        // Which level a form was packed with nobody remembers.
        !self.force
            || (self.packing.level.is_none()
                && MediaKind::of(&blob.media_type) == MediaKind::Layer(self.packing.compression))
    }
}

/// One push to one place.
#[derive(Clone)]
struct Push {
    session: Arc<Session>,
    store: Store,
    reference: Reference,
    progress: Progress,
    slots: Arc<Semaphore>,
    attempts: u32,
}

impl Push {
    async fn run(self, request: &PushRequest) -> Result<Pushed> {
        let mut made = Vec::new();
        for id in std::iter::once(&request.image).chain(&request.others) {
            let (image, layers, form) = self.look_up(id.clone()).await?;
            let (blobs, ()) = tokio::try_join!(self.bring_all(&layers, &form), self.put_config(&image))?;
            made.push(Made { image, form, blobs });
        }
        self.put_images(made, request.by_digest).await
    }

    /// Sees to it that the registry has all layers, several at once.
    async fn bring_all(&self, layers: &[Layer], form: &Form) -> Result<Vec<CompressedBlob>> {
        let mut uploads = JoinSet::new();
        let mut seen = BTreeSet::new();
        // The top layer first, as Docker lists them.
        for layer in layers.iter().rev().filter(|layer| seen.insert(layer.diff_id().clone())) {
            self.progress.layer(layer.diff_id(), Step::Preparing);
            let (push, layer) = (self.clone(), layer.clone());
            let how = How::of(form);
            uploads.spawn(async move {
                let blob = push.bring(&layer, how).await?;
                Ok::<_, Error>((layer.diff_id().clone(), blob))
            });
        }
        let mut blobs = Vec::new();
        while let Some(done) = uploads.join_next().await {
            let done =
                done.map_err(|e| Error::new(Kind::Internal, "pushing a layer ended in a panic").with_source(e))?;
            blobs.push(done?);
        }
        let found = layers
            .iter()
            .filter_map(|layer| blobs.iter().find(|(diff_id, _)| diff_id == layer.diff_id()))
            .map(|(_, blob)| blob.clone());
        Ok(found.collect())
    }

    async fn put_config(&self, image: &Image) -> Result<()> {
        if self.session.has_blob(image.id()).await? {
            return Ok(());
        }
        let bytes = Bytes::copy_from_slice(image.config_bytes());
        self.session.put_blob(image.id(), bytes).await
    }

    async fn look_up(&self, id: ImageId) -> Result<(Image, Vec<Layer>, Form)> {
        let store = self.store.clone();
        blocking(move || {
            let image = store.images().get(&id)?;
            let layers = image.layers().iter().map(|diff_id| {
                store
                    .layers()
                    .get(diff_id)
                    .ok_or_else(|| Error::new(Kind::Internal, format!("layer {diff_id} of image {id} is not there")))
            });
            let layers = layers.collect::<Result<_>>()?;
            let form = store.images().form(&image)?.unwrap_or_default();
            Ok((image, layers, form))
        })
        .await?
    }

    /// Sees to it that the registry has a layer; gives the form it has it in.
    async fn bring(&self, layer: &Layer, how: How) -> Result<CompressedBlob> {
        let slot = self.slots.clone().acquire_owned().await;
        let _slot = slot.map_err(|e| Error::new(Kind::Internal, "pushing was closed").with_source(e))?;
        for attempt in 1.. {
            match self.try_bring(layer, how).await {
                Err(error) if error.is_passing() && attempt < self.attempts => {
                    self.pause(layer, &error, attempt).await;
                }
                result => return result,
            }
        }
        Err(Error::new(Kind::Internal, "no attempt at pushing a layer"))
    }

    async fn try_bring(&self, layer: &Layer, how: How) -> Result<CompressedBlob> {
        let mut known = layer.blobs();
        known.retain(|blob| how.takes(blob));
        if let Some(blob) = self.likely(&known)
            && self.session.has_blob(&blob.digest).await?
        {
            self.progress.layer(layer.diff_id(), Step::LayerExists);
            return self.remember(layer, blob.clone()).await;
        }
        let mut upload = None;
        for (blob, from) in self.lenders(&known) {
            match self.session.mount(&blob.digest, &from).await? {
                None => {
                    self.progress.layer(layer.diff_id(), Step::Mounted { from });
                    return self.remember(layer, blob).await;
                }
                Some(expected) => upload = Some(expected),
            }
        }
        let upload = match upload {
            Some(upload) => upload,
            None => self.session.begin_upload().await?,
        };
        let blob = self.send(layer, how.packing, upload).await?;
        self.progress.layer(layer.diff_id(), Step::Pushed);
        self.remember(layer, blob).await
    }

    /// The form of a layer that the repository most likely has: what it had before, else what the registry
    /// has elsewhere. No other form is asked for.
    fn likely<'a>(&self, known: &'a [CompressedBlob]) -> Option<&'a CompressedBlob> {
        let own = self.reference.repository().to_string();
        let domain = format!("{}/", self.reference.domain());
        let is_at = |place: &dyn Fn(&String) -> bool| known.iter().find(|blob| blob.sources.iter().any(place));
        is_at(&|source| *source == own)
            .or_else(|| is_at(&|source| source.starts_with(&domain)))
            .or_else(|| known.first())
    }

    /// Forms of a layer that other repositories of the same registry have.
    fn lenders(&self, known: &[CompressedBlob]) -> Vec<(CompressedBlob, String)> {
        let domain = format!("{}/", self.reference.domain());
        let sources = known.iter().flat_map(|blob| {
            let others = blob.sources.iter().filter_map(|source| source.strip_prefix(&domain));
            others.map(|path| (blob.clone(), path.to_owned()))
        });
        sources
            .filter(|(_, path)| path != self.reference.path())
            .take(MOUNTS_MAX)
            .collect()
    }

    /// Packs a layer and sends it. What was cut goes on from what the registry has of it.
    async fn send(&self, layer: &Layer, packing: Packing, mut upload: Upload) -> Result<CompressedBlob> {
        let (mut received, mut attempt) = (None, 1);
        loop {
            let error = match self.send_from(layer, packing, &upload, received).await {
                Ok(blob) => return Ok(blob),
                Err(error) => error,
            };
            if !error.is_passing() || attempt >= self.attempts {
                // What was put together from parts may be what is wrong: once more in one.
                return Err(match (received, error.kind()) {
                    (Some(_), Kind::Invalid) => Error::new(Kind::Unavailable, error.to_string()),
                    _ => error,
                });
            }
            self.pause(layer, &error, attempt).await;
            // A registry that cannot say what it has gets all of it again, as another upload.
            let Ok((next, has)) = self.session.received(&upload).await else {
                return Err(error);
            };
            tracing::debug!(layer = layer.diff_id().short(), has, %error, "upload goes on");
            attempt = if has > received.unwrap_or(0) { 1 } else { attempt + 1 };
            (upload, received) = (next, Some(has));
        }
    }

    async fn pause(&self, layer: &Layer, error: &Error, attempt: u32) {
        let pause = error.asked_pause().unwrap_or(Duration::from_secs(u64::from(attempt)));
        let seconds = pause.as_secs().max(1);
        self.progress.layer(layer.diff_id(), Step::Retrying { seconds });
        tokio::time::sleep(pause).await;
    }

    /// Packs a layer and sends it at the same time: all of it, or what comes after the bytes that the
    /// registry has `received`.
    async fn send_from(
        &self,
        layer: &Layer,
        packing: Packing,
        upload: &Upload,
        received: Option<u64>,
    ) -> Result<CompressedBlob> {
        let (pieces, sent) = mpsc::channel(DEPTH);
        let read = Arc::new(AtomicU64::new(0));
        let packer = {
            let (layer, read) = (layer.clone(), read.clone());
            tokio::task::spawn_blocking(move || pack(&layer, packing, received.unwrap_or(0), &pieces, &read))
        };
        let mut sending = std::pin::pin!(async {
            match received {
                None => self.session.send_pieces(upload, sent).await,
                Some(at) => self.send_parts(upload, at, sent).await,
            }
        });
        let mut tick = tokio::time::interval(REPORT_EVERY);
        let sent = loop {
            tokio::select! {
                sent = &mut sending => break sent,
                _ = tick.tick() => self.progress.layer(layer.diff_id(), Step::Pushing {
                    current: read.load(Ordering::Relaxed).min(layer.tar_size()),
                    total: layer.tar_size(),
                }),
            }
        };
        let packed = packer
            .await
            .map_err(|e| Error::new(Kind::Internal, "packing a layer ended in a panic").with_source(e))?;
        // Why packing failed says more than that the body broke off; but who was not listened to is
        // not the cause.
        let Packed { digest, size } = match (packed, &sent) {
            (Err(error), _) if error.kind() != Kind::Cancelled => return Err(error),
            (Err(_), Ok(_)) => {
                return Err(Error::new(
                    Kind::Unavailable,
                    "the registry took only a part of the layer",
                ));
            }
            (Err(_), Err(_)) => return Err(sent.err().unwrap_or_else(|| Error::new(Kind::Internal, "not sent"))),
            (Ok(packed), _) => packed,
        };
        if let Err(error) = self.session.finish_upload(&sent?, &digest).await {
            // The answer may be what was lost.
            if !error.is_passing() || !self.session.has_blob(&digest).await? {
                return Err(error);
            }
        }
        Ok(CompressedBlob {
            digest,
            size,
            media_type: packing.media_type().to_owned(),
            sources: Vec::new(),
        })
    }

    /// Sends what comes in parts that say where they belong.
    async fn send_parts(&self, upload: &Upload, mut at: u64, mut pieces: Pieces) -> Result<Upload> {
        let mut upload = upload.clone();
        let mut part = BytesMut::new();
        let mut is_last = false;
        while !is_last {
            match pieces.recv().await {
                Some(Ok(piece)) => part.extend_from_slice(&piece),
                Some(Err(_)) => return Err(Error::new(Kind::Cancelled, "the layer could not be read")),
                None => is_last = true,
            }
            if !part.is_empty() && (is_last || part.len() >= PART) {
                let bytes = part.split().freeze();
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                upload = self.session.send_part(&upload, at, bytes).await?;
                at += length;
            }
        }
        Ok(upload)
    }

    /// Notes that this repository has a form of a layer.
    async fn remember(&self, layer: &Layer, mut blob: CompressedBlob) -> Result<CompressedBlob> {
        let source = self.reference.repository().to_string();
        let (store, diff_id) = (self.store.clone(), layer.diff_id().clone());
        if !blob.sources.contains(&source) {
            blob.sources.push(source);
            let noted = blob.clone();
            blocking(move || store.layers().remember(&diff_id, noted)).await??;
        }
        Ok(blob)
    }
}
