//! How far a log has been delivered: a small file beside it, rewritten in place.
//!
//! One write of less than a page is whole or not there when the engine is killed; what a power cut
//! makes of it is found out by reading, and then delivery begins again with the first line.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path};

use corten_api::time::Time;
use serde::{Deserialize, Serialize};

use crate::{containers::logs::Position, error::Result};

/// The file's name.
pub(in crate::containers) const POSITION: &str = "delivered.json";
/// The number of the format that is written. Older ones are read.
const FORMAT: u32 = 1;
/// The length of the file in bytes.
const LENGTH: usize = 256;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Delivered {
    format: u32,
    /// Where the first line is that was not delivered.
    pub(super) position: Position,
    /// When the last one that was had been written.
    pub(super) time: Time,
}

impl Delivered {
    pub(super) fn new(position: Position, time: Time) -> Self {
        Self {
            format: FORMAT,
            position,
            time,
        }
    }

    /// Reads the file in a log's folder; none when there is none, or none that can be read.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let bytes = corten_sys::fs::read(folder.join(POSITION)).ok()?;
        let found: Self = serde_json::from_slice(&bytes).ok()?;
        (found.format <= FORMAT).then_some(found)
    }
}

/// The file, held open.
#[derive(Debug)]
pub(super) struct Note(File);

impl Note {
    /// Opens the file in a log's folder, or makes it.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(false);
        Ok(Self(corten_sys::fs::open_with(options, folder.join(POSITION))?))
    }

    /// Replaces what it says.
    pub(super) fn write(&self, delivered: &Delivered) -> Result<()> {
        let mut bytes = serde_json::to_vec(delivered).unwrap_or_default();
        bytes.resize(LENGTH, b' ');
        Ok(self.0.write_all_at(&bytes, 0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = std::env::temp_dir().join(format!("corten-delivered-{}", std::process::id()));
        corten_sys::fs::create_dir_all(&folder).unwrap();
        assert_eq!(Delivered::read(&folder), None);
        let at = |offset| {
            let position = Position {
                inode: u64::MAX,
                first: Some(Time::now()),
                offset,
            };
            Delivered::new(position, Time::now())
        };
        let note = Note::open(&folder).unwrap();
        for delivered in [at(u64::MAX), at(7)] {
            note.write(&delivered).unwrap();
            assert_eq!(Delivered::read(&folder), Some(delivered));
        }
        corten_sys::fs::write(folder.join(POSITION), "{\"format\":1,\"ino").unwrap();
        assert_eq!(Delivered::read(&folder), None);
        corten_sys::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn format_1_is_read() {
        let text = r#"{"format":1,"position":{"inode":7,"first":"2026-01-02T03:04:05.12Z","offset":9},"time":"2026-01-02T03:04:06Z"}   "#;
        let found: Delivered = serde_json::from_str(text).unwrap();
        assert_eq!((found.position.inode, found.position.offset), (7, 9));
    }
}
