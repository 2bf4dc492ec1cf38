//! Secrets, agents and credentials that a session offers.

use std::{os::unix::net::UnixStream as StdStream, sync::Arc};

use bytes::{Bytes, BytesMut};
use corten_build::{Agents, Error, Kind, Secret, Secrets};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    runtime::Handle,
};

use crate::{
    errors::build_error,
    grpc::{Code, Result, Status, client::Call},
    proto::{
        parts::{BytesMessage, Nothing},
        session::{CheckAgentRequest, CredentialsRequest, CredentialsResponse, GetSecretRequest, GetSecretResponse},
    },
    session::Session,
};

/// What a session offers, for the builder's threads.
#[derive(Debug, Clone)]
pub(crate) struct Offers {
    runtime: Handle,
    session: Arc<Session>,
}

impl Offers {
    /// To be made where the engine's runtime is the current one.
    pub(crate) fn new(session: &Arc<Session>) -> Self {
        Self {
            runtime: Handle::current(),
            session: Arc::clone(session),
        }
    }
}

impl Secrets for Offers {
    fn get(&self, id: &str) -> Result<Option<Secret>, Error> {
        let request = GetSecretRequest {
            id: id.to_owned(),
            ..GetSecretRequest::default()
        };
        let method = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
        let got = self
            .runtime
            .block_on(self.session.unary::<_, GetSecretResponse>(method, &request));
        match got {
            Ok(secret) => Ok(Some(Secret(secret.data))),
            // A client that offers no secrets has none of this name.
            Err(status) if matches!(status.code, Code::NotFound | Code::Unimplemented) => Ok(None),
            Err(status) => Err(build_error(&status)),
        }
    }
}

impl Agents for Offers {
    fn has(&self, id: &str) -> Result<bool, Error> {
        let request = CheckAgentRequest { id: id.to_owned() };
        let method = "/moby.sshforward.v1.SSH/CheckAgent";
        let checked = self
            .runtime
            .block_on(self.session.unary::<_, Nothing>(method, &request));
        match checked {
            Ok(_) => Ok(true),
            Err(status) if status.code == Code::Unavailable => Err(build_error(&status)),
            Err(_) => Ok(false),
        }
    }

    fn connect(&self, id: &str) -> Result<StdStream, Error> {
        let failed = |error: std::io::Error| Error::new(Kind::Internal, error.to_string());
        let (near, far) = StdStream::pair().map_err(failed)?;
        near.set_nonblocking(true).map_err(failed)?;
        let _entered = self.runtime.enter();
        let near = UnixStream::from_std(near).map_err(failed)?;
        let metadata = [("buildkit.ssh.id", id.to_owned())];
        let method = "/moby.sshforward.v1.SSH/ForwardAgent";
        let call = self.runtime.block_on(self.session.start(method, &metadata));
        let call = call.map_err(|status| build_error(&status))?;
        self.runtime.spawn(async move {
            if let Err(status) = forward(call, near).await {
                tracing::debug!(%status, "a conversation with an agent ended early");
            }
        });
        Ok(far)
    }
}

/// Carries bytes between a socket and a client's agent.
async fn forward(call: Call, socket: UnixStream) -> Result<()> {
    /// Bytes in one message.
    const PIECE: usize = 32 << 10;
    let Call { mut out, mut incoming } = call;
    let (mut from_step, mut to_step) = socket.into_split();
    let there = async {
        let mut buffer = BytesMut::with_capacity(PIECE);
        while let Ok(1..) = from_step.read_buf(&mut buffer).await {
            let data: Bytes = buffer.split().freeze();
            out.send(&BytesMessage { data }).await?;
            buffer.reserve(PIECE);
        }
        out.end();
        Ok::<(), Status>(())
    };
    let back = async {
        while let Some(BytesMessage { data }) = incoming.next().await? {
            to_step.write_all(&data).await?;
        }
        Ok::<(), Status>(())
    };
    // The conversation is over when the agent has said all, or the step has.
    let (mut there, mut back) = (std::pin::pin!(there), std::pin::pin!(back));
    tokio::select! {
        ended = &mut back => ended,
        ended = &mut there => {
            ended?;
            back.await
        }
    }
}

/// A client's user name and password for a registry; none when it has none.
pub(crate) async fn credentials(session: &Session, host: &str) -> Option<(String, String)> {
    let request = CredentialsRequest {
        host: match host {
            "docker.io" => "registry-1.docker.io".to_owned(),
            host => host.to_owned(),
        },
    };
    let method = "/moby.filesync.v1.Auth/Credentials";
    let got: CredentialsResponse = session.unary(method, &request).await.ok()?;
    (!got.secret.is_empty()).then_some((got.username, got.secret))
}
