//! What the engine says it is, and what it can do.

use std::collections::BTreeMap;

use corten_oci::platform::Platform as OciPlatform;

use crate::proto::{
    gateway::PongResponse,
    ops::Platform,
    parts::{ApiCap, Version, WorkerRecord},
};

/// What the gateway can (`frontend/gateway/pb/caps.go`).
const GATEWAY: &[&str] = &[
    "frontend.caps",
    "frontend.inputs",
    "gateway.evaluate",
    "gateway.solve.evaluate",
    "gateway.solve.metadata",
    "gateway.warnings",
    "importcaches",
    "proto.refarray",
    "reference.output",
    "resolveimage",
    "resolveimage.resolvemode",
    "return",
    "returnmap",
    "solve.base",
    "solve.inlinereturn",
];

/// What builds can, as far as clients ask (`solver/pb/caps.go`): sources and outputs, not graphs.
const BUILDS: &[&str] = &[
    "exporter.image.attestations",
    "exporter.image.annotations",
    "exporter.multiple",
    "exporter.sourcedateepoch",
    "history.filter",
    "meta.description",
    "platform",
    "source.git",
    "source.git.subdir",
    "source.http",
    "source.image",
    "source.image.resolvemode",
    "source.local",
    "source.local.excludepatterns",
    "source.local.followpaths",
    "source.local.includepatterns",
    "source.local.sharedkeyhint",
    "source.local.unique",
];

/// The version that clients are told.
pub(crate) fn version() -> Version {
    Version {
        package: "github.com/corten/corten".to_owned(),
        // Clients compare it with BuildKit's; this is the one of Docker 28.5, whose protocol is spoken.
        version: "v0.25.1".to_owned(),
        revision: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The one worker.
pub(crate) fn worker(id: &str) -> WorkerRecord {
    let host = OciPlatform::host();
    WorkerRecord {
        id: id.to_owned(),
        // Clients take this for a store that keeps indexes and pushes by itself, which it does.
        labels: BTreeMap::from([(
            "org.mobyproject.buildkit.worker.snapshotter".to_owned(),
            "overlayfs".to_owned(),
        )]),
        platforms: vec![Platform {
            architecture: host.architecture,
            os: host.os,
            variant: host.variant,
        }],
        gc_policy: Vec::new(),
        version: Some(version()),
    }
}

/// The answer to the gateway's `Ping`.
pub(crate) fn pong(id: &str) -> PongResponse {
    let caps = |ids: &[&str]| -> Vec<ApiCap> {
        let caps = ids.iter().map(|id| ApiCap {
            id: (*id).to_owned(),
            enabled: true,
        });
        caps.collect()
    };
    PongResponse {
        frontend_caps: caps(GATEWAY),
        llb_caps: caps(BUILDS),
        workers: vec![worker(id)],
    }
}
