//! What a container listens at, and who is connected to it: the sockets of its network namespace.

use std::{collections::BTreeSet, os::fd::AsFd as _};

use corten_network::sockets::{Socket, States, tcp};

use crate::error::{Error, Result, blocking};

/// The ports at which somebody listens whom others can reach.
///
/// # Errors
/// When the kernel does not tell. A process that has ended listens nowhere.
pub(super) async fn listening(pid: i32) -> Result<BTreeSet<u16>> {
    let sockets = sockets(pid, States::Listening).await?.into_iter();
    let reachable = sockets.filter(|socket| !socket.local.ip().is_loopback());
    Ok(reachable.map(|socket| socket.local.port()).collect())
}

/// How many connections others have to ports.
///
/// # Errors
/// As above.
pub(super) async fn connected(pid: i32, ports: &BTreeSet<u16>) -> Result<usize> {
    let sockets = sockets(pid, States::Connected).await?.into_iter();
    let to_ports = sockets.filter(|socket| ports.contains(&socket.local.port()));
    Ok(to_ports.filter(|socket| !socket.remote.ip().is_loopback()).count())
}

async fn sockets(pid: i32, states: States) -> Result<Vec<Socket>> {
    blocking(move || {
        let netns = match corten_sys::fs::open(format!("/proc/{pid}/ns/net")) {
            Ok(netns) => netns,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::from(error)),
        };
        tcp(netns.as_fd(), states).map_err(Error::from)
    })
    .await
}
