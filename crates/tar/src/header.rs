//! One 512-byte header: numbers, names and the checksum.

use super::{BLOCK, Device};
use crate::error::{Result, invalid};

/// The fields of a header, names as they stand.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: i64,
    pub(super) gid: i64,
    pub(super) size: i64,
    pub(super) modified: i64,
    pub(super) kind: u8,
    pub(super) link: Vec<u8>,
    pub(super) device: Device,
}

/// A header's bytes.
pub(super) type Block = [u8; BLOCK];

pub(super) fn bad_header() -> std::io::Error {
    invalid("archive/tar: invalid tar header")
}

impl Header {
    /// Reads a header, `None` if it is a block of zeros.
    pub(super) fn parse(block: &Block) -> Result<Option<Self>> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        check_sum(block)?;
        let kind = block[156];
        let has_devices = matches!(kind, b'3' | b'4');
        Ok(Some(Self {
            name: full_name(block),
            mode: u32::try_from(number(&block[100..108])? & 0o7777).unwrap_or_default(),
            uid: number(&block[108..116])?,
            gid: number(&block[116..124])?,
            size: number(&block[124..136])?,
            modified: number(&block[136..148])?,
            kind,
            link: text(&block[157..257]),
            device: if has_devices {
                device(block)?
            } else {
                Device { major: 0, minor: 0 }
            },
        }))
    }
}

fn device(block: &Block) -> Result<Device> {
    let part = |field: &[u8]| number(field).and_then(|n| u32::try_from(n).map_err(|_| bad_header()));
    Ok(Device {
        major: part(&block[329..337])?,
        minor: part(&block[337..345])?,
    })
}

/// The sum of all bytes, the checksum's own counted as spaces; some old programs summed signed bytes.
fn check_sum(block: &Block) -> Result<()> {
    let expected = number(&block[148..156])?;
    let bytes = || {
        block
            .iter()
            .enumerate()
            .map(|(i, b)| if (148..156).contains(&i) { b' ' } else { *b })
    };
    let unsigned: i64 = bytes().map(i64::from).sum();
    if expected == unsigned {
        return Ok(());
    }
    let signed: i64 = bytes().map(|b| i64::from(b.cast_signed())).sum();
    if expected == signed { Ok(()) } else { Err(bad_header()) }
}

/// The name with ustar's or star's prefix; GNU headers use those bytes otherwise.
fn full_name(block: &Block) -> Vec<u8> {
    let name = text(&block[0..100]);
    let prefix = if &block[257..263] == b"ustar\0" {
        let star = &block[508..512] == b"tar\0";
        text(if star { &block[345..476] } else { &block[345..500] })
    } else {
        Vec::new()
    };
    if prefix.is_empty() {
        name
    } else {
        [prefix, name].join(&b'/')
    }
}

/// The bytes before the first NUL.
pub(super) fn text(field: &[u8]) -> Vec<u8> {
    field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// An octal number between spaces and NULs, or a big-endian one with the first bit set (GNU).
pub(super) fn number(field: &[u8]) -> Result<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base256(field),
        Some(_) | None => octal(field),
    }
}

fn octal(field: &[u8]) -> Result<i64> {
    let is_filler = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !is_filler(byte)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(is_filler).unwrap_or(digits.len());
    let mut value: i64 = 0;
    for digit in &digits[..end] {
        if !(b'0'..=b'7').contains(digit) {
            return Err(bad_header());
        }
        value = value
            .checked_mul(8)
            .and_then(|v| v.checked_add(i64::from(digit - b'0')))
            .ok_or_else(bad_header)?;
    }
    Ok(value)
}

/// Two's complement over all but the first bit.
fn base256(field: &[u8]) -> Result<i64> {
    let negative = field[0] & 0x40 != 0;
    let invert = if negative { 0xff } else { 0 };
    let mut value: u64 = 0;
    for (index, byte) in field.iter().enumerate() {
        let mut byte = byte ^ invert;
        if index == 0 {
            byte &= 0x7f;
        }
        if value >> 56 != 0 {
            return Err(bad_header());
        }
        value = value << 8 | u64::from(byte);
    }
    let value = i64::try_from(value).map_err(|_| bad_header())?;
    Ok(if negative { -value - 1 } else { value })
}
