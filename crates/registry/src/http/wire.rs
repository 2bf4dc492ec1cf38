//! A connection's bytes: hyper writes heads and small bodies, and where it is to write a file, the
//! kernel copies it from the page cache into the socket (sendfile(2)). No byte of a blob is in our memory,
//! however many clients there are and however slow they read.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::body::{Outlet, Part, stands_in};

/// How far ahead a file is looked at: whether the page cache has it, or the disk is to be waited for.
const WINDOW: u64 = 512 << 10;

/// A TCP connection that can write files.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TokioIo<TcpStream>,
    parts: Arc<Mutex<std::collections::VecDeque<Part>>>,
    /// Up to where the part in front is known to be in the page cache.
    warm: u64,
    warming: Option<JoinHandle<()>>,
}

impl Wire {
    /// The connection, and where its answers put the files that it is to write.
    pub(super) fn new(stream: TcpStream) -> (Self, Outlet) {
        let parts = Arc::default();
        let outlet = Outlet(Some(Arc::clone(&parts)));
        let wire = Self {
            stream: TokioIo::new(stream),
            parts,
            warm: 0,
            warming: None,
        };
        (wire, outlet)
    }

    /// Writes of the part in front, up to `most` bytes.
    fn poll_part(&mut self, context: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let front = self
            .parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .front()
            .cloned();
        let Some(part) = front else {
            return Poll::Ready(Err(io::Error::other("there is no file to write")));
        };
        let most = most.min(usize::try_from(part.length).unwrap_or(most));
        let most = ready!(self.poll_warm(context, &part, most))?;
        loop {
            ready!(self.stream.inner().poll_write_ready(context))?;
            let mut offset = part.offset;
            let sent = self.stream.inner().try_io(Interest::WRITABLE, || {
                Ok(rustix::fs::sendfile(
                    self.stream.inner(),
                    &*part.file,
                    Some(&mut offset),
                    most,
                )?)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                // Somebody has cut the file: the connection is all that can be cut now.
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => {
                    self.sent(count);
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }

    fn sent(&mut self, count: usize) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let Some(part) = parts.front_mut() else { return };
        part.offset += count;
        part.length = part.length.saturating_sub(count);
        if part.length == 0 {
            parts.pop_front();
            self.warm = 0;
        }
    }

    /// Sees to it that the next bytes are in the page cache, so that sending them waits for no disk;
    /// tells how many of `most` are.
    fn poll_warm(&mut self, context: &mut Context<'_>, part: &Part, most: usize) -> Poll<io::Result<usize>> {
        if let Some(warming) = &mut self.warming {
            // What goes wrong there goes wrong again, and aloud, when it is sent.
            let _ = ready!(Pin::new(warming).poll(context));
            self.warming = None;
        }
        if part.offset >= self.warm {
            let end = part.offset.saturating_add(part.length.min(WINDOW));
            self.warm = end;
            if is_cold(part, end) {
                let part = part.clone();
                let mut warming = tokio::task::spawn_blocking(move || warm(&part, end));
                let state = Pin::new(&mut warming).poll(context);
                if state.is_pending() {
                    self.warming = Some(warming);
                    return Poll::Pending;
                }
            }
        }
        let known = usize::try_from(self.warm - part.offset).unwrap_or(most);
        Poll::Ready(Ok(most.min(known)))
    }
}

/// Whether the last byte before `end` would have to come from the disk.
fn is_cold(part: &Part, end: u64) -> bool {
    let mut byte = [0];
    let slice = &mut [io::IoSliceMut::new(&mut byte)];
    preadv2(&part.file, slice, end - 1, ReadWriteFlags::NOWAIT) == Err(Errno::AGAIN)
}

/// Reads what is to be sent, for the page cache to have it.
fn warm(part: &Part, end: u64) {
    let mut buffer = vec![0; 64 << 10];
    let mut at = part.offset;
    while at < end {
        match rustix::io::pread(&*part.file, buffer.as_mut_slice(), at) {
            Ok(count @ 1..) => at += u64::try_from(count).unwrap_or(0),
            // Sending says what is wrong.
            Ok(0) | Err(_) => return,
        }
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if stands_in(bytes) {
            return self.poll_part(context, bytes.len());
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = match slices.iter().position(|slice| !slice.is_empty()) {
            Some(first) => &slices[first..],
            None => return Poll::Ready(Ok(0)),
        };
        let bytes = slices.iter().take_while(|slice| !stands_in(slice)).count();
        match bytes {
            0 => self.poll_part(context, slices[0].len()),
            bytes => Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..bytes]),
        }
    }
}
