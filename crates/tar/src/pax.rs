//! Pax extended headers: `length key=value\n` records that override a header's fields.

use super::Time;
use super::header::bad_header;
use crate::error::{Result, invalid};

/// The records that matter here; later ones override earlier ones.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) modified: Option<Time>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
}

/// GNU's records about sparse files, formats 0.0, 0.1 and 1.0.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// Offsets and lengths in turn.
    pub(super) map: Option<Vec<u64>>,
}

impl Pax {
    /// Reads the records of one extended header into this.
    pub(super) fn parse(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes)?;
            self.set(key, value)?;
            bytes = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            self.xattrs.retain(|(known, _)| known != name);
            self.xattrs.push((name.to_vec(), value.to_vec()));
            return Ok(());
        }
        if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
            return self.sparse.set(name, value);
        }
        // Names and numbers cannot be empty: an empty value means the header's own stands.
        if value.is_empty() {
            return Ok(());
        }
        match key {
            b"path" => self.path = Some(name_value(value)?),
            b"linkpath" => self.link = Some(name_value(value)?),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(signed(value)?),
            b"gid" => self.gid = Some(signed(value)?),
            b"mtime" => self.modified = Some(time(value)?),
            _ => {}
        }
        Ok(())
    }
}

impl PaxSparse {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"major" => self.major = Some(decimal(value)?),
            b"minor" => self.minor = Some(decimal(value)?),
            b"name" => self.name = Some(name_value(value)?),
            b"size" | b"realsize" => self.size = Some(decimal(value)?),
            b"map" => {
                let numbers: Result<Vec<u64>> = value.split(|byte| *byte == b',').map(decimal).collect();
                self.map = Some(if value.is_empty() { Vec::new() } else { numbers? });
            }
            b"offset" | b"numbytes" => self.map.get_or_insert_default().push(decimal(value)?),
            _ => {}
        }
        Ok(())
    }
}

/// Splits the first record off: key, value and the rest.
fn record(bytes: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let space = bytes
        .iter()
        .take(20)
        .position(|byte| *byte == b' ')
        .ok_or_else(bad_header)?;
    let length = usize::try_from(decimal(&bytes[..space])?).map_err(|_| bad_header())?;
    if length > bytes.len() || length < space + 3 || bytes[length - 1] != b'\n' {
        return Err(bad_header());
    }
    let body = &bytes[space + 1..length - 1];
    let equals = body.iter().position(|byte| *byte == b'=').ok_or_else(bad_header)?;
    Ok((&body[..equals], &body[equals + 1..], &bytes[length..]))
}

fn name_value(value: &[u8]) -> Result<Vec<u8>> {
    if value.contains(&0) {
        Err(bad_header())
    } else {
        Ok(value.to_vec())
    }
}

pub(super) fn decimal(digits: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(digits).map_err(|_| bad_header())?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad_header());
    }
    text.parse::<u64>()
        .ok()
        .filter(|number| i64::try_from(*number).is_ok())
        .ok_or_else(bad_header)
}

fn signed(digits: &[u8]) -> Result<i64> {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(bad_header)
}

/// `[-]seconds[.fraction]`, any number of fraction digits.
fn time(value: &[u8]) -> Result<Time> {
    let text = std::str::from_utf8(value).map_err(|_| bad_header())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| bad_header())?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid("archive/tar: invalid tar header"));
    }
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanoseconds: u32 = digits.parse().map_err(|_| bad_header())?;
    if whole.starts_with('-') && nanoseconds > 0 {
        let seconds = seconds.checked_sub(1).ok_or_else(bad_header)?;
        return Ok(Time {
            seconds,
            nanoseconds: 1_000_000_000 - nanoseconds,
        });
    }
    Ok(Time { seconds, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read() {
        let mut pax = Pax::default();
        pax.parse(b"12 path=a/b\n21 mtime=-1.25000000\n24 SCHILY.xattr.user.a=\n")
            .expect("good");
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(
            pax.modified,
            Some(Time {
                seconds: -2,
                nanoseconds: 750_000_000
            })
        );
        assert_eq!(pax.xattrs, [(b"user.a".to_vec(), Vec::new())]);
    }

    #[test]
    fn bad_records_are_refused() {
        fn check(bytes: &[u8]) {
            Pax::default().parse(bytes).expect_err("bad");
        }
        check(b"11 path=a/b");
        check(b"13 path=a/b\n");
        check(b"99999999999999999999999 path=a\n");
        check(b"3 \n");
        check(b"-1 path=a\n");
        check(b"12 path=a\0b\n");
        check(b"11 size=-1\n");
        check(b"13 mtime=1.x\n");
    }
}
