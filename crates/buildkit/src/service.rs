//! The calls that clients make over `POST /grpc`.

use std::sync::Arc;

use crate::{
    grpc::{Answer, Request, Result, Service, Status},
    inner::Inner,
    proto::{parts::Nothing, session::HealthCheckResponse},
};

/// What a method's path begins with.
const CONTROL: &str = "/moby.buildkit.v1.Control/";
const BRIDGE: &str = "/moby.buildkit.v1.frontend.LLBBridge/";
const CONTENT: &str = "/containerd.services.content.v1.Content/";

impl Service for Inner {
    async fn call(self: Arc<Self>, request: Request, answer: Answer) -> Result<()> {
        let method = request.method.clone();
        if let Some(method) = method.strip_prefix(CONTROL) {
            return self.control(method, request, &answer).await;
        }
        if let Some(method) = method.strip_prefix(BRIDGE) {
            return self.bridge(method, request, &answer).await;
        }
        if let Some(method) = method.strip_prefix(CONTENT) {
            return self.content(method, request, &answer).await;
        }
        match method.as_str() {
            "/grpc.health.v1.Health/Check" => answer.send(&HealthCheckResponse { status: 1 }).await,
            // What clients traced. Like dockerd without a collector, nobody here wants it.
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => answer.send(&Nothing {}).await,
            other => Err(Status::unimplemented(format!("unknown method {other}"))),
        }
    }
}
