//! `/build`: images from Dockerfiles.

use std::collections::BTreeMap;

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use corten_api::{
    container::{Resources, Ulimit},
    image::AuthConfig,
};
use corten_buildkit::BuildKit;
use corten_engine::{
    Engine,
    builds::{BuildRequest, StepSettings, builder::Rule, prune_rule},
    pipe,
};
use http::{HeaderMap, StatusCode};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    body::{self, Answer},
    dispatch::Call,
    error::{ApiError, ApiResult},
    query::Query,
};

/// `POST /build`.
pub(crate) async fn build(engine: &Engine, buildkit: &BuildKit, call: Call) -> ApiResult<Answer> {
    let request = request(&call.query, &call.headers)?;
    let watcher = request
        .trace
        .then(|| buildkit.watch(attributes(&request, &call.query), &request.tags));
    let builds = engine.builds().clone();
    let (sender, context) = pipe::Reader::new();
    body::progress(|lines| async move {
        let (built, ()) = tokio::join!(
            builds.build(request, context, lines, watcher),
            body::pump_and_drain(call.body, sender)
        );
        built
    })
    .await
}

/// What the history says that was asked for, by BuildKit's names.
fn attributes(request: &BuildRequest, query: &Query) -> BTreeMap<String, String> {
    let pairs = [
        ("context", query.text("contextname")),
        ("filename", request.dockerfile.as_str()),
        ("target", request.target.as_str()),
        ("platform", request.platform.as_str()),
    ];
    let given = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// `GET /builds`.
pub(crate) async fn history(buildkit: &BuildKit) -> ApiResult<Answer> {
    let buildkit = buildkit.clone();
    body::json(&blocking(move || buildkit.history()).await?)
}

/// `GET /builds/{name}/log`.
pub(crate) async fn log(buildkit: &BuildKit, name: String) -> ApiResult<Answer> {
    let (buildkit, asked) = (buildkit.clone(), name.clone());
    match blocking(move || buildkit.history_log(&asked)).await? {
        Some(events) => body::json(&events),
        None => Err(absent(&name)),
    }
}

/// `DELETE /builds/{name}`.
pub(crate) async fn forget(buildkit: &BuildKit, name: String) -> ApiResult<Answer> {
    let (buildkit, asked) = (buildkit.clone(), name.clone());
    match blocking(move || buildkit.forget(&asked)).await? {
        true => Ok(body::empty(StatusCode::NO_CONTENT)),
        false => Err(absent(&name)),
    }
}

fn absent(name: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("no record found for {name:?}"))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> ApiResult<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ApiError::internal(error.to_string()))
}

/// `POST /build/cancel`.
pub(crate) fn cancel(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    let id = call
        .query
        .given("id")
        .ok_or_else(|| ApiError::invalid("build ID not provided"))?;
    engine.builds().cancel(id);
    Ok(body::empty(StatusCode::OK))
}

/// `POST /build/prune`.
pub(crate) async fn prune(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    /// The answer.
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Pruned {
        caches_deleted: Option<Vec<String>>,
        space_reclaimed: u64,
    }
    let filters = call.query.filters()?;
    let bytes = |name: &str| -> ApiResult<u64> {
        let given: Option<i64> = call.query.number(name)?;
        Ok(u64::try_from(given.unwrap_or(0)).unwrap_or(0))
    };
    let sizes = Rule {
        all: call.query.switch("all"),
        reserved: bytes("keep-storage")?.max(bytes("reserved-space")?),
        most: bytes("max-used-space")?,
        free: bytes("min-free-space")?,
        ..Rule::default()
    };
    let pruned = engine.builds().prune(prune_rule(&filters, sizes)?).await?;
    body::json(&Pruned {
        caches_deleted: Some(pruned.ids).filter(|ids| !ids.is_empty()),
        space_reclaimed: pruned.bytes,
    })
}

/// The parameters (moby `newImageBuildOptions`).
fn request(query: &Query, headers: &HeaderMap) -> ApiResult<BuildRequest> {
    refuse(query)?;
    let list = |name: &str| json::<Vec<String>>(query, name);
    Ok(BuildRequest {
        dockerfile: query.text("dockerfile").to_owned(),
        remote: query.text("remote").to_owned(),
        tags: query.all("t").iter().filter(|tag| !tag.is_empty()).cloned().collect(),
        target: query.text("target").to_owned(),
        arguments: json::<BTreeMap<String, Option<String>>>(query, "buildargs")?,
        labels: json(query, "labels")?,
        platform: query.text("platform").to_lowercase(),
        quiet: query.switch("q"),
        trace: query.text("output") == "trace",
        no_cache: query.switch("nocache"),
        remove: query.given("rm").is_none() || query.switch("rm") || query.switch("forcerm"),
        cache_from: list("cachefrom")?,
        steps: StepSettings {
            network: query.text("networkmode").to_owned(),
            extra_hosts: query
                .all("extrahosts")
                .iter()
                .filter(|host| !host.is_empty())
                .cloned()
                .collect(),
            shm_size: query.number("shmsize")?.unwrap_or(0),
            resources: resources(query)?,
            registries: registries(headers),
            pull: query.switch("pull"),
            ..StepSettings::default()
        },
        id: query.text("buildid").to_owned(),
        preface: query.number("preface")?.unwrap_or(0),
    })
}

