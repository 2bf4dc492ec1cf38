//! gRPC over HTTP/2, as much of it as BuildKit's protocol needs: unary calls and streams both ways, without
//! compression (grpc.io, "gRPC over HTTP2").
//!
//! A message goes as a byte that says it is not compressed, four bytes of length, and the protobuf; a call
//! ends with trailers that hold its status.

pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod server;
mod status;

pub(crate) use client::Channel;
pub(crate) use frames::Receiver;
pub(crate) use server::{Answer, Request, Service};
pub(crate) use status::{Code, Status};

/// What the functions here give.
pub(crate) type Result<T, E = Status> = std::result::Result<T, E>;

/// The media type of requests and answers.
const MEDIA_TYPE: &str = "application/grpc";

/// Bytes on the way to us that nobody has read yet: of one stream, and of a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Streams at once on a connection.
const STREAMS: u32 = 250;
