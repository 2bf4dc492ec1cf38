//! The Graylog Extended Log Format 1.1: JSON in datagrams, compressed and cut into chunks, or on a
//! connection, each ended by a zero byte.

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use serde_json::{Map, Value};

use super::{
    address::{Address, HostPort, Url, port, split_host},
    message::Message,
};
use crate::containers::log_config::{Facts, whole};

/// Options that are its own.
pub(super) const OPTIONS: [&str; 5] = [
    "gelf-address",
    "gelf-compression-type",
    "gelf-compression-level",
    "gelf-tcp-max-reconnect",
    "gelf-tcp-reconnect-delay",
];

/// The longest datagram (the protocol's advice for wide area networks).
const CHUNK: usize = 1420;
/// What a chunk begins with: two magic bytes, the message's number, which chunk of how many.
const CHUNK_HEADER: usize = 12;
/// More chunks than this a receiver throws away.
const MOST_CHUNKS: usize = 128;

/// How datagrams are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zlib,
    None,
}

/// What the options say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) address: Address,
    packing: Packing,
    level: Compression,
    /// How often a delivery is tried before its lines are given up.
    pub(super) tries: Option<u32>,
    /// The pause between tries.
    pub(super) pause: Option<Duration>,
}

impl Options {
    /// Reads the options; errors are in Docker's words.
    pub(super) fn parse(options: &BTreeMap<String, String>) -> Result<Self, String> {
        let option = |name: &str| options.get(name).map(String::as_str);
        let address = address(option("gelf-address").unwrap_or_default())?;
        let udp = matches!(address, Address::Udp(_));
        if udp {
            let tcp_only = ["gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"];
            if let Some(name) = tcp_only.iter().find(|name| options.contains_key(**name)) {
                return Err(format!("\"{name}\" is only valid for TCP"));
            }
        } else if options.contains_key("gelf-compression-type") || options.contains_key("gelf-compression-level") {
            return Err("compression is only supported on UDP".to_owned());
        }
        let unknown = |name: &str, value: &str| {
            let value = corten_template::quote(value);
            format!("unknown value {value} for log opt \"{name}\" for gelf log driver")
        };
        let positive = |name: &str| match option(name) {
            None => Ok(None),
            Some(text) => match whole(text) {
                Ok(number @ 0..) => Ok(Some(number.unsigned_abs())),
                _ => Err(format!("\"{name}\" must be a positive integer")),
            },
        };
        let level = option("gelf-compression-level").map_or(Ok(Compression::fast()), |text| match whole(text) {
            Ok(-1) => Ok(Compression::default()),
            Ok(level @ 0..=9) => Ok(Compression::new(level.unsigned_abs())),
            _ => Err(unknown("gelf-compression-level", text)),
        });
        let packing = match option("gelf-compression-type") {
            None | Some("gzip") => Packing::Gzip,
            Some("zlib") => Packing::Zlib,
            Some("none") => Packing::None,
            Some(other) => return Err(unknown("gelf-compression-type", other)),
        };
        Ok(Self {
            address,
            packing,
            level: level?,
            tries: positive("gelf-tcp-max-reconnect")?.map(|again| again.saturating_add(1)),
            pause: positive("gelf-tcp-reconnect-delay")?.map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

fn address(text: &str) -> Result<Address, String> {
    if text.is_empty() {
        return Err("gelf-address is a required parameter".to_owned());
    }
    let url = Url::parse(text)?;
    if !matches!(url.scheme.as_str(), "udp" | "tcp") {
        return Err("gelf: endpoint needs to be TCP or UDP".to_owned());
    }
    let Ok((host, Some(number))) = split_host(&url.host) else {
        return Err("gelf: please provide gelf-address as proto://host:port".to_owned());
    };
    let place = HostPort {
        host,
        port: port(&number)?,
    };
    Ok(match url.scheme.as_str() {
        "udp" => Address::Udp(place),
        _ => Address::Tcp(place),
    })
}

/// What accompanies every message: Docker's additional fields.
pub(super) fn fields(facts: &Facts, tag: &str, attributes: BTreeMap<String, String>) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut add = |name: &str, value: &str| fields.insert(name.to_owned(), value.into());
    add("_command", &facts.command.join(" "));
    add("_container_id", &facts.id);
    add("_container_name", &facts.name);
    add("_created", &facts.created.to_string());
    add("_image_id", &facts.image_id);
    add("_image_name", &facts.image_name);
    add("_tag", tag);
    fields.extend(attributes.into_iter().map(|(name, value)| (name, value.into())));
    fields
}

/// The name of an additional field.
pub(super) fn field_name(name: &str) -> String {
    match name.starts_with('_') {
        true => name.to_owned(),
        false => format!("_{name}"),
    }
}

/// Makes messages.
#[derive(Debug)]
pub(super) struct Encoder {
    options: Options,
    /// The end of every document: the host, and what accompanies each message.
    rest: Vec<u8>,
    /// The number of the next message that is cut into chunks.
    next: u64,
}

impl Encoder {
    pub(super) fn new(options: Options, hostname: String, mut fields: Map<String, Value>) -> Self {
        fields.insert("host".to_owned(), hostname.into());
        // An object's brace is opened by what is put before it.
        let rest = Value::Object(fields).to_string().into_bytes().split_off(1);
        // Two senders should not count alike: they begin at their own time.
        let next = corten_api::time::Time::now().nanoseconds().unsigned_abs() << 16;
        Self { options, rest, next }
    }

    /// Appends the document of a message; none for an empty line, which the format forbids.
    fn document(&self, message: &Message, out: &mut Vec<u8>) -> bool {
        if message.line.is_empty() {
            return false;
        }
        let milliseconds = message.time.nanoseconds() / 1_000_000;
        let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
        let level = message.severity();
        let text = serde_json::to_string(&message.line).unwrap_or_default();
        let head = format!(
            "{{\"version\":\"1.1\",\"short_message\":{text},\"timestamp\":{seconds}.{rest:03},\"level\":{level},"
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&self.rest);
        true
    }

    /// Appends what goes over a connection.
    pub(super) fn write(&self, message: &Message, out: &mut Vec<u8>) {
        if self.document(message, out) {
            out.push(0);
        }
    }

    /// The datagrams of a message; none that are too many for any receiver.
    pub(super) fn datagrams(&mut self, message: &Message) -> Result<Vec<Vec<u8>>, String> {
        let mut document = Vec::new();
        if !self.document(message, &mut document) {
            return Ok(Vec::new());
        }
        let packed = self.pack(document).map_err(|error| error.to_string())?;
        if packed.len() <= CHUNK {
            return Ok(vec![packed]);
        }
        let pieces = packed.chunks(CHUNK - CHUNK_HEADER);
        let count = u8::try_from(pieces.len()).unwrap_or(u8::MAX);
        if usize::from(count) > MOST_CHUNKS {
            return Err(format!("{} bytes are too long for GELF over UDP", packed.len()));
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let chunk = |(at, piece): (u8, &[u8])| {
            let mut bytes = vec![0x1e, 0x0f];
            bytes.extend_from_slice(&number.to_be_bytes());
            bytes.extend_from_slice(&[at, count]);
            bytes.extend_from_slice(piece);
            bytes
        };
        Ok((0..).zip(pieces).map(chunk).collect())
    }

    fn pack(&self, document: Vec<u8>) -> std::io::Result<Vec<u8>> {
        match self.options.packing {
            Packing::None => Ok(document),
            Packing::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), self.options.level);
                encoder.write_all(&document)?;
                encoder.finish()
            }
            Packing::Zlib => {
                let mut encoder = ZlibEncoder::new(Vec::new(), self.options.level);
                encoder.write_all(&document)?;
                encoder.finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use corten_api::time::Time;
    use serde_json::json;

    use super::*;
    use crate::containers::logs::Position;

    fn options(options: &[(&str, &str)]) -> Result<Options, String> {
        let pairs = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Options::parse(&pairs.collect())
    }

    fn message(line: &str) -> Message {
        Message {
            line: line.into(),
            stderr: true,
            time: Time::from_nanoseconds(1_700_000_000_123_456_789),
            partial: None,
            end: Position::default(),
        }
    }

    fn encoder(pairs: &[(&str, &str)]) -> Encoder {
        let fields = fields(&Facts::default(), "t", [("_a".to_owned(), "b".to_owned())].into());
        Encoder::new(options(pairs).unwrap(), "host".into(), fields)
    }

    #[test]
    fn refuses_in_docker_s_words() {
        let check = |pairs: &[(&str, &str)], expected: &str| assert_eq!(options(pairs).unwrap_err(), expected);
        check(&[], "gelf-address is a required parameter");
        check(
            &[("gelf-address", "http://h:1")],
            "gelf: endpoint needs to be TCP or UDP",
        );
        check(
            &[("gelf-address", "udp://h")],
            "gelf: please provide gelf-address as proto://host:port",
        );
        check(
            &[("gelf-address", "tcp://h:1"), ("gelf-compression-type", "gzip")],
            "compression is only supported on UDP",
        );
        check(
            &[("gelf-address", "udp://h:1"), ("gelf-tcp-max-reconnect", "1")],
            "\"gelf-tcp-max-reconnect\" is only valid for TCP",
        );
        check(
            &[("gelf-address", "tcp://h:1"), ("gelf-tcp-reconnect-delay", "-1")],
            "\"gelf-tcp-reconnect-delay\" must be a positive integer",
        );
        check(
            &[("gelf-address", "udp://h:1"), ("gelf-compression-level", "10")],
            "unknown value \"10\" for log opt \"gelf-compression-level\" for gelf log driver",
        );
        check(
            &[("gelf-address", "udp://h:1"), ("gelf-compression-type", "rar")],
            "unknown value \"rar\" for log opt \"gelf-compression-type\" for gelf log driver",
        );
    }

    #[test]
    fn writes_documents() {
        let mut out = Vec::new();
        encoder(&[("gelf-address", "tcp://h:1")]).write(&message("x"), &mut out);
        assert_eq!(out.pop(), Some(0));
        let document: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            (
                &document["short_message"],
                &document["timestamp"],
                &document["level"],
                &document["_a"]
            ),
            (&json!("x"), &json!(1_700_000_000.123), &json!(3), &json!("b"))
        );
        encoder(&[("gelf-address", "tcp://h:1")]).write(&message(""), &mut out);
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), document);
    }

    #[test]
    fn packs_and_cuts_datagrams() {
        let small = encoder(&[("gelf-address", "udp://h:1")])
            .datagrams(&message("x"))
            .unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&small[0][..])
            .read_to_string(&mut text)
            .unwrap();
        assert!(small.len() == 1 && text.contains("\"short_message\":\"x\""), "{text}");
        let none = [("gelf-address", "udp://h:1"), ("gelf-compression-type", "none")];
        let long = "y".repeat(5000);
        let chunks = encoder(&none).datagrams(&message(&long)).unwrap();
        let count = u8::try_from(chunks.len()).unwrap();
        let mut whole = Vec::new();
        for (at, chunk) in (0_u8..).zip(&chunks) {
            assert_eq!((&chunk[..2], chunk[10], chunk[11]), (&[0x1e, 0x0f][..], at, count));
            whole.extend_from_slice(&chunk[CHUNK_HEADER..]);
        }
        assert!(count > 3 && String::from_utf8(whole).unwrap().contains(&long));
        assert!(encoder(&none).datagrams(&message(&"z".repeat(300_000))).is_err());
    }
}
