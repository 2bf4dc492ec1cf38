//! HTTP/1.1: listening, connections, bodies.

mod answer;
mod body;
mod server;
mod tls;
mod wire;

pub(crate) use answer::{Answer, empty, failure, html, json, plain};
pub(crate) use body::{Body, Part, next, read_at};
pub(crate) use server::{Listener, Peer, serve, serve_control};
pub(crate) use tls::Certificates;
