//! What a builder has said about an image: where it comes from, and what is in it (in-toto statements that an
//! index keeps as manifests of their own).

use corten_distribution::Documents;
use corten_oci::image::{Descriptor, Document, Index};
use corten_template::Json;

use crate::{
    error::{Error, Result},
    remote::wrong,
};

/// The annotation with the digest of the image that an attestation is about.
const ABOUT: &str = "vnd.docker.reference.digest";
/// The annotation with the kind of a statement.
const KIND: &str = "in-toto.io/predicate-type";

/// What is said about one image.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    /// `{"SLSA": …}`, or `{}`.
    pub(super) provenance: Vec<(String, Json)>,
    /// `{"SPDX": …}`, or `{}`.
    pub(super) sbom: Vec<(String, Json)>,
}

/// Everything that an index has about an image.
pub(super) async fn about(documents: &Documents, index: &Index, image: &Descriptor) -> Result<Said> {
    let mut said = Said::default();
    let is_about = |manifest: &Descriptor| {
        let about = manifest.annotations.get(ABOUT);
        manifest.is_attestation() && about.is_some_and(|about| about == image.digest.as_str())
    };
    for attestation in index.manifests.iter().filter(|manifest| is_about(manifest)) {
        let fetched = documents.manifest(attestation.digest.as_str()).await.map_err(wrong)?;
        let Ok(Document::Manifest(manifest)) = Document::parse(&fetched.bytes, None) else {
            continue;
        };
        for layer in &manifest.layers {
            let kind = layer.annotations.get(KIND).map_or("", String::as_str);
            let (into, name) = if kind.starts_with("https://slsa.dev/provenance/") {
                (&mut said.provenance, "SLSA")
            } else if kind.starts_with("https://spdx.dev/Document") {
                (&mut said.sbom, "SPDX")
            } else {
                continue;
            };
            let statement = documents.blob(&layer.digest).await.map_err(wrong)?;
            let statement = Json::parse(&statement).map_err(Error::new)?;
            into.push((
                name.to_owned(),
                statement.get("predicate").cloned().unwrap_or(Json::Null),
            ));
        }
    }
    Ok(said)
}
