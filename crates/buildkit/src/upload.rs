//! A context that the client sends as an archive (`docker build - < context.tar`): it says where by an address
//! whose host is the session.

use std::{io, sync::Arc};

use bytes::{Buf as _, Bytes};
use corten_build::Given;
use tokio::runtime::Handle;

use crate::{
    errors::{self, File},
    grpc::{Result, client::Incoming},
    inner::Inner,
    proto::parts::BytesMessage,
    session::Session,
    threads::blocking,
};

/// The path in an address whose host is a session.
pub(crate) fn path(address: &str) -> Option<&str> {
    address.strip_prefix("http://buildkit-session/")
}

/// Takes the archive, or the Dockerfile that was sent in its place.
pub(crate) async fn take(inner: &Inner, session: &Arc<Session>, path: &str, dockerfile: &str) -> Result<Given> {
    let metadata = [("urlpath", format!("/{path}"))];
    let mut call = session.start("/moby.upload.v1.Upload/Pull", &metadata).await?;
    call.out.end();
    let mut archive = Archive {
        runtime: Handle::current(),
        incoming: call.incoming,
        current: Bytes::new(),
    };
    let (store, dockerfile) = (Arc::clone(inner.engine.builds().store()), dockerfile.to_owned());
    blocking(move || {
        let taken = corten_build::take_context(&store, &mut archive, &dockerfile);
        taken.map_err(|error| errors::status(&error, &File::default()))
    })
    .await
}

/// The bytes as they come.
struct Archive {
    runtime: Handle,
    incoming: Incoming,
    current: Bytes,
}

impl io::Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            let next = self.runtime.block_on(self.incoming.next::<BytesMessage>());
            match next.map_err(io::Error::other)? {
                Some(message) => self.current = message.data,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
