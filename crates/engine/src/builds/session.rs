//! What builds of clients with a session need besides: credentials when they are asked for, contexts from
//! elsewhere, results that nobody keeps.

use std::{fmt, pin::Pin, sync::Arc};

use corten_api::image::AuthConfig;
use corten_build::{Agents, Given};
use corten_oci::digest::Digest;
use tokio::sync::watch;

use super::{BuildRequest, Builds, CancelOnDrop, StepSettings, executor::EngineExecutor, sources::Sources};
use crate::{error::on_thread, images::RemoveOptions};

type Asked = Pin<Box<dyn Future<Output = Option<AuthConfig>> + Send>>;

/// Who knows the credentials for registries.
#[derive(Clone)]
pub struct Credentials(Arc<dyn Fn(String) -> Asked + Send + Sync>);

impl Credentials {
    /// From what asks somebody, by the registry's name.
    pub fn new(ask: impl Fn(String) -> Asked + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// Those for a registry, if there are any.
    pub(super) async fn of(&self, registry: &str) -> Option<AuthConfig> {
        (self.0)(registry.to_owned()).await
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

impl Builds {
    /// Fetches a context from an address: a repository, an archive, or only a Dockerfile. Repositories over SSH are
    /// asked for with the agents.
    ///
    /// # Errors
    /// The builder's.
    pub async fn fetch_context(
        &self,
        settings: StepSettings,
        address: &str,
        dockerfile: &str,
        agents: Arc<dyn Agents>,
    ) -> Result<Given, corten_build::Error> {
        let (cancel, _) = watch::channel(false);
        let guard = CancelOnDrop(cancel.clone());
        let (builds, executor) = (self.clone(), EngineExecutor::new(self, settings, cancel));
        let request = BuildRequest {
            dockerfile: dockerfile.to_owned(),
            ..BuildRequest::default()
        };
        let address = address.to_owned();
        let fetched = on_thread(move || {
            let sources = Sources {
                builds: &builds,
                request: &request,
                executor: &executor,
            };
            Ok(sources.remote(&address, &agents))
        });
        let fetched = fetched.await;
        drop(guard);
        fetched.unwrap_or_else(|error| Err(corten_build::Error::new(error.kind(), error.to_string())))
    }

    /// Removes results that got no name in the meantime.
    pub async fn drop_unnamed(&self, images: Vec<Digest>) {
        let options = RemoveOptions {
            force: false,
            prune_parents: false,
        };
        for id in images {
            let image = self.0.store.images().get(&id);
            if image.is_ok_and(|image| image.names().is_empty())
                && let Err(error) = self.0.images.remove(id.as_str(), options).await
            {
                // A container took it, or another image is based on it: it stays.
                tracing::debug!(error = error.report(), "a result without a name is kept");
            }
        }
    }
}
