//! Where an image comes from: SLSA's provenance, versions 0.2 and 1 (slsa.dev/provenance), as BuildKit writes it
//! (moby/buildkit docs/attestations/slsa-definitions.md). Secrets are named by nothing here.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use corten_dockerfile::Dockerfile;
use corten_oci::digest::Digest;
use corten_oci::platform::Platform;
use corten_store::Predicate;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Provenance;
use crate::error::{Error, Result};
use crate::request::Request;

/// What the name of a base image led to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Material {
    pub(crate) uri: String,
    pub(crate) digest: Digest,
}

/// What is told of a build.
pub(super) struct About<'a> {
    pub(super) request: &'a Request,
    pub(super) file: &'a Dockerfile,
    pub(super) platform: &'a Platform,
    pub(super) materials: &'a [Material],
    pub(super) began: Timestamp,
    pub(super) id: String,
}

impl About<'_> {
    pub(super) fn predicate(&self, asked: &Provenance) -> Result<Predicate> {
        let (kind, value) = match asked.v1 {
            true => ("https://slsa.dev/provenance/v1", self.v1(asked)),
            false => ("https://slsa.dev/provenance/v0.2", self.v02(asked)),
        };
        let text = serde_json::to_string(&value).map_err(|error| Error::internal(error.to_string()))?;
        Ok(Predicate {
            kind: kind.to_owned(),
            text,
        })
    }

    fn v02(&self, asked: &Provenance) -> Value {
        let mut value = json!({
            "builder": {"id": asked.builder},
            "buildType": "https://mobyproject.org/buildkit@v1",
            "materials": self.dependencies(),
            "invocation": {
                "configSource": {"entryPoint": self.request.name},
                "parameters": {
                    "frontend": "dockerfile.v0",
                    "args": self.arguments(asked),
                    "locals": locals(),
                },
                "environment": {"platform": Platform::host().to_string()},
            },
            "metadata": {
                "buildInvocationID": self.id,
                "buildStartedOn": self.began.to_string(),
                "buildFinishedOn": Timestamp::now().to_string(),
                "completeness": {"parameters": self.is_complete(asked), "environment": true, "materials": false},
                "reproducible": asked.reproducible,
            },
        });
        if asked.max {
            value["buildConfig"] = json!({"steps": self.steps()});
            value["metadata"]["https://mobyproject.org/buildkit@v1#metadata"] = json!({"source": self.source()});
        }
        value
    }

    fn v1(&self, asked: &Provenance) -> Value {
        let mut value = json!({
            "buildDefinition": {
                "buildType": "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
                "externalParameters": {
                    "configSource": {"path": self.request.name},
                    "request": {
                        "frontend": "dockerfile.v0",
                        "args": self.arguments(asked),
                        "locals": locals(),
                    },
                },
                "internalParameters": {"builderPlatform": Platform::host().to_string()},
                "resolvedDependencies": self.dependencies(),
            },
            "runDetails": {
                "builder": {"id": asked.builder},
                "metadata": {
                    "invocationID": self.id,
                    "startedOn": self.began.to_string(),
                    "finishedOn": Timestamp::now().to_string(),
                    "buildkit_hermetic": false,
                    "buildkit_completeness": {"request": self.is_complete(asked), "resolvedDependencies": false},
                    "buildkit_reproducible": asked.reproducible,
                },
            },
        });
        if asked.max {
            value["buildDefinition"]["internalParameters"]["buildConfig"] = json!({"steps": self.steps()});
            value["runDetails"]["metadata"]["buildkit_metadata"] = json!({"source": self.source()});
        }
        value
    }

    fn dependencies(&self) -> Vec<Value> {
        let one = |material: &Material| {
            let digest = &material.digest;
            json!({"uri": material.uri, "digest": {digest.algorithm().as_str(): digest.hex()}})
        };
        self.materials.iter().map(one).collect()
    }

    /// Values of arguments may be secrets of those who should not have put them there: only `mode=max` has them.
    fn is_complete(&self, asked: &Provenance) -> bool {
        asked.max || (self.request.arguments.is_empty() && self.request.labels.is_empty())
    }

    fn arguments(&self, asked: &Provenance) -> Map<String, Value> {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        if !self.request.target.is_empty() {
            found.insert("target".to_owned(), self.request.target.clone());
        }
        if self.request.platform_given {
            found.insert("platform".to_owned(), self.platform.to_string());
        }
        if asked.max {
            for (name, value) in &self.request.arguments {
                found.insert(format!("build-arg:{name}"), value.clone().unwrap_or_default());
            }
            for (name, value) in &self.request.labels {
                found.insert(format!("label:{name}"), value.clone());
            }
        }
        found
            .into_iter()
            .map(|(name, value)| (name, Value::from(value)))
            .collect()
    }

    /// The instructions, stage by stage.
    fn steps(&self) -> Vec<Value> {
        let stages = self.file.stages.iter().enumerate();
        let of_stage = stages.flat_map(|(number, stage)| {
            let texts = std::iter::once(&stage.begin.text).chain(stage.instructions.iter().map(|one| &one.text));
            texts.map(move |text| json!({"stage": number, "instruction": text}))
        });
        of_stage.collect()
    }

    fn source(&self) -> Value {
        json!({"infos": [{
            "filename": self.request.name,
            "language": "Dockerfile",
            "data": STANDARD.encode(&self.request.dockerfile),
        }]})
    }
}

fn locals() -> Value {
    json!([{"name": "context"}, {"name": "dockerfile"}])
}
