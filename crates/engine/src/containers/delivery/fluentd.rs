//! Fluentd's forward protocol, version 1, mode "Forward": many events in one MessagePack array, and
//! an answer to each when `fluentd-request-ack` asks for it.

use std::{collections::BTreeMap, time::Duration};

use corten_template::{
    duration, number,
    size::{self, Base},
};

use super::{
    address::{Address, HostPort, Url, split_host},
    message::Message,
    msgpack::Writer,
};
use crate::containers::log_config::Facts;

/// Options that are its own.
pub(super) const OPTIONS: [&str; 10] = [
    "fluentd-address",
    "fluentd-async",
    "fluentd-async-reconnect-interval",
    "fluentd-buffer-limit",
    "fluentd-max-retries",
    "fluentd-request-ack",
    "fluentd-retry-wait",
    "fluentd-sub-second-precision",
    "fluentd-write-timeout",
    "fluentd-read-timeout",
];

const HOST: &str = "127.0.0.1";
const PORT: u16 = 24224;
/// Docker's bounds of the interval after which a connection is made anew.
const INTERVALS: std::ops::RangeInclusive<i64> = 100_000_000..=10_000_000_000;

/// What the options say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) address: Address,
    /// Whether the receiver says what it has taken.
    pub(super) acknowledged: bool,
    /// Whether times have nanoseconds.
    precise: bool,
    /// How many bytes may wait while the receiver is away.
    pub(super) buffer: Option<u64>,
    /// How often a delivery is tried before its lines are given up.
    pub(super) tries: Option<u32>,
    /// The first pause between tries.
    pub(super) pause: Option<Duration>,
    /// How long a connection is used.
    pub(super) reconnect: Option<Duration>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) read_timeout: Option<Duration>,
}

impl Options {
    /// Reads the options; errors are in Docker's words.
    pub(super) fn parse(options: &BTreeMap<String, String>) -> Result<Self, String> {
        let option = |name: &str| options.get(name).map(String::as_str).filter(|text| !text.is_empty());
        let switch = |name: &str| option(name).map_or(Ok(false), number::parse_bool);
        let text = option("fluentd-address").unwrap_or_default();
        switch("fluentd-async")?;
        let buffer = option("fluentd-buffer-limit").map(|text| size::parse(text, Base::Binary));
        let pause = option("fluentd-retry-wait").map(duration::parse).transpose()?;
        Ok(Self {
            address: address(text).map_err(|error| format!("invalid fluentd-address ({text}): {error}"))?,
            acknowledged: switch("fluentd-request-ack")?,
            precise: switch("fluentd-sub-second-precision")?,
            buffer: buffer.transpose()?.and_then(|bytes| u64::try_from(bytes).ok()),
            tries: option("fluentd-max-retries").map(retries).transpose()?,
            pause: pause.map(nanoseconds),
            reconnect: reconnect_interval(option("fluentd-async-reconnect-interval"))?,
            write_timeout: timeout("fluentd-write-timeout", option("fluentd-write-timeout"))?,
            read_timeout: timeout("fluentd-read-timeout", option("fluentd-read-timeout"))?,
        })
    }
}

fn address(text: &str) -> Result<Address, String> {
    let place = |host: &str, port| HostPort {
        host: host.to_owned(),
        port,
    };
    if text.is_empty() {
        return Ok(Address::Tcp(place(HOST, PORT)));
    }
    let url = match text.contains("://") {
        true => Url::parse(text)?,
        false => Url::parse(&format!("tcp://{text}"))?,
    };
    match url.scheme.as_str() {
        "unix" if url.path.trim_start_matches('/').is_empty() => return Err("path is empty".to_owned()),
        "unix" => return Ok(Address::Unix(url.path)),
        "tcp" | "tls" => {}
        other => return Err(format!("unsupported scheme: '{other}'")),
    }
    if !url.path.is_empty() {
        return Err("should not contain a path element".to_owned());
    }
    let (host, port) = split_host(&url.host)?;
    let port = port.filter(|port| !port.is_empty()).map_or(Ok(PORT), |port| {
        port.parse().map_err(|_| {
            let quoted = corten_template::quote(&port);
            format!("invalid port: strconv.ParseUint: parsing {quoted}: value out of range")
        })
    })?;
    let place = place(if host.is_empty() { HOST } else { &host }, port);
    Ok(match url.scheme.as_str() {
        "tls" => Address::Tls(place),
        _ => Address::Tcp(place),
    })
}

/// How often to try, from how often to try again.
fn retries(text: &str) -> Result<u32, String> {
    let number = number::parse_uint(text, u64::from(u32::MAX))?;
    match i32::try_from(number) {
        Ok(number) => Ok(number.unsigned_abs() + 1),
        Err(_) => Err("invalid fluentd-max-retries: value out of range".to_owned()),
    }
}

fn reconnect_interval(text: Option<&str>) -> Result<Option<Duration>, String> {
    let name = "fluentd-async-reconnect-interval";
    let Some(text) = text else { return Ok(None) };
    let interval = duration::parse(text).map_err(|error| format!("invalid value for {name}: {error}"))?;
    match interval {
        0 => Ok(None),
        _ if INTERVALS.contains(&interval) => Ok(Some(nanoseconds(interval))),
        _ => Err(format!(
            "invalid value for {name}: value (\"{text}\") must be between 100ms and 10s"
        )),
    }
}

fn timeout(name: &str, text: Option<&str>) -> Result<Option<Duration>, String> {
    match text.map(duration::parse) {
        None | Some(Ok(0)) => Ok(None),
        Some(Ok(..0)) => Err(format!(
            "invalid value for {name}: value must be a duration that is non-negative"
        )),
        Some(Ok(timeout)) => Ok(Some(nanoseconds(timeout))),
        Some(Err(error)) => Err(format!("invalid value for {name}: value must be a duration: {error}")),
    }
}

