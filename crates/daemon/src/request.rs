//! A request's body, which authorization plugins may have read before the route does.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// A request's body: what was read of it already, and what still comes.
#[derive(Debug)]
pub(crate) struct RequestBody {
    read: Option<Bytes>,
    rest: Option<Incoming>,
    /// Whether plugins had to see it, and did not.
    unseen: bool,
}

impl From<Incoming> for RequestBody {
    fn from(rest: Incoming) -> Self {
        Self {
            read: None,
            rest: Some(rest),
            unseen: false,
        }
    }
}

impl RequestBody {
    /// A body that was read to its end.
    pub(crate) fn read(bytes: Bytes) -> Self {
        Self {
            read: Some(bytes).filter(|bytes| !bytes.is_empty()),
            rest: None,
            unseen: false,
        }
    }

    /// A body that plugins have not seen: a route must not take orders from it.
    pub(crate) fn unseen(rest: Incoming) -> Self {
        Self {
            unseen: !rest.is_end_stream(),
            ..Self::from(rest)
        }
    }

    /// Whether orders in it would get past the plugins.
    pub(crate) fn is_unseen(&self) -> bool {
        self.unseen
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        if let Some(bytes) = this.read.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match &mut this.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.read, &self.rest) {
            (Some(bytes), _) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            (None, Some(rest)) => rest.size_hint(),
            (None, None) => SizeHint::with_exact(0),
        }
    }
}
