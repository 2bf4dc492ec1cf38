//! Numbers and `printf` as Go's `fmt` writes them.

use super::value::Value;

/// A float in its shortest form (`%v`).
pub(crate) fn shortest(n: f64) -> String {
    if n.is_nan() {
        return "NaN".to_owned();
    }
    if n.is_infinite() {
        return if n > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if n == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{n:e}");
    let exponent: i32 = scientific
        .split_once('e')
        .and_then(|(_, e)| e.parse().ok())
        .unwrap_or(0);
    if !(-4..21).contains(&exponent) {
        return exponent_form(&scientific);
    }
    format!("{n}")
}

/// `1.5e7` as `1.5e+07`.
fn exponent_form(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// One `%` directive.
#[derive(Debug, Default)]
struct Directive {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Go's `Sprintf`.
pub(crate) fn printf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut args = args.iter();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive = Directive::default();
        while let Some(flag) = rest.next_if(|c| matches!(c, '-' | '+' | '#' | ' ' | '0')) {
            match flag {
                '-' => directive.minus = true,
                '+' => directive.plus = true,
                '#' => directive.sharp = true,
                ' ' => directive.space = true,
                _ => directive.zero = true,
            }
        }
        directive.width = number(&mut rest, &mut args);
        if rest.next_if_eq(&'.').is_some() {
            directive.precision = Some(number(&mut rest, &mut args).unwrap_or(0));
        }
        match rest.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match args.next() {
                Some(value) => out.push_str(&one(&directive, verb, value)),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
        }
    }
    let extra: Vec<_> = args.map(|v| format!("{}={}", v.kind(), v.print_inner())).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

/// The largest width or precision that is honoured.
const MAX_WIDTH: usize = 10_000;

fn number<'a>(
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
    args: &mut impl Iterator<Item = &'a Value>,
) -> Option<usize> {
    if rest.next_if_eq(&'*').is_some() {
        return match args.next() {
            Some(Value::Int(n)) => usize::try_from(*n).ok().map(|n| n.min(MAX_WIDTH)),
            _ => None,
        };
    }
    let mut digits = String::new();
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    digits.parse::<usize>().ok().map(|n| n.min(MAX_WIDTH))
}

fn one(directive: &Directive, verb: char, value: &Value) -> String {
    let text = match (verb, value) {
        ('v', value) if directive.sharp => value.json_text(),
        ('v', value) => value.print_inner(),
        ('T', value) => value.kind().to_owned(),
        ('t', Value::Bool(on)) => on.to_string(),
        ('s' | 'q' | 'x' | 'X', Value::Str(text)) => string(directive, verb, text),
        ('s', value @ (Value::List(_) | Value::Map(_) | Value::NilList | Value::NilMap | Value::Struct(_))) => {
            value.print_inner()
        }
        ('q', Value::List(items)) => {
            let items: Vec<_> = items.iter().map(|v| one(&Directive::default(), 'q', v)).collect();
            format!("[{}]", items.join(" "))
        }
        ('d' | 'b' | 'o' | 'x' | 'X' | 'c' | 'q' | 'U', Value::Int(n)) => integer(directive, verb, *n),
        ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Float(n)) => float(directive, verb, *n),
        (verb, Value::Nil) => format!("%!{verb}(<nil>)"),
        (verb, value) => format!("%!{verb}({}={})", value.kind(), value.print_inner()),
    };
    pad(directive, text, matches!(value, Value::Int(_) | Value::Float(_)))
}

fn string(directive: &Directive, verb: char, text: &str) -> String {
    let cut: String = match directive.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    match verb {
        'q' => crate::quote(&cut),
        'x' => cut.bytes().map(|b| format!("{b:02x}")).collect(),
        'X' => cut.bytes().map(|b| format!("{b:02X}")).collect(),
        _ => cut,
    }
}

fn integer(directive: &Directive, verb: char, n: i64) -> String {
    let magnitude = n.unsigned_abs();
    let digits = match verb {
        'b' => format!("{magnitude:b}"),
        'o' => format!("{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(magnitude)
                .ok()
                .and_then(char::from_u32)
                .unwrap_or('\u{fffd}');
            return match verb {
                'c' => c.to_string(),
                'q' => format!("'{c}'"),
                _ => format!("U+{magnitude:04X}"),
            };
        }
        _ => magnitude.to_string(),
    };
    let prefix = match (directive.sharp, verb) {
        (true, 'x') => "0x",
        (true, 'X') => "0X",
        (true, 'o') => "0",
        (true, 'b') => "0b",
        _ => "",
    };
    format!("{}{prefix}{digits}", sign(directive, n < 0))
}

fn sign(directive: &Directive, negative: bool) -> &'static str {
    match (negative, directive.plus, directive.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    }
}

fn float(directive: &Directive, verb: char, n: f64) -> String {
    let magnitude = n.abs();
    let precision = directive.precision.unwrap_or(6);
    let text = match verb {
        'f' | 'F' => format!("{magnitude:.precision$}"),
        'e' | 'E' => exponent_form(&format!("{magnitude:.precision$e}")),
        _ => match directive.precision {
            Some(precision) => general(magnitude, precision),
            None => shortest(magnitude),
        },
    };
    let text = if verb.is_uppercase() { text.to_uppercase() } else { text };
    format!("{}{text}", sign(directive, n.is_sign_negative() && n != 0.0))
}

fn pad(directive: &Directive, text: String, numeric: bool) -> String {
    let width = directive.width.unwrap_or(0);
    let missing = width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if directive.minus {
        return format!("{text}{}", " ".repeat(missing));
    }
    if directive.zero && numeric {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => text.split_at(text.len() - digits.len()),
            None => ("", text.as_str()),
        };
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    format!("{}{text}", " ".repeat(missing))
}

/// A number with so many significant digits, as C's `%.*g`.
#[must_use]
pub fn general(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = digits.max(1);
    let scientific = format!("{:.*e}", digits - 1, value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let limit = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= limit {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim_zeros(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(limit - 1 - exponent).unwrap_or(0);
    trim_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn trim_zeros(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_go() {
        let check = |format: &str, args: &[Value], expected: &str| assert_eq!(printf(format, args), expected);
        check(
            "%05d|%-5d|%+d|%x",
            &[Value::Int(42), Value::Int(7), Value::Int(1), Value::Int(255)],
            "00042|7    |+1|ff",
        );
        check(
            "%.2f %g %e %v",
            &[
                Value::Float(1.0),
                Value::Float(0.5),
                Value::Float(1.5),
                Value::Float(1e21),
            ],
            "1.00 0.5 1.500000e+00 1e+21",
        );
        check(
            "%q %.1s %x %%",
            &["a\"".into(), "xyz".into(), "hi".into()],
            "\"a\\\"\" x 6869 %",
        );
        check("%d", &["a".into()], "%!d(string=a)");
        check("%s", &[], "%!s(MISSING)");
        check("x", &[Value::Int(1)], "x%!(EXTRA int=1)");
        check("%5v|%t", &[Value::Bool(true), Value::Bool(false)], " true|false");
    }
}
