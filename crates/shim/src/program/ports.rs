//! Published ports: the sockets that hold them, and which of them are served.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corten_shim::protocol::{HeldPort, Relay, Target};
use rustix::net::{SocketType, getsockname, sockopt};

use crate::poll::{EventFlags, Source};
use crate::relay::Relays;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// Holds the sockets, and serves at those that the list names by their place.
    ///
    /// Who comes is queued from now on, and [served](Self::watch_ports) later.
    pub(crate) fn hold(&mut self, sockets: Vec<OwnedFd>, list: &[Relay]) -> io::Result<()> {
        let mut sockets: Vec<_> = sockets.into_iter().map(Some).collect();
        let mut take = |relay: &Relay| {
            let socket = sockets.get_mut(usize::try_from(relay.socket).ok()?)?.take()?;
            Some((socket, relay.clone()))
        };
        let served = list.iter().filter_map(&mut take).collect();
        self.held.extend(sockets.into_iter().flatten());
        self.serve_ports(served)
    }

    /// Begins to take what comes to the ports.
    pub(crate) fn watch_ports(&mut self) {
        if let Some(relays) = &mut self.relays {
            relays.watch();
        }
    }

    /// Serves at the ports named, and at no others.
    pub(crate) fn move_relays(&mut self, targets: &[Target]) -> io::Result<()> {
        let mut rest = targets.to_vec();
        if let Some(relays) = &mut self.relays {
            rest = relays.retarget(targets);
        }
        let held = &mut self.held;
        let mut take = |target: &Target| {
            let place = held.iter().position(|held| is_at(held, target))?;
            let relay = Relay {
                socket: 0,
                datagrams: target.datagrams,
                to: target.to,
            };
            Some((held.swap_remove(place), relay))
        };
        let sockets = rest.iter().filter_map(&mut take).collect();
        self.serve_ports(sockets)?;
        self.watch_ports();
        Ok(())
    }

    /// Copies of all sockets that hold ports, served or not.
    pub(crate) fn copies_of_ports(&self) -> Vec<(HeldPort, OwnedFd)> {
        let served = self.relays.iter().flat_map(Relays::sockets);
        let held = self.held.iter().map(AsFd::as_fd).chain(served);
        held.filter_map(|socket| Some((port_of(socket)?, socket.try_clone_to_owned().ok()?)))
            .collect()
    }

    /// Closes the sockets of ports.
    pub(crate) fn release_ports(&mut self, ports: &[HeldPort]) {
        self.held
            .retain(|held| port_of(held.as_fd()).is_none_or(|port| !ports.contains(&port)));
        if let Some(relays) = &mut self.relays {
            relays.release(|socket| port_of(socket).is_some_and(|port| ports.contains(&port)));
        }
    }

    fn serve_ports(&mut self, sockets: Vec<(OwnedFd, Relay)>) -> io::Result<()> {
        if sockets.is_empty() {
            return Ok(());
        }
        if let Some(relays) = &mut self.relays {
            relays.add_all(sockets);
        } else {
            let relays = Relays::new(sockets)?;
            self.poll.add(&relays, Source::Relays, EventFlags::IN)?;
            self.relays = Some(relays);
        }
        Ok(())
    }
}

/// Whether a held socket is the one of a port.
fn is_at(held: &OwnedFd, target: &Target) -> bool {
    let kind = if target.datagrams {
        SocketType::DGRAM
    } else {
        SocketType::STREAM
    };
    local_address(held) == Some(target.host) && sockopt::socket_type(held).is_ok_and(|own| own == kind)
}

/// The port that a socket holds.
fn port_of(socket: BorrowedFd<'_>) -> Option<HeldPort> {
    let kind = sockopt::socket_type(socket).ok()?;
    Some(HeldPort {
        host: local_address(socket)?,
        datagrams: kind == SocketType::DGRAM,
    })
}

/// The address a socket is bound to.
pub(crate) fn local_address(socket: impl AsFd) -> Option<SocketAddr> {
    SocketAddr::try_from(getsockname(socket).ok()?).ok()
}
