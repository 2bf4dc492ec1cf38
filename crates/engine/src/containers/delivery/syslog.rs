//! syslog: RFC 3164, RFC 5424, and what Docker sends unless told otherwise.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use corten_api::time::Time;
use jiff::tz::TimeZone;

use super::{
    address::{Address, HostPort, Url, port, split_host},
    message::Message,
    tls,
};

/// Options that are its own.
pub(super) const OPTIONS: [&str; 7] = [
    "syslog-address",
    "syslog-facility",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
    "syslog-tls-skip-verify",
    "syslog-format",
];

/// Facilities by number (RFC 5424, section 6.2.1).
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "", "", "",
    "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const DAEMON: u8 = 3;
/// The port of syslog.
const PORT: u16 = 514;

/// How messages look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// RFC 3164 without a host's name, as programs write to their own machine's socket.
    Local,
    Rfc3164,
    Rfc5424,
    /// With microseconds.
    Rfc5424Micro,
}

/// What the options say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) address: Address,
    facility: u8,
    format: Format,
    pub(super) tls: tls::Files,
}

impl Options {
    /// Reads the options; errors are in Docker's words.
    pub(super) fn parse(options: &BTreeMap<String, String>) -> Result<Self, String> {
        let option = |name: &str| options.get(name).map(String::as_str).unwrap_or_default();
        let parsed = Self {
            address: address(option("syslog-address"))?,
            facility: facility(option("syslog-facility"))?,
            format: match option("syslog-format") {
                "" => Format::Local,
                "rfc3164" => Format::Rfc3164,
                "rfc5424" => Format::Rfc5424,
                "rfc5424micro" => Format::Rfc5424Micro,
                _ => return Err("Invalid syslog format".to_owned()),
            },
            tls: tls::Files {
                ca: option("syslog-tls-ca-cert").to_owned(),
                certificate: option("syslog-tls-cert").to_owned(),
                key: option("syslog-tls-key").to_owned(),
                // Docker takes any value, even `false`, for yes.
                skip_verify: options.contains_key("syslog-tls-skip-verify"),
            },
        };
        if let Address::Tls(_) = parsed.address {
            parsed.tls.check()?;
        }
        Ok(parsed)
    }
}

fn address(text: &str) -> Result<Address, String> {
    if text.is_empty() {
        return Ok(Address::LocalSyslog);
    }
    let url = Url::parse(text)?;
    if matches!(url.scheme.as_str(), "unix" | "unixgram") {
        if !corten_sys::fs::exists(Path::new(&url.path)).unwrap_or(false) {
            return Err(format!("stat {}: no such file or directory", url.path));
        }
        return Ok(match url.scheme.as_str() {
            "unix" => Address::Unix(url.path),
            _ => Address::Unixgram(url.path),
        });
    }
    if !matches!(url.scheme.as_str(), "udp" | "tcp" | "tcp+tls") {
        return Err(format!("unsupported scheme: '{}'", url.scheme));
    }
    let (host, number) = split_host(&url.host)?;
    let number = number.map_or(Ok(PORT), |number| port(&number))?;
    let place = HostPort { host, port: number };
    Ok(match url.scheme.as_str() {
        "udp" => Address::Udp(place),
        "tcp" => Address::Tcp(place),
        _ => Address::Tls(place),
    })
}

fn facility(text: &str) -> Result<u8, String> {
    if text.is_empty() {
        return Ok(DAEMON);
    }
    let named = FACILITIES.iter().position(|name| *name == text);
    let found = named.and_then(|number| u8::try_from(number).ok());
    found
        .or_else(|| text.parse().ok().filter(|number| *number < 24))
        .ok_or_else(|| "invalid syslog facility".to_owned())
}

/// Makes messages.
#[derive(Debug)]
pub(super) struct Encoder {
    options: Options,
    tag: String,
    hostname: String,
    zone: TimeZone,
}

impl Encoder {
    pub(super) fn new(options: Options, tag: String, hostname: String) -> Self {
        Self {
            options,
            tag,
            hostname,
            zone: TimeZone::system(),
        }
    }

