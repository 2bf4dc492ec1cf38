//! Sizes in bytes, as Docker's go-units reads them: `64m`, `1.5GiB`.

use crate::quote;

/// What a `k` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// 1024 (Docker's `RAMInBytes`).
    Binary,
    /// 1000 (Docker's `FromHumanSize`).
    Decimal,
}

/// Reads a size in bytes.
///
/// # Errors
/// Docker's text: `invalid size: 'x'`.
pub fn parse(text: &str, base: Base) -> Result<i64, String> {
    let invalid = || format!("invalid size: '{text}'");
    let last = text
        .rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')
        .ok_or_else(invalid)?;
    let suffix = &text[last + 1..];
    let number = if text.as_bytes()[last] == b' ' {
        &text[..last]
    } else {
        &text[..=last]
    };
    let value: f64 = number
        .parse()
        .map_err(|_| format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(number)))?;
    if value < 0.0 {
        return Err(invalid());
    }
    let suffix = if suffix.len() <= 3 {
        suffix.to_ascii_lowercase()
    } else {
        suffix.to_owned()
    };
    let power = match suffix.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return Err(format!("invalid suffix: '{suffix}'")),
    };
    let base: f64 = match base {
        Base::Binary => 1024.0,
        Base::Decimal => 1000.0,
    };
    Ok(truncate(value * base.powi(power)))
}

/// The whole part of a number, kept within range.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float cast saturates, which is what is wanted"
)]
fn truncate(value: f64) -> i64 {
    value as i64
}
