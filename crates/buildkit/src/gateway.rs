//! `moby.buildkit.v1.frontend.LLBBridge`: what buildx does within a build. Each call names its build in the
//! metadata.

use std::sync::Arc;

use corten_oci::digest::Digest;

use crate::{
    graph,
    grpc::{Answer, Request, Result, Status},
    inner::Inner,
    proto::{
        gateway::{
            InputsResponse, Outcome, ResolveImageConfigRequest, ResolveImageConfigResponse, ReturnRequest,
            SolveRequest, SolveResponse,
        },
        parts::Nothing,
    },
    solve::Solve,
    workers,
};

/// `EvaluateRequest`
#[derive(Clone, PartialEq, prost::Message)]
struct EvaluateRequest {
    #[prost(string, tag = "1")]
    reference: String,
}

impl Inner {
    /// Answers a call of the service.
    pub(crate) async fn bridge(self: &Arc<Self>, method: &str, mut request: Request, answer: &Answer) -> Result<()> {
        let build = request.value("buildkit-controlapi-buildid").unwrap_or("").to_owned();
        if build.is_empty() {
            return Err(Status::invalid("no buildid found in context"));
        }
        let solve = self.solves.get(&build).await?;
        let messages = &mut request.messages;
        match method {
            "Ping" => answer.send(&workers::pong(&self.id)).await,
            "Solve" => {
                let result = self.build(&solve, messages.only().await?).await?;
                answer.send(&SolveResponse { result: Some(result) }).await
            }
            "Return" => {
                let asked: ReturnRequest = messages.only().await?;
                solve.give_back(match asked.error {
                    Some(error) if error.code != 0 => Err(Status::from_rpc(error)),
                    _ => Ok(()),
                });
                answer.send(&Nothing {}).await
            }
            // All results are complete when they are first told of.
            "Evaluate" => {
                let asked: EvaluateRequest = messages.only().await?;
                solve.result(&asked.reference)?;
                answer.send(&Nothing {}).await
            }
            "Inputs" => {
                let definitions = solve.request.frontend_inputs.clone();
                answer.send(&InputsResponse { definitions }).await
            }
            "ResolveImageConfig" => answer.send(&self.resolve(&messages.only().await?)?).await,
            other => Err(Status::unimplemented(format!("LLBBridge.{other} is not supported"))),
        }
    }

    async fn build(self: &Arc<Self>, solve: &Arc<Solve>, request: SolveRequest) -> Result<Outcome> {
        let has_graph = request.definition.as_ref().is_some_and(|graph| !graph.def.is_empty());
        match (request.frontend.as_str(), has_graph) {
            ("dockerfile.v0", false) => self.frontend(solve, Some(request)).await,
            ("", true) => Err(Status::unimplemented(
                "builds of LLB graphs are not supported: only Dockerfiles are",
            )),
            // Nothing is asked for, and that is what comes of it.
            ("", false) => Ok(Outcome::default()),
            (other, _) => Err(Status::unimplemented(format!(
                "frontend {other:?} is not supported: only dockerfile.v0 is"
            ))),
        }
    }

    /// An image that is here.
    fn resolve(&self, request: &ResolveImageConfigRequest) -> Result<ResolveImageConfigResponse> {
        let image = self.engine.builds().store().images().resolve(&request.reference);
        let image = image.map_err(|error| Status::not_found(error.to_string()))?;
        Ok(ResolveImageConfigResponse {
            digest: image.id().to_string(),
            config: image.config_bytes().to_vec(),
            reference: request.reference.clone(),
        })
    }
}

/// What a client is told of a result.
pub(crate) fn outcome(name: String, image: &Digest, config: Vec<u8>, platform: &str) -> Outcome {
    let platforms = graph::platforms(platform);
    Outcome {
        one: Some(graph::reference(name, image)),
        metadata: [
            ("containerimage.config".to_owned(), config),
            ("refs.platforms".to_owned(), platforms),
        ]
        .into(),
        several: None,
    }
}
