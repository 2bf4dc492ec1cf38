//! The container's local log: Docker's json-file driver.
//!
//! Output is cut into lines here. A line longer than [`LONGEST`] is written in pieces, of which only
//! the last has the newline; what follows the last newline waits for more, and is written without
//! one when the stream ends. All lines of one read are formatted into one buffer and written at once.
//!
//! A log that cannot be written stops nothing: its lines are dropped, whole, until writing works again.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::clock;
use crate::json_line::{LineFormat, Stream};
use crate::rotation::Rotation;
use corten_shim::protocol::Log;

/// The longest text of one line (Docker's copier, `defaultBufSize`).
const LONGEST: usize = 16 << 10;
/// How much is formatted before it is written.
const BATCH: usize = 192 << 10;
/// How far the clock may seem to stand still: lines get distinct times, a nanosecond apart.
const CROWD: i64 = 10_000_000;
/// `-rw-r-----`, as Docker's.
pub(crate) const MODE: Mode = Mode::from_raw_mode(0o640);

/// An open log.
#[derive(Debug)]
pub(crate) struct JsonLog {
    path: PathBuf,
    file: Option<OwnedFd>,
    /// The file's size as far as this process made it.
    size: u64,
    max_size: u64,
    rotation: Rotation,
    format: LineFormat,
    partial: [Partial; 2],
    /// Formatted lines that are not yet written.
    batch: Vec<u8>,
    last: i64,
    failing: bool,
}

/// A stream's bytes since its last newline or piece.
#[derive(Debug, Default)]
struct Partial {
    bytes: Vec<u8>,
    /// The time of the line's earlier pieces, which its later ones share.
    started: Option<i64>,
}

impl JsonLog {
    /// Prepares the log that `log` asks for; the file is opened, or made, at once.
    ///
    /// A failure is kept for the first write to find again.
    pub(crate) fn open(log: &Log) -> Option<Self> {
        let Log::JsonFile {
            path,
            max_size,
            max_files,
            compress,
            attrs,
        } = log
        else {
            return None;
        };
        let mut this = Self::new(path, *max_size, attrs);
        this.rotation = Rotation::new(path, *max_files, *compress);
        // The first write tries again and tells.
        let _ = this.ensure_open();
        Some(this)
    }

