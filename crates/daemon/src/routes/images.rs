//! `/images` and `/distribution`.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use corten_api::image::{AuthConfig, Progress};
use corten_engine::{
    Engine,
    error::Kind,
    images::{ImportRequest, InspectRequest, ListRequest, PullRequest, PushRequest, RemoveOptions, SearchRequest},
    pipe,
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::platforms;
use crate::{
    body::{self, Answer},
    compat,
    dispatch::Call,
    error::{ApiError, ApiResult},
};

/// `GET /images/json`.
pub(crate) async fn list(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    let mut filters = call.query.filters()?;
    if let Some(name) = call.query.given("filter") {
        // From before API 1.28.
        filters.add("reference", name);
    }
    let request = ListRequest {
        all: call.query.switch("all"),
        shared_size: call.query.switch("shared-size"),
        manifests: call.query.switch("manifests"),
        filters,
    };
    let images = engine.images().list(request).await?;
    compat::answer(call.version, &images, compat::images::LIST)
}

/// `POST /images/create`.
pub(crate) async fn create(engine: &Engine, call: Call) -> ApiResult<Answer> {
    match call.query.given("fromImage") {
        Some(image) => {
            let request = PullRequest {
                reference: image.to_owned(),
                tag: call.query.text("tag").to_owned(),
                platform: platform(&call),
                auth: credentials(&call.headers),
            };
            let images = engine.images().clone();
            body::progress(|lines| async move { images.pull(request, lines).await }).await
        }
        None => import(engine, call).await,
    }
}

async fn import(engine: &Engine, call: Call) -> ApiResult<Answer> {
    if call.query.text("fromSrc") != "-" {
        return Err(ApiError::unsupported("importing an image from a URL"));
    }
    let request = ImportRequest {
        repository: call.query.text("repo").to_owned(),
        tag: call.query.text("tag").to_owned(),
        message: call.query.text("message").to_owned(),
        changes: call.query.all("changes").to_vec(),
        platform: platform(&call),
    };
    let images = engine.images().clone();
    let (sender, input) = pipe::Reader::new();
    body::progress(|lines| async move {
        let (id, ()) = tokio::join!(images.import(input, request), body::pump_and_drain(call.body, sender));
        // A client that left is noticed when its request is dropped.
        let _ = lines
            .send(Progress {
                status: id?,
                ..Progress::default()
            })
            .await;
        Ok(())
    })
    .await
}

/// `POST /images/load`.
pub(crate) fn load(engine: &Engine, call: Call) -> ApiResult<Answer> {
    if call.query.all("platform").len() > 1 {
        return Err(ApiError::invalid("multiple platform parameters not supported"));
    }
    let platform = match call.version.before(48) {
        true => None,
        false => platforms::asked(&call)?,
    };
    let quiet = call.query.switch_or("quiet", true);
    let images = engine.images().clone();
    let (sender, input) = pipe::Reader::new();
    Ok(body::progress_only(|lines| async move {
        let (loaded, ()) = tokio::join!(
            images.load(input, platform, quiet, lines),
            body::pump_and_drain(call.body, sender)
        );
        loaded
    }))
}

/// `GET /images/get` and `GET /images/{name}/get`.
pub(crate) async fn save(engine: &Engine, names: Vec<String>, call: &Call) -> ApiResult<Answer> {
    let platforms = platforms::all(call, "platform")?;
    for platform in &platforms {
        for name in &names {
            engine
                .images()
                .check_platform(name, platform)
                .map_err(|error| match error.kind() {
                    Kind::NotFound if error.message().contains("does not match") => {
                        ApiError::internal(format!("no suitable export target found for platform {platform}"))
                    }
                    _ => error.into(),
                })?;
        }
    }
    Ok(body::typed(
        "application/x-tar",
        body::received(engine.images().save(names, platforms).await?),
    ))
}

/// `GET /images/{name}/json`.
pub(crate) fn inspect(engine: &Engine, name: &str, call: &Call) -> ApiResult<Answer> {
    let request = InspectRequest {
        platform: platforms::asked(call)?,
        manifests: call.query.switch("manifests"),
    };
    if request.platform.is_some() && request.manifests {
        return Err(ApiError::invalid(
            "conflicting options: manifests and platform options cannot both be set",
        ));
    }
    let found = engine.images().inspect(name, &request)?;
    compat::answer(call.version, &found, compat::images::ONE)
}

/// `GET /images/{name}/history`.
pub(crate) fn history(engine: &Engine, name: &str, call: &Call) -> ApiResult<Answer> {
    let platform = platforms::asked(call)?;
    body::json(&engine.images().history(name, platform.as_ref())?)
}

/// `POST /images/{name}/push`.
pub(crate) async fn push(engine: &Engine, repository: String, call: &Call) -> ApiResult<Answer> {
    let request = PushRequest {
        repository,
        tag: call.query.text("tag").to_owned(),
        platform: platforms::asked(call)?,
        auth: credentials(&call.headers),
    };
    let images = engine.images().clone();
    Ok(body::progress_only(
        |lines| async move { images.push(request, lines).await },
    ))
}

/// `GET /images/search`.
pub(crate) async fn search(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    let limit = match call.query.text("limit") {
        "" => 0,
        text => text
            .parse::<i64>()
            .map_err(|_| ApiError::invalid(format!("invalid limit specified: {text}")))?,
    };
    let request = SearchRequest {
        term: call.query.text("term").to_owned(),
        limit,
        filters: call.query.filters()?,
        auth: credentials(&call.headers),
    };
    body::json(&engine.images().search(request).await?)
}

/// `POST /images/{name}/tag`.
pub(crate) async fn tag(engine: &Engine, name: &str, call: &Call) -> ApiResult<Answer> {
    if call.query.given("repo").is_none() {
        // Docker finds nothing to do.
        return Ok(body::empty(StatusCode::OK));
    }
    engine
        .images()
        .tag(name, call.query.text("repo"), call.query.text("tag"))
        .await?;
    Ok(body::empty(StatusCode::CREATED))
}

/// `DELETE /images/{name}`.
pub(crate) async fn remove(engine: &Engine, name: &str, call: &Call) -> ApiResult<Answer> {
    if name.trim().is_empty() {
        return Err(ApiError::invalid("image name cannot be blank"));
    }
    for platform in platforms::all(call, "platforms")? {
        engine.images().check_platform(name, &platform)?;
    }
    let options = RemoveOptions {
        force: call.query.switch("force"),
        prune_parents: !call.query.switch("noprune"),
    };
    body::json(&engine.images().remove(name, options).await?)
}

/// `POST /images/prune`.
pub(crate) async fn prune(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    body::json(&engine.images().prune(&call.query.filters()?).await?)
}

/// `GET /distribution/{name}/json`.
pub(crate) async fn distribution(engine: &Engine, name: &str, call: &Call) -> ApiResult<Answer> {
    /// The answer, with the OCI's names inside.
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Inspection<D, P> {
        descriptor: D,
        platforms: Option<Vec<P>>,
    }
    let found = engine.images().inspect_remote(name, credentials(&call.headers)).await?;
    body::json(&Inspection {
        descriptor: found.descriptor,
        // Go writes a list that was never begun as null.
        platforms: Some(found.platforms).filter(|platforms| !platforms.is_empty()),
    })
}

/// The parameter `platform`, which begins with API 1.32.
fn platform(call: &Call) -> String {
    if call.version.before(32) {
        String::new()
    } else {
        call.query.text("platform").to_lowercase()
    }
}

/// The header `X-Registry-Auth`; one that cannot be read counts as none, as for Docker.
fn credentials(headers: &HeaderMap) -> Option<AuthConfig> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = headers.get("x-registry-auth")?.to_str().ok()?;
    let url_safe = text.replace('+', "-").replace('/', "_");
    let json = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT)
        .decode(url_safe)
        .ok()?;
    let auth: AuthConfig = corten_api::decode_request(&json).ok()?;
    Some(auth).filter(|auth| *auth != AuthConfig::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_in_either_alphabet() {
        let case = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-registry-auth", value.parse().unwrap());
            credentials(&headers).map(|auth| auth.username)
        };
        // {"username":"a?>","password":"b"}
        assert_eq!(
            case("eyJ1c2VybmFtZSI6ImE_PiIsInBhc3N3b3JkIjoiYiJ9"),
            Some("a?>".to_owned())
        );
        assert_eq!(
            case("eyJ1c2VybmFtZSI6ImE/PiIsInBhc3N3b3JkIjoiYiJ9"),
            Some("a?>".to_owned())
        );
        assert_eq!(case("e30="), None);
        assert_eq!(case("!"), None);
    }
}
