//! A place in a log: lines from there to the end, over rotations.

use std::{fs::File, path::Path, sync::Arc};

use corten_api::time::Time;
use serde::{Deserialize, Serialize};

use super::{
    files::{Listed, Open, list},
    seek,
};
use crate::error::Result;

/// How much is read at once.
const CHUNK: usize = 128 << 10;
/// How often a file is looked for that rotations take away again.
const TRIES: usize = 8;

/// Where to begin.
#[derive(Debug, Clone)]
pub(in crate::containers) enum From {
    /// At the first line.
    Beginning,
    /// So many lines from the end.
    Tail(usize),
    /// Not after the first line of this time.
    Since(Time),
    /// At the first line of the last so many bytes.
    Last(u64),
    /// Where another reader was.
    Position(Position),
}

/// A place that can be kept, and found again after rotations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::containers) struct Position {
    /// The file's inode.
    pub(in crate::containers) inode: u64,
    /// The time of the file's first line.
    pub(in crate::containers) first: Option<Time>,
    /// Bytes from its beginning.
    pub(in crate::containers) offset: u64,
}

/// A reader's place.
#[derive(Debug)]
pub(in crate::containers) struct Cursor {
    path: Arc<Path>,
    /// The file that is being read; none before the first one appears.
    current: Option<Open>,
    /// The file after it, as far as it was seen.
    successor: Option<(u64, Option<Time>)>,
    /// Bytes read: whole lines that were handed out, then the beginning of the next.
    buffer: Vec<u8>,
    /// How much of the buffer was handed out.
    handed: usize,
    gap: bool,
}

impl Cursor {
    /// Finds a place.
    pub(in crate::containers) fn open(path: &Arc<Path>, from: &From) -> Result<Self> {
        let mut cursor = Self::idle(path);
        let files = list(path)?;
        cursor.current = match from {
            From::Beginning => oldest(&files)?,
            From::Tail(lines) => seek::tail(&files, *lines)?,
            From::Since(time) => seek::since(&files, *time)?,
            From::Last(bytes) => seek::last(&files, *bytes)?,
            From::Position(position) => cursor.return_to(&files, position)?,
        };
        Ok(cursor)
    }

    /// Begins with a file that is open already, wherever it is by now.
    pub(in crate::containers) fn holding(path: &Arc<Path>, file: File) -> Result<Self> {
        Ok(Self {
            current: Some(Open::held(file)?),
            ..Self::idle(path)
        })
    }

    /// A reader that has not begun.
    pub(in crate::containers) fn idle(path: &Arc<Path>) -> Self {
        Self {
            path: Arc::clone(path),
            current: None,
            successor: None,
            buffer: Vec::new(),
            handed: 0,
            gap: false,
        }
    }

    /// Finds the file of a position again; when it is gone, begins with the oldest one.
    fn return_to(&mut self, files: &[Listed], position: &Position) -> Result<Option<Open>> {
        if let Some(place) = place(files, position)?
            && let Some(mut open) = Open::new(&files[place])?
            // It was cut, or replaced by one that is like it.
            && open.size()? >= position.offset
        {
            open.seek(position.offset)?;
            return Ok(Some(open));
        }
        self.gap = true;
        oldest(files)
    }

    /// The next whole lines; none at the end of the newest file.
    pub(in crate::containers) fn next_lines(&mut self) -> Result<Option<&[u8]>> {
        self.buffer.drain(..self.handed);
        self.handed = 0;
        loop {
            if self.fill()? == 0 && !self.advance()? {
                return Ok(None);
            }
            if let Some(end) = self.buffer.iter().rposition(|byte| *byte == b'\n') {
                self.handed = end + 1;
                return Ok(Some(&self.buffer[..self.handed]));
            }
        }
    }

    /// Where the first of the lines that were handed out begins.
    pub(in crate::containers) fn position(&mut self) -> Option<Position> {
        let buffered = self.buffer.len() as u64;
        self.current.as_mut().map(|current| Position {
            inode: current.inode,
            first: current.first(),
            offset: current.offset - buffered,
        })
    }

