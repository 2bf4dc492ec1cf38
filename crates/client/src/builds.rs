//! Building images (Docker API, `/build`).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use corten_api::{
    build::{Event, Past},
    container::Ulimit,
    filters::Filters,
    image::{AuthConfig, Progress},
};
use serde::{Deserialize, Serialize};

use crate::{
    Client, Result,
    call::{Body, Call, segment},
    response::Messages,
};

/// What to build.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the API's own parameters")]
pub struct BuildOptions {
    /// Path of the Dockerfile in the context.
    pub dockerfile: String,
    /// Where the engine gets the context from, instead of the request.
    pub remote: String,
    /// Names for the image.
    pub tags: Vec<String>,
    /// The stage to build; empty for the last.
    pub target: String,
    /// Values of arguments; none takes the default.
    pub arguments: BTreeMap<String, Option<String>>,
    /// Labels for the image.
    pub labels: BTreeMap<String, String>,
    /// Its platform.
    pub platform: String,
    /// Whether only the id is told.
    pub quiet: bool,
    /// Whether nothing is taken from the cache.
    pub no_cache: bool,
    /// Whether base images are fetched anew.
    pub pull: bool,
    /// Whether containers are removed.
    pub remove: bool,
    /// Images whose layers may be used again.
    pub cache_from: Vec<String>,
    /// The network of commands.
    pub network: String,
    /// Entries for their hosts files.
    pub extra_hosts: Vec<String>,
    /// Bytes of their `/dev/shm`.
    pub shm_size: i64,
    /// Most bytes of memory.
    pub memory: i64,
    /// Most bytes of memory and swap.
    pub memory_swap: i64,
    /// Microseconds.
    pub cpu_period: i64,
    /// Microseconds.
    pub cpu_quota: i64,
    /// Weight.
    pub cpu_shares: i64,
    /// Processors.
    pub cpuset_cpus: String,
    /// Memory nodes.
    pub cpuset_mems: String,
    /// The parent of their cgroups.
    pub cgroup_parent: String,
    /// Limits of processes.
    pub ulimits: Vec<Ulimit>,
    /// Credentials by registry.
    pub registries: BTreeMap<String, AuthConfig>,
    /// Options of commands' confinement.
    pub security: Vec<String>,
    /// `trace` for [`corten_api::build::Event`]s instead of text.
    pub output: String,
    /// Bytes of [`corten_api::build::Extended`] at the beginning of the context.
    pub preface: usize,
    /// What the history calls the context.
    pub context_name: String,
}

/// What to forget of the cache.
#[derive(Debug, Clone, Default)]
pub struct BuildPrune {
    /// Whether what images have goes, too.
    pub all: bool,
    /// Bytes that stay in any case.
    pub reserved: i64,
    /// Most bytes that stay.
    pub most: i64,
    /// Bytes that shall be free on the disk.
    pub free: i64,
    /// Which records.
    pub filters: Filters,
}

/// Answer of `POST /build/prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BuildPruned {
    /// Ids of records.
    pub caches_deleted: Option<Vec<String>>,
    /// Bytes that became free.
    pub space_reclaimed: u64,
}

impl Client {
    /// `POST /build`.
    ///
    /// # Errors
    /// Invalid when the Dockerfile makes no sense; failures of steps are messages.
    pub async fn build(&self, options: &BuildOptions, context: Body) -> Result<Messages<Progress>> {
        let number = |value: i64| if value == 0 { String::new() } else { value.to_string() };
        let mut call = Call::post("/build")
            .query_some("dockerfile", &options.dockerfile)
            .query_some("remote", &options.remote)
            .query_some("target", &options.target)
            .query_some("platform", &options.platform)
            .query_some("networkmode", &options.network)
            .query_some("cpusetcpus", &options.cpuset_cpus)
            .query_some("cpusetmems", &options.cpuset_mems)
            .query_some("cgroupparent", &options.cgroup_parent)
            .query_some("output", &options.output)
            .query_some("contextname", &options.context_name)
            .query_some("buildargs", json(&options.arguments, options.arguments.is_empty()))
            .query_some("labels", json(&options.labels, options.labels.is_empty()))
            .query_some("cachefrom", json(&options.cache_from, options.cache_from.is_empty()))
            .query_some("ulimits", json(&options.ulimits, options.ulimits.is_empty()))
            .query_some("shmsize", number(options.shm_size))
            .query_some("preface", number(i64::try_from(options.preface).unwrap_or(0)))
            .query_some("memory", number(options.memory))
            .query_some("memswap", number(options.memory_swap))
            .query_some("cpuperiod", number(options.cpu_period))
            .query_some("cpuquota", number(options.cpu_quota))
            .query_some("cpushares", number(options.cpu_shares))
            .query("rm", if options.remove { "1" } else { "0" })
            .flag("q", options.quiet)
            .flag("nocache", options.no_cache)
            .flag("pull", options.pull);
        for tag in &options.tags {
            call = call.query("t", tag);
        }
        for option in &options.security {
            call = call.query("securityopt", option);
        }
        for host in &options.extra_hosts {
            call = call.query("extrahosts", host);
        }
        let registries = serde_json::to_vec(&options.registries).unwrap_or_default();
        let call = call
            .header("X-Registry-Config", URL_SAFE.encode(registries))
            .body("application/x-tar", context);
        Ok(self.send(call).await?.messages())
    }

    /// `POST /build/prune`.
    ///
    /// # Errors
    /// Invalid when a filter is unknown.
    pub async fn prune_builds(&self, order: &BuildPrune) -> Result<BuildPruned> {
        let number = |value: i64| if value == 0 { String::new() } else { value.to_string() };
        let call = Call::post("/build/prune")
            .flag("all", order.all)
            .query_some("keep-storage", number(order.reserved))
            .query_some("reserved-space", number(order.reserved))
            .query_some("max-used-space", number(order.most))
            .query_some("min-free-space", number(order.free))
            .query_some("filters", order.filters.to_json());
        self.send(call).await?.json().await
    }

    /// `GET /builds`: the history of builds. Corten's own.
    ///
    /// # Errors
    /// NotFound when the engine is another.
    pub async fn builds(&self) -> Result<Vec<Past>> {
        self.send(Call::get("/builds")).await?.json().await
    }

    /// `GET /builds/{name}/log`. Corten's own.
    ///
    /// # Errors
    /// NotFound when there is no such build.
    pub async fn build_log(&self, name: &str) -> Result<Vec<Event>> {
        let call = Call::get(format!("/builds/{}/log", segment(name)));
        self.send(call).await?.json().await
    }

    /// `DELETE /builds/{name}`. Corten's own.
    ///
    /// # Errors
    /// NotFound when there is no such build.
    pub async fn forget_build(&self, name: &str) -> Result<()> {
        let call = Call::delete(format!("/builds/{}", segment(name)));
        self.send(call).await?.done().await
    }
}

/// JSON of what is not empty.
fn json<T: Serialize>(value: &T, is_empty: bool) -> String {
    if is_empty {
        return String::new();
    }
    serde_json::to_string(value).unwrap_or_default()
}
