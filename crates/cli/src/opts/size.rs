//! Sizes in bytes: reading (`64m`, `1.5GiB`) and writing (`2.06MB`, `23.54GiB`), as Docker's go-units.

/// Reads a size; units are powers of 1024.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    corten_template::size::parse(text, corten_template::size::Base::Binary)
}

/// Checks a size.
pub(crate) fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// Reads a size of swap, where -1 means without limit.
pub(crate) fn parse_swap(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { parse(text) }
}

/// Checks a size of swap.
pub(crate) fn check_swap(text: &str) -> Result<(), String> {
    parse_swap(text).map(drop)
}

/// A size in powers of 1000 with four digits: `2.063MB`.
pub(crate) fn human(bytes: f64) -> String {
    human_digits(bytes, 4)
}

/// A size in powers of 1000 with so many digits.
pub(crate) fn human_digits(bytes: f64, digits: usize) -> String {
    scaled(
        bytes,
        1000.0,
        digits,
        &["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"],
    )
}

/// A size in powers of 1024: `23.54GiB`.
pub(crate) fn binary(bytes: f64) -> String {
    scaled(
        bytes,
        1024.0,
        4,
        &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"],
    )
}

/// A count of bytes as a float, for the functions above.
#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
pub(crate) fn float(bytes: i64) -> f64 {
    bytes as f64
}

fn scaled(mut size: f64, base: f64, digits: usize, units: &[&str]) -> String {
    let mut unit = 0;
    while size >= base && unit + 1 < units.len() {
        size /= base;
        unit += 1;
    }
    format!("{}{}", corten_template::general(size, digits), units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        let check = |text, expected| assert_eq!(parse(text).ok(), expected, "{text}");
        check("64m", Some(64 << 20));
        check("1.5GiB", Some(3 << 29));
        check("32 kb", Some(32 << 10));
        check("7b", Some(7));
        check("0", Some(0));
        assert_eq!(parse("abc").unwrap_err(), "invalid size: 'abc'");
        assert_eq!(parse("3x").unwrap_err(), "invalid suffix: 'x'");
        assert_eq!(parse("-3").unwrap_err(), "invalid size: '-3'");
        assert_eq!(
            parse("1.2.3").unwrap_err(),
            "strconv.ParseFloat: parsing \"1.2.3\": invalid syntax"
        );
    }

    #[test]
    fn writes_sizes() {
        assert_eq!(human(2_063_000.0), "2.063MB");
        assert_eq!(human(0.0), "0B");
        assert_eq!(human(999.0), "999B");
        assert_eq!(human(1000.0), "1kB");
        assert_eq!(human_digits(2_063_000.0, 3), "2.06MB");
        assert_eq!(human_digits(999_900.0, 3), "1e+03kB");
        assert_eq!(binary(25_276_502_016.0), "23.54GiB");
        assert_eq!(corten_template::general(0.00001, 4), "1e-05");
    }
}
