//! How Go writes numbers with a point.

/// As a text has it: the fewest digits that tell the number.
pub(crate) fn shortest(value: f64) -> String {
    match format!("{value:e}").as_str() {
        "inf" => "+Inf".to_owned(),
        "-inf" => "-Inf".to_owned(),
        "NaN" => "NaN".to_owned(),
        scientific => write(scientific),
    }
}

/// As YAML has it, from Rust's scientific form: the exponent begins at 6 already.
pub(crate) fn yaml(scientific: &str) -> String {
    match scientific {
        "inf" => ".inf".to_owned(),
        "-inf" => "-.inf".to_owned(),
        "NaN" => ".nan".to_owned(),
        _ => write(scientific),
    }
}

/// Turns Rust's `1.5e2` into what Go writes, with an exponent below -4 and from 6 on.
fn write(scientific: &str) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific.to_owned();
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return plain(mantissa, exponent);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// The number without an exponent.
fn plain(mantissa: &str, exponent: i32) -> String {
    let (sign, digits) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = digits.chars().filter(|c| *c != '.').collect();
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

/// As JSON has it: an exponent below 1e-6 and from 1e21 on, with no zero before its digit.
pub(crate) fn json(scientific: &str) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific.to_owned();
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-6..21).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{}", exponent.abs());
    }
    plain(mantissa, exponent)
}
