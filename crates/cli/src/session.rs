//! An attached session: carries the process's streams between the engine and this program's own.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use corten_api::stream::{Decoder, Stream};
use corten_client::{Hijacked, ReadHalf, WriteHalf};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
};

use crate::{
    cli::write_or_exit,
    error::{Error, Result},
    terminal::{DetachKeys, Raw},
};

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The process's output ended.
    Output,
    /// The user typed the keys that detach.
    Detached,
}

/// What a session carries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Input.
    pub(crate) stdin: bool,
    /// Output.
    pub(crate) stdout: bool,
    /// Errors.
    pub(crate) stderr: bool,
    /// Whether the process has a terminal: then output is one raw stream.
    pub(crate) tty: bool,
    /// The keys that detach.
    pub(crate) detach_keys: Vec<u8>,
}

/// The most bytes read at once.
const PIECE: usize = 64 * 1024;

/// A session that is under way.
pub(crate) struct Session {
    options: Options,
    reader: ReadHalf,
    writer: WriteHalf,
    raw: Option<Raw>,
}

impl Session {
    /// Takes a connection; the terminal goes raw if the process has one.
    pub(crate) fn new(connection: Hijacked, options: Options) -> Self {
        let (reader, writer) = connection.split();
        let raw = if options.stdin && options.tty {
            Raw::enter()
        } else {
            None
        };
        Self {
            options,
            reader,
            writer,
            raw,
        }
    }

    /// Carries until the output ends or the user detaches; the terminal is as before then.
    pub(crate) async fn run(self) -> Result<End> {
        let Self {
            options,
            mut reader,
            mut writer,
            raw,
        } = self;
        let wants_output = options.stdout || options.stderr;
        let output = copy_output(&mut reader, options.tty);
        let keys = raw.is_some().then(|| DetachKeys::new(options.detach_keys.clone()));
        let input = copy_input(&mut writer, options.stdin, keys);
        tokio::pin!(output, input);
        let mut input_done = false;
        let end = loop {
            tokio::select! {
                result = &mut output => break result.map(|()| End::Output),
                result = &mut input, if !input_done => match result {
                    InputEnd::Detached => break Ok(End::Detached),
                    InputEnd::Closed if options.stdin && !wants_output => break Ok(End::Output),
                    InputEnd::Closed => input_done = true,
                },
            }
        };
        drop(raw);
        end
    }
}

/// How input ended.
enum InputEnd {
    Closed,
    Detached,
}

/// Sends input until it ends, then half-closes.
async fn copy_input(writer: &mut WriteHalf, wanted: bool, mut keys: Option<DetachKeys>) -> InputEnd {
    if !wanted {
        // Without input there is nothing to wait for, and nothing to tell the process.
        return InputEnd::Closed;
    }
    let mut pieces = read_stdin();
    while let Some(piece) = pieces.recv().await {
        let (piece, detached) = match &mut keys {
            Some(keys) => {
                let (passed, detached) = keys.filter(&piece);
                (Bytes::from(passed), detached)
            }
            None => (piece, false),
        };
        if detached {
            return InputEnd::Detached;
        }
        if writer.write_all(&piece).await.is_err() {
            // The process does not read any more; its output tells the rest.
            return InputEnd::Closed;
        }
    }
    // Likewise.
    let _ = writer.shutdown().await;
    InputEnd::Closed
}

/// Reads standard input on a thread of its own, which may wait forever without keeping the program.
pub(crate) fn read_stdin() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; PIECE];
        let mut stdin = std::io::stdin().lock();
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    if sender.blocking_send(Bytes::copy_from_slice(&buffer[..n])).is_err() {
                        break;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    });
    receiver
}

/// Writes output until it ends.
async fn copy_output(reader: &mut ReadHalf, tty: bool) -> Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut output = Output::new(tty);
    loop {
        let n = match reader.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            // An engine that goes away ends the session as the end of output does.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(Error::new(error.to_string())),
        };
        output.write(&buffer[..n])?;
    }
}

/// Writes a process's output to this program's own streams.
pub(crate) struct Output {
    /// None when there is a terminal.
    decoder: Option<Decoder>,
    /// What the engine itself said went wrong.
    system: Vec<u8>,
}

impl Output {
    pub(crate) fn new(raw: bool) -> Self {
        Self {
            decoder: (!raw).then(Decoder::default),
            system: Vec::new(),
        }
    }

    /// Writes a piece.
    pub(crate) fn write(&mut self, mut piece: &[u8]) -> Result<()> {
        let Some(decoder) = &mut self.decoder else {
            write_or_exit(&mut std::io::stdout().lock(), piece);
            return Ok(());
        };
        while let Some((stream, data)) = decoder.next(&mut piece).map_err(|e| Error::new(e.to_string()))? {
            match stream {
                Stream::Stdin | Stream::Stdout => {
                    write_or_exit(&mut std::io::stdout().lock(), data);
                }
                Stream::Stderr => {
                    // Nobody can be told that standard error is gone.
                    let _ = std::io::stderr().lock().write_all(data);
                }
                Stream::System => self.system.extend_from_slice(data),
            }
        }
        if self.system.is_empty() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&self.system).into_owned();
        Err(Error::new(format!("error from daemon in stream: {text}")))
    }
}
