//! The engine itself (Docker API, `/_ping`, `/version`, `/info`, `/events`, `/system/df`, `/auth`).

use bytes::Bytes;
use corten_api::{
    event::Event,
    filters::Filters,
    image::AuthConfig,
    system::{AuthResult, DiskUsage, Version},
};

use crate::{Client, Result, call::Call, response::Messages};

impl Client {
    /// `GET /_ping`: learns the newest API version that the engine speaks.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub async fn ping(&self) -> Result<()> {
        let call = Call::get("/_ping");
        Box::pin(self.send(call)).await?.done().await
    }

    /// `GET /version`.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub async fn version(&self) -> Result<Version> {
        self.send(Call::get("/version")).await?.json().await
    }

    /// `GET /version`, as the engine wrote it.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub async fn version_document(&self) -> Result<Bytes> {
        self.send(Call::get("/version")).await?.bytes().await
    }

    /// `GET /info`, as the engine wrote it.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub async fn info_document(&self) -> Result<Bytes> {
        self.send(Call::get("/info")).await?.bytes().await
    }

    /// `GET /system/df`.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub async fn disk_usage(&self) -> Result<DiskUsage> {
        self.send(Call::get("/system/df")).await?.json().await
    }

    /// `GET /plugins`, for whether the engine knows the filters.
    ///
    /// # Errors
    /// Invalid when it does not.
    pub async fn check_plugins(&self, filters: &Filters) -> Result<()> {
        let call = Call::get("/plugins").query_some("filters", filters.to_json());
        self.send(call).await?.done().await
    }

    /// `GET /events`; `since` and `until` are seconds since the epoch with a fraction, or empty.
    ///
    /// # Errors
    /// Invalid when a filter makes no sense.
    pub async fn events(&self, since: &str, until: &str, filters: &Filters) -> Result<Messages<Event>> {
        let call = Call::get("/events")
            .query_some("since", since)
            .query_some("until", until)
            .query_some("filters", filters.to_json());
        Ok(self.send(call).await?.messages())
    }

    /// `POST /auth`.
    ///
    /// # Errors
    /// Unauthorized when the registry refuses.
    pub async fn authenticate(&self, auth: &AuthConfig) -> Result<AuthResult> {
        self.send(Call::post("/auth").json(auth)?).await?.json().await
    }
}
