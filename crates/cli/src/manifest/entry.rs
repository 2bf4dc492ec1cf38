//! One image's manifest in a list: as it came, and what the list says of it. Kept as Docker's command line keeps
//! it, so that either goes on with the other's lists.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use corten_distribution::{Documents, Fetched};
use corten_oci::{
    image::{Descriptor, Document, Manifest, media_type},
    platform::Platform,
    reference::Reference,
};
use corten_template::{Escape, Json, indent_by};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    error::{Error, Result},
    remote::{selector, wrong},
};

/// A manifest in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    /// Where it comes from.
    #[serde(rename = "Ref")]
    pub(super) reference: String,
    /// What the list says of it.
    pub(super) descriptor: Descriptor,
    /// Its bytes, in base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    raw: String,
    #[serde(rename = "SchemaV2Manifest", default, skip_serializing_if = "Option::is_none")]
    schema2: Option<Box<RawValue>>,
    #[serde(rename = "OCIManifest", default, skip_serializing_if = "Option::is_none")]
    oci: Option<Box<RawValue>>,
}

impl Entry {
    /// Fetches a manifest and what its configuration says of platforms.
    ///
    /// # Errors
    /// When it is a list itself; else as the registry says.
    pub(super) async fn fetch(documents: &Documents, reference: &Reference) -> Result<Self> {
        let fetched = documents.manifest(&selector(reference)).await.map_err(wrong)?;
        match parse(&fetched)? {
            Document::Manifest(manifest) => Self::new(documents, reference, &fetched, &manifest).await,
            Document::Index(_) => Err(Error::new(format!("{reference} is a manifest list"))),
        }
    }

    /// Makes an entry of what was fetched.
    pub(super) async fn new(
        documents: &Documents,
        reference: &Reference,
        fetched: &Fetched,
        manifest: &Manifest,
    ) -> Result<Self> {
        let config = documents.blob(&manifest.config.digest).await.map_err(wrong)?;
        let kind = match fetched.media_type.as_str() {
            "" => manifest.effective_media_type(),
            named => named,
        };
        let size = u64::try_from(fetched.bytes.len()).unwrap_or(u64::MAX);
        let mut descriptor = Descriptor::new(kind, fetched.digest.clone(), size);
        descriptor.platform = Some(serde_json::from_slice::<Platform>(&config).unwrap_or_default());
        let compact = compact(&fetched.bytes)?;
        let is_oci = kind == media_type::OCI_MANIFEST;
        let (schema2, oci) = if is_oci {
            (None, Some(compact))
        } else {
            (Some(compact), None)
        };
        Ok(Self {
            reference: reference.to_string(),
            descriptor,
            raw: STANDARD.encode(&fetched.bytes),
            schema2,
            oci,
        })
    }

    /// The manifest's bytes.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        STANDARD
            .decode(&self.raw)
            .map_err(|error| Error::new(format!("the manifest of {} is damaged: {error}", self.reference)))
    }

    /// The image's name.
    pub(super) fn name(&self) -> Result<Reference> {
        crate::image::pull::parse(&self.reference)
    }

    /// The manifest, for people; with `verbose` also where it comes from and what the list says of it.
    pub(super) fn shown(&self, verbose: bool) -> Result<String> {
        let text = if verbose {
            serde_json::to_string(self).map_err(|error| Error::new(error.to_string()))?
        } else {
            String::from_utf8_lossy(&self.bytes()?).into_owned()
        };
        Ok(indent_by(&text, "\t") + "\n")
    }
}

/// Reads what was fetched.
pub(super) fn parse(fetched: &Fetched) -> Result<Document> {
    let declared = Some(fetched.media_type.as_str()).filter(|text| !text.is_empty());
    Document::parse(&fetched.bytes, declared).map_err(|error| Error::new(error.to_string()))
}

fn compact(bytes: &[u8]) -> Result<Box<RawValue>> {
    let mut text = String::new();
    Json::parse(bytes).map_err(Error::new)?.write(Escape::Html, &mut text);
    RawValue::from_string(text).map_err(|error| Error::new(error.to_string()))
}
