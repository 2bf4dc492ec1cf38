//! Builds netlink messages.

use super::flags;

const HEADER: usize = 16;
const NESTED: u16 = 0x8000;

/// A sequence of messages for one datagram, each with a text that says what it does, for errors.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    bytes: Vec<u8>,
    purposes: Vec<String>,
    last_start: Option<usize>,
}

impl Messages {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Appends one message; `fill` writes its header and attributes.
    pub(crate) fn push(
        &mut self,
        kind: u16,
        flag: u16,
        purpose: impl Into<String>,
        fill: impl FnOnce(&mut Message<'_>),
    ) {
        let start = self.bytes.len();
        // Messages are counted from 1; 0 is the kernel's own number.
        let sequence = self.purposes.len() + 1;
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags::REQUEST | flag).to_ne_bytes());
        self.bytes.extend(length32(sequence).to_ne_bytes());
        self.bytes.extend([0; 4]);
        debug_assert_eq!(self.bytes.len() - start, HEADER);
        fill(&mut Message { bytes: &mut self.bytes });
        let length = length32(self.bytes.len() - start);
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        self.purposes.push(purpose.into());
        self.last_start = Some(start);
    }

    /// Makes the last message ask for an acknowledgement.
    pub(crate) fn acknowledge_last(&mut self) {
        if let Some(start) = self.last_start
            && let Some(low) = self.bytes.get_mut(start + 6..start + 8)
        {
            let flag = u16::from_ne_bytes([low[0], low[1]]) | flags::ACK;
            low.copy_from_slice(&flag.to_ne_bytes());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.purposes.is_empty()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns how many messages there are, which is the last one's sequence number.
    pub(crate) fn last(&self) -> u32 {
        length32(self.purposes.len())
    }

    /// Returns what the message with the sequence number does.
    pub(crate) fn purpose(&self, sequence: u32) -> &str {
        let index = usize::try_from(sequence).ok().and_then(|number| number.checked_sub(1));
        index
            .and_then(|index| self.purposes.get(index))
            .map_or("netlink request", String::as_str)
    }
}

/// The message being written. Everything is padded to four bytes as netlink wants it.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Message<'_> {
    /// Writes the family's fixed header.
    pub(crate) fn header(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.pad();
    }

    /// Copies attributes as they were read.
    pub(crate) fn raw(&mut self, attributes: &[u8]) {
        self.bytes.extend(attributes);
    }

    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |message| message.bytes.extend(value));
    }

    pub(crate) fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Writes a string with the zero at its end.
    pub(crate) fn string(&mut self, kind: u16, value: &str) {
        self.attribute(kind, |message| {
            message.bytes.extend(value.as_bytes());
            message.bytes.push(0);
        });
    }

    pub(crate) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Message<'_>)) {
        self.attribute(kind | NESTED, |message| fill(message));
    }

    fn attribute(&mut self, kind: u16, fill: impl FnOnce(&mut Message<'_>)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        fill(&mut Message { bytes: self.bytes });
        let length = u16::try_from(self.bytes.len() - start)
            .expect("lists are cut into messages far below an attribute's 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn length32(length: usize) -> u32 {
    u32::try_from(length).expect("a datagram is far below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::reader::attributes;

    #[test]
    fn attributes_nest_and_pad() {
        let mut messages = Messages::new();
        messages.push(16, flags::ACK, "try", |message| {
            message.header(&[1, 2]);
            message.string(3, "eth0");
            message.nested(4, |inner| inner.u8(5, 6));
        });
        let bytes = messages.bytes();
        assert_eq!(bytes.len(), 16 + 4 + 12 + 12);
        assert_eq!(bytes[..4], 44u32.to_ne_bytes());
        let read: Vec<_> = attributes(&bytes[20..]).collect();
        assert_eq!((read[0].kind, read[0].value), (3, b"eth0\0".as_slice()));
        assert_eq!(read[1].kind, 4);
        assert_eq!(attributes(read[1].value).next().unwrap().value, [6]);
        assert_eq!((messages.last(), messages.purpose(1)), (1, "try"));
    }
}
