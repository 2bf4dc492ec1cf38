//! What an unquoted word means.

use crate::node::Value;

/// The value of a plain scalar.
pub(crate) fn resolve(text: &str) -> Value {
    let Some(first) = text.as_bytes().first() else {
        return Value::Null;
    };
    if let Some(value) = word(text) {
        return value;
    }
    match first {
        b'.' => decimal(text).map_or_else(|| Value::Text(text.to_owned()), Value::Float),
        b'+' | b'-' | b'0'..=b'9' => number(text),
        _ => Value::Text(text.to_owned()),
    }
}

/// The words that are no texts.
fn word(text: &str) -> Option<Value> {
    Some(match text {
        "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

fn number(text: &str) -> Value {
    if is_time(text) {
        return Value::Time(text.to_owned());
    }
    let plain = text.replace('_', "");
    if let Some(value) = integer(&plain) {
        return Value::Int(value);
    }
    if let Some(value) = decimal(&plain) {
        return Value::Float(value);
    }
    Value::Text(text.to_owned())
}

/// A whole number in the notation that its prefix tells; a leading zero means octal.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let (digits, radix) = match lower.as_deref() {
        Some("0x") => (&digits[2..], 16),
        Some("0o") => (&digits[2..], 8),
        Some("0b") => (&digits[2..], 2),
        _ if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        _ => (digits, 10),
    };
    // A second sign, which the standard library would take, is none.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

/// A number with a point or an exponent, in digits alone.
fn decimal(text: &str) -> Option<f64> {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits_only = body
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    let starts = body.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !digits_only || !starts {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A date, or a date and a time: `2020-1-2`, `2020-01-02T03:04:05Z`, `2020-01-02 03:04:05`.
fn is_time(text: &str) -> bool {
    let date_end = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let (date, time) = text.split_at(date_end);
    let mut parts = date.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let within = |part: &str, max_len: usize, max: u32| {
        (1..=max_len).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_digit())
            && part.parse().is_ok_and(|n: u32| (1..=max).contains(&n))
    };
    let date = year.len() == 4 && within(year, 4, 9999) && within(month, 2, 12) && within(day, 2, 31);
    date && (time.is_empty() || is_clock(&time[1..], !time.starts_with(' ')))
}

/// `3:4:5.6`, followed by a zone where one belongs.
fn is_clock(text: &str, zoned: bool) -> bool {
    let text = match (zoned, text.strip_suffix('Z')) {
        (false, _) => text,
        (true, Some(rest)) => rest,
        (true, None) => match text.rfind(['+', '-']) {
            Some(at) if text[at + 1..].len() == 5 && text[at + 1..].contains(':') => &text[..at],
            _ => return false,
        },
    };
    let parts: Vec<_> = text.split(':').collect();
    let digits = |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let [hours, minutes, seconds] = parts.as_slice() else {
        return false;
    };
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    digits(hours) && digits(minutes) && digits(seconds) && fraction.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_words_mean() {
        let check = |text: &str, expected: Value| assert_eq!(resolve(text), expected, "{text}");
        let text = |text: &str| Value::Text(text.to_owned());
        check("", Value::Null);
        check("~", Value::Null);
        check("yes", text("yes"));
        check("on", text("on"));
        check("True", Value::Bool(true));
        check("0444", Value::Int(0o444));
        check("0o17", Value::Int(15));
        check("0x1F", Value::Int(31));
        check("1_000", Value::Int(1000));
        check("-7", Value::Int(-7));
        check("08", Value::Float(8.0));
        check("1.50", Value::Float(1.5));
        check(".5", Value::Float(0.5));
        check("1e3", Value::Float(1000.0));
        check("22:22", text("22:22"));
        check("12:30:45", text("12:30:45"));
        check("1.2.3", text("1.2.3"));
        check("--5", text("--5"));
        check("2020-01-02", Value::Time("2020-01-02".to_owned()));
        check("2020-01-02T03:04:05Z", Value::Time("2020-01-02T03:04:05Z".to_owned()));
        check("2020-13-02", text("2020-13-02"));
        check("infinity", text("infinity"));
    }
}
