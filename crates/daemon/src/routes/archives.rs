//! A container's files: `POST /commit`.

use corten_api::container::Config;
use corten_engine::{Engine, containers::CommitRequest};
use http::StatusCode;
use serde::Serialize;

use crate::{
    body::{self, Answer},
    dispatch::Call,
    error::ApiResult,
};

/// `POST /commit`.
pub(crate) async fn commit(engine: &Engine, call: Call) -> ApiResult<Answer> {
    /// The answer.
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Committed {
        id: String,
    }
    let config: Option<Config> = body::read_json_or_default(&call.headers, call.body).await?;
    let request = CommitRequest {
        repository: call.query.text("repo").to_owned(),
        tag: call.query.text("tag").to_owned(),
        author: call.query.text("author").to_owned(),
        comment: call.query.text("comment").to_owned(),
        pause: call.query.given("pause").is_none() || call.query.switch("pause"),
        changes: call.query.all("changes").to_vec(),
        config,
    };
    let id = engine
        .containers()
        .commit(call.query.text("container"), request)
        .await?;
    body::json_with(StatusCode::CREATED, &Committed { id })
}
