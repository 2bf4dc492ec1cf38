//! A receiver of Fluentd's forward protocol: mode "Forward", with acknowledgements when asked for.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::engine::Engine;
use crate::until;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its tag.
    pub tag: String,
    /// Seconds, and nanoseconds if it has any.
    pub time: (u64, Option<u32>),
    /// Its record.
    pub record: BTreeMap<String, String>,
}

/// What was received.
#[derive(Debug, Clone, Default)]
pub struct Forward {
    events: Arc<Mutex<Vec<Event>>>,
    acknowledged: Arc<Mutex<usize>>,
}

impl Forward {
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
                thread::spawn(move || received.serve(&stream, &stream));
            }
        });
        this
    }

    /// Listens for connections on a socket.
    ///
    /// # Panics
    /// When it is there.
    pub fn unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let this = Self::default();
        let received = this.clone();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let received = received.clone();
                thread::spawn(move || received.serve(&stream, &stream));
            }
        });
        this
    }

    fn serve(&self, input: impl Read, mut output: impl Write) {
        let mut reader = Reader(input);
        while let Some(Item::List(message)) = reader.item() {
            let [Item::Text(tag), Item::List(events), rest @ ..] = &message[..] else {
                panic!("{message:?} is no forward message");
            };
            let events = events.iter().map(|event| read_event(tag, event));
            self.events
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(events);
            if let [Item::Map(options)] = rest
                && let Some(chunk) = options.get("chunk")
            {
                let mut answer = b"\x81\xa3ack\xd9".to_vec();
                answer.push(u8::try_from(chunk.len()).expect("names are short"));
                answer.extend_from_slice(chunk.as_bytes());
                // A sender that has left does not want to know.
                let _ = output.write_all(&answer);
                *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            }
        }
    }

    /// The events so far.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many messages were acknowledged.
    pub fn acknowledged(&self) -> usize {
        *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so many events.
    ///
    /// # Panics
    /// When they do not come.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Event> {
        until::some(&format!("{count} events are received"), || {
            Some(self.events()).filter(|events| events.len() >= count)
        })
    }
}

fn read_event(tag: &str, event: &Item) -> Event {
    let Item::List(event) = event else {
        panic!("{event:?} is no event");
    };
    let time = match &event[0] {
        Item::Number(seconds) => (*seconds, None),
        Item::Time(seconds, nanoseconds) => (u64::from(*seconds), Some(*nanoseconds)),
        other => panic!("{other:?} is no time"),
    };
    let Item::Map(record) = &event[1] else {
        panic!("{event:?} has no record");
    };
    Event {
        tag: tag.to_owned(),
        time,
        record: record.clone(),
    }
}

/// As much of MessagePack as the driver sends.
#[derive(Debug)]
enum Item {
    List(Vec<Item>),
    Map(BTreeMap<String, String>),
    Text(String),
    Number(u64),
    Time(u32, u32),
}

struct Reader<R>(R);

impl<R: Read> Reader<R> {
    fn bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    fn number(&mut self, length: usize) -> Option<usize> {
        let bytes = self.bytes(length)?;
        Some(
            bytes
                .into_iter()
                .fold(0, |number, byte| number << 8 | usize::from(byte)),
        )
    }

    fn item(&mut self) -> Option<Item> {
        let first = self.bytes(1)?[0];
        match first {
            0..=0x7f => Some(Item::Number(u64::from(first))),
            0x80..=0x8f => self.map(usize::from(first & 0x0f)),
            0x90..=0x9f => self.list(usize::from(first & 0x0f)),
            0xa0..=0xbf => self.text(usize::from(first & 0x1f)),
            0xce => self.number(4).map(|number| Item::Number(number as u64)),
            0xd7 => {
                self.number(1)?;
                let part = |number: usize| u32::try_from(number).ok();
                Some(Item::Time(part(self.number(4)?)?, part(self.number(4)?)?))
            }
            0xd9..=0xdb => {
                let length = self.number(1 << (first - 0xd9))?;
                self.text(length)
            }
            0xdc | 0xdd => {
                let length = self.number(2 << (first - 0xdc))?;
                self.list(length)
            }
            0xde | 0xdf => {
                let length = self.number(2 << (first - 0xde))?;
                self.map(length)
            }
            other => panic!("{other:#x} was not expected"),
        }
    }

    fn text(&mut self, length: usize) -> Option<Item> {
        self.bytes(length)
            .map(|bytes| Item::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn list(&mut self, length: usize) -> Option<Item> {
        (0..length).map(|_| self.item()).collect::<Option<_>>().map(Item::List)
    }

    fn map(&mut self, length: usize) -> Option<Item> {
        let mut members = BTreeMap::new();
        for _ in 0..length {
            match (self.item()?, self.item()?) {
                (Item::Text(name), Item::Text(value)) => members.insert(name, value),
                other => panic!("{other:?} is no member of a record"),
            };
        }
        Some(Item::Map(members))
    }
}
