//! HTTP over the engine: routes, API versions, configuration and start-up.
//!
//! ```text
//!   start ─► config ─► Engine::open ─► listen, tls ─► server ─► dispatch ─► router ─► routes ─► Engine
//!                                                                  └─► guard, authz      └─► compat, hijack, body
//! ```
//!
//! [`main`] is all there is to call. The daemon decides nothing about containers: a route turns a
//! request into one typed call of the engine, and its result into an answer.

#![forbid(unsafe_code)]

mod authz;
mod body;
mod compat;
mod config;
mod dispatch;
mod error;
mod guard;
mod hijack;
mod hosts;
mod listen;
mod metrics;
mod query;
mod refusal;
mod request;
mod router;
mod routes;
mod server;
mod start;
mod tls;
mod websocket;

pub use self::start::main;

/// Reads a `daemon.json` and tells what is wrong with it; for fuzzing.
///
/// # Errors
/// The sentence that the engine would refuse to start with.
#[doc(hidden)]
pub fn check_daemon_json(bytes: &[u8]) -> Result<(), String> {
    config::check_file(bytes)
}
