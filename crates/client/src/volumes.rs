//! Volumes (Docker API, `/volumes`).

use bytes::Bytes;
use corten_api::{
    filters::Filters,
    volume::{CreateRequest, List, Pruned, Volume},
};

use crate::{
    Client, Result,
    call::{Call, segment},
};

impl Client {
    /// `GET /volumes`.
    ///
    /// # Errors
    /// As every call: the engine's refusal, or that it cannot be reached.
    pub async fn volumes(&self, filters: &Filters) -> Result<List> {
        let call = Call::get("/volumes").query_some("filters", filters.to_json());
        self.send(call).await?.json().await
    }

    /// `GET /volumes/{name}`, as the engine wrote it.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn inspect_volume(&self, name: &str) -> Result<Bytes> {
        self.send(Call::get(format!("/volumes/{}", segment(name))))
            .await?
            .bytes()
            .await
    }

    /// `POST /volumes/create`.
    ///
    /// # Errors
    /// Invalid when name or options make no sense.
    pub async fn create_volume(&self, request: &CreateRequest) -> Result<Volume> {
        self.send(Call::post("/volumes/create").json(request)?)
            .await?
            .json()
            .await
    }

    /// `DELETE /volumes/{name}`.
    ///
    /// # Errors
    /// Conflict when it is in use.
    pub async fn remove_volume(&self, name: &str, force: bool) -> Result<()> {
        let call = Call::delete(format!("/volumes/{}", segment(name))).flag("force", force);
        self.send(call).await?.done().await
    }

    /// `POST /volumes/prune`.
    ///
    /// # Errors
    /// Invalid when a filter is unknown.
    pub async fn prune_volumes(&self, filters: &Filters) -> Result<Pruned> {
        let call = Call::post("/volumes/prune").query_some("filters", filters.to_json());
        self.send(call).await?.json().await
    }
}
