//! What belongs to a swarm: this engine is in none, and answers as a Docker engine that is in none.

use http::{Method, StatusCode};

use crate::{
    body::Answer,
    dispatch::Call,
    error::{ApiError, ApiResult},
};

/// Everything below `/swarm`, `/nodes`, `/services`, `/tasks`, `/secrets` and `/configs`.
///
/// # Errors
/// Always: 400 for parameters that Docker looks at before it looks for the swarm, 503 otherwise.
pub(crate) fn call(method: &Method, parts: &[String], call: &Call) -> ApiResult<Answer> {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    Err(match (method.as_str(), parts.as_slice()) {
        ("POST", ["swarm", "leave"]) => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "This node is not part of a swarm")
        }
        ("POST", ["swarm", "init" | "join"]) => ApiError::unsupported("forming a swarm"),
        ("POST", ["swarm", "update"]) => versioned(call, "swarm"),
        ("POST", ["nodes", _, "update"]) => versioned(call, "node"),
        ("POST", ["services", _, "update"]) => versioned(call, "service"),
        ("POST", ["secrets", _, "update"]) => plainly_versioned(call, "secret"),
        ("POST", ["configs", _, "update"]) => plainly_versioned(call, "config"),
        ("GET", ["services" | "tasks", _, "logs"]) if !has_stream(call) => {
            ApiError::internal("Bad parameters: you must choose at least one stream")
        }
        ("GET", ["services", _]) => match call.query.strict_switch("insertDefaults") {
            Ok(_) => no_manager(),
            Err(error) => error,
        },
        _ => no_manager(),
    })
}

/// `PUT /volumes/{name}`: cluster volumes are a swarm's.
pub(crate) fn no_cluster_volumes() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "volume update only valid for cluster volumes, but swarm is unavailable",
    )
}

/// What is asked of a manager.
pub(crate) fn no_manager() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node \
         to swarm and try again.",
    )
}

fn versioned(call: &Call, what: &str) -> ApiError {
    let version = call.query.text("version");
    match version.parse::<u64>() {
        Ok(_) => no_manager(),
        Err(_) => ApiError::invalid(format!(
            "invalid {what} version '{version}': strconv.ParseUint: parsing \"{version}\": invalid syntax"
        )),
    }
}

fn plainly_versioned(call: &Call, what: &str) -> ApiError {
    match call.query.text("version").parse::<u64>() {
        Ok(_) => no_manager(),
        Err(_) => ApiError::invalid(format!("invalid {what} version")),
    }
}

fn has_stream(call: &Call) -> bool {
    call.query.switch("stdout") || call.query.switch("stderr")
}
