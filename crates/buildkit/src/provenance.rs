//! What a build used, as SLSA's provenance (slsa.dev/provenance/v0.2): clients put it into their metadata, and
//! `buildx history inspect` reads it.

use std::collections::BTreeSet;

use corten_oci::reference::Reference;
use corten_store::Store;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{options::Options, solve::Solve};

/// What the vertex of a base image's metadata is called.
const LOADING: &str = "[internal] load metadata for ";

/// The document. Secrets are named, never told.
pub(crate) fn document(store: &Store, solve: &Solve, options: &Options, dockerfile: &str, platform: &str) -> Vec<u8> {
    let mut parameters = json!({
        "frontend": "dockerfile.v0",
        "locals": [{"name": options.context_key}, {"name": options.dockerfile_key}],
    });
    let arguments = solve.request.frontend_attrs.iter();
    let arguments = arguments.filter(|(name, _)| name.starts_with("build-arg:") || name.starts_with("label:"));
    let arguments: serde_json::Map<String, Value> = arguments
        .map(|(name, value)| (name.clone(), Value::from(value.clone())))
        .collect();
    if !arguments.is_empty() {
        parameters["args"] = Value::from(arguments);
    }
    let document = json!({
        "builder": {"id": ""},
        "buildType": "https://mobyproject.org/buildkit@v1",
        "materials": materials(store, solve, platform),
        "invocation": {
            "configSource": {"entryPoint": dockerfile},
            "parameters": parameters,
            "environment": {"platform": platform},
        },
        "metadata": {
            "buildInvocationID": solve.request.reference,
            "buildStartedOn": solve.began.to_string(),
            "buildFinishedOn": Timestamp::now().to_string(),
            "completeness": {"parameters": true, "environment": true, "materials": false},
            "reproducible": false,
        },
    });
    serde_json::to_vec_pretty(&document).unwrap_or_default()
}

/// The base images.
fn materials(store: &Store, solve: &Solve, platform: &str) -> Vec<Value> {
    let told = solve.log.all();
    let names = told.iter().flat_map(|message| &message.vertexes);
    let names: BTreeSet<&str> = names.filter_map(|vertex| vertex.name.strip_prefix(LOADING)).collect();
    let material = |name: &str| {
        let image = store.images().resolve(name).ok()?;
        let reference: Reference = name.parse().ok()?;
        let pulled = image.digests().first().and_then(|digest| digest.digest().cloned());
        let digest = pulled.unwrap_or_else(|| image.id().clone());
        let familiar = reference.familiar();
        let (repository, tag) = familiar.rsplit_once(':').unwrap_or((&familiar, "latest"));
        let platform = platform.replace('/', "%2F");
        Some(json!({
            "uri": format!("pkg:docker/{repository}@{tag}?platform={platform}"),
            "digest": {"sha256": digest.hex()},
        }))
    };
    names.into_iter().filter_map(material).collect()
}
