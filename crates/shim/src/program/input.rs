//! A process's standard input.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::poll::{EventFlags, PAUSED, Poll, Source, Watch};

/// The writing end of a process's standard input, and what it has not taken yet.
#[derive(Debug)]
pub(crate) struct Input {
    pipe: Option<(OwnedFd, Watch)>,
    waiting: Vec<u8>,
    written: usize,
    /// Whether it is closed once what waits is written.
    ending: bool,
}

impl Input {
    /// Writes to `pipe`, which must be non-blocking.
    pub(crate) fn new(poll: &Poll, source: Source, pipe: Option<OwnedFd>) -> io::Result<Self> {
        let pipe = match pipe {
            Some(pipe) => {
                let watch = poll.add(&pipe, source, PAUSED)?;
                Some((pipe, watch))
            }
            None => None,
        };
        Ok(Self {
            pipe,
            waiting: Vec::new(),
            written: 0,
            ending: false,
        })
    }

    /// Whether it can take more now.
    pub(crate) fn is_ready(&self) -> bool {
        self.pipe.is_some() && !self.ending && self.waiting.is_empty()
    }

    /// Whether the process may still read what is written.
    pub(crate) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Writes `bytes`, or keeps them until the process reads.
    pub(crate) fn write(&mut self, poll: &Poll, bytes: &[u8]) {
        if self.pipe.is_some() && !self.ending {
            self.waiting.extend_from_slice(bytes);
            self.flush(poll);
        }
    }

    /// Closes it once everything is written.
    pub(crate) fn end(&mut self, poll: &Poll) {
        self.ending = true;
        self.flush(poll);
    }

    /// Writes what waits.
    pub(crate) fn flush(&mut self, poll: &Poll) {
        let Some((pipe, watch)) = &mut self.pipe else {
            return;
        };
        while self.written < self.waiting.len() {
            match rustix::io::write(&*pipe, &self.waiting[self.written..]) {
                Ok(length) => self.written += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    poll.set(&*pipe, watch, EventFlags::OUT);
                    return;
                }
                // The process reads no more.
                Err(_) => return self.close(poll),
            }
        }
        poll.set(&*pipe, watch, PAUSED);
        self.waiting = Vec::new();
        self.written = 0;
        if self.ending {
            self.close(poll);
        }
    }

    /// Closes it at once; what waits is lost.
    pub(crate) fn close(&mut self, poll: &Poll) {
        if let Some((pipe, _)) = self.pipe.take() {
            poll.remove(&pipe);
        }
        self.waiting = Vec::new();
        self.written = 0;
    }
}
