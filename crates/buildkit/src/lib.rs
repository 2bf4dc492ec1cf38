//! BuildKit's session and control protocol over the engine's builder, so that `docker buildx`, `docker compose
//! build` and others build here unchanged.
//!
//! ```text
//!   client ── POST /session ──► sessions      files, secrets, agents, credentials: the client is the server
//!   client ── POST /grpc ─────► Control       Solve, Status, DiskUsage, Prune, history
//!                              LLBBridge      Solve (dockerfile.v0), Return, …
//!                                └──► frontend ──► corten_build::Request ──► the engine's builder
//! ```
//!
//! The protocol's heart, graphs of LLB, is not spoken: clients of Docker's driver hand Dockerfiles to the
//! engine's own frontend and never see a graph. What is a graph is refused by name. A build is done as soon
//! as the frontend is called; results are complete when they are first told of.
//!
//! gRPC is a few hundred lines over `h2` here, and messages are written down for `prost`: that costs 8 crates,
//! where tonic costs 40.

#![forbid(unsafe_code)]

mod caches;
mod content;
mod context;
mod control;
mod dockerfile;
mod errors;
mod files;
mod filters;
mod frontend;
mod gateway;
mod graph;
mod grpc;
mod history;
mod inner;
mod offers;
mod options;
mod outputs;
mod past;
mod proto;
mod provenance;
mod questions;
mod rules;
mod service;
mod session;
mod solve;
mod status;
mod threads;
mod unnamed;
mod upload;
mod workers;

use std::sync::Arc;

use corten_engine::Engine;
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};

use self::inner::Inner;

/// What is behind `/session` and `/grpc`.
#[derive(Debug, Clone)]
pub struct BuildKit(Arc<Inner>);

impl BuildKit {
    /// Over an engine.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self(Arc::new(Inner::new(engine)))
    }

    /// Serves a connection of `POST /session`, upgraded, until it ends. The request's headers say whose it is.
    pub async fn session<I>(&self, headers: &HeaderMap, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if let Err(status) = self.0.sessions.serve(headers, io).await {
            tracing::debug!(%status, "a session ended early");
        }
    }

    /// Serves a connection of `POST /grpc`, upgraded, until it ends.
    pub async fn serve<I>(&self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send,
    {
        if let Err(error) = grpc::server::serve(io, Arc::clone(&self.0)).await {
            tracing::debug!(%error, "a connection for builds ended early");
        }
    }
}