    fn new(path: &Path, max_size: Option<u64>, attrs: &BTreeMap<String, String>) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            size: 0,
            max_size: max_size.unwrap_or(u64::MAX),
            rotation: Rotation::new(path, 1, false),
            format: LineFormat::new(attrs),
            partial: [Partial::default(), Partial::default()],
            batch: Vec::new(),
            last: 0,
            failing: false,
        }
    }

    /// Writes what was read from `stream`; returns why it cannot, once for each time that it begins to fail.
    pub(crate) fn append(&mut self, stream: Stream, bytes: &[u8]) -> Option<String> {
        let mut at = self.time();
        let mut rest = bytes;
        let mut result = Ok(());
        while !rest.is_empty() {
            let held = self.partial[stream.index()].bytes.len();
            let window = &rest[..rest.len().min(LONGEST - held)];
            match window.iter().position(|&byte| byte == b'\n') {
                Some(newline) => {
                    let (line, after) = rest.split_at(newline + 1);
                    rest = after;
                    result = result.and(self.line(stream, line, true, &mut at));
                }
                None if held + window.len() == LONGEST => {
                    let (piece, after) = rest.split_at(window.len());
                    rest = after;
                    result = result.and(self.line(stream, piece, false, &mut at));
                }
                None => {
                    self.partial[stream.index()].bytes.extend_from_slice(rest);
                    rest = &[];
                }
            }
        }
        self.last = at;
        self.settle(result)
    }

    /// Writes the last line of a stream that has ended, if it had no newline.
    pub(crate) fn end(&mut self, stream: Stream) -> Option<String> {
        if self.partial[stream.index()].bytes.is_empty() {
            return None;
        }
        let mut at = self.time();
        let result = self.line(stream, &[], true, &mut at);
        self.last = at;
        self.settle(result)
    }

    /// Does a slice of the work on rotated files; returns whether there is more.
    pub(crate) fn work(&mut self) -> bool {
        self.rotation.work()
    }

    /// Whether [`work`](Self::work) has something to do.
    pub(crate) fn has_work(&self) -> bool {
        self.rotation.has_work()
    }

    /// Gives memory back.
    pub(crate) fn rest(&mut self) {
        self.batch = Vec::new();
        for partial in &mut self.partial {
            partial.bytes.shrink_to_fit();
        }
    }

    /// A time for the next line, later than the last one's unless the clock was set back.
    fn time(&self) -> i64 {
        let now = clock::now();
        match self.last - now {
            0..CROWD => self.last + 1,
            _ => now,
        }
    }

    /// Formats the held bytes of `stream` and `more` as a line, or as a piece that is not its `last`.
    fn line(&mut self, stream: Stream, more: &[u8], last: bool, at: &mut i64) -> Result<(), String> {
        let written = u64::try_from(self.batch.len()).unwrap_or(0);
        let mut result = Ok(());
        if self.size.saturating_add(written) >= self.max_size {
            result = self.flush().and_then(|()| self.rotate());
        } else if self.batch.len() >= BATCH {
            result = self.flush();
        }
        let partial = &mut self.partial[stream.index()];
        let time = partial.started.unwrap_or(*at);
        partial.started = (!last).then_some(time);
        if partial.bytes.is_empty() {
            self.format.write(&mut self.batch, stream, more, time);
        } else {
            partial.bytes.extend_from_slice(more);
            self.format.write(&mut self.batch, stream, &partial.bytes, time);
            partial.bytes = Vec::new();
        }
        *at += 1;
        result
    }

    /// Writes the rest of the batch and turns the results into news.
    fn settle(&mut self, result: Result<(), String>) -> Option<String> {
        let result = result.and(self.flush());
        let news = !self.failing;
        self.failing = result.is_err();
        result.err().filter(|_| news)
    }

    /// Writes the batch; what cannot be written is dropped, and a line is written whole or not at all.
    fn flush(&mut self) -> Result<(), String> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let result = self.ensure_open().and_then(|()| self.write_batch());
        self.batch.clear();
        if result.is_err() {
            // The next try opens it anew and finds out how it ends.
            self.file = None;
        }
        result
    }

    fn write_batch(&mut self) -> Result<(), String> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut done = 0;
        while done < self.batch.len() {
            match rustix::io::write(file, &self.batch[done..]) {
                Ok(length) => done += length,
                Err(Errno::INTR) => {}
                Err(error) => {
                    let torn = torn_length(&self.batch[..done]);
                    self.size += u64::try_from(done - torn).unwrap_or(0);
                    cut_end(file, torn);
                    return Err(self.failure("write", error));
                }
            }
        }
        self.size += u64::try_from(done).unwrap_or(0);
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), String> {
        self.file = None;
        let result = self.rotation.rotate(self.last);
        self.ensure_open()?;
        result.map_err(|error| self.failure("rotate", error))
    }

    fn ensure_open(&mut self) -> Result<(), String> {
        if self.file.is_some() {
            return Ok(());
        }
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(&self.path, flags, MODE).map_err(|error| self.failure("open", error))?;
        self.size = rustix::fs::fstat(&file).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
        if ends_within_a_line(&file, self.size) {
            // A writer died in the middle of a line: ours begins on its own.
            self.batch.insert(0, b'\n');
        }
        self.file = Some(file);
        Ok(())
    }

    fn failure(&self, what: &str, error: impl Display) -> String {
        format!("cannot {what} log {}: {error}", self.path.display())
    }
}

/// How many bytes at the end of `written` belong to a line that is not all there.
fn torn_length(written: &[u8]) -> usize {
    written.iter().rev().take_while(|&&byte| byte != b'\n').count()
}

/// Takes the last `length` bytes off the file again.
fn cut_end(file: &OwnedFd, length: usize) {
    if length == 0 {
        return;
    }
    let length = u64::try_from(length).unwrap_or(0);
    if let Ok(stat) = rustix::fs::fstat(file) {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        // Shortening needs no space; were it to fail, a reader skips the torn line.
        let _ = rustix::fs::ftruncate(file, size.saturating_sub(length));
    }
}

fn ends_within_a_line(file: &OwnedFd, size: u64) -> bool {
    let mut byte = [b'\n'];
    size > 0 && matches!(rustix::io::pread(file, &mut byte, size - 1), Ok(1)) && byte != [b'\n']
}

#[cfg(test)]
mod tests;
