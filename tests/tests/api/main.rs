//! The API as HTTP: heads, status codes, versions, shapes.

mod endpoints;
mod heads;
mod refusals;
mod shapes;
mod trees;
mod websocket;
