//! Which platforms an image is for (Docker API 1.47 and later, `Manifests`).

use corten_api::image::{ImageData, ManifestDescriptor, ManifestSize, ManifestSummary, UnpackedSize};
use corten_oci::image::media_type;
use corten_store::Image;

use super::{Images, signed};

impl Images {
    /// What an image has for each platform; none when there is one alone, as for an engine that keeps one. A manifest
    /// is made when an image leaves: until then what identifies it is its configuration.
    pub(super) fn manifests(&self, image: &Image) -> Option<Vec<ManifestSummary>> {
        let whole = self.0.store.images().whole(image);
        (whole.len() > 1).then(|| whole.iter().map(|image| self.manifest(image)).collect())
    }

    fn manifest(&self, image: &Image) -> ManifestSummary {
        let size = signed(image.size());
        ManifestSummary {
            id: image.id().to_string(),
            descriptor: ManifestDescriptor {
                media_type: media_type::OCI_CONFIG.to_owned(),
                digest: image.id().to_string(),
                size: signed(image.config_bytes().len() as u64),
            },
            available: true,
            size: ManifestSize {
                content: 0,
                total: size,
            },
            kind: "image".to_owned(),
            image_data: ImageData {
                platform: image.config().platform(),
                containers: self
                    .users_of(image.id())
                    .into_iter()
                    .map(|user| user.container)
                    .collect(),
                size: UnpackedSize { unpacked: size },
            },
        }
    }
}
