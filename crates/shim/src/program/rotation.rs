//! The files of a log that has grown: `name.1`, `name.2`, …, with `.gz` when they are compressed.
//!
//! Compressing is done in slices between the loop's other work, so that it delays no output. A file
//! may be rotated further while it is being compressed, and what the container's end interrupts is
//! left as it is, uncompressed and readable, for the next run.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::clock::Stamp;
use crate::log::MODE;

/// How much is compressed at once: about a millisecond's work.
const SLICE: usize = 32 << 10;

/// What becomes of a full log file.
#[derive(Debug)]
pub(crate) struct Rotation {
    path: PathBuf,
    max_files: u32,
    compress: bool,
    /// The numbers of the files to compress, the newest last, and the time of each one's last line.
    waiting: Vec<(u32, i64)>,
    job: Option<Job>,
}

/// A file that is being compressed.
#[derive(Debug)]
struct Job {
    number: u32,
    input: File,
    output: GzEncoder<File>,
}

impl Rotation {
    /// Looks after the predecessors of `path`, so that there are `max_files` with it.
    pub(crate) fn new(path: &Path, max_files: u32, compress: bool) -> Self {
        let mut this = Self {
            path: path.to_owned(),
            max_files,
            compress,
            waiting: Vec::new(),
            job: None,
        };
        if compress {
            let left = (1..max_files).rev().filter(|&number| exists(&this.plain(number)));
            this.waiting = left.map(|number| (number, 0)).collect();
        }
        this
    }

    /// Makes way for a new file at the log's path; the last line of the old one is of the time `last`.
    pub(crate) fn rotate(&mut self, last: i64) -> io::Result<()> {
        if self.max_files < 2 {
            return remove(&self.path);
        }
        let oldest = self.max_files - 1;
        remove(&self.plain(oldest))?;
        remove(&self.packed(oldest))?;
        let there = (1..oldest).take_while(|&number| exists(&self.plain(number)) || exists(&self.packed(number)));
        for number in there.collect::<Vec<_>>().into_iter().rev() {
            rename(&self.plain(number), &self.plain(number + 1))?;
            rename(&self.packed(number), &self.packed(number + 1))?;
        }
        rename(&self.path, &self.plain(1))?;
        self.count_up(last);
        Ok(())
    }

    fn count_up(&mut self, last: i64) {
        if !self.compress {
            return;
        }
        for (number, _) in &mut self.waiting {
            *number += 1;
        }
        self.waiting.retain(|(number, _)| *number < self.max_files);
        self.waiting.push((1, last));
        if let Some(job) = &mut self.job {
            job.number += 1;
            if job.number >= self.max_files {
                self.abandon();
            }
        }
    }

    /// Whether a file is to be compressed.
    pub(crate) fn has_work(&self) -> bool {
        self.job.is_some() || !self.waiting.is_empty()
    }

    /// Compresses a slice; returns whether there is more to do.
    ///
    /// A file that cannot be compressed stays as it is.
    pub(crate) fn work(&mut self) -> bool {
        if self.job.is_none() && !self.waiting.is_empty() {
            let (number, last) = self.waiting.remove(0);
            self.job = self.start(number, last).ok();
        }
        if let Some(mut job) = self.job.take() {
            match job.slice() {
                Ok(true) => self.job = Some(job),
                Ok(false) if self.finish(job).is_ok() => {}
                _ => self.abandon(),
            }
        }
        self.has_work()
    }

    fn start(&self, number: u32, last: i64) -> io::Result<Job> {
        let input = rustix::fs::open(self.plain(number), OFlags::RDONLY | OFlags::CLOEXEC, MODE)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let output = rustix::fs::open(self.unfinished(), flags, MODE)?;
        let mut header = GzBuilder::new();
        if last != 0 {
            header = header.extra(last_time(last));
        }
        Ok(Job {
            number,
            input: input.into(),
            output: header.write(output.into(), Compression::new(6)),
        })
    }

    fn finish(&self, job: Job) -> io::Result<()> {
        job.output.finish()?;
        rustix::fs::rename(self.unfinished(), self.packed(job.number))?;
        remove(&self.plain(job.number))
    }

    fn abandon(&mut self) {
        self.job = None;
        // What stays behind is overwritten by the next one.
        let _ = remove(&self.unfinished());
    }

    fn plain(&self, number: u32) -> PathBuf {
        self.with_suffix(&format!(".{number}"))
    }

    fn packed(&self, number: u32) -> PathBuf {
        self.with_suffix(&format!(".{number}.gz"))
    }

    fn unfinished(&self) -> PathBuf {
        self.with_suffix(".gz.unfinished")
    }

    fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        name.into()
    }
}

impl Drop for Rotation {
    fn drop(&mut self) {
        if self.job.is_some() {
            self.abandon();
        }
    }
}

impl Job {
    /// Compresses a little; returns whether there is more.
    fn slice(&mut self) -> io::Result<bool> {
        let mut bytes = vec![0; SLICE];
        let length = self.input.read(&mut bytes)?;
        self.output.write_all(&bytes[..length])?;
        Ok(length > 0)
    }
}

/// What Docker leaves in the gzip header's extra field, so that a reader can skip the file.
fn last_time(at: i64) -> Vec<u8> {
    let mut text = b"{\"lastTime\":\"".to_vec();
    Stamp::default().write(&mut text, at);
    text.extend_from_slice(b"\"}");
    text
}

fn exists(path: &Path) -> bool {
    rustix::fs::stat(path).is_ok()
}

fn remove(path: &Path) -> io::Result<()> {
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::rename(from, to) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
