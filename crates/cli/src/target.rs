//! Which engine to talk to: `-H`, `--context`, the environment, the configuration.

use std::path::{Path, PathBuf};

use corten_client::{Endpoint, Ssh, Tls, Verify};
use corten_oci::digest::Digest;
use serde::Deserialize;

use crate::error::file_error;

/// What was said about TLS.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsChoice {
    /// Whether to encrypt.
    pub(crate) on: bool,
    /// Whether the engine must prove who it is.
    pub(crate) verify: bool,
    /// Files: authorities, certificate, key, and whether the user named them.
    pub(crate) files: [(PathBuf, bool); 3],
}

/// Where our engine listens, and where Docker's does.
const OUR_SOCKET: &str = "/run/corten.sock";
const DOCKERS_SOCKET: &str = "/var/run/docker.sock";

/// The engine's address when nothing was said.
pub(crate) fn default_host(program: &str) -> String {
    let there = |path: &str| corten_sys::fs::exists(path).unwrap_or(false);
    let path = if program == "docker" && (there(DOCKERS_SOCKET) || !there(OUR_SOCKET)) {
        DOCKERS_SOCKET
    } else {
        OUR_SOCKET
    };
    format!("unix://{path}")
}

/// Reads an address.
pub(crate) fn endpoint(host: &str, tls: &TlsChoice) -> Result<Endpoint, String> {
    let host = host.trim();
    let (scheme, address) = host.split_once("://").unwrap_or(("tcp", host));
    match scheme {
        "unix" => Ok(Endpoint::unix(if address.is_empty() {
            DOCKERS_SOCKET
        } else {
            address
        })),
        "tcp" | "http" | "https" => {
            let (host, port) = host_port(address, if tls.on { 2376 } else { 2375 })
                .ok_or_else(|| format!("invalid bind address format: {host}"))?;
            if !tls.on && scheme != "https" {
                return Ok(Endpoint::Tcp { host, port });
            }
            Ok(Endpoint::Tls {
                host,
                port,
                tls: load_tls(tls)?,
            })
        }
        "ssh" => Ssh::parse(address).map(Endpoint::Ssh),
        "npipe" | "fd" => Err(format!("protocol not available: {host}")),
        _ => Err(format!("invalid bind address format: {host}")),
    }
}

fn host_port(address: &str, default: u16) -> Option<(String, u16)> {
    let address = address.split('/').next().unwrap_or_default();
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (address, default),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Some((host.to_owned(), port))
}

fn load_tls(choice: &TlsChoice) -> Result<Tls, String> {
    let load = |(path, named): &(PathBuf, bool)| match corten_sys::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error("open", &path.to_string_lossy(), &error)),
    };
    let [authorities, certificate, key] = &choice.files;
    Ok(Tls {
        authorities: load(authorities)?,
        certificate: load(certificate)?,
        key: load(key)?,
        verify: if choice.verify { Verify::Always } else { Verify::Never },
    })
}

/// A stored context (`contexts/meta/<digest>/meta.json`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) metadata: ContextMetadata,
    pub(crate) endpoints: ContextEndpoints,
}

/// What a context says of itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ContextMetadata {
    pub(crate) description: String,
}

/// A context's engine.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ContextEndpoints {
    pub(crate) docker: ContextEndpoint,
}

/// Where a context's engine is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ContextEndpoint {
    pub(crate) host: String,
    #[serde(rename = "SkipTLSVerify")]
    pub(crate) skip_tls_verify: bool,
}

/// Reads a stored context.
pub(crate) fn load_context(folder: &Path, name: &str) -> Result<Context, String> {
    let id = Digest::sha256(name.as_bytes());
    let path = folder.join("contexts/meta").join(id.hex()).join("meta.json");
    let bytes = corten_sys::fs::read(&path).map_err(|e| {
        format!(
            "context {}: context not found: {}",
            crate::opts::quote(name),
            file_error("open", &path.to_string_lossy(), &e)
        )
    })?;
    corten_api::decode(&bytes).map_err(|e| format!("{}: {e}", path.display()))
}

/// The TLS files that are stored with a context.
pub(crate) fn context_tls(folder: &Path, context: &Context) -> TlsChoice {
    let id = Digest::sha256(context.name.as_bytes());
    let files = folder.join("contexts/tls").join(id.hex()).join("docker");
    TlsChoice {
        on: corten_sys::fs::exists(&files).unwrap_or(false),
        verify: !context.endpoints.docker.skip_tls_verify,
        files: ["ca.pem", "cert.pem", "key.pem"].map(|name| (files.join(name), false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        let check = |host: &str, expected: &str| {
            assert_eq!(endpoint(host, &TlsChoice::default()).unwrap().to_string(), expected);
        };
        check("unix:///x.sock", "unix:///x.sock");
        check("tcp://h:1", "tcp://h:1");
        check("tcp://h", "tcp://h:2375");
        check("h:5", "tcp://h:5");
        check("tcp://[::1]:7", "tcp://[::1]:7");
        check("tcp://:7", "tcp://127.0.0.1:7");
        let refuse = |host: &str, expected: &str| {
            assert_eq!(endpoint(host, &TlsChoice::default()).unwrap_err(), expected);
        };
        refuse("foo://bar", "invalid bind address format: foo://bar");
        check("ssh://me@h:22/x.sock", "ssh://me@h:22/x.sock");
        refuse("ssh://", "invalid SSH URL: no host specified");
    }
}
