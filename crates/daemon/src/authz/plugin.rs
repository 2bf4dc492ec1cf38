//! A plugin: where it listens, and how it is spoken to (Docker's plugin protocol, JSON over HTTP).

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::message::Message;
use crate::error::{ApiError, ApiResult};

/// How long a plugin may take for an answer; dockerd's limit.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer that is read, in bytes.
const LIMIT: usize = 16 << 20;

/// What both sides say they speak.
const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// Folders in which plugins make themselves known.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// With their sockets.
    pub(crate) sockets: Vec<PathBuf>,
    /// With files that name their addresses.
    pub(crate) specs: Vec<PathBuf>,
}

/// Where a plugin listens.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Unix(PathBuf),
    Tcp(String),
}

/// A plugin.
#[derive(Debug)]
pub(crate) struct Plugin {
    name: String,
    address: Address,
}

/// A plugin's `NAME.json`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Spec {
    addr: String,
}

/// What a plugin says it is.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Manifest {
    implements: Option<Vec<String>>,
}

/// What a plugin says of a request.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Verdict {
    allow: bool,
    msg: String,
    err: String,
}

impl Plugin {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Finds a plugin and makes sure that it is one for authorization.
    pub(super) async fn find(name: &str, places: &Places) -> Result<Self, String> {
        let address = locate(name, places)?.ok_or_else(|| format!("plugin \"{name}\" not found"))?;
        let plugin = Self {
            name: name.to_owned(),
            address,
        };
        let manifest: Manifest = plugin
            .call("Plugin.Activate", Bytes::new())
            .await
            .map_err(|error| format!("plugin \"{name}\" cannot be activated: {error}"))?;
        if manifest.implements.iter().flatten().any(|what| what == "authz") {
            return Ok(plugin);
        }
        Err(format!("plugin \"{name}\" does not implement \"authz\""))
    }

    /// Asks about a request or its answer.
    pub(super) async fn ask(&self, what: &str, message: &Message) -> ApiResult<()> {
        let verdict: Result<Verdict, String> = self.call(what, serde_json::to_vec(message)?.into()).await;
        let failed = |why: &str| {
            ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("plugin {} failed with error: {why}", self.name),
            )
        };
        match verdict {
            Ok(verdict) if verdict.allow => Ok(()),
            Ok(verdict) if !verdict.err.is_empty() => Err(failed(&verdict.err)),
            Ok(verdict) => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                format!("authorization denied by plugin {}: {}", self.name, verdict.msg),
            )),
            Err(why) => Err(failed(&why)),
        }
    }

    async fn call<T: DeserializeOwned>(&self, what: &str, body: Bytes) -> Result<T, String> {
        let exchange = async {
            match &self.address {
                Address::Unix(path) => {
                    let stream = UnixStream::connect(path)
                        .await
                        .map_err(|error| format!("dial unix {}: {error}", path.display()))?;
                    exchange(stream, what, body).await
                }
                Address::Tcp(address) => {
                    let stream = TcpStream::connect(address)
                        .await
                        .map_err(|error| format!("dial tcp {address}: {error}"))?;
                    exchange(stream, what, body).await
                }
            }
        };
        let (status, bytes) = tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(|_| format!("{what}: no answer within {} s", PATIENCE.as_secs()))??;
        if status != StatusCode::OK {
            let text = String::from_utf8_lossy(&bytes);
            return Err(format!("{what}: {}", text.trim()));
        }
        serde_json::from_slice(&bytes).map_err(|error| format!("{what}: {error}"))
    }
}

/// One request on a connection of its own.
async fn exchange<S>(stream: S, what: &str, body: Bytes) -> Result<(StatusCode, Bytes), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| format!("{what}: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // It ends with the sender; what it failed with the request reports.
    tokio::spawn(connection);
    let request = Request::post(format!("/{what}"))
        .header(header::HOST, "plugin")
        .header(header::ACCEPT, MEDIA_TYPE)
        .header(header::CONTENT_TYPE, MEDIA_TYPE)
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(failed)?;
    let status = answer.status();
    let bytes = Limited::new(answer.into_body(), LIMIT)
        .collect()
        .await
        .map_err(|error| format!("{what}: {error}"))?
        .to_bytes();
    Ok((status, bytes))
}

/// Looks a plugin up: sockets first, then the files of those that listen elsewhere.
fn locate(name: &str, places: &Places) -> Result<Option<Address>, String> {
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(format!("invalid plugin name: \"{name}\""));
    }
    let file = format!("{name}.sock");
    for folder in &places.sockets {
        for path in [folder.join(&file), folder.join(name).join(&file)] {
            if corten_sys::fs::exists(&path).unwrap_or(false) {
                return Ok(Some(Address::Unix(path)));
            }
        }
    }
    for folder in &places.specs {
        for base in [folder.clone(), folder.join(name)] {
            let read = |path: PathBuf| corten_sys::fs::read(path).ok();
            if let Some(bytes) = read(base.join(format!("{name}.json"))) {
                let spec: Spec = serde_json::from_slice(&bytes)
                    .map_err(|error| format!("plugin \"{name}\": its file cannot be read: {error}"))?;
                return address(name, &spec.addr).map(Some);
            }
            if let Some(bytes) = read(base.join(format!("{name}.spec"))) {
                return address(name, String::from_utf8_lossy(&bytes).trim()).map(Some);
            }
        }
    }
    Ok(None)
}

fn address(name: &str, text: &str) -> Result<Address, String> {
    match text.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(path.into())),
        Some(("tcp" | "http", address)) if !address.is_empty() => Ok(Address::Tcp(address.to_owned())),
        _ => Err(format!("plugin \"{name}\": the address \"{text}\" cannot be used")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_come_before_files() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            sockets: vec![folder.path().join("run")],
            specs: vec![folder.path().join("etc")],
        };
        corten_sys::fs::create_dir_all(folder.path().join("run")).unwrap();
        corten_sys::fs::create_dir_all(folder.path().join("etc")).unwrap();
        let write = |path: &str, text: &str| corten_sys::fs::write(folder.path().join(path), text).unwrap();
        assert_eq!(locate("one", &places), Ok(None));
        write("etc/one.spec", "tcp://127.0.0.1:9\n");
        assert_eq!(locate("one", &places), Ok(Some(Address::Tcp("127.0.0.1:9".into()))));
        write("etc/one.json", r#"{"Name":"one","Addr":"unix:///x/y.sock"}"#);
        assert_eq!(locate("one", &places), Ok(Some(Address::Unix("/x/y.sock".into()))));
        write("run/one.sock", "");
        assert_eq!(
            locate("one", &places),
            Ok(Some(Address::Unix(folder.path().join("run/one.sock"))))
        );
        assert!(locate("../one", &places).is_err());
    }
}
