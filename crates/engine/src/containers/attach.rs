//! Attaching clients to containers and execs (Docker API, `POST /containers/{id}/attach`).
//!
//! The client's own socket goes to the shim whenever that is possible, so that the engine is in
//! nobody's way: output flows past it, and a session outlives it.

use std::{os::fd::OwnedFd, sync::Arc};

use corten_shim::protocol::{Attach, Request};

use super::{Container, Containers, LogsRequest, State, coming::Coming};
use crate::error::{Error, Result};

/// What a client wants to take part in.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the API's own parameters")]
pub struct AttachRequest {
    /// What was written before.
    pub logs: bool,
    /// What will be written.
    pub stream: bool,
    /// Whether what the client sends is input.
    pub stdin: bool,
    /// Whether the client gets standard output.
    pub stdout: bool,
    /// Whether the client gets standard error.
    pub stderr: bool,
    /// The keys that end the session; none for the usual ones.
    pub detach_keys: Option<String>,
}

/// A client's connection, after the HTTP answer's head was written.
#[derive(Debug)]
pub struct Connection {
    /// A non-blocking stream socket.
    pub socket: OwnedFd,
    /// What was read from it beyond the request.
    pub preface: Vec<u8>,
}

/// Where a checked request will be attached.
#[derive(Debug)]
pub struct Target {
    containers: Containers,
    container: Arc<Container>,
    /// The exec that waits for its client; none for the container itself.
    exec: Option<super::exec::Waiting>,
    request: AttachRequest,
    keys: Vec<u8>,
    tty: bool,
    /// Has a start wait for it.
    coming: Option<Coming>,
}

impl Containers {
    /// Checks that a client can be attached; [`Target::connect`] then does it.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for a paused container, `Invalid` for bad detach keys.
    pub fn attach(&self, name: &str, request: AttachRequest) -> Result<Target> {
        let container = self.find(name)?;
        let keys = detach_keys(request.detach_keys.as_deref())?;
        let tty = {
            let inner = container.lock();
            if matches!(inner.record.state, State::Paused(_)) {
                return Err(Error::conflict(format!(
                    "container {name} is paused, unpause the container before attach"
                )));
            }
            if matches!(inner.record.state, State::Removing(_) | State::Dead(_)) {
                return Err(Error::conflict(format!(
                    "container {name} is marked for removal and cannot be attached to"
                )));
            }
            inner.record.config.tty
        };
        Ok(Target {
            containers: self.clone(),
            coming: Some(Coming::to(&container)),
            container,
            exec: None,
            request,
            keys,
            tty,
        })
    }

    /// The target of an exec's own client.
    pub(super) fn exec_target(
        &self,
        container: Arc<Container>,
        exec: super::exec::Waiting,
        request: AttachRequest,
        tty: bool,
    ) -> Result<Target> {
        let keys = detach_keys(request.detach_keys.as_deref())?;
        Ok(Target {
            containers: self.clone(),
            container,
            exec: Some(exec),
            request,
            keys,
            tty,
            coming: None,
        })
    }
}

impl Target {
    /// Whether output is raw, without frames.
    pub fn is_tty(&self) -> bool {
        self.tty
    }

    /// Attaches the client.
    ///
    /// # Errors
    /// When the container's shim cannot be reached. The connection is closed then.
    pub async fn connect(self, connection: Connection) -> Result<()> {
        let attach = Attach {
            stdin: self.request.stdin,
            stdout: self.request.stdout,
            stderr: self.request.stderr,
            preface: connection.preface,
            detach_keys: self.keys,
        };
        if let Some(exec) = self.exec {
            return self
                .containers
                .exec_run(&self.container, exec, Some((attach, connection.socket)))
                .await;
        }
        self.containers.0.emit(&self.container, "attach", &[]);
        let socket = match self.request.logs {
            true => {
                self.containers
                    .replay(&self.container, &self.request, connection.socket)
                    .await?
            }
            false => connection.socket,
        };
        if !self.request.stream {
            return Ok(());
        }
        let link = {
            let mut inner = self.container.lock();
            match inner.link.clone() {
                Some(link) => link,
                None => {
                    inner.clients.push((attach, socket));
                    drop(inner);
                    drop(self.coming);
                    return Ok(());
                }
            }
        };
        link.call(Request::Attach { exec: None, attach }, vec![socket]).await?;
        Ok(())
    }
}

impl Containers {
    /// Writes what the log holds to a client, and gives its socket back.
    async fn replay(&self, container: &Container, request: &AttachRequest, socket: OwnedFd) -> Result<OwnedFd> {
        use tokio::io::AsyncWriteExt;
        let mut logs = self
            .logs(
                &container.id,
                LogsRequest {
                    stdout: request.stdout,
                    stderr: request.stderr,
                    ..LogsRequest::default()
                },
            )
            .await?;
        let mut stream = tokio::net::UnixStream::from_std(std::os::unix::net::UnixStream::from(socket))?;
        while let Some(bytes) = logs.stream.recv().await {
            stream.write_all(&bytes?).await?;
        }
        Ok(OwnedFd::from(stream.into_std()?))
    }
}

/// The usual keys: ctrl-p, ctrl-q.
const USUAL_KEYS: [u8; 2] = [16, 17];

/// Reads keys such as `ctrl-p,ctrl-q` or `a,b`.
pub(super) fn detach_keys(text: Option<&str>) -> Result<Vec<u8>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(USUAL_KEYS.to_vec());
    };
    text.split(',')
        .map(|key| {
            match key.as_bytes() {
                [byte] => Ok(*byte),
                [b'c' | b'C', b't' | b'T', b'r' | b'R', b'l' | b'L', b'-', rest @ ..] => control(rest),
                _ => None.ok_or(()),
            }
            .map_err(|()| Error::invalid(format!("Invalid detach keys ({text}) provided")))
        })
        .collect()
}

fn control(key: &[u8]) -> Result<u8, ()> {
    match key {
        [letter @ b'a'..=b'z'] => Ok(letter - b'a' + 1),
        [letter @ b'A'..=b'Z'] => Ok(letter - b'A' + 1),
        b"@" => Ok(0),
        b"[" => Ok(27),
        b"\\" => Ok(28),
        b"]" => Ok(29),
        b"^" => Ok(30),
        b"_" => Ok(31),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_detach_keys() {
        let check = |text, expected: &[u8]| assert_eq!(detach_keys(text).unwrap(), expected);
        check(None, &[16, 17]);
        check(Some(""), &[16, 17]);
        check(Some("ctrl-a,x"), &[1, b'x']);
        check(Some("ctrl-@,ctrl-[,ctrl-_"), &[0, 27, 31]);
        assert!(detach_keys(Some("ctrl-!")).is_err());
        assert!(detach_keys(Some("ab")).is_err());
    }
}
