//! Images (Docker API, `/images`).

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use bytes::Bytes;
use corten_api::{
    filters::Filters,
    image::{AuthConfig, Deleted, History, Progress, Pruned, SearchResult, Summary},
};

use crate::{
    Client, Result,
    call::{Body, Call, image},
    response::{ByteStream, Messages},
};

/// Which images to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListOptions {
    /// Intermediate ones, too.
    pub all: bool,
    /// Count bytes shared with others.
    pub shared_size: bool,
    /// Tell all platforms of each image.
    pub manifests: bool,
}

/// What to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// The repository, with its registry.
    pub repository: String,
    /// Tag or digest; empty for all tags.
    pub tag: String,
    /// The platform; empty for the engine's.
    pub platform: String,
    /// Who asks.
    pub auth: Option<AuthConfig>,
}

/// What to push.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// The repository, with its registry.
    pub repository: String,
    /// The tag; empty for all.
    pub tag: String,
    /// The platform as JSON; empty for all.
    pub platform: String,
    /// Who asks.
    pub auth: Option<AuthConfig>,
}

/// How to make an image of an archive.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// `-` for the body, or a URL that the engine fetches.
    pub source: String,
    /// Its repository, or empty.
    pub repository: String,
    /// Its tag, or empty.
    pub tag: String,
    /// Its message.
    pub message: String,
    /// Dockerfile instructions to apply.
    pub changes: Vec<String>,
    /// Its platform.
    pub platform: String,
}

/// The value of `X-Registry-Auth` (Docker API, "Authentication").
fn auth_header(auth: &AuthConfig) -> String {
    URL_SAFE.encode(serde_json::to_vec(auth).unwrap_or_default())
}

fn with_auth(call: Call, auth: Option<&AuthConfig>) -> Call {
    match auth {
        Some(auth) => call.header("X-Registry-Auth", auth_header(auth)),
        None => call,
    }
}

impl Client {
    /// `GET /images/search`; `limit` is a number, or empty.
    ///
    /// # Errors
    /// As the registry says.
    pub async fn search(
        &self,
        term: &str,
        limit: &str,
        filters: &Filters,
        auth: Option<&AuthConfig>,
    ) -> Result<Vec<SearchResult>> {
        let limit = if limit == "0" { "" } else { limit };
        let call = Call::get("/images/search")
            .query("term", term)
            .query_some("limit", limit)
            .query_some("filters", filters.to_json());
        self.send(with_auth(call, auth)).await?.json().await
    }

    /// `GET /images/json`.
    ///
    /// # Errors
    /// As every call: the engine's refusal, or that it cannot be reached.
    pub async fn images(&self, options: ListOptions, filters: &Filters) -> Result<Vec<Summary>> {
        let call = Call::get("/images/json")
            .flag("all", options.all)
            .flag("shared-size", options.shared_size)
            .flag("manifests", options.manifests)
            .query_some("filters", filters.to_json());
        self.send(call).await?.json().await
    }

    /// `GET /images/{name}/json`, as the engine wrote it.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn inspect_image(&self, name: &str, platform: &str) -> Result<Bytes> {
        let call = Call::get(format!("/images/{}/json", image(name))).query_some("platform", platform);
        self.send(call).await?.bytes().await
    }

    /// `GET /images/{name}/history`.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn image_history(&self, name: &str, platform: &str) -> Result<Vec<History>> {
        let call = Call::get(format!("/images/{}/history", image(name))).query_some("platform", platform);
        self.send(call).await?.json().await
    }

    /// `POST /images/create` from a registry.
    ///
    /// # Errors
    /// NotFound when the registry has none.
    pub async fn pull(&self, options: &PullOptions) -> Result<Messages<Progress>> {
        let call = Call::post("/images/create")
            .query("fromImage", &options.repository)
            .query_some("tag", &options.tag)
            .query_some("platform", &options.platform);
        Ok(self.send(with_auth(call, options.auth.as_ref())).await?.messages())
    }

    /// `POST /images/{name}/push`.
    ///
    /// # Errors
    /// NotFound when there is no such image.
    pub async fn push(&self, options: &PushOptions) -> Result<Messages<Progress>> {
        let call = Call::post(format!("/images/{}/push", image(&options.repository)))
            .query_some("tag", &options.tag)
            .query_some("platform", &options.platform);
        let auth = options.auth.clone().unwrap_or_default();
        Ok(self.send(with_auth(call, Some(&auth))).await?.messages())
    }

    /// `POST /images/create` from an archive.
    ///
    /// # Errors
    /// Invalid when a change makes no sense.
    pub async fn import(&self, options: &ImportOptions, archive: Body) -> Result<Messages<Progress>> {
        let mut call = Call::post("/images/create")
            .query("fromSrc", &options.source)
            .query_some("repo", &options.repository)
            .query_some("tag", &options.tag)
            .query_some("message", &options.message)
            .query_some("platform", &options.platform);
        for change in &options.changes {
            call = call.query("changes", change);
        }
        let call = match archive {
            Body::Empty => call,
            archive => call.body("text/plain", archive),
        };
        Ok(self.send(call).await?.messages())
    }

    /// `POST /images/{name}/tag`.
    ///
    /// # Errors
    /// NotFound when there is no such image.
    pub async fn tag(&self, name: &str, repository: &str, tag: &str) -> Result<()> {
        let call = Call::post(format!("/images/{}/tag", image(name)))
            .query("repo", repository)
            .query_some("tag", tag);
        self.send(call).await?.done().await
    }

    /// `DELETE /images/{name}`.
    ///
    /// # Errors
    /// Conflict when it is in use.
    pub async fn remove_image(
        &self,
        name: &str,
        force: bool,
        keep_parents: bool,
        platforms: &[String],
    ) -> Result<Vec<Deleted>> {
        let mut call = Call::delete(format!("/images/{}", image(name)))
            .flag("force", force)
            .flag("noprune", keep_parents);
        for platform in platforms {
            call = call.query("platforms", platform);
        }
        self.send(call).await?.json().await
    }

    /// `POST /images/load`.
    ///
    /// # Errors
    /// Invalid when the archive holds no images.
    pub async fn load(&self, quiet: bool, platform: &str, archive: Body) -> Result<Messages<Progress>> {
        let call = Call::post("/images/load")
            .query("quiet", if quiet { "1" } else { "0" })
            .query_some("platform", platform)
            .body("application/x-tar", archive);
        Ok(self.send(call).await?.messages())
    }

    /// `GET /images/get`.
    ///
    /// # Errors
    /// NotFound when one of them is not there.
    pub async fn save(&self, names: &[String], platform: &str) -> Result<ByteStream> {
        let mut call = Call::get("/images/get");
        for name in names {
            call = call.query("names", name);
        }
        Ok(self.send(call.query_some("platform", platform)).await?.stream())
    }

    /// `POST /images/prune`.
    ///
    /// # Errors
    /// Invalid when a filter is unknown.
    pub async fn prune_images(&self, filters: &Filters) -> Result<Pruned> {
        let call = Call::post("/images/prune").query_some("filters", filters.to_json());
        self.send(call).await?.json().await
    }
}
