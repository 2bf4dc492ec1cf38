//! `--device`, `--device-cgroup-rule` and limits by device.

use corten_api::container::{DeviceMapping, ThrottleDevice, WeightDevice};

/// Whether a text is a set of the letters `r`, `w`, `m`.
fn is_mode(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| matches!(c, 'r' | 'w' | 'm'))
        && ['r', 'w', 'm'].iter().all(|l| text.matches(*l).count() <= 1)
}

/// Reads `host[:container][:mode]`.
pub(crate) fn parse(text: &str) -> Result<DeviceMapping, String> {
    let parts: Vec<_> = text.split(':').collect();
    if parts.len() > 3 || parts[0].is_empty() {
        return Err(format!("bad format for path: {text}"));
    }
    let (path, mode) = match parts.as_slice() {
        [_, second] if is_mode(second) => (parts[0], *second),
        [_, second] => (*second, "rwm"),
        [_, _, third] if !is_mode(third) => return Err(format!("bad mode specified: {third}")),
        [_, second, third] => (*second, *third),
        _ => (parts[0], "rwm"),
    };
    if !path.starts_with('/') {
        return Err(format!("{path} is not an absolute path"));
    }
    Ok(DeviceMapping {
        path_on_host: parts[0].to_owned(),
        path_in_container: path.to_owned(),
        cgroup_permissions: mode.to_owned(),
    })
}

/// Checks a rule for the device controller: `c 1:3 rwm`.
pub(crate) fn check_cgroup_rule(text: &str) -> Result<(), String> {
    let number = |n: &str| n == "*" || (!n.is_empty() && n.chars().all(|c| c.is_ascii_digit()));
    let parts: Vec<_> = text.split(' ').collect();
    let valid = match parts.as_slice() {
        [kind, numbers, mode] => {
            matches!(*kind, "a" | "b" | "c")
                && numbers.split_once(':').is_some_and(|(a, b)| number(a) && number(b))
                && (1..=3).contains(&mode.len())
                && mode.chars().all(|c| matches!(c, 'r' | 'w' | 'm'))
        }
        _ => false,
    };
    if valid {
        Ok(())
    } else {
        Err(format!("invalid device cgroup format '{text}'"))
    }
}

/// Takes `path:value` apart.
fn path_value(text: &str) -> Result<(&str, &str), String> {
    let (path, value) = text
        .split_once(':')
        .filter(|(path, _)| !path.is_empty())
        .ok_or_else(|| format!("bad format: {text}"))?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    Ok((path, value))
}

/// Reads `--blkio-weight-device`.
pub(crate) fn parse_weight(text: &str) -> Result<WeightDevice, String> {
    let (path, value) = path_value(text)?;
    let weight: u16 = value
        .parse()
        .map_err(|_| format!("invalid weight for device: {text}"))?;
    if weight > 0 && !(10..=1000).contains(&weight) {
        return Err(format!("invalid weight for device: {text}"));
    }
    Ok(WeightDevice {
        path: path.to_owned(),
        weight,
    })
}

/// Checks `--blkio-weight-device`.
pub(crate) fn check_weight(text: &str) -> Result<(), String> {
    parse_weight(text).map(drop)
}

/// Reads a limit in bytes a second.
pub(crate) fn parse_bps(text: &str) -> Result<ThrottleDevice, String> {
    let (path, value) = path_value(text)?;
    let rate = super::size::parse(value).ok().and_then(|r| u64::try_from(r).ok());
    let rate = rate.ok_or_else(|| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        )
    })?;
    Ok(ThrottleDevice {
        path: path.to_owned(),
        rate,
    })
}

/// Checks a limit in bytes a second.
pub(crate) fn check_bps(text: &str) -> Result<(), String> {
    parse_bps(text).map(drop)
}

/// Reads a limit in operations a second.
pub(crate) fn parse_iops(text: &str) -> Result<ThrottleDevice, String> {
    let (path, value) = path_value(text)?;
    let rate = value.parse().map_err(|_| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>. Number must be a positive integer"
        )
    })?;
    Ok(ThrottleDevice {
        path: path.to_owned(),
        rate,
    })
}

/// Checks a limit in operations a second.
pub(crate) fn check_iops(text: &str) -> Result<(), String> {
    parse_iops(text).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_devices() {
        let check = |text, expected: [&str; 3]| {
            let d = parse(text).unwrap();
            assert_eq!(
                [&*d.path_on_host, &*d.path_in_container, &*d.cgroup_permissions],
                expected
            );
        };
        check("/dev/null", ["/dev/null", "/dev/null", "rwm"]);
        check("/dev/null:r", ["/dev/null", "/dev/null", "r"]);
        check("/dev/null:/x", ["/dev/null", "/x", "rwm"]);
        check("/dev/null:/x:rw", ["/dev/null", "/x", "rw"]);
        let refuse = |text, expected| assert_eq!(parse(text).unwrap_err(), expected);
        refuse("/dev/null:/x:zzz", "bad mode specified: zzz");
        refuse("null", "null is not an absolute path");
        refuse("a:b:c:d", "bad format for path: a:b:c:d");
    }

    #[test]
    fn reads_limits() {
        assert_eq!(parse_bps("a").unwrap_err(), "bad format: a");
        assert_eq!(parse_weight("a:5").unwrap_err(), "bad format for device path: a:5");
        assert_eq!(parse_bps("/dev/sda:1mb").unwrap().rate, 1 << 20);
        assert_eq!(
            check_cgroup_rule("abc").unwrap_err(),
            "invalid device cgroup format 'abc'"
        );
        assert!(check_cgroup_rule("c 1:* rw").is_ok());
    }
}
