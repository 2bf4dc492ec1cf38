//! The cache of a build, at a registry: layers, a configuration, and a manifest that names both.

use bytes::Bytes;
use corten_store::{CompressedBlob, Form, GivenDocument, Layer, Packing, Store};

use super::How;
use crate::auth::AuthConfig;
use crate::error::Result;
use crate::progress::Progress;
use crate::registries::Registries;
use corten_oci::reference::Reference;

/// A cache to push.
#[derive(Debug, Clone)]
pub struct CachePush {
    /// Where to.
    pub reference: Reference,
    /// Its layers.
    pub layers: Vec<Layer>,
    /// How they are packed, when they are in no packed form yet.
    pub packing: Packing,
    /// Whether they are packed so in any case.
    pub force: bool,
    /// Who asks.
    pub auth: Option<AuthConfig>,
}

impl Registries {
    /// Pushes layers; gives the forms in which the registry has them, in their order.
    ///
    /// # Errors
    /// As the registry says.
    pub async fn push_cache_layers(&self, store: &Store, request: &CachePush) -> Result<Vec<CompressedBlob>> {
        let push = self
            .open_push(store, &request.reference, request.auth.clone(), &Progress::none())
            .await?;
        let form = Form {
            packing: Some(request.packing),
            force: request.force,
            ..Form::default()
        };
        debug_assert_eq!(How::of(&form).force, request.force, "the form says how");
        push.bring_all(&request.layers, &form).await
    }

    /// Pushes a configuration, and the manifest that names it and the layers, under the reference's tag.
    ///
    /// # Errors
    /// As the registry says.
    pub async fn push_cache_documents(
        &self,
        store: &Store,
        request: &CachePush,
        config: &GivenDocument,
        manifest: &GivenDocument,
    ) -> Result<()> {
        let push = self
            .open_push(store, &request.reference, request.auth.clone(), &Progress::none())
            .await?;
        let digest = &config.descriptor.digest;
        if !push.session.has_blob(digest).await? {
            let bytes = Bytes::copy_from_slice(&config.bytes);
            push.session.put_blob(digest, bytes).await?;
        }
        push.put(manifest, Some(request.reference.tag().unwrap_or("latest")))
            .await
    }
}
