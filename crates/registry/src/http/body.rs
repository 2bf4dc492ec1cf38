//! Bodies of answers: bytes, parts of files, and streams.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_util::stream::BoxStream;
use futures_util::{Stream as _, StreamExt as _, stream};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// Bytes read at once of a file that goes through TLS.
const CHUNK: usize = 64 << 10;

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Body(Kind);

enum Kind {
    Bytes(Option<Bytes>),
    Part(Option<Part>, Outlet),
    Stream(BoxStream<'static, io::Result<Bytes>>, Option<u64>),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::Part(..) => "Part",
            Self::Stream(..) => "Stream",
        })
    }
}

/// Part of a file.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// What hyper is given to write: bytes, or as many as a part of a file has.
///
/// For the latter it sees the bytes of [`STAND_IN`], which the connection knows by their address: it
/// writes the file's instead, with sendfile(2).
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Bytes),
    Part(usize),
}

/// Memory that is never touched, only pointed at.
static STAND_IN: LazyLock<Vec<u8>> = LazyLock::new(|| vec![0; 1 << 20]);

/// Whether these are not bytes but stand for a file's.
pub(super) fn stands_in(bytes: &[u8]) -> bool {
    let (start, here) = (STAND_IN.as_ptr().addr(), bytes.as_ptr().addr());
    (start..start + STAND_IN.len()).contains(&here)
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.remaining(),
            Self::Part(left) => *left,
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.chunk(),
            Self::Part(left) => &STAND_IN[..STAND_IN.len().min(*left)],
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::Part(left) => *left -= count,
        }
    }
}

/// The parts of files that a connection is to write next, in the order of its answers. None: it can
/// write no files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlet(pub(super) Option<Arc<Mutex<VecDeque<Part>>>>);

impl Body {
    pub(crate) fn empty() -> Self {
        Self(Kind::Bytes(None))
    }

    pub(crate) fn bytes(bytes: Bytes) -> Self {
        Self(Kind::Bytes(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    /// Part of a file, through a connection.
    pub(crate) fn part(part: Part, outlet: &Outlet) -> Self {
        let whole = usize::try_from(part.length).is_ok();
        match &outlet.0 {
            Some(_) if whole => Self(Kind::Part(Some(part).filter(|part| part.length > 0), outlet.clone())),
            _ => {
                let length = part.length;
                Self(Kind::Stream(read(part).boxed(), Some(length)))
            }
        }
    }

    /// What comes; an error cuts the connection. The length, where it is known, is sent before.
    pub(crate) fn stream(pieces: BoxStream<'static, io::Result<Bytes>>, length: Option<u64>) -> Self {
        Self(Kind::Stream(pieces, length))
    }
}

impl HttpBody for Body {
    type Data = Piece;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match &mut self.0 {
            Kind::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(Piece::Bytes(bytes))))),
            Kind::Part(part, outlet) => {
                let piece = part.take().zip(outlet.0.as_ref()).map(|(part, queue)| {
                    let length = usize::try_from(part.length).unwrap_or(usize::MAX);
                    queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(part);
                    Ok(Frame::data(Piece::Part(length)))
                });
                Poll::Ready(piece)
            }
            Kind::Stream(pieces, _) => Pin::new(pieces)
                .poll_next(context)
                .map(|piece| piece.map(|piece| piece.map(|bytes| Frame::data(Piece::Bytes(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Bytes(bytes) => bytes.is_none(),
            Kind::Part(part, _) => part.is_none(),
            Kind::Stream(_, length) => *length == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = match &self.0 {
            Kind::Bytes(bytes) => u64::try_from(bytes.as_ref().map_or(0, Bytes::len)).ok(),
            Kind::Part(part, _) => Some(part.as_ref().map_or(0, |part| part.length)),
            Kind::Stream(_, length) => *length,
        };
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Part of a file in pieces.
fn read(part: Part) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold(part, |mut part| async move {
        let wanted = part.length.min(CHUNK as u64);
        if wanted == 0 {
            return Ok(None);
        }
        let bytes = read_at(&part.file, part.offset, usize::try_from(wanted).unwrap_or(CHUNK)).await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = u64::try_from(bytes.len()).unwrap_or(0);
        part.offset += count;
        part.length -= count;
        Ok(Some((bytes, part)))
    })
}

/// Reads up to `length` bytes: here when the page cache has them, else on a thread that may wait.
pub(crate) async fn read_at(file: &Arc<File>, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut buffer = vec![0; length];
    let at_once = preadv2(
        file,
        &mut [io::IoSliceMut::new(&mut buffer)],
        offset,
        ReadWriteFlags::NOWAIT,
    );
    match at_once {
        Ok(count) if count > 0 => {
            buffer.truncate(count);
            return Ok(buffer.into());
        }
        Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    let file = Arc::clone(file);
    tokio::task::spawn_blocking(move || {
        let count = rustix::io::pread(&*file, buffer.as_mut_slice(), offset)?;
        buffer.truncate(count);
        Ok(Bytes::from(buffer))
    })
    .await
    .map_err(io::Error::other)?
}

/// The next piece of a request's body; `None` at its end.
pub(crate) async fn next(body: &mut hyper::body::Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        match body.frame().await? {
            Ok(frame) => {
                // Trailers mean nothing here.
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}
