//! Bodies that a thread of their own writes while they are sent.

use std::{
    io::{self, Write},
    thread,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::Body;

/// How much is gathered before it is handed over, in bytes.
const PIECE: usize = 128 << 10;
/// How many pieces may wait.
const WAITING: usize = 4;

/// Where the bytes of a body go.
#[derive(Debug)]
pub struct BodyWriter {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    gathered: Vec<u8>,
}

impl Body {
    /// A body that a thread of its own writes. An error cuts it off, so that nobody takes it for whole.
    pub fn written(write: impl FnOnce(&mut BodyWriter) -> io::Result<()> + Send + 'static) -> Self {
        let (pieces, received) = mpsc::channel(WAITING);
        thread::spawn(move || {
            let mut out = BodyWriter {
                pieces,
                gathered: Vec::with_capacity(PIECE),
            };
            let written = write(&mut out).and_then(|()| out.flush());
            if let Err(error) = written
                && error.kind() != io::ErrorKind::BrokenPipe
            {
                // An engine that does not want any more says why in its answer.
                let _ = out.pieces.blocking_send(Err(error));
            }
        });
        Self::Pieces(received)
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.gathered, Vec::with_capacity(PIECE));
        self.pieces
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
