//! Finding the place in a log where reading begins, without reading what comes before.

use corten_api::time::Time;

use super::{
    entry::time_of,
    files::{Listed, Open},
};
use crate::error::Result;

/// How much is read at once going back.
const STEP: u64 = 64 << 10;
/// A range of a file that is read through rather than bisected.
const SMALL: u64 = 64 << 10;
/// How much is read at a point of a bisection: two of the longest lines as JSON.
const PROBE: usize = 256 << 10;
/// How far the times of neighbouring lines may be out of order, in nanoseconds: pieces of a long line
/// have the time of its first one.
const DISORDER: i64 = 2_000_000_000;

/// The place from which `lines` lines are left, over as many files as it takes.
pub(super) fn tail(files: &[Listed], lines: usize) -> Result<Option<Open>> {
    let mut left = lines;
    let mut last = None;
    for file in files {
        let Some(mut open) = Open::new(file)? else { continue };
        let found = back(&mut open, &mut left)?;
        last = Some(open);
        if found {
            break;
        }
    }
    Ok(last)
}

/// Goes back from the end over `left` line ends, and counts those that were found off it; returns
/// whether all were.
fn back(file: &mut Open, left: &mut usize) -> Result<bool> {
    let mut end = file.size()?;
    // The line end of the last line is not one before it.
    let mut wanted = left.saturating_add(1);
    let mut chunk = vec![0; usize::try_from(STEP).unwrap_or(0)];
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let part = &mut chunk[..usize::try_from(end - start).unwrap_or(0)];
        let length = file.read_at(start, part)?;
        for (offset, _) in part[..length]
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, byte)| **byte == b'\n')
        {
            wanted -= 1;
            if wanted == 0 {
                file.seek(start + offset as u64 + 1)?;
                *left = 0;
                return Ok(true);
            }
        }
        end = start;
    }
    file.seek(0)?;
    // All lines of this file were passed; the first has no line end before it.
    *left = wanted.saturating_sub(1);
    Ok(*left == 0)
}

/// A place at or before the first line of a time: whole files are skipped by their first lines, and the
/// place within one is bisected.
pub(super) fn since(files: &[Listed], time: Time) -> Result<Option<Open>> {
    let time = Time::from_nanoseconds(time.nanoseconds().saturating_sub(DISORDER));
    for (place, file) in files.iter().enumerate() {
        let is_oldest = place + 1 == files.len();
        if !is_oldest && file.first()?.is_none_or(|first| first >= time) {
            continue;
        }
        // A compressed file may say that it ends before; then the one after it is read from its beginning.
        if place > 0 && file.last()?.is_some_and(|last| last < time) {
            return Open::new(&files[place - 1]);
        }
        let Some(mut open) = Open::new(file)? else { continue };
        let offset = bisect(&open, time)?;
        open.seek(offset)?;
        return Ok(Some(open));
    }
    Ok(None)
}

/// The beginning of a line that is not after the first one of a time, and not long before it.
fn bisect(file: &Open, time: Time) -> Result<u64> {
    let (mut low, mut high) = (0, file.size()?);
    let mut probe = vec![0; PROBE];
    while high.saturating_sub(low) > SMALL {
        let middle = low + (high - low) / 2;
        let length = file.read_at(middle, &mut probe)?;
        let Some((begin, end)) = whole_line(&probe[..length]) else {
            break;
        };
        match time_of(&probe[begin..end]) {
            Some(found) if found < time => low = middle + begin as u64,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The first line that is all there, after the rest of one.
fn whole_line(bytes: &[u8]) -> Option<(usize, usize)> {
    let begin = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    let length = bytes[begin..].iter().position(|byte| *byte == b'\n')? + 1;
    Some((begin, begin + length))
}

/// The beginning of the first line of the last so many bytes.
pub(super) fn last(files: &[Listed], bytes: u64) -> Result<Option<Open>> {
    let mut left = bytes;
    let mut oldest = None;
    for file in files {
        let Some(mut open) = Open::new(file)? else { continue };
        let size = open.size()?;
        if size > left {
            let offset = size - left;
            open.seek(offset)?;
            let mut probe = vec![0; PROBE];
            let length = open.read_at(offset, &mut probe)?;
            let end = probe[..length].iter().position(|byte| *byte == b'\n');
            open.seek(offset + end.map_or(length, |end| end + 1) as u64)?;
            return Ok(Some(open));
        }
        left -= size;
        oldest = Some(open);
    }
    Ok(oldest)
}
