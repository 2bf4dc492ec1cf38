//! Values of what is written down in a template: numbers, characters, strings.

use super::tree::Operand;

/// The value of a number; none when it is none.
pub(super) fn number(text: &str) -> Option<Operand> {
    if let Ok(n) = crate::number::parse_int(text) {
        return Some(Operand::Int(n, text.to_owned()));
    }
    let n: f64 = text.replace('_', "").parse().ok()?;
    n.is_finite().then(|| Operand::Float(n, text.to_owned()))
}

/// The value of a character in quotes.
pub(super) fn character(text: &str) -> Option<Operand> {
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let inner = if inner == "\\'" { "'" } else { inner };
    let value = unquote(&format!("\"{}\"", inner.replace('"', "\\\""))).ok()?;
    let mut chars = value.chars();
    let c = chars.next()?;
    chars
        .next()
        .is_none()
        .then(|| Operand::Int(i64::from(u32::from(c)), text.to_owned()))
}

/// The value of a quoted string (Go's `strconv.Unquote`).
pub(super) fn unquote(text: &str) -> Result<String, String> {
    if let Some(raw) = text.strip_prefix('`') {
        return Ok(raw.trim_end_matches('`').replace('\r', ""));
    }
    let invalid = || "invalid syntax".to_owned();
    let inner = text
        .strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .ok_or_else(invalid)?;
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let escaped = match chars.next().ok_or_else(invalid)? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '\\' => '\\',
            '"' => '"',
            'x' => code(&mut chars, 2).ok_or_else(invalid)?,
            'u' => code(&mut chars, 4).ok_or_else(invalid)?,
            'U' => code(&mut chars, 8).ok_or_else(invalid)?,
            _ => return Err(invalid()),
        };
        out.push(escaped);
    }
    Ok(out)
}

fn code(chars: &mut std::str::Chars<'_>, length: usize) -> Option<char> {
    let digits: String = chars.take(length).collect();
    if digits.len() < length {
        return None;
    }
    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
}