    /// Whether files were taken away before they were read, since this was last asked.
    pub(in crate::containers) fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.gap)
    }

    /// Takes note of the file that comes next, so that it is known later whether it was missed.
    pub(in crate::containers) fn look_ahead(&mut self) -> Result<()> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        let files = list(&self.path)?;
        let next = match held(&files, current)? {
            None | Some(0) => return Ok(()),
            Some(place) => &files[place - 1],
        };
        if self
            .successor
            .is_none_or(|(inode, first)| inode != next.inode || first.is_none())
        {
            self.successor = Some((next.inode, next.first()?));
        }
        Ok(())
    }

    /// How many files there are.
    pub(in crate::containers) fn files(&self) -> Result<usize> {
        Ok(list(&self.path)?.len())
    }

    /// How many bytes, compressed or not, come after the lines that were handed out.
    pub(in crate::containers) fn ahead(&mut self) -> Result<u64> {
        let files = list(&self.path)?;
        let Some(current) = &mut self.current else {
            return Ok(files.iter().map(|file| file.size).sum());
        };
        let place = held(&files, current)?.unwrap_or(files.len());
        let newer: u64 = files[..place].iter().map(|file| file.size).sum();
        Ok(newer + current.size()?.saturating_sub(current.offset))
    }

    /// Goes on in another folder, to which the files were moved.
    pub(in crate::containers) fn follow_to(&mut self, path: Arc<Path>) {
        self.path = path;
    }

    fn fill(&mut self) -> Result<usize> {
        let Some(current) = &mut self.current else { return Ok(0) };
        let filled = self.buffer.len();
        self.buffer.resize(filled + CHUNK, 0);
        let result = current.read(&mut self.buffer[filled..]);
        self.buffer.truncate(filled + *result.as_ref().unwrap_or(&0));
        Ok(result?)
    }

    /// Goes on to the file after this one; returns whether there is more to read now.
    fn advance(&mut self) -> Result<bool> {
        for _ in 0..TRIES {
            let files = list(&self.path)?;
            let Some((next, missed)) = self.next(&files)? else {
                return Ok(false);
            };
            let Some(opened) = Open::new(next)? else { continue };
            // Lines may have been written between the last read and the rotation.
            if self.fill()? > 0 {
                return Ok(true);
            }
            // What a file has without a line end is no line.
            self.buffer.clear();
            self.gap |= missed;
            self.successor = None;
            self.current = Some(opened);
            return Ok(true);
        }
        // Files come and go faster than they can be opened: the next change brings us back here.
        Ok(false)
    }

    /// The file after this one, and whether some between were missed.
    fn next<'f>(&mut self, files: &'f [Listed]) -> Result<Option<(&'f Listed, bool)>> {
        let Some(current) = &mut self.current else {
            return Ok(files.last().map(|file| (file, false)));
        };
        match held(files, current)? {
            Some(0) => Ok(None),
            Some(place) => Ok(Some((&files[place - 1], false))),
            // It was deleted, as the oldest: all that is left is newer.
            None => {
                let Some(next) = files.last() else { return Ok(None) };
                let expected = match self.successor {
                    Some((inode, _)) if inode == next.inode => true,
                    Some((_, Some(first))) => next.first()? == Some(first),
                    _ => false,
                };
                Ok(Some((next, !expected)))
            }
        }
    }
}

fn oldest(files: &[Listed]) -> Result<Option<Open>> {
    Ok(files.last().map(Open::new).transpose()?.flatten())
}

/// Which of the files is the one that is held open, and whose inode therefore means no other.
fn held(files: &[Listed], current: &mut Open) -> Result<Option<usize>> {
    match files.iter().position(|file| file.inode == current.inode) {
        None => compressed(files, current.first()),
        found => Ok(found),
    }
}

/// Which of the files is that of a position.
fn place(files: &[Listed], position: &Position) -> Result<Option<usize>> {
    for (place, file) in files.iter().enumerate() {
        // Inodes are used again: the first line tells, or that a file without one had none before it.
        let is_same = match position.first {
            None => place + 1 == files.len(),
            first => file.first()? == first,
        };
        if file.inode == position.inode && is_same {
            return Ok(Some(place));
        }
    }
    compressed(files, position.first)
}

