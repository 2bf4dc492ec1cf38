//! Numbers and switches as Go's `strconv` reads them.

use crate::quote;

/// Reads a switch.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", quote(text))),
    }
}

/// Checks a switch.
pub fn check_bool(text: &str) -> Result<(), String> {
    parse_bool(text).map(drop)
}

/// Takes sign and base off a number in Go's notation (`0x1f`, `0b1`, `0o7`, `017`, `1_000`).
fn digits(text: &str) -> (bool, u32, String) {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = rest.to_ascii_lowercase();
    let (base, digits) = if let Some(d) = lower.strip_prefix("0x") {
        (16, d)
    } else if let Some(d) = lower.strip_prefix("0b") {
        (2, d)
    } else if let Some(d) = lower.strip_prefix("0o") {
        (8, d)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    (negative, base, digits.replace('_', ""))
}

fn number_error(function: &str, text: &str, overflow: bool) -> String {
    let why = if overflow {
        "value out of range"
    } else {
        "invalid syntax"
    };
    format!("strconv.{function}: parsing {}: {why}", quote(text))
}

/// Reads a whole number.
pub fn parse_int(text: &str) -> Result<i64, String> {
    let (negative, base, digits) = digits(text);
    let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
    if !valid {
        return Err(number_error("ParseInt", text, false));
    }
    let magnitude = i128::from_str_radix(&digits, base).map_err(|_| number_error("ParseInt", text, true))?;
    let value = if negative { -magnitude } else { magnitude };
    i64::try_from(value).map_err(|_| number_error("ParseInt", text, true))
}

/// Checks a whole number.
pub fn check_int(text: &str) -> Result<(), String> {
    parse_int(text).map(drop)
}

/// Reads a number without sign of at most `max`.
pub fn parse_uint(text: &str, max: u64) -> Result<u64, String> {
    let (negative, base, digits) = digits(text);
    let signed = negative || text.starts_with('+');
    if signed || digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Err(number_error("ParseUint", text, false));
    }
    match u64::from_str_radix(&digits, base) {
        Ok(value) if value <= max => Ok(value),
        _ => Err(number_error("ParseUint", text, true)),
    }
}

/// Checks a 16-bit number.
pub fn check_uint16(text: &str) -> Result<(), String> {
    parse_uint(text, u64::from(u16::MAX)).map(drop)
}

/// Reads `--cpus`: a decimal or a fraction, in units of 10⁻⁹.
pub fn parse_cpus(text: &str) -> Result<i64, String> {
    let bad = || format!("failed to parse {text} as a rational number");
    let (top, bottom) = match text.split_once('/') {
        Some((top, bottom)) => (top, bottom.parse::<i128>().map_err(|_| bad())?),
        None => (text, 1),
    };
    if bottom == 0 {
        return Err(bad());
    }
    let (mantissa, exponent) = match top.split_once(['e', 'E']) {
        Some((m, e)) => (m, e.parse::<i32>().map_err(|_| bad())?),
        None => (top, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if (whole.is_empty() && fraction.is_empty()) || exponent.abs() > 18 || fraction.len() > 18 {
        return Err(bad());
    }
    let all: i128 = format!("{whole}{fraction}").parse().map_err(|_| bad())?;
    let shift = 9 + exponent - i32::try_from(fraction.len()).unwrap_or(0);
    let ten = |power: i32| 10i128.checked_pow(power.unsigned_abs()).ok_or_else(bad);
    let (numerator, denominator) = if shift >= 0 {
        (all.checked_mul(ten(shift)?).ok_or_else(bad)?, bottom)
    } else {
        (all, bottom.checked_mul(ten(shift)?).ok_or_else(bad)?)
    };
    if numerator % denominator != 0 {
        return Err("value is too precise".to_owned());
    }
    let value = i64::try_from(numerator / denominator).map_err(|_| bad())?;
    Ok(if negative { -value } else { value })
}

/// Checks `--cpus`.
pub fn check_cpus(text: &str) -> Result<(), String> {
    parse_cpus(text).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_as_go() {
        assert_eq!(parse_int("0x1F"), Ok(31));
        assert_eq!(parse_int("-017"), Ok(-15));
        assert_eq!(parse_int("1_000"), Ok(1000));
        assert_eq!(
            parse_int("99999999999999999999").unwrap_err(),
            "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"
        );
        assert_eq!(
            parse_uint("70000", 65535).unwrap_err(),
            "strconv.ParseUint: parsing \"70000\": value out of range"
        );
        assert!(parse_uint("-1", 10).is_err());
    }

    #[test]
    fn reads_cpus() {
        let check = |text, expected| assert_eq!(parse_cpus(text).ok(), expected, "{text}");
        check("1.5", Some(1_500_000_000));
        check("0.5", Some(500_000_000));
        check(".25", Some(250_000_000));
        check("1/2", Some(500_000_000));
        check("10000", Some(10_000_000_000_000));
        check("2e-1", Some(200_000_000));
        check("x", None);
        assert_eq!(parse_cpus("x").unwrap_err(), "failed to parse x as a rational number");
        assert_eq!(parse_cpus("0.0000000001").unwrap_err(), "value is too precise");
    }
}
