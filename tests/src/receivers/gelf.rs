//! A receiver of the Graylog Extended Log Format.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::Value;

use crate::engine::Engine;
use crate::until;

/// What was received.
#[derive(Debug, Clone, Default)]
pub struct Gelf(Arc<Mutex<Vec<Value>>>);

impl Gelf {
    /// Listens for datagrams on the loopback.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn udp(engine: &Engine, port: u16) -> Self {
        let socket = engine.inside(|| UdpSocket::bind(("127.0.0.1", port))).expect("a port");
        let this = Self::default();
        let received = this.clone();
        thread::spawn(move || {
            let mut chunks: BTreeMap<[u8; 8], BTreeMap<u8, Vec<u8>>> = BTreeMap::new();
            let mut buffer = vec![0; 64 << 10];
            while let Ok(length) = socket.recv(&mut buffer) {
                let bytes = &buffer[..length];
                let [0x1e, 0x0f, rest @ ..] = bytes else {
                    received.add(&unpacked(bytes));
                    continue;
                };
                let (number, rest) = rest.split_first_chunk::<8>().expect("a chunk has a number");
                let message = chunks.entry(*number).or_default();
                message.insert(rest[0], rest[2..].to_vec());
                if message.len() == usize::from(rest[1]) {
                    let whole: Vec<u8> = chunks
                        .remove(number)
                        .expect("it is there")
                        .into_values()
                        .flatten()
                        .collect();
                    received.add(&unpacked(&whole));
                }
            }
        });
        this
    }

    /// Listens for connections on the loopback.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn tcp(engine: &Engine, port: u16) -> Self {
        let listener = engine
            .inside(|| TcpListener::bind(("127.0.0.1", port)))
            .expect("a port");
        let this = Self::default();
        let received = this.clone();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let received = received.clone();
                thread::spawn(move || {
                    for message in BufReader::new(stream).split(0).map_while(Result::ok) {
                        received.add(&message);
                    }
                });
            }
        });
        this
    }

    fn add(&self, message: &[u8]) {
        let message = serde_json::from_slice(message).expect("messages are JSON");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }

    /// The messages so far.
    pub fn messages(&self) -> Vec<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for so many messages.
    ///
    /// # Panics
    /// When they do not come.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Value> {
        until::some(&format!("{count} messages are received"), || {
            Some(self.messages()).filter(|messages| messages.len() >= count)
        })
    }
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    let read = match bytes {
        [0x1f, 0x8b, ..] => flate2::read::GzDecoder::new(bytes).read_to_end(&mut whole),
        [0x78, ..] => flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut whole),
        _ => return bytes.to_vec(),
    };
    read.expect("messages are whole");
    whole
}
