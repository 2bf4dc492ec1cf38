//! Ranges: of blobs that are fetched (RFC 9110 §14) and of chunks that are sent (OCI distribution-spec 1.1).

/// Which bytes of a blob are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All, as nothing else is said, or nothing that we know.
    All,
    /// From an offset, so many.
    Some(u64, u64),
    /// None of those that there are.
    Beyond,
}

/// Reads `Range: bytes=0-99`. Several ranges at once are answered with the whole, as is allowed.
pub(crate) fn wanted(text: &str, size: u64) -> Wanted {
    let Some(range) = text.trim().strip_prefix("bytes=") else {
        return Wanted::All;
    };
    let Some((first, last)) = range.trim().split_once('-') else {
        return Wanted::All;
    };
    let number = |text: &str| -> Option<u64> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More than there can be is as good as the largest number.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last), first, last) {
        // Invalid, which may be refused (RFC 9110 §14.2), and is by what checks registries.
        (Some(first), Some(last), ..) if first > last => Wanted::Beyond,
        (Some(first), ..) if first >= size && (last.is_empty() || number(last).is_some()) => Wanted::Beyond,
        (Some(first), Some(last), ..) => Wanted::Some(first, last.min(size - 1) - first + 1),
        (Some(first), None, _, "") => Wanted::Some(first, size - first),
        (None, Some(0), "", _) => Wanted::Beyond,
        (None, Some(_), "", _) if size == 0 => Wanted::Beyond,
        (None, Some(count), "", _) => Wanted::Some(size.saturating_sub(count), count.min(size)),
        _ => Wanted::All,
    }
}

/// Reads `Content-Range: 0-99` of a chunk: its first byte, and how many.
pub(crate) fn chunk(text: &str) -> Option<(u64, u64)> {
    let text = text.trim();
    // Some clients write it as HTTP has it for answers.
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let text = text.split('/').next().unwrap_or(text);
    let (first, last) = text.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return None;
    }
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let count = last.checked_sub(first)?.checked_add(1)?;
    Some((first, count))
}

/// What has been received, as `Range` says it: both ends included, so nothing is `0-0` too.
pub(crate) fn received(length: u64) -> String {
    format!("0-{}", length.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_ranges_are_cut_to_what_there_is() {
        let check = |text: &str, expected: Wanted| assert_eq!(wanted(text, 10), expected, "{text}");
        check("", Wanted::All);
        check("bytes=0-4", Wanted::Some(0, 5));
        check("bytes=5-", Wanted::Some(5, 5));
        check("bytes=5-99", Wanted::Some(5, 5));
        check("bytes=9-9", Wanted::Some(9, 1));
        check("bytes=10-", Wanted::Beyond);
        check("bytes=10-12", Wanted::Beyond);
        check("bytes=-3", Wanted::Some(7, 3));
        check("bytes=-30", Wanted::Some(0, 10));
        check("bytes=-0", Wanted::Beyond);
        check("bytes=4-2", Wanted::Beyond);
        check("bytes=0-1,3-4", Wanted::All);
        check("bytes=-", Wanted::All);
        check("bytes=a-b", Wanted::All);
        check("items=0-4", Wanted::All);
        check("bytes=99999999999999999999999-", Wanted::Beyond);
        assert_eq!(wanted("bytes=0-", 0), Wanted::Beyond);
    }

    #[test]
    fn chunks_are_read() {
        assert_eq!(chunk("0-99"), Some((0, 100)));
        assert_eq!(chunk("bytes 5-5/6"), Some((5, 1)));
        for bad in ["", "-", "5", "5-", "-5", "6-5", "a-b", "0-18446744073709551615", "+1-2"] {
            assert_eq!(chunk(bad), None, "{bad}");
        }
        assert_eq!(received(0), "0-0");
        assert_eq!(received(100), "0-99");
    }
}
