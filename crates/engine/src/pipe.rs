//! Byte streams between asynchronous and blocking code.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// How many pieces may wait.
const WAITING: usize = 4;
/// How much is gathered before it is handed over, in bytes.
const PIECE: usize = 64 << 10;

/// Pieces of a stream, as they come.
pub type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// A blocking reader of what a task sends.
#[derive(Debug)]
pub struct Reader {
    pieces: Pieces,
    current: Bytes,
}

impl Reader {
    /// A reader, and where its pieces go. The stream ends when the sender is dropped.
    pub fn new() -> (mpsc::Sender<io::Result<Bytes>>, Self) {
        let (sender, pieces) = mpsc::channel(WAITING);
        (
            sender,
            Self {
                pieces,
                current: Bytes::new(),
            },
        )
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// A blocking writer whose pieces a task receives.
#[derive(Debug)]
pub(crate) struct Writer {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    gathered: Vec<u8>,
}

impl Writer {
    /// A writer, and where its pieces come out. Call [`Writer::finish`] at the end.
    pub(crate) fn new() -> (Self, Pieces) {
        let (pieces, receiver) = mpsc::channel(WAITING);
        (
            Self {
                pieces,
                gathered: Vec::with_capacity(PIECE),
            },
            receiver,
        )
    }

    /// Hands over what is left, or the error that ended the stream.
    pub(crate) fn finish(mut self, result: crate::Result<()>) {
        // Whoever has left does not want to know.
        let _ = match result {
            Ok(()) => self.flush(),
            Err(error) => {
                let _ = self.flush();
                self.pieces
                    .blocking_send(Err(io::Error::other(error.report())))
                    .map_err(io::Error::other)
            }
        };
    }
}

impl Write for Writer {
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
