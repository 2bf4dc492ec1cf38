//! `--storage-opt size`: a bound on what a container writes, by quotas of the file system below.

use std::path::Path;

use corten_api::container::HostConfig;

use crate::error::{Error, Result};

/// Reads and checks the options for a container's root; returns its size in bytes, if it has one.
///
/// # Errors
/// `Invalid` for other options and sizes that are none; `Internal`, as Docker answers, where the data root
/// is on a file system without project quotas.
pub(super) fn size(host: &HostConfig, data_root: &Path) -> Result<Option<u64>> {
    let mut size = None;
    for (name, value) in host.storage_opt.iter().flatten() {
        if !name.eq_ignore_ascii_case("size") {
            return Err(Error::invalid(format!("Unknown option {name}")));
        }
        size = Some(bytes(value).ok_or_else(|| Error::invalid(format!("invalid size: '{value}'")))?);
    }
    if size.is_some() && !has_quotas(data_root) {
        return Err(Error::internal(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
        ));
    }
    Ok(size)
}

/// `10g`, `1.5GB`, `4096`: in units of 1024 (`go-units`, `RAMInBytes`).
fn bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let end = lower
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let power = match unit.trim_start().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let scale = 1024_u64.checked_pow(power)?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let digits: String = part.chars().take(9).collect();
    let part = match digits.as_str() {
        "" => 0,
        digits => {
            let of = 10_u64.checked_pow(u32::try_from(digits.len()).ok()?)?;
            u64::try_from(u128::from(digits.parse::<u64>().ok()?) * u128::from(scale) / u128::from(of)).ok()?
        }
    };
    whole.checked_add(part)
}

/// Whether a folder is on XFS with project quotas.
fn has_quotas(folder: &Path) -> bool {
    let table = corten_sys::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let nearest = table
        .lines()
        .filter(|line| line.split(' ').nth(4).is_some_and(|place| folder.starts_with(place)))
        .max_by_key(|line| line.split(' ').nth(4).map(str::len));
    nearest.is_some_and(|line| line.contains(" - xfs ") && (line.contains("prjquota") || line.contains("pquota")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, expected) in [
            ("4096", 4096),
            ("20m", 20 << 20),
            ("1.5g", 3 << 29),
            ("2GiB", 2 << 30),
            ("1 kb", 1024),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in ["", "m", "-1", "1x", "1.2.3", "99999999p"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
