//! `corten registry serve`, seen from outside.

#![forbid(unsafe_code)]

mod access;
mod bad_input;
mod browser;
mod clients;
mod collection;
mod conformance;
mod crash;
mod cuts;
mod pages;
mod protocol;
mod server;
mod upstream;
