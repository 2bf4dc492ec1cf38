//! `/volumes`.

use corten_api::volume::{CreateRequest, List};
use corten_engine::{Engine, volumes::Scope};
use http::StatusCode;

use super::blocking;
use crate::{
    body::{self, Answer},
    dispatch::Call,
    error::ApiResult,
};

/// `GET /volumes`.
pub(crate) async fn list(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    let (volumes, filters) = (engine.volumes().clone(), call.query.filters()?);
    let volumes = blocking(move || volumes.list(&filters)).await?;
    body::json(&List {
        volumes,
        warnings: None,
    })
}

/// `POST /volumes/create`.
pub(crate) async fn create(engine: &Engine, call: Call) -> ApiResult<Answer> {
    let request: CreateRequest = body::read_json_or_default(&call.headers, call.body).await?;
    if request.cluster_volume_spec.is_some() {
        return Err(super::swarm::no_manager());
    }
    let volumes = engine.volumes().clone();
    body::json_with(StatusCode::CREATED, &blocking(move || volumes.create(request)).await?)
}

/// `GET /volumes/{name}`.
pub(crate) async fn inspect(engine: &Engine, name: &str) -> ApiResult<Answer> {
    let (volumes, name) = (engine.volumes().clone(), name.to_owned());
    body::json(&blocking(move || volumes.get(&name)).await?)
}

/// `DELETE /volumes/{name}`.
pub(crate) async fn remove(engine: &Engine, name: &str, call: &Call) -> ApiResult<Answer> {
    let (volumes, name, force) = (engine.volumes().clone(), name.to_owned(), call.query.switch("force"));
    blocking(move || volumes.remove(&name, force)).await?;
    Ok(body::empty(StatusCode::NO_CONTENT))
}

/// `POST /volumes/prune`.
pub(crate) async fn prune(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    let (volumes, filters) = (engine.volumes().clone(), call.query.filters()?);
    // Before API 1.42 named volumes went too.
    let scope = if call.version.before(42) {
        Scope::All
    } else {
        Scope::Anonymous
    };
    body::json(&blocking(move || volumes.prune(&filters, scope)).await?)
}
