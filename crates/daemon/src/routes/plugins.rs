//! `/plugins`: this engine runs no managed plugins, and answers as a Docker engine that has none.

use corten_engine::images;
use http::Method;

use crate::{
    body::{self, Answer},
    dispatch::Call,
    error::{ApiError, ApiResult},
};

/// Everything below `/plugins`.
///
/// # Errors
/// 404 for a plugin by name, as there is none; 501 for ways to get one.
pub(crate) fn call(method: &Method, parts: &[String], call: &Call) -> ApiResult<Answer> {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (method.as_str(), parts.as_slice()) {
        ("GET", []) => list(call),
        ("GET", ["privileges"]) | ("POST", ["pull"]) => {
            let remote = call.query.text("remote");
            check(remote).map_err(ApiError::internal)?;
            Err(unsupported())
        }
        ("POST", ["create"]) => {
            let name = call.query.text("name");
            check(name).map_err(|why| ApiError::internal(format!("failed to parse reference {name}: {why}")))?;
            Err(unsupported())
        }
        ("POST", [name @ .., "upgrade"]) => {
            check(call.query.text("remote")).map_err(ApiError::internal)?;
            Err(none(&tagged(&name.join("/"))))
        }
        ("POST", [name @ .., "enable"]) => {
            let timeout = call.query.text("timeout");
            if timeout.parse::<i64>().is_err() {
                return Err(ApiError::internal(format!(
                    "strconv.Atoi: parsing \"{timeout}\": invalid syntax"
                )));
            }
            Err(none(&name.join("/")))
        }
        ("GET", [name @ .., "json"]) | ("POST", [name @ .., "disable" | "push" | "set"]) | ("DELETE", name) => {
            Err(none(&name.join("/")))
        }
        _ => Err(ApiError::no_page()),
    }
}

fn list(call: &Call) -> ApiResult<Answer> {
    let filters = call.query.filters()?;
    let bad = |error: corten_api::filters::FilterError| ApiError::invalid(error.to_string());
    filters.accept(&["enabled", "capability"]).map_err(bad)?;
    filters.switch("enabled", true).map_err(bad)?;
    body::json(&[(); 0])
}

fn check(reference: &str) -> Result<(), String> {
    images::check_reference(reference).map_err(|error| error.message().to_owned())
}

fn tagged(name: &str) -> String {
    match name.rsplit('/').next().is_some_and(|last| last.contains(':')) {
        true => name.to_owned(),
        false => format!("{name}:latest"),
    }
}

fn none(name: &str) -> ApiError {
    ApiError::new(http::StatusCode::NOT_FOUND, format!("plugin \"{name}\" not found"))
}

fn unsupported() -> ApiError {
    ApiError::unsupported("installing plugins")
}