    /// Appends a message; on a stream with what tells where it ends.
    pub(super) fn write(&self, message: &Message, out: &mut Vec<u8>) {
        let (tag, host, line) = (&self.tag, &self.hostname, &message.line);
        let priority = u32::from(self.options.facility) * 8 + u32::from(message.severity());
        let pid = std::process::id();
        let time = self.time(message.time);
        let text = match self.options.format {
            Format::Local => format!("<{priority}>{time} {tag}[{pid}]: {line}\n"),
            Format::Rfc3164 => format!("<{priority}>{time} {host} {tag}[{pid}]: {line}\n"),
            Format::Rfc5424 | Format::Rfc5424Micro => {
                format!("<{priority}>1 {time} {host} {tag} {pid} {tag} - {line}\n")
            }
        };
        let is_new = matches!(self.options.format, Format::Rfc5424 | Format::Rfc5424Micro);
        if is_new && matches!(self.options.address, Address::Tls(_)) {
            // RFC 5425, section 4.3.
            let mut length = String::new();
            // Writing to a string does not fail.
            let _ = write!(length, "{} ", text.len());
            out.extend_from_slice(length.as_bytes());
        }
        out.extend_from_slice(text.as_bytes());
    }

    fn time(&self, time: Time) -> String {
        let local = time.timestamp().to_zoned(self.zone.clone());
        let format = match self.options.format {
            Format::Local | Format::Rfc3164 => return local.strftime("%b %e %H:%M:%S").to_string(),
            Format::Rfc5424 => "%Y-%m-%dT%H:%M:%S",
            Format::Rfc5424Micro => "%Y-%m-%dT%H:%M:%S.%6f",
        };
        let zone = match local.offset().seconds() {
            0 => "Z".to_owned(),
            _ => local.strftime("%:z").to_string(),
        };
        format!("{}{zone}", local.strftime(format))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::logs::Position;

    fn options(options: &[(&str, &str)]) -> Result<Options, String> {
        let pairs = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Options::parse(&pairs.collect())
    }

    #[test]
    fn reads_addresses() {
        let check = |text: &str, expected: Address| {
            assert_eq!(options(&[("syslog-address", text)]).unwrap().address, expected);
        };
        let at = |host: &str, port| HostPort {
            host: host.into(),
            port,
        };
        check("", Address::LocalSyslog);
        check("udp://h", Address::Udp(at("h", 514)));
        check("tcp://[::1]:1", Address::Tcp(at("::1", 1)));
        check("tcp+tls://h:6514", Address::Tls(at("h", 6514)));
        check("unixgram:///dev/null", Address::Unixgram("/dev/null".into()));
    }

    #[test]
    fn refuses_in_docker_s_words() {
        let check = |name: &str, value: &str, expected: &str| {
            assert_eq!(options(&[(name, value)]).unwrap_err(), expected);
        };
        check("syslog-address", "http://h", "unsupported scheme: 'http'");
        check("syslog-address", "localhost:514", "unsupported scheme: 'localhost'");
        check(
            "syslog-address",
            "unix:///none",
            "stat /none: no such file or directory",
        );
        check("syslog-facility", "loud", "invalid syslog facility");
        check("syslog-facility", "24", "invalid syslog facility");
        check("syslog-format", "rfc", "Invalid syslog format");
        let ca = [("syslog-address", "tcp+tls://h"), ("syslog-tls-ca-cert", "/none")];
        assert_eq!(
            options(&ca).unwrap_err(),
            "could not read CA certificate \"/none\": open /none: no such file or directory"
        );
    }

    #[test]
    fn writes_messages() {
        let message = |stderr| Message {
            line: "hello".into(),
            stderr,
            time: Time::from_nanoseconds(1_700_000_000_123_456_789),
            partial: None,
            end: Position::default(),
        };
        let check = |pairs: &[(&str, &str)], stderr, expected: &str| {
            let mut encoder = Encoder::new(options(pairs).unwrap(), "tag".into(), "host".into());
            encoder.zone = TimeZone::UTC;
            let mut out = Vec::new();
            encoder.write(&message(stderr), &mut out);
            let expected = expected.replace("PID", &std::process::id().to_string());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(&[], false, "<30>Nov 14 22:13:20 tag[PID]: hello\n");
        check(
            &[("syslog-format", "rfc3164"), ("syslog-facility", "local7")],
            true,
            "<187>Nov 14 22:13:20 host tag[PID]: hello\n",
        );
        check(
            &[("syslog-format", "rfc5424"), ("syslog-facility", "0")],
            false,
            "<6>1 2023-11-14T22:13:20Z host tag PID tag - hello\n",
        );
        check(
            &[("syslog-format", "rfc5424micro")],
            false,
            "<30>1 2023-11-14T22:13:20.123456Z host tag PID tag - hello\n",
        );
    }
}
