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
mod rest;
mod router;
mod routes;
mod server;
mod start;
mod target;
mod tls;
mod websocket;

pub use self::start::main;

/// Takes a client's websocket frames out of bytes that arrive in pieces, and returns how many bytes of payload they
/// held; none when no client may send such frames. For fuzzing.
#[doc(hidden)]
pub fn websocket_payload(pieces: &[&[u8]]) -> Option<usize> {
    let mut buffer = bytes::BytesMut::new();
    let mut payload = 0;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some((_, data)) = websocket::next_frame(&mut buffer).ok()? {
            payload += data.len();
        }
    }
    Some(payload)
}

/// Reads a `daemon.json` and tells what is wrong with it; for fuzzing.
///
/// # Errors
/// The sentence that the engine would refuse to start with.
#[doc(hidden)]
pub fn check_daemon_json(bytes: &[u8]) -> Result<(), String> {
    config::check_file(bytes)
}
