//! Takes netlink messages apart. Kernels grow attributes, so unknown ones are skipped, and
//! truncated ones end the list.

const HEADER: usize = 16;

/// One message of a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// The port of the socket that asked or, in notifications, that caused it.
    pub(crate) port: u32,
    /// What follows the netlink header.
    pub(crate) payload: Vec<u8>,
}

impl Reply {
    /// Cuts a datagram into messages.
    pub(crate) fn split(mut datagram: &[u8]) -> Vec<Self> {
        let mut replies = Vec::new();
        while let Some(length) = u32_at(datagram, 0) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length < HEADER || length > datagram.len() {
                break;
            }
            replies.push(Self {
                kind: u16_at(datagram, 4).unwrap_or_default(),
                flags: u16_at(datagram, 6).unwrap_or_default(),
                sequence: u32_at(datagram, 8).unwrap_or_default(),
                port: u32_at(datagram, 12).unwrap_or_default(),
                payload: datagram[HEADER..length].to_vec(),
            });
            datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        replies
    }

    /// Returns the attributes that follow a fixed header of the given length.
    pub(crate) fn attributes(&self, header: usize) -> impl Iterator<Item = Attribute<'_>> {
        attributes(self.payload.get(header..).unwrap_or_default())
    }
}

/// One attribute of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute<'a> {
    /// The type, without the flags for nesting and byte order.
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
}

impl<'a> Attribute<'a> {
    pub(crate) fn u32(&self) -> u32 {
        u32_at(self.value, 0).unwrap_or_default()
    }

    pub(crate) fn be32(&self) -> u32 {
        self.u32().to_be()
    }

    /// Returns the text before the zero.
    pub(crate) fn string(&self) -> &'a str {
        let end = self
            .value
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(self.value.len());
        std::str::from_utf8(&self.value[..end]).unwrap_or_default()
    }

    pub(crate) fn nested(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        attributes(self.value)
    }
}

/// Cuts a list of attributes.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind, value })
    })
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_lengths_end_the_list() {
        assert!(Reply::split(&[0; 16]).is_empty());
        assert!(Reply::split(&[255; 20]).is_empty());
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 1]).count(), 0);
        assert_eq!(attributes(&[5, 0, 1, 0, 1]).count(), 1);
    }
}
