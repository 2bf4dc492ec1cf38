//! Listening: unix sockets, TCP, and what systemd passes on.

use std::{
    env, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    os::fd::{AsFd, OwnedFd},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use corten_sys::fs;
use rustix::net::{AddressFamily, SocketType, sockopt};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use crate::{guard::Guard, hosts::Host};

/// The first descriptor that systemd passes (`sd_listen_fds(3)`).
const FIRST_PASSED: i32 = 3;

/// Permissions of unix sockets: their group may use them.
const SOCKET_MODE: u32 = 0o660;

/// A place where connections arrive.
#[derive(Debug)]
pub(crate) struct Listener {
    /// As `-H` names it.
    pub(crate) name: String,
    /// The socket.
    pub(crate) socket: Socket,
    /// Who may speak to it.
    pub(crate) guard: Arc<Guard>,
    /// A file to remove at the end.
    pub(crate) path: Option<PathBuf>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Somebody may have removed it before.
            let _ = fs::remove_file(path);
        }
    }
}

/// A listening socket.
pub(crate) enum Socket {
    /// A unix socket.
    Unix(UnixListener),
    /// TCP.
    Tcp(TcpListener),
    /// TCP with TLS.
    Tls(TcpListener, TlsAcceptor),
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unix(_) => "Unix",
            Self::Tcp(_) => "Tcp",
            Self::Tls(..) => "Tls",
        })
    }
}

/// How to listen.
#[derive(Clone)]
pub(crate) struct Rules {
    /// The group that unix sockets belong to.
    pub(crate) group: Option<u32>,
    /// TLS for TCP.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Whether clients prove who they are by certificates.
    pub(crate) verifies: bool,
    /// Whether plain TCP was asked for in so many words (`--tls=false`).
    pub(crate) plain_wanted: bool,
}

/// Listens at a host; `passed` are systemd's sockets that are left.
///
/// # Errors
/// A sentence with the host.
pub(crate) fn listen(host: &Host, rules: &Rules, passed: &mut Vec<OwnedFd>) -> Result<Vec<Listener>, String> {
    let failed = |error: io::Error| format!("cannot listen on {host}: {error}");
    match host {
        Host::Unix(path) => {
            let socket = bind_unix(path, rules.group).map_err(failed)?;
            Ok(vec![Listener {
                name: host.to_string(),
                socket: Socket::Unix(socket),
                guard: Arc::new(Guard::Trusted),
                path: Some(path.clone()),
            }])
        }
        Host::Tcp { address, port } => {
            let port = port.unwrap_or(if rules.tls.is_some() { 2376 } else { 2375 });
            let listener = bind_tcp(address, port, rules).map_err(failed)?;
            Ok(vec![tcp(host.to_string(), listener, address, rules)])
        }
        Host::Fd(which) => take_passed(which, rules, passed),
    }
}

fn tcp(name: String, listener: TcpListener, address: &str, rules: &Rules) -> Listener {
    let guard = if rules.verifies {
        Guard::Trusted
    } else {
        Guard::Names(vec![address.to_owned()])
    };
    let socket = match &rules.tls {
        Some(acceptor) => Socket::Tls(listener, acceptor.clone()),
        None => Socket::Tcp(listener),
    };
    Listener {
        name,
        socket,
        guard: Arc::new(guard),
        path: None,
    }
}

fn bind_unix(path: &Path, group: Option<u32>) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    if let Some(group) = group {
        std::os::unix::fs::chown(path, Some(0), Some(group))?;
    }
    fs::set_mode(path, SOCKET_MODE)?;
    Ok(listener)
}

/// Removes a socket that nobody listens at any more; anything else is left alone.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Some(metadata) = fs::if_there(fs::symlink_metadata(path))? else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of that name which is no socket",
        ));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there",
        )),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn bind_tcp(address: &str, port: u16, rules: &Rules) -> io::Result<TcpListener> {
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => (bare, port).to_socket_addrs()?.collect(),
    };
    let is_exposed = addresses.iter().any(|address| !address.ip().is_loopback());
    if is_exposed && !rules.verifies {
        let advice = "anybody who reaches it would be root on this machine: use --tlsverify";
        if rules.tls.is_none() && !rules.plain_wanted {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("without TLS {advice}, or --tls=false if you mean it"),
            ));
        }
        tracing::warn!(address, port, "clients are not asked for a certificate: {advice}");
    }
    let listener = std::net::TcpListener::bind(addresses.as_slice())?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Listens where metrics are asked for.
