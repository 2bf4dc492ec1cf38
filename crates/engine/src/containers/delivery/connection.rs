//! Connections to receivers.
//!
//! A stream is confirmed when the other side's kernel has acknowledged every byte, so that what was
//! on its way when a connection broke is known not to have arrived. Datagrams are sent one by one;
//! a refusal that the kernel hears of counts against the last ones.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf},
    net::{TcpStream, UdpSocket, UnixDatagram, UnixStream},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::address::{Address, HostPort};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a receiver may take nothing before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first and the longest pause between looks at what is unacknowledged.
const LOOKS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];
/// Sockets of syslogs.
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// A connection to a receiver.
#[derive(Debug)]
pub(super) enum Connection {
    /// Bytes in order.
    Stream(Stream),
    /// Messages one by one.
    Datagram(Datagram),
}

/// A connection of bytes in order.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Socket,
    /// How long a write may take.
    pub(super) write_timeout: Duration,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// A connection of messages.
#[derive(Debug)]
pub(super) enum Datagram {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Connection {
    /// Connects; `tls` is what a connection with TLS is made with.
    pub(super) async fn open(address: &Address, tls: Option<Arc<ClientConfig>>) -> Result<Self, String> {
        match timeout(CONNECT, Self::open_patiently(address, tls)).await {
            Ok(opened) => opened,
            Err(_) => Err(format!("dial {}: i/o timeout", name(address))),
        }
    }

    async fn open_patiently(address: &Address, tls: Option<Arc<ClientConfig>>) -> Result<Self, String> {
        let failed = |error: io::Error| format!("dial {}: {}", name(address), corten_sys::fs::reason(&error));
        let stream = |socket| {
            Self::Stream(Stream {
                socket,
                write_timeout: PATIENCE,
            })
        };
        Ok(match address {
            Address::Tcp(place) => stream(Socket::Tcp(tcp(place).await.map_err(failed)?)),
            Address::Tls(place) => {
                let config = tls.ok_or("no configuration of TLS")?;
                let tcp = tcp(place).await.map_err(failed)?;
                let server = ServerName::try_from(place.host.clone()).map_err(|error| error.to_string())?;
                let connected = TlsConnector::from(config).connect(server, tcp).await.map_err(failed)?;
                stream(Socket::Tls(Box::new(connected)))
            }
            Address::Unix(path) => stream(Socket::Unix(UnixStream::connect(path).await.map_err(failed)?)),
            Address::Unixgram(path) => Self::Datagram(Datagram::Unix(unixgram(path).map_err(failed)?)),
            Address::Udp(place) => Self::Datagram(Datagram::Udp(udp(place).await.map_err(failed)?)),
            Address::LocalSyslog => return local().await.map(|found| found.map_or_else(stream, Self::Datagram)),
        })
    }
}

async fn tcp(place: &HostPort) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((place.host.as_str(), place.port)).await?;
    // Without it a lone line only waits a little longer.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn udp(place: &HostPort) -> io::Result<UdpSocket> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in tokio::net::lookup_host((place.host.as_str(), place.port)).await? {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        match socket.connect(address).await {
            Ok(()) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn unixgram(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

/// Whichever syslog there is on this machine.
async fn local() -> Result<Result<Datagram, Socket>, String> {
    for path in LOCAL {
        if let Ok(socket) = unixgram(path) {
            return Ok(Ok(Datagram::Unix(socket)));
        }
        if let Ok(socket) = UnixStream::connect(path).await {
            return Ok(Err(Socket::Unix(socket)));
        }
    }
    Err("Unix syslog delivery error".to_owned())
}

fn name(address: &Address) -> String {
    let at = |place: &HostPort| match place.host.contains(':') {
        true => format!("[{}]:{}", place.host, place.port),
        false => format!("{}:{}", place.host, place.port),
    };
    match address {
        Address::Udp(place) => format!("udp {}", at(place)),
        Address::Tcp(place) => format!("tcp {}", at(place)),
        Address::Tls(place) => format!("tls {}", at(place)),
        Address::Unix(path) => format!("unix {path}"),
        Address::Unixgram(path) => format!("unixgram {path}"),
        Address::LocalSyslog => "unix syslog".to_owned(),
    }
}

impl Stream {
    /// Writes bytes and waits until the other side has them.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.expect_open().await?;
        match timeout(self.write_timeout, self.write(bytes)).await {
            Ok(written) => written?,
            Err(_) => return Err(io::Error::other("i/o timeout")),
        }
        self.confirm().await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            Socket::Tcp(socket) => socket.write_all(bytes).await,
            Socket::Unix(socket) => socket.write_all(bytes).await,
            Socket::Tls(socket) => {
                socket.write_all(bytes).await?;
                socket.flush().await
            }
        }
    }

    /// Reads what the receiver says; nothing at its end.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.socket {
            Socket::Tcp(socket) => socket.read(buffer).await,
            Socket::Tls(socket) => socket.read(buffer).await,
            Socket::Unix(socket) => socket.read(buffer).await,
        }
    }

    /// Waits until the other side has acknowledged everything, as long as it goes on doing so.
    async fn confirm(&self) -> io::Result<()> {
        let [first, longest] = LOOKS;
        let mut pause = first;
        let mut left = usize::MAX;
        let mut moved = Instant::now();
        loop {
            let now = corten_sys::socket::unacknowledged(self.descriptor())?;
            match now {
                0 => return self.broken().map_or(Ok(()), Err),
                _ if now < left => (left, moved) = (now, Instant::now()),
                _ if moved.elapsed() > self.write_timeout => return Err(io::Error::other("i/o timeout")),
                _ => {}
            }
            sleep(pause).await;
            pause = (pause + first).min(longest);
        }
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Tls(socket) => socket.get_ref().0.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }

    /// What the kernel has heard against the connection.
    fn broken(&self) -> Option<io::Error> {
        rustix::net::sockopt::socket_error(self.descriptor())
            .map_or_else(Some, Result::err)
            .map(io::Error::from)
    }

    /// Finds out whether the other side has closed; what it says otherwise is of no interest.
    pub(super) async fn expect_open(&mut self) -> io::Result<()> {
        let mut bytes = [0; 256];
        let socket = &mut self.socket;
        std::future::poll_fn(|context| {
            loop {
                let mut buffer = ReadBuf::new(&mut bytes);
                let read = match socket {
                    Socket::Tcp(socket) => Pin::new(socket).poll_read(context, &mut buffer),
                    Socket::Tls(socket) => Pin::new(socket).poll_read(context, &mut buffer),
                    Socket::Unix(socket) => Pin::new(socket).poll_read(context, &mut buffer),
                };
                match read {
                    Poll::Pending => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                        return Poll::Ready(Err(io::Error::other("the receiver closed the connection")));
                    }
                    Poll::Ready(Ok(())) => {}
                }
            }
        })
        .await
    }
}

impl Datagram {
    /// Sends a message. A receiver on this machine that does not take it is waited for.
    pub(super) async fn send(&self, message: &[u8]) -> io::Result<()> {
        let sent = match self {
            Self::Udp(socket) => timeout(PATIENCE, socket.send(message)).await,
            Self::Unix(socket) => timeout(PATIENCE, socket.send(message)).await,
        };
        sent.unwrap_or_else(|_| Err(io::Error::other("i/o timeout"))).map(drop)
    }

    /// Whether the receiver, as far as the kernel has heard, refuses what was sent.
    pub(super) fn refusal(&self) -> Option<io::Error> {
        match self {
            Self::Udp(socket) => socket.take_error().ok().flatten(),
            Self::Unix(_) => None,
        }
    }
}
