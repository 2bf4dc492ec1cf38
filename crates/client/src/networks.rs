//! Networks (Docker API, `/networks`).

use bytes::Bytes;
use corten_api::{
    filters::Filters,
    network::{ConnectRequest, CreateRequest, Created, DisconnectRequest, Network, Pruned},
};

use crate::{
    Client, Result,
    call::{Call, segment},
};

impl Client {
    /// `GET /networks`.
    ///
    /// # Errors
    /// As every call: the engine's refusal, or that it cannot be reached.
    pub async fn networks(&self, filters: &Filters) -> Result<Vec<Network>> {
        let call = Call::get("/networks").query_some("filters", filters.to_json());
        self.send(call).await?.json().await
    }

    /// `GET /networks/{id}`, as the engine wrote it.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn inspect_network(&self, id: &str, verbose: bool) -> Result<Bytes> {
        let verbose = if verbose { "true" } else { "" };
        let call = Call::get(format!("/networks/{}", segment(id))).query_some("verbose", verbose);
        self.send(call).await?.bytes().await
    }

    /// `POST /networks/create`.
    ///
    /// # Errors
    /// Conflict when the name is taken.
    pub async fn create_network(&self, request: &CreateRequest) -> Result<Created> {
        self.send(Call::post("/networks/create").json(request)?)
            .await?
            .json()
            .await
    }

    /// `DELETE /networks/{id}`.
    ///
    /// # Errors
    /// Forbidden when it is in use.
    pub async fn remove_network(&self, id: &str) -> Result<()> {
        self.send(Call::delete(format!("/networks/{}", segment(id))))
            .await?
            .done()
            .await
    }

    /// `POST /networks/{id}/connect`.
    ///
    /// # Errors
    /// NotFound when network or container is not there.
    pub async fn connect_network(&self, id: &str, request: &ConnectRequest) -> Result<()> {
        let call = Call::post(format!("/networks/{}/connect", segment(id))).json(request)?;
        self.send(call).await?.done().await
    }

    /// `POST /networks/{id}/disconnect`.
    ///
    /// # Errors
    /// NotFound when network or container is not there.
    pub async fn disconnect_network(&self, id: &str, request: &DisconnectRequest) -> Result<()> {
        let call = Call::post(format!("/networks/{}/disconnect", segment(id))).json(request)?;
        self.send(call).await?.done().await
    }

    /// `POST /networks/prune`.
    ///
    /// # Errors
    /// Invalid when a filter is unknown.
    pub async fn prune_networks(&self, filters: &Filters) -> Result<Pruned> {
        let call = Call::post("/networks/prune").query_some("filters", filters.to_json());
        self.send(call).await?.json().await
    }
}