/// Which of the files begins with the line of this time: it has another inode once it is compressed.
fn compressed(files: &[Listed], first: Option<Time>) -> Result<Option<usize>> {
    if first.is_none() {
        return Ok(None);
    }
    for (place, file) in files.iter().enumerate() {
        if file.first()? == first {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, files: &[(&str, &str)]) -> (Self, Arc<Path>) {
            let folder = std::env::temp_dir().join(format!("corten-logs-{}-{name}", std::process::id()));
            corten_sys::fs::create_dir_all(&folder).unwrap();
            for (file, text) in files {
                corten_sys::fs::write(folder.join(file), text).unwrap();
            }
            let path = folder.join("x.log").into();
            (Self(folder), path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = corten_sys::fs::remove_dir_all(&self.0);
        }
    }

    fn rest(cursor: &mut Cursor) -> String {
        let mut text = String::new();
        while let Some(lines) = cursor.next_lines().unwrap() {
            text.push_str(std::str::from_utf8(lines).unwrap());
        }
        text
    }

    #[test]
    fn reads_over_rotated_files() {
        let (_folder, path) = Folder::new(
            "order",
            &[("x.log", "5\n6\n"), ("x.log.1", "3\n4\n"), ("x.log.2", "1\n2\n")],
        );
        let check = |tail: Option<usize>, expected: &str| {
            assert_eq!(
                rest(&mut Cursor::open(&path, &tail.map_or(From::Beginning, From::Tail)).unwrap()),
                expected,
                "{tail:?}"
            )
        };
        check(None, "1\n2\n3\n4\n5\n6\n");
        check(Some(0), "");
        check(Some(1), "6\n");
        check(Some(2), "5\n6\n");
        check(Some(3), "4\n5\n6\n");
        check(Some(5), "2\n3\n4\n5\n6\n");
        check(Some(99), "1\n2\n3\n4\n5\n6\n");
    }

    #[test]
    fn goes_on_after_a_rotation() {
        let (folder, path) = Folder::new("rotation", &[("x.log", "1\n")]);
        let mut cursor = Cursor::open(&path, &From::Beginning).unwrap();
        assert_eq!(rest(&mut cursor), "1\n");
        corten_sys::fs::write(folder.0.join("x.log"), "1\n2\n").unwrap();
        corten_sys::fs::rename(folder.0.join("x.log"), folder.0.join("x.log.1")).unwrap();
        corten_sys::fs::write(folder.0.join("x.log"), "3\nunfinished").unwrap();
        assert_eq!(rest(&mut cursor), "2\n3\n");
        assert_eq!(rest(&mut cursor), "");
    }

    #[test]
    fn a_log_may_come_later() {
        let (folder, path) = Folder::new("later", &[]);
        let mut cursor = Cursor::open(&path, &From::Tail(3)).unwrap();
        assert_eq!(rest(&mut cursor), "");
        corten_sys::fs::write(folder.0.join("x.log"), "1\n").unwrap();
        assert_eq!(rest(&mut cursor), "1\n");
    }

    fn line(second: i64) -> String {
        let time = Time::from_nanoseconds(second * 1_000_000_000);
        format!("{{\"log\":\"{second}\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}\n")
    }

    fn lines(seconds: std::ops::Range<i64>) -> String {
        seconds.map(line).collect()
    }

    #[test]
    fn a_time_is_found_without_reading_what_is_before() {
        let (_folder, path) = Folder::new(
            "since",
            &[
                ("x.log", &lines(20_000..30_000)),
                ("x.log.1", &lines(10_000..20_000)),
                ("x.log.2", &lines(0..10_000)),
            ],
        );
        for second in [0, 1, 9_999, 10_000, 14_321, 19_999, 20_000, 29_999, 40_000] {
            let since = From::Since(Time::from_nanoseconds(second * 1_000_000_000));
            let text = rest(&mut Cursor::open(&path, &since).unwrap());
            let wanted = lines(second.min(30_000)..30_000);
            assert!(text.ends_with(&wanted), "{second}");
            assert!(text.len() - wanted.len() < 128 << 10, "{second}: {} bytes", text.len());
        }
    }

    #[test]
    fn a_position_is_found_again() {
        let (folder, path) = Folder::new("position", &[("x.log", &lines(0..3))]);
        let mut cursor = Cursor::open(&path, &From::Beginning).unwrap();
        cursor.next_lines().unwrap();
        assert!(cursor.next_lines().unwrap().is_none());
        let position = cursor.position().unwrap();
        drop(cursor);
        let again = || {
            let mut cursor = Cursor::open(&path, &From::Position(position)).unwrap();
            (rest(&mut cursor), cursor.take_gap())
        };
        assert_eq!(again(), (String::new(), false));
        let at = |name: &str| folder.0.join(name);
        corten_sys::fs::write(at("x.log"), lines(0..5)).unwrap();
        corten_sys::fs::rename(at("x.log"), at("x.log.1")).unwrap();
        corten_sys::fs::write(at("x.log"), lines(5..7)).unwrap();
        assert_eq!(again(), (lines(3..7), false));
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, lines(0..5).as_bytes()).unwrap();
        corten_sys::fs::write(at("x.log.1.gz"), packed.finish().unwrap()).unwrap();
        corten_sys::fs::remove_file(at("x.log.1")).unwrap();
        assert_eq!(again(), (lines(3..7), false));
        corten_sys::fs::remove_file(at("x.log.1.gz")).unwrap();
        assert_eq!(again(), (lines(5..7), true));
    }

    #[test]
    fn a_file_that_was_missed_is_told() {
        let (folder, path) = Folder::new("missed", &[("x.log", &lines(0..1))]);
        let at = |name: &str| folder.0.join(name);
        let rotate = |newest: &str| {
            corten_sys::fs::rename(at("x.log"), at("x.log.1")).unwrap();
            corten_sys::fs::write(at("x.log"), newest).unwrap();
        };
        let mut cursor = Cursor::open(&path, &From::Beginning).unwrap();
        cursor.next_lines().unwrap();
        rotate(&lines(1..2));
        cursor.look_ahead().unwrap();
        rotate(&lines(2..3));
        assert_eq!((rest(&mut cursor), cursor.take_gap()), (lines(1..3), false));
        rotate(&lines(3..4));
        rotate(&lines(4..5));
        rotate(&lines(5..6));
        assert_eq!((rest(&mut cursor), cursor.take_gap()), (lines(4..6), true));
        assert!(!cursor.take_gap());
    }
}
