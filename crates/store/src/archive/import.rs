//! `docker import`: a tar becomes an image of one layer.

use std::io::Read;

use corten_oci::image::{ContainerConfig, History, ImageConfig, RootFs};
use corten_oci::platform::Platform;
use corten_oci::reference::Reference;
use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::images::{ImageId, NewImage};
use crate::store::Store;

/// What to make of a tar. Docker API `POST /images/create?fromSrc=…`.
#[derive(Debug, Clone, Default)]
pub struct ImportRequest {
    /// The remark in the history; empty says where it came from.
    pub message: String,
    /// What containers of it run with, from `--change` instructions.
    pub config: ContainerConfig,
    /// What it is for; this host when `None`.
    pub platform: Option<Platform>,
    /// Its name.
    pub reference: Option<Reference>,
}

impl Store {
    /// Makes an image of one layer out of a tar, plain or compressed.
    ///
    /// # Errors
    /// Invalid when it is no tar, truncated or beyond a limit.
    pub fn import(&self, input: &mut dyn Read, request: ImportRequest) -> Result<ImageId> {
        let lease = self.lease();
        let layer = self.layers().from_tar(&lease, input)?;
        let platform = request.platform.unwrap_or_else(Platform::host);
        let created = Some(Timestamp::now().to_string());
        let message = if request.message.is_empty() {
            "Imported from -".to_owned()
        } else {
            request.message
        };
        let config = ImageConfig {
            created: created.clone(),
            comment: message.clone(),
            architecture: platform.architecture,
            variant: platform.variant,
            os: platform.os,
            config: request.config,
            rootfs: RootFs {
                diff_ids: vec![layer.diff_id().clone()],
                ..RootFs::default()
            },
            history: vec![History {
                created,
                comment: message,
                ..History::default()
            }],
            ..ImageConfig::default()
        };
        let bytes = serde_json::to_vec(&config).map_err(|error| Error::internal(error.to_string()))?;
        let id = self.images().put(NewImage {
            config: &bytes,
            ..NewImage::default()
        })?;
        if let Some(reference) = &request.reference {
            self.images().tag(reference, &id)?;
        }
        Ok(id)
    }
}
