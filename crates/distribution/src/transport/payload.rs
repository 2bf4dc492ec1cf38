//! What a request carries: bytes, or a stream of them whose length nobody knows yet.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// Pieces of a body; an error cuts it off, so that no server takes it for whole.
pub(crate) type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// A request's body.
#[derive(Debug)]
pub(crate) enum Payload {
    Whole(Full<Bytes>),
    Streamed { pieces: Pieces, sent: Arc<AtomicU64> },
}

impl Payload {
    pub(super) fn streamed(pieces: Pieces) -> Self {
        Self::Streamed {
            pieces,
            sent: Arc::default(),
        }
    }

    /// Counts the bytes of a stream as they are taken.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        match self {
            Self::Whole(_) => Arc::default(),
            Self::Streamed { sent, .. } => sent.clone(),
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Pin::new(bytes).poll_frame(context).map_err(|never| match never {}),
            Self::Streamed { pieces, sent } => Poll::Ready(ready!(pieces.poll_recv(context)).map(|piece| {
                piece.map(|bytes| {
                    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    sent.fetch_add(length, Ordering::Relaxed);
                    Frame::data(bytes)
                })
            })),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_end_stream(),
            Self::Streamed { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => bytes.size_hint(),
            Self::Streamed { .. } => SizeHint::default(),
        }
    }
}
