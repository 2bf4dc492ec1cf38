//! Where an engine listens.

use std::{fmt, path::PathBuf};

use crate::ssh::Ssh;

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP port without protection.
    Tcp {
        /// Host name or address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A TCP port protected by TLS.
    Tls {
        /// Host name or address.
        host: String,
        /// The port.
        port: u16,
        /// What proves who is who.
        tls: Tls,
    },
    /// Another machine, by ssh.
    Ssh(Ssh),
}

/// What proves who is who on a TLS connection: the contents of PEM files.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities to trust; the system's when none are given.
    pub authorities: Option<Vec<u8>>,
    /// The client's certificate.
    pub certificate: Option<Vec<u8>>,
    /// The client's key.
    pub key: Option<Vec<u8>>,
    /// Whether the engine must prove who it is.
    pub verify: Verify,
}

/// Whether the engine must prove who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verify {
    /// It must (`--tlsverify`).
    #[default]
    Always,
    /// Any certificate will do (`--tls`).
    Never,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("verify", &self.verify)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// A unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix(path.into())
    }

    /// The `Host` header that goes with it.
    pub(crate) fn host_header(&self) -> String {
        match self {
            Self::Unix(_) => "api.moby.localhost".to_owned(),
            Self::Ssh(_) => "docker.example.com".to_owned(),
            Self::Tcp { host, port } | Self::Tls { host, port, .. } => format!("{}:{port}", bracketed(host)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Ssh(ssh) => write!(f, "{ssh}"),
            Self::Tcp { host, port } | Self::Tls { host, port, .. } => write!(f, "tcp://{}:{port}", bracketed(host)),
        }
    }
}

/// An IPv6 address in brackets, anything else as it is.
fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}