fn nanoseconds(number: i64) -> Duration {
    Duration::from_nanos(u64::try_from(number).unwrap_or(0))
}

/// Makes messages.
#[derive(Debug)]
pub(super) struct Encoder {
    options: Options,
    tag: String,
    /// What every record has.
    record: BTreeMap<String, String>,
    /// The number of the next chunk that asks for an answer.
    next: u64,
}

impl Encoder {
    pub(super) fn new(options: Options, tag: String, facts: &Facts, attributes: BTreeMap<String, String>) -> Self {
        let mut record = attributes;
        record.insert("container_id".to_owned(), facts.id.clone());
        record.insert("container_name".to_owned(), format!("/{}", facts.name));
        let next = corten_api::time::Time::now().nanoseconds().unsigned_abs();
        Self {
            options,
            tag,
            record,
            next,
        }
    }

    /// Many lines in one array; with the chunk's name if there is to be an answer.
    pub(super) fn write(&mut self, messages: &[Message]) -> (Vec<u8>, Option<String>) {
        let chunk = self.options.acknowledged.then(|| {
            self.next += 1;
            format!("{:016x}", self.next)
        });
        let mut out = Writer::default();
        out.array(2 + usize::from(chunk.is_some()));
        out.text(&self.tag);
        out.array(messages.len());
        for message in messages {
            out.array(2);
            match self.options.precise {
                true => out.event_time(message.time),
                false => out.integer(u64::try_from(message.time.seconds()).unwrap_or(0)),
            }
            self.record(message, &mut out);
        }
        if let Some(chunk) = &chunk {
            out.map([("chunk", chunk.as_str())].into_iter());
        }
        (out.0, chunk)
    }

    fn record(&self, message: &Message, out: &mut Writer) {
        let mut record: Vec<(&str, &str)> = self.record.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        record.push(("source", message.source()));
        record.push(("log", &message.line));
        let ordinal = message.partial.as_ref().map(|partial| partial.ordinal.to_string());
        if let Some((partial, ordinal)) = message.partial.as_ref().zip(ordinal.as_deref()) {
            record.push(("partial_message", "true"));
            record.push(("partial_id", &partial.id));
            record.push(("partial_ordinal", ordinal));
            record.push(("partial_last", if partial.last { "true" } else { "false" }));
        }
        out.map(record.into_iter());
    }
}

#[cfg(test)]
mod tests {
    use corten_api::time::Time;

    use super::*;
    use crate::containers::logs::Position;

    fn options(options: &[(&str, &str)]) -> Result<Options, String> {
        let pairs = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Options::parse(&pairs.collect())
    }

    #[test]
    fn reads_addresses() {
        let at = |host: &str, port| HostPort {
            host: host.into(),
            port,
        };
        let check = |text: &str, expected: Address| {
            assert_eq!(
                options(&[("fluentd-address", text)]).unwrap().address,
                expected,
                "{text}"
            );
        };
        check("", Address::Tcp(at(HOST, PORT)));
        check("h", Address::Tcp(at("h", PORT)));
        check("h:1", Address::Tcp(at("h", 1)));
        check(":1", Address::Tcp(at(HOST, 1)));
        check("tls://h:1", Address::Tls(at("h", 1)));
        check("unix:///run/f", Address::Unix("/run/f".into()));
    }

    #[test]
    fn refuses_in_docker_s_words() {
        let check = |name: &str, value: &str, expected: &str| {
            assert_eq!(options(&[(name, value)]).unwrap_err(), expected);
        };
        check(
            "fluentd-address",
            "udp://h",
            "invalid fluentd-address (udp://h): unsupported scheme: 'udp'",
        );
        check(
            "fluentd-address",
            "tcp://h/x",
            "invalid fluentd-address (tcp://h/x): should not contain a path element",
        );
        check(
            "fluentd-address",
            "unix://",
            "invalid fluentd-address (unix://): path is empty",
        );
        check("fluentd-retry-wait", "1", "time: missing unit in duration \"1\"");
        check(
            "fluentd-async",
            "perhaps",
            "strconv.ParseBool: parsing \"perhaps\": invalid syntax",
        );
        check(
            "fluentd-async-reconnect-interval",
            "1h",
            "invalid value for fluentd-async-reconnect-interval: value (\"1h\") must be between 100ms and 10s",
        );
        check(
            "fluentd-write-timeout",
            "-1s",
            "invalid value for fluentd-write-timeout: value must be a duration that is non-negative",
        );
        check(
            "fluentd-max-retries",
            "4294967295",
            "invalid fluentd-max-retries: value out of range",
        );
    }

    #[test]
    fn writes_an_array_of_events() {
        let message = Message {
            line: "x".into(),
            stderr: false,
            time: Time::from_nanoseconds(5_000_000_001),
            partial: None,
            end: Position::default(),
        };
        let options = options(&[("fluentd-request-ack", "true")]).unwrap();
        let mut encoder = Encoder::new(options, "t".into(), &Facts::default(), BTreeMap::new());
        let (bytes, chunk) = encoder.write(&[message]);
        let mut expected = b"\x93\xa1t\x91\x92\x05\x84\xaccontainer_id\xa0\xaecontainer_name\xa1/".to_vec();
        expected.extend_from_slice(b"\xa6source\xa6stdout\xa3log\xa1x\x81\xa5chunk\xb0");
        expected.extend_from_slice(chunk.unwrap().as_bytes());
        assert_eq!(bytes, expected);
    }
}
