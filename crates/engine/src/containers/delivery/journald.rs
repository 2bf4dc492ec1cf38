//! systemd's journal, by its native protocol (systemd, "Native Journal Protocol").

use std::collections::BTreeMap;

use super::message::Message;
use crate::containers::log_config::Facts;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Makes messages.
#[derive(Debug)]
pub(super) struct Encoder {
    /// What every entry has.
    fields: BTreeMap<String, String>,
    ordinal: u64,
}

impl Encoder {
    pub(super) fn new(facts: &Facts, tag: &str, attributes: BTreeMap<String, String>) -> Self {
        let mut fields = attributes;
        fields.remove("");
        let mut add = |name: &str, value: &str| fields.insert(name.to_owned(), value.to_owned());
        add("CONTAINER_ID", facts.short_id());
        add("CONTAINER_ID_FULL", &facts.id);
        add("CONTAINER_NAME", &facts.name);
        add("CONTAINER_TAG", tag);
        add("IMAGE_NAME", &facts.image_name);
        add("SYSLOG_IDENTIFIER", tag);
        let epoch = corten_api::time::Time::now().nanoseconds();
        add("CONTAINER_LOG_EPOCH", &format!("{}{epoch:016x}", facts.id));
        Self { fields, ordinal: 0 }
    }

    /// The datagram of a message.
    pub(super) fn datagram(&mut self, message: &Message) -> Vec<u8> {
        self.ordinal += 1;
        let mut out = Vec::new();
        for (name, value) in &self.fields {
            field(&mut out, name, value);
        }
        field(&mut out, "CONTAINER_LOG_ORDINAL", &self.ordinal.to_string());
        field(&mut out, "SYSLOG_TIMESTAMP", &message.time.to_string());
        if let Some(partial) = &message.partial {
            field(&mut out, "CONTAINER_PARTIAL_ID", &partial.id);
            field(&mut out, "CONTAINER_PARTIAL_ORDINAL", &partial.ordinal.to_string());
            field(
                &mut out,
                "CONTAINER_PARTIAL_LAST",
                if partial.last { "true" } else { "false" },
            );
            if !partial.last {
                field(&mut out, "CONTAINER_PARTIAL_MESSAGE", "true");
            }
        }
        field(&mut out, "PRIORITY", &message.severity().to_string());
        field(&mut out, "MESSAGE", &message.line);
        out
    }
}

/// The name of a field: upper case, digits and underscores, none of these first.
pub(super) fn field_name(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    name.trim_start_matches('_').to_owned()
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
        out.extend_from_slice(&length.to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use corten_api::time::Time;

    use super::{super::message::Partial, *};
    use crate::containers::logs::Position;

    #[test]
    fn names_are_the_journal_s() {
        let check = |name: &str, expected: &str| assert_eq!(field_name(name), expected);
        check("com.example.x-1", "COM_EXAMPLE_X_1");
        check("__a", "A");
        check("é", "");
    }

    #[test]
    fn entries_have_docker_s_fields() {
        let facts = Facts {
            id: "0123456789abcdef".repeat(4),
            name: "web".into(),
            ..Facts::default()
        };
        let message = Message {
            line: "x\ny".into(),
            stderr: true,
            time: Time::from_nanoseconds(1_500_000_000),
            partial: Some(Partial {
                id: "p".into(),
                ordinal: 2,
                last: false,
            }),
            end: Position::default(),
        };
        let datagram = Encoder::new(&facts, "tag", BTreeMap::new()).datagram(&message);
        let text = String::from_utf8_lossy(&datagram);
        for line in [
            "CONTAINER_ID=0123456789ab\n",
            "CONTAINER_NAME=web\n",
            "CONTAINER_TAG=tag\n",
            "CONTAINER_LOG_ORDINAL=1\n",
            "SYSLOG_TIMESTAMP=1970-01-01T00:00:01.5Z\n",
            "CONTAINER_PARTIAL_MESSAGE=true\n",
            "CONTAINER_PARTIAL_ORDINAL=2\n",
            "PRIORITY=3\n",
            "MESSAGE\n\u{3}\0\0\0\0\0\0\0x\ny\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text:?}");
        }
    }
}
