//! Connections: what one side sends goes to the other, ends included.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{Ready, Watch, is_passing};

/// How often a way is gone before others have their turn.
const ROUNDS: usize = 4;

/// Who is at the end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Who came to the port.
    Client,
    /// The container.
    Server,
}

/// A client's connection and the one to the container.
#[derive(Debug)]
pub(super) struct Pair {
    client: TcpStream,
    server: TcpStream,
    watches: [Watch; 2],
    connected: bool,
    up: Way,
    down: Way,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// What was read and is not yet written.
    pending: Vec<u8>,
    ended: bool,
    told: bool,
}

impl Pair {
    /// Begins to connect to the container.
    pub(super) fn new(epoll: &OwnedFd, number: u32, client: TcpStream, to: SocketAddr) -> io::Result<Self> {
        client.set_nonblocking(true)?;
        // Small messages wait for nothing here, as they would not without a relay.
        client.set_nodelay(true)?;
        // What lingers of it when it is closed must not keep the next container from the port.
        rustix::net::sockopt::set_socket_reuseaddr(&client, true)?;
        let mut pair = Self {
            client,
            server: connect(to)?,
            watches: [Watch::NONE, Watch::NONE],
            connected: false,
            up: Way::default(),
            down: Way::default(),
        };
        pair.watch(epoll, number)?;
        Ok(pair)
    }

    /// Passes on what there is; `false` when all has been said.
    pub(super) fn ready(&mut self, epoll: &OwnedFd, number: u32, side: Side, scratch: &mut [u8]) -> io::Result<bool> {
        if !self.connected {
            if side == Side::Client {
                return Ok(true);
            }
            if let Some(error) = self.server.take_error()? {
                return Err(error);
            }
            self.connected = true;
        }
        self.up.pass(&self.client, &self.server, scratch)?;
        self.down.pass(&self.server, &self.client, scratch)?;
        self.watch(epoll, number)?;
        Ok(!(self.up.told && self.down.told))
    }

    fn watch(&mut self, epoll: &OwnedFd, number: u32) -> io::Result<()> {
        let flag = |wanted: bool, flag: EventFlags| if wanted { flag } else { EventFlags::empty() };
        let client = flag(self.connected && self.up.reads(), EventFlags::IN)
            | flag(!self.down.pending.is_empty(), EventFlags::OUT);
        let server = flag(self.connected && self.down.reads(), EventFlags::IN)
            | flag(!self.connected || !self.up.pending.is_empty(), EventFlags::OUT);
        let [of_client, of_server] = &mut self.watches;
        of_client.set(epoll, &self.client, Ready::Pair(number, Side::Client), client)?;
        of_server.set(epoll, &self.server, Ready::Pair(number, Side::Server), server)
    }
}

impl Way {
    fn reads(&self) -> bool {
        self.pending.is_empty() && !self.ended
    }

    fn pass(&mut self, mut from: &TcpStream, to: &TcpStream, scratch: &mut [u8]) -> io::Result<()> {
        for _ in 0..ROUNDS {
            if !self.pending.is_empty() {
                let rest = std::mem::take(&mut self.pending);
                if !self.write(to, &rest)? {
                    return Ok(());
                }
            }
            if self.ended {
                break;
            }
            match from.read(scratch) {
                Ok(0) => self.ended = true,
                Ok(length) => {
                    if !self.write(to, scratch.get(..length).unwrap_or_default())? {
                        return Ok(());
                    }
                }
                Err(error) if is_passing(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if self.ended && !self.told {
            self.told = true;
            // The other side may have gone altogether, and then knows.
            let _ = to.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    /// Writes, keeps what does not go, and returns whether all went.
    fn write(&mut self, mut to: &TcpStream, bytes: &[u8]) -> io::Result<bool> {
        let length = match to.write(bytes) {
            Ok(length) => length,
            Err(error) if is_passing(&error) => 0,
            Err(error) => return Err(error),
        };
        self.pending = bytes.get(length..).unwrap_or_default().to_vec();
        Ok(self.pending.is_empty())
    }
}

/// Begins a connection; it is ready to write when it stands.
fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}
