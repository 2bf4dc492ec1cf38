//! A receiver and the language it is spoken to in.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use corten_api::container::LogConfig;
use corten_template::size::{self, Base};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout};

use super::{
    address::Address,
    connection::{Connection, Datagram, Stream},
    fluentd, gelf, journald,
    message::Message,
    msgpack::{Answer, acknowledged},
    syslog, tls,
};
use crate::{
    containers::log_config::{Driver, Facts, Remote, hostname},
    error::{Error, Result},
};

/// How long a receiver may take to acknowledge.
const ANSWER: Duration = Duration::from_secs(30);

/// A receiver of one container's lines.
#[derive(Debug)]
pub(super) struct Target {
    address: Address,
    files: tls::Files,
    language: Language,
    connection: Option<Connection>,
    connected: Instant,
    /// How long a connection is used; none for as long as it lasts.
    reconnect: Option<Duration>,
    write_timeout: Option<Duration>,
    read_timeout: Duration,
    pub(super) patience: Patience,
}

/// How long a receiver is waited for, as far as the options say.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Patience {
    /// How often lines are tried before they are given up; none for ever.
    pub(super) tries: Option<u32>,
    /// The first pause between tries.
    pub(super) pause: Option<Duration>,
    /// How many bytes may wait while the receiver is away; none for as many as the local copy holds.
    pub(super) buffer: Option<u64>,
}

#[derive(Debug)]
enum Language {
    Journald(journald::Encoder),
    Syslog(syslog::Encoder),
    Fluentd(fluentd::Encoder),
    Gelf(gelf::Encoder),
}

/// Lines that were not all delivered.
#[derive(Debug)]
pub(super) struct Failed {
    /// How many were.
    pub(super) delivered: usize,
    pub(super) trouble: Trouble,
}

/// Why a line was not delivered.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The receiver is not there, or does not take it now.
    Away(String),
    /// No receiver will ever take it.
    Unacceptable(String),
}

/// Whether the options of a driver make sense; errors are in Docker's words.
pub(in crate::containers) fn check(remote: Remote, options: &BTreeMap<String, String>) -> Result<(), String> {
    match remote {
        Remote::Journald => Ok(()),
        Remote::Syslog => syslog::Options::parse(options).map(drop),
        Remote::Fluentd => fluentd::Options::parse(options).map(drop),
        Remote::Gelf => gelf::Options::parse(options).map(drop),
    }
}

/// The options that are a driver's own.
pub(in crate::containers) fn options(remote: Remote) -> &'static [&'static str] {
    match remote {
        Remote::Journald => &[],
        Remote::Syslog => &syslog::OPTIONS,
        Remote::Fluentd => &fluentd::OPTIONS,
        Remote::Gelf => &gelf::OPTIONS,
    }
}

impl Target {
    /// The receiver that a container's log goes to.
    ///
    /// # Errors
    /// `Invalid`, in Docker's words.
    pub(super) fn new(config: &LogConfig, facts: &Facts) -> Result<Self> {
        let Driver::Remote(remote) = Driver::of(config)? else {
            return Err(Error::internal("the log is delivered nowhere"));
        };
        let tag = facts.tag(config, "{{.ID}}")?.unwrap_or_default();
        let host = hostname();
        let mut made = match remote {
            Remote::Journald => {
                let attributes = facts.attributes(config, journald::field_name)?;
                let encoder = journald::Encoder::new(facts, &tag, attributes);
                Self::plain(
                    Address::Unixgram(journald::SOCKET.to_owned()),
                    Language::Journald(encoder),
                )
            }
            Remote::Syslog => {
                let options = syslog::Options::parse(&config.options).map_err(Error::invalid)?;
                let (address, files) = (options.address.clone(), options.tls.clone());
                let encoder = syslog::Encoder::new(options, tag, host);
                Self {
                    files,
                    ..Self::plain(address, Language::Syslog(encoder))
                }
            }
            Remote::Fluentd => Self::fluentd(config, facts, tag)?,
            Remote::Gelf => {
                let options = gelf::Options::parse(&config.options).map_err(Error::invalid)?;
                let fields = gelf::fields(facts, &tag, facts.attributes(config, gelf::field_name)?);
                let patience = Patience {
                    tries: options.tries,
                    pause: options.pause,
                    buffer: None,
                };
                let address = options.address.clone();
                let encoder = gelf::Encoder::new(options, host, fields);
                Self {
                    patience,
                    ..Self::plain(address, Language::Gelf(encoder))
                }
            }
        };
        let buffer = config.options.get("max-buffer-size");
        let buffer = buffer.and_then(|text| size::parse(text, Base::Binary).ok());
        if let Some(buffer) = buffer.and_then(|bytes| u64::try_from(bytes).ok()) {
            made.patience.buffer = Some(buffer);
        }
        Ok(made)
    }

    fn plain(address: Address, language: Language) -> Self {
        Self {
            address,
            files: tls::Files::default(),
            language,
            connection: None,
            connected: Instant::now(),
            reconnect: None,
            write_timeout: None,
            read_timeout: ANSWER,
            patience: Patience::default(),
        }
    }

