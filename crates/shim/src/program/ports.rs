//! Published ports: the sockets that hold them, and which of them are served.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use corten_shim::protocol::{Relay, Target};
use rustix::net::{SocketType, getsockname, sockopt};

use crate::poll::{EventFlags, Source};
use crate::relay::Relays;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// Serves at held sockets, which are counted from `first` on.
    pub(crate) fn relay(&mut self, first: usize, list: &[Relay]) -> io::Result<()> {
        let socket = |relay: &Relay| {
            let held = self.held.get(first + usize::try_from(relay.socket).ok()?)?;
            Some((held.try_clone().ok()?, relay.clone()))
        };
        let sockets = list.iter().filter_map(socket).collect();
        self.serve_ports(sockets)
    }

    /// Serves at the ports named, and at no others.
    pub(crate) fn move_relays(&mut self, targets: &[Target]) -> io::Result<()> {
        let mut rest = targets.to_vec();
        if let Some(relays) = &mut self.relays {
            rest = relays.retarget(targets);
        }
        let socket = |target: &Target| {
            let held = self.held.iter().find(|held| is_at(held, target))?;
            let relay = Relay {
                socket: 0,
                datagrams: target.datagrams,
                to: target.to,
            };
            Some((held.try_clone().ok()?, relay))
        };
        let sockets = rest.iter().filter_map(socket).collect();
        self.serve_ports(sockets)
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

/// The address a socket is bound to.
pub(crate) fn local_address(socket: impl AsFd) -> Option<SocketAddr> {
    SocketAddr::try_from(getsockname(socket).ok()?).ok()
}
