//! `docker commit`: what a container changed becomes a layer over its image's, and that an image.

use corten_oci::image::{ContainerConfig, History, ImageConfig, RootFs};
use corten_oci::platform::Platform;
use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::images::{ImageId, NewImage};
use crate::snapshots::MountPoints;
use crate::store::Store;

/// What to make of a container's root. Docker API `POST /commit`.
#[derive(Debug, Clone, Default)]
pub struct CommitRequest {
    /// The root's id.
    pub snapshot: String,
    /// What the runtime makes in every root, and no image is to have.
    pub made: MountPoints,
    /// The image below; it may be gone.
    pub parent: Option<ImageId>,
    /// What containers of the new image run with.
    pub config: ContainerConfig,
    /// The command that made the changes.
    pub created_by: String,
    /// Who made it.
    pub author: String,
    /// The remark in the history.
    pub comment: String,
    /// The version of the engine.
    pub version: String,
}

impl Store {
    /// Makes an image of a container's root, without a name. Nothing changed makes no layer, only an
    /// entry in the history.
    ///
    /// # Errors
    /// `NotFound` when the root is not there.
    pub fn commit(&self, request: CommitRequest) -> Result<ImageId> {
        let lease = self.lease();
        let layer = self.layers().from_snapshot(&lease, &request.snapshot, &request.made)?;
        let mut base = self.base(&request)?;
        let created = Some(Timestamp::now().to_string());
        let empty_layer = layer.record().entries == 0;
        if !empty_layer {
            base.rootfs.diff_ids.push(layer.diff_id().clone());
        }
        base.history.push(History {
            created: created.clone(),
            created_by: request.created_by,
            author: request.author.clone(),
            comment: request.comment.clone(),
            empty_layer,
        });
        let config = ImageConfig {
            created,
            author: request.author,
            comment: request.comment,
            docker_version: request.version,
            container: request.snapshot,
            config: request.config,
            inline_cache: None,
            ..base
        };
        let bytes = serde_json::to_vec(&config).map_err(|error| Error::internal(error.to_string()))?;
        let parent = request.parent.filter(|parent| self.images().get(parent).is_ok());
        self.images().put(NewImage {
            config: &bytes,
            parent,
            ..NewImage::default()
        })
    }

    /// The image below, or what is known of it when it was removed by force.
    fn base(&self, request: &CommitRequest) -> Result<ImageConfig> {
        if let Some(parent) = &request.parent
            && let Ok(image) = self.images().get(parent)
        {
            return Ok(image.config().clone());
        }
        let diff_ids = self.snapshots().layers(&request.snapshot)?;
        let unknown = History {
            created_by: "the image below, which was removed".to_owned(),
            ..History::default()
        };
        let platform = Platform::host();
        Ok(ImageConfig {
            history: vec![unknown; diff_ids.len()],
            rootfs: RootFs {
                diff_ids,
                ..RootFs::default()
            },
            architecture: platform.architecture,
            variant: platform.variant,
            os: platform.os,
            ..ImageConfig::default()
        })
    }
}