///
/// # Errors
/// A sentence with the address.
pub(crate) fn metrics(address: &str) -> Result<TcpListener, String> {
    let failed = |error: io::Error| format!("cannot listen on {address} for metrics: {error}");
    let address = address.strip_prefix("tcp://").unwrap_or(address);
    let addresses: Vec<SocketAddr> = match address.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}").to_socket_addrs(),
        None => address.to_socket_addrs(),
    }
    .map_err(failed)?
    .collect();
    let listener = std::net::TcpListener::bind(addresses.as_slice()).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    TcpListener::from_std(listener).map_err(failed)
}

/// Takes the sockets that systemd passed to this process, all at once, and tells their number.
///
/// # Errors
/// A sentence when the environment names descriptors that are not open.
pub(crate) fn passed_sockets() -> Result<Vec<OwnedFd>, String> {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<i32>().ok());
    let is_for_us = number("LISTEN_PID") == i32::try_from(std::process::id()).ok();
    let Some(count) = number("LISTEN_FDS").filter(|count| *count > 0 && is_for_us) else {
        return Ok(Vec::new());
    };
    corten_sys::inherited::take(FIRST_PASSED, count)
        .map_err(|error| format!("the sockets that systemd announced are not there: {error}"))
}

fn take_passed(which: &str, rules: &Rules, passed: &mut Vec<OwnedFd>) -> Result<Vec<Listener>, String> {
    let wanted: Vec<OwnedFd> = match which {
        "" | "*" => std::mem::take(passed),
        number => {
            let index = number
                .parse::<i32>()
                .ok()
                .and_then(|number| usize::try_from(number - FIRST_PASSED).ok())
                .filter(|index| *index < passed.len())
                .ok_or_else(|| format!("systemd passed no socket {number}"))?;
            vec![passed.remove(index)]
        }
    };
    if wanted.is_empty() {
        return Err("no sockets found via socket activation: make sure the service was started by systemd".to_owned());
    }
    wanted.into_iter().map(|socket| from_passed(socket, rules)).collect()
}

fn from_passed(socket: OwnedFd, rules: &Rules) -> Result<Listener, String> {
    let failed = |error: io::Error| format!("a socket that systemd passed cannot be used: {error}");
    let kind = sockopt::socket_type(socket.as_fd()).map_err(|error| failed(error.into()))?;
    if kind != SocketType::STREAM {
        return Err("a socket that systemd passed is no stream socket".to_owned());
    }
    let family = sockopt::socket_domain(socket.as_fd()).map_err(|error| failed(error.into()))?;
    if family == AddressFamily::UNIX {
        let listener = std::os::unix::net::UnixListener::from(socket);
        listener.set_nonblocking(true).map_err(failed)?;
        let socket = Socket::Unix(UnixListener::from_std(listener).map_err(failed)?);
        return Ok(Listener {
            name: "fd://".to_owned(),
            socket,
            guard: Arc::new(Guard::Trusted),
            path: None,
        });
    }
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener
        .local_addr()
        .map(|address| address.ip().to_string())
        .unwrap_or_default();
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    Ok(tcp("fd://".to_owned(), listener, &address, rules))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(plain_wanted: bool) -> Rules {
        Rules {
            group: None,
            tls: None,
            verifies: false,
            plain_wanted,
        }
    }

    #[tokio::test]
    async fn sockets_are_made_once_and_stale_ones_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::Unix(folder.path().join("a/b.sock"));
        let first = listen(&host, &rules(false), &mut Vec::new()).unwrap();
        let error = listen(&host, &rules(false), &mut Vec::new()).unwrap_err();
        assert!(error.ends_with("another process listens there"), "{error}");
        drop(first);
        listen(&host, &rules(false), &mut Vec::new()).unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(listen(&Host::Unix(file), &rules(false), &mut Vec::new()).is_err());
    }

    #[tokio::test]
    async fn plain_tcp_stays_on_loopback_unless_it_is_meant() {
        let host = |address: &str| Host::Tcp {
            address: address.to_owned(),
            port: Some(0),
        };
        listen(&host("127.0.0.1"), &rules(false), &mut Vec::new()).unwrap();
        let error = listen(&host("0.0.0.0"), &rules(false), &mut Vec::new()).unwrap_err();
        assert!(error.contains("--tlsverify"), "{error}");
        listen(&host("0.0.0.0"), &rules(true), &mut Vec::new()).unwrap();
        assert!(listen(&Host::Fd(String::new()), &rules(false), &mut Vec::new()).is_err());
    }
}
