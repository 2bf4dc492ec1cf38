//! Pulling into the store, against a registry with faults on demand. Needs root, as the store does.

mod access;
mod faults;
mod interrupted;
mod places;
mod shapes;
mod tls;
mod world;
