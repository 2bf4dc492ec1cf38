//! Other people's clients, unchanged: docker-py, testcontainers, bollard, Compose.
//!
//! Their programs are in `tests/clients`. `./x test` gets the clients (python packages into a virtual
//! environment under `target`, Compose out of Debian); without them a test says that it is skipped, and in
//! CI it fails.

mod compose;
mod libraries;