    fn fluentd(config: &LogConfig, facts: &Facts, tag: String) -> Result<Self> {
        let options = fluentd::Options::parse(&config.options).map_err(Error::invalid)?;
        let patience = Patience {
            tries: options.tries,
            pause: options.pause,
            buffer: options.buffer,
        };
        let (reconnect, write_timeout) = (options.reconnect, options.write_timeout);
        let read_timeout = options.read_timeout.unwrap_or(ANSWER);
        let address = options.address.clone();
        let encoder = fluentd::Encoder::new(options, tag, facts, facts.attributes(config, str::to_owned)?);
        Ok(Self {
            reconnect,
            write_timeout,
            read_timeout,
            patience,
            ..Self::plain(address, Language::Fluentd(encoder))
        })
    }

    /// Delivers lines, in their order.
    pub(super) async fn deliver(&mut self, messages: &[Message]) -> Result<(), Failed> {
        if self.reconnect.is_some_and(|after| self.connected.elapsed() >= after) {
            self.connection = None;
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await.map_err(|error| Failed {
                delivered: 0,
                trouble: Trouble::Away(error),
            })?,
        };
        let result = match &mut connection {
            Connection::Stream(stream) => {
                let sent = send_all(&mut self.language, stream, messages, self.read_timeout).await;
                sent.map_err(|error| Failed {
                    delivered: 0,
                    trouble: Trouble::Away(corten_sys::fs::reason(&error)),
                })
            }
            Connection::Datagram(socket) => send_each(&mut self.language, socket, messages).await,
        };
        let away = matches!(&result, Err(failed) if matches!(failed.trouble, Trouble::Away(_)));
        self.connection = Some(connection).filter(|_| !away);
        result
    }

    async fn connect(&mut self) -> Result<Connection, String> {
        let tls: Option<Arc<ClientConfig>> = match self.address {
            Address::Tls(_) => {
                let files = self.files.clone();
                let made = tokio::task::spawn_blocking(move || files.config()).await;
                Some(made.map_err(|error| error.to_string())??)
            }
            _ => None,
        };
        let mut connection = Connection::open(&self.address, tls).await?;
        self.connected = Instant::now();
        if let (Connection::Stream(stream), Some(limit)) = (&mut connection, self.write_timeout) {
            stream.write_timeout = limit;
        }
        Ok(connection)
    }
}

/// Writes all lines, and waits until the receiver has them.
async fn send_all(
    language: &mut Language,
    stream: &mut Stream,
    messages: &[Message],
    patience: Duration,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    match language {
        Language::Fluentd(encoder) => {
            let (bytes, chunk) = encoder.write(messages);
            stream.send(&bytes).await?;
            return match chunk {
                None => stream.expect_open().await,
                Some(chunk) => timeout(patience, answer(stream, &chunk))
                    .await
                    .unwrap_or_else(|_| Err(io::Error::other("the receiver did not acknowledge in time"))),
            };
        }
        Language::Syslog(encoder) => messages.iter().for_each(|message| encoder.write(message, &mut bytes)),
        Language::Gelf(encoder) => messages.iter().for_each(|message| encoder.write(message, &mut bytes)),
        Language::Journald(_) => return Err(io::Error::other("the journal takes datagrams")),
    }
    stream.send(&bytes).await?;
    stream.expect_open().await
}

/// Waits for the acknowledgement of a chunk.
async fn answer(stream: &mut Stream, chunk: &str) -> io::Result<()> {
    let mut said = Vec::new();
    loop {
        let mut buffer = [0; 512];
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(io::Error::other("the receiver closed the connection"));
        }
        said.extend_from_slice(&buffer[..length]);
        match acknowledged(&said) {
            Answer::Chunk(taken) if taken == chunk => return Ok(()),
            Answer::Unfinished if said.len() < 4096 => {}
            _ => return Err(io::Error::other("the receiver acknowledged something else")),
        }
    }
}

/// Sends the lines one by one.
async fn send_each(language: &mut Language, socket: &Datagram, messages: &[Message]) -> Result<(), Failed> {
    let failed = |delivered, error: &io::Error| {
        let reason = corten_sys::fs::reason(error);
        let trouble = match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::MSGSIZE.raw_os_error() => Trouble::Unacceptable(reason),
            _ => Trouble::Away(reason),
        };
        Failed { delivered, trouble }
    };
    for (at, message) in messages.iter().enumerate() {
        let datagrams = datagrams(language, message).map_err(|error| Failed {
            delivered: at,
            trouble: Trouble::Unacceptable(error),
        })?;
        for datagram in datagrams {
            socket.send(&datagram).await.map_err(|error| failed(at, &error))?;
            // On this machine a refusal is there at once, and says that this one was lost.
            if let Some(error) = socket.refusal() {
                return Err(failed(at, &error));
            }
        }
    }
    Ok(())
}

fn datagrams(language: &mut Language, message: &Message) -> Result<Vec<Vec<u8>>, String> {
    match language {
        Language::Journald(encoder) => Ok(vec![encoder.datagram(message)]),
        Language::Syslog(encoder) => {
            let mut bytes = Vec::new();
            encoder.write(message, &mut bytes);
            Ok(vec![bytes])
        }
        Language::Gelf(encoder) => encoder.datagrams(message),
        Language::Fluentd(_) => Err("fluentd takes no datagrams".to_owned()),
    }
}
