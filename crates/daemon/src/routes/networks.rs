//! `/networks`.

use corten_api::network::{ConnectRequest, CreateRequest, DisconnectRequest};
use corten_engine::Engine;
use http::StatusCode;

use super::blocking;
use crate::{
    body::{self, Answer},
    dispatch::Call,
    error::{ApiError, ApiResult},
};

/// `GET /networks`.
pub(crate) fn list(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    let mut networks = engine.networks().list(&call.query.filters()?)?;
    if call.version.before(28) {
        // Lists told the containers, too.
        for network in &mut networks {
            *network = engine.networks().inspect(&network.id)?;
        }
    }
    body::json(&networks)
}

/// `POST /networks/create`.
pub(crate) async fn create(engine: &Engine, call: Call) -> ApiResult<Answer> {
    let request: CreateRequest = body::read_json_or_default(&call.headers, call.body).await?;
    let networks = engine.networks().clone();
    body::json_with(StatusCode::CREATED, &blocking(move || networks.create(request)).await?)
}

/// `GET /networks/{id}`.
pub(crate) fn inspect(engine: &Engine, name: &str, call: &Call) -> ApiResult<Answer> {
    call.query.strict_switch("verbose")?;
    let scope = call.query.text("scope");
    if !matches!(scope, "" | "local") {
        return Err(corten_engine::Error::not_found(format!("network {name} not found")).into());
    }
    body::json(&engine.networks().inspect(name)?)
}

/// `DELETE /networks/{id}`.
pub(crate) async fn remove(engine: &Engine, name: &str) -> ApiResult<Answer> {
    let (networks, name) = (engine.networks().clone(), name.to_owned());
    blocking(move || networks.remove(&name)).await?;
    Ok(body::empty(StatusCode::NO_CONTENT))
}

/// `POST /networks/{id}/connect`.
pub(crate) async fn connect(engine: &Engine, name: &str, call: Call) -> ApiResult<Answer> {
    let request: ConnectRequest = body::read_json_or_default(&call.headers, call.body).await?;
    named(&request.container)?;
    engine.containers().connect(name, request).await?;
    Ok(body::empty(StatusCode::OK))
}

/// `POST /networks/{id}/disconnect`.
pub(crate) async fn disconnect(engine: &Engine, name: &str, call: Call) -> ApiResult<Answer> {
    let request: DisconnectRequest = body::read_json_or_default(&call.headers, call.body).await?;
    named(&request.container)?;
    engine.containers().disconnect(name, request).await?;
    Ok(body::empty(StatusCode::OK))
}

/// `POST /networks/prune`.
pub(crate) async fn prune(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    let (networks, filters) = (engine.networks().clone(), call.query.filters()?);
    body::json(&blocking(move || networks.prune(&filters)).await?)
}

fn named(container: &str) -> ApiResult<()> {
    match container.is_empty() {
        true => Err(ApiError::invalid("invalid name or ID supplied: \"\"")),
        false => Ok(()),
    }
}