fn refuse(query: &Query) -> ApiResult<()> {
    match query.text("version") {
        "" | "1" => {}
        "2" => {
            return Err(ApiError::unsupported(
                "builds of version 2 by this route (use buildx, or set DOCKER_BUILDKIT=0)",
            ));
        }
        other => return Err(ApiError::invalid(format!("invalid version {other}"))),
    }
    if query.switch("squash") {
        return Err(ApiError::invalid("squash is only supported with experimental mode"));
    }
    if query.all("securityopt").iter().any(|option| !option.is_empty()) {
        return Err(ApiError::invalid(
            "The daemon on this platform does not support setting security options on build",
        ));
    }
    match query.text("isolation") {
        "" | "default" => {}
        other => return Err(ApiError::invalid(format!("Unsupported isolation: {other:?}"))),
    }
    if query
        .given("outputs")
        .is_some_and(|outputs| outputs != "[]" && outputs != "null")
    {
        return Err(ApiError::unsupported("outputs of a build other than an image"));
    }
    Ok(())
}

fn resources(query: &Query) -> ApiResult<Resources> {
    let number = |name: &str| Ok::<i64, ApiError>(query.number(name)?.unwrap_or(0));
    let ulimits: Vec<Ulimit> = json(query, "ulimits")?;
    Ok(Resources {
        memory: number("memory")?,
        memory_swap: number("memswap")?,
        cpu_shares: number("cpushares")?,
        cpu_period: number("cpuperiod")?,
        cpu_quota: number("cpuquota")?,
        cpuset_cpus: query.text("cpusetcpus").to_owned(),
        cpuset_mems: query.text("cpusetmems").to_owned(),
        cgroup_parent: query.text("cgroupparent").to_owned(),
        ulimits: Some(ulimits).filter(|ulimits| !ulimits.is_empty()),
        ..Resources::default()
    })
}

/// A parameter that holds JSON; `null` and nothing are the default.
fn json<T: DeserializeOwned + Default>(query: &Query, name: &str) -> ApiResult<T> {
    match query.given(name) {
        None | Some("null") => Ok(T::default()),
        Some(text) => corten_api::decode(text.as_bytes())
            .map_err(|error| ApiError::invalid(format!("error reading {name}: {error}"))),
    }
}

/// The header `X-Registry-Config`; one that cannot be read counts as none, as for Docker.
fn registries(headers: &HeaderMap) -> BTreeMap<String, AuthConfig> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let read = || {
        let text = headers.get("x-registry-config")?.to_str().ok()?;
        let url_safe = text.replace('+', "-").replace('/', "_");
        let decoder = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);
        let bytes = decoder.decode(url_safe).ok()?;
        corten_api::decode(&bytes).ok()
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ApiResult<BuildRequest> {
        request(&Query::parse(Some(text)), &HeaderMap::new())
    }

    #[test]
    fn parameters_are_read_as_docker_does() {
        let request = read(
            "t=a:1&t=b&dockerfile=D&nocache=1&rm=0&buildargs=%7B%22A%22%3A%221%22%2C%22B%22%3Anull%7D&labels=%7B%22l%22%3A%22v%22%7D\
             &cachefrom=%5B%22x%22%5D&memory=5&ulimits=%5B%7B%22Name%22%3A%22nofile%22%2C%22Hard%22%3A2%2C%22Soft%22%3A1%7D%5D",
        )
        .unwrap();
        assert_eq!(
            (request.tags.as_slice(), request.remove),
            (&["a:1".to_owned(), "b".to_owned()][..], false)
        );
        assert_eq!(request.arguments["A"].as_deref(), Some("1"));
        assert!(
            !request.arguments.contains_key("B"),
            "one without a value takes the default"
        );
        assert_eq!((request.steps.resources.memory, request.cache_from.len()), (5, 1));
        assert_eq!(request.steps.resources.ulimits.unwrap()[0].hard, 2);
        assert!(read("").unwrap().remove && read("rm=0&forcerm=1").unwrap().remove);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for text in [
            "squash=1",
            "version=2",
            "isolation=hyperv",
            "securityopt=x",
            "buildargs=%7B",
            "memory=x",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
