//! The files of a rotated log, read from a place to the end.
//!
//! `x.log` is the newest, then `x.log.1`, `x.log.2`, … or `x.log.2.gz`. A file keeps its inode when
//! it is renamed, which is how a reader that was overtaken by a rotation finds its place again.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::error::Result;

/// How much is read at once.
const CHUNK: usize = 128 << 10;

/// A place in a log.
pub(super) struct Cursor {
    path: Arc<Path>,
    /// The file that is being read; none before the first one appears.
    current: Option<Current>,
    /// Bytes read: whole lines that were handed out, then the beginning of the next.
    buffer: Vec<u8>,
    /// How much of the buffer was handed out.
    handed: usize,
}

struct Current {
    inode: u64,
    source: Source,
}

enum Source {
    Plain(File),
    /// What is left of a compressed file.
    Compressed(std::io::Cursor<Vec<u8>>),
}

impl Source {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Compressed(bytes) => bytes.read(buffer),
        }
    }
}

impl Cursor {
    /// A place so far from the end as `tail` lines, or at the beginning.
    pub(super) fn open(path: &Arc<Path>, tail: Option<usize>) -> Result<Self> {
        let mut cursor = Self {
            path: Arc::clone(path),
            current: None,
            buffer: Vec::new(),
            handed: 0,
        };
        let files = files(path)?;
        cursor.current = match tail {
            None => files.last().map(|file| open(file)).transpose()?.flatten(),
            Some(lines) => seek_tail(&files, lines)?,
        };
        Ok(cursor)
    }

    /// The next whole lines; none at the end of the newest file.
    pub(super) fn next_lines(&mut self) -> Result<Option<&[u8]>> {
        self.buffer.drain(..self.handed);
        self.handed = 0;
        loop {
            if self.fill()? == 0 && !self.next_file()? {
                return Ok(None);
            }
            if let Some(end) = self.buffer.iter().rposition(|byte| *byte == b'\n') {
                self.handed = end + 1;
                return Ok(Some(&self.buffer[..self.handed]));
            }
        }
    }

    fn fill(&mut self) -> Result<usize> {
        let Some(current) = &mut self.current else { return Ok(0) };
        let filled = self.buffer.len();
        self.buffer.resize(filled + CHUNK, 0);
        let result = current.source.read(&mut self.buffer[filled..]);
        self.buffer.truncate(filled + *result.as_ref().unwrap_or(&0));
        Ok(result?)
    }

    /// Goes on to the file after this one; returns whether there is one.
    fn next_file(&mut self) -> Result<bool> {
        let files = files(&self.path)?;
        let next = match &self.current {
            None => files.last(),
            Some(current) => match files.iter().position(|file| inode(file) == Some(current.inode)) {
                Some(0) => None,
                Some(place) => files.get(place - 1),
                // It was deleted or compressed meanwhile: what is left is newer.
                None => files.iter().rev().find(|file| !compressed(file)),
            },
        };
        let Some(next) = next else { return Ok(false) };
        let Some(opened) = open(next)? else { return Ok(false) };
        // What a file has without a line end is no line.
        self.buffer.clear();
        self.current = Some(opened);
        Ok(true)
    }
}

/// The files there are, the newest first.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if corten_sys::fs::exists(path)? {
        files.push(path.to_owned());
    }
    for number in 1.. {
        let plain = numbered(path, number, "");
        let packed = numbered(path, number, ".gz");
        match () {
            () if corten_sys::fs::exists(&plain)? => files.push(plain),
            () if corten_sys::fs::exists(&packed)? => files.push(packed),
            // A rotation under way leaves a gap of one.
            () if number > 1 => break,
            () => {}
        }
    }
    Ok(files)
}

fn numbered(path: &Path, number: u32, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}{suffix}"));
    name.into()
}

fn compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

fn inode(path: &Path) -> Option<u64> {
    corten_sys::fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// Opens a file; none when a rotation took it away.
fn open(path: &Path) -> Result<Option<Current>> {
    let Some(mut file) = corten_sys::fs::if_there(corten_sys::fs::open(path))? else {
        return Ok(None);
    };
    let inode = file.metadata()?.ino();
    if !compressed(path) {
        return Ok(Some(Current {
            inode,
            source: Source::Plain(file),
        }));
    }
    let mut bytes = Vec::new();
    match flate2::read::MultiGzDecoder::new(&mut file).read_to_end(&mut bytes) {
        Ok(_) => {}
        // It is being written, or was damaged: what can be read is shown.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::InvalidInput | ErrorKind::InvalidData
            ) =>
        {
            tracing::warn!(path = %path.display(), %error, "a compressed log is damaged");
        }
        Err(error) => return Err(corten_sys::fs::with_path("read", path, error).into()),
    }
    Ok(Some(Current {
        inode,
        source: Source::Compressed(std::io::Cursor::new(bytes)),
    }))
}

/// Finds the place from which `lines` lines are left, over as many files as it takes.
fn seek_tail(files: &[PathBuf], lines: usize) -> Result<Option<Current>> {
    let mut left = lines;
    let mut last = None;
    for file in files {
        let Some(mut current) = open(file)? else { continue };
        let found = match &mut current.source {
            Source::Plain(file) => seek_back(file, &mut left)?,
            Source::Compressed(bytes) => seek_back(bytes, &mut left)?,
        };
        last = Some(current);
        if found {
            break;
        }
    }
    Ok(last)
}

/// Goes back from the end over `left` line ends, and counts those that were found off it; returns
/// whether all were.
fn seek_back(file: &mut (impl Read + Seek), left: &mut usize) -> Result<bool> {
    let mut end = file.seek(SeekFrom::End(0))?;
    // The line end of the last line is not one before it.
    let mut wanted = left.saturating_add(1);
    let mut chunk = vec![0; 64 << 10];
    while end > 0 {
        let size = end.min(chunk.len() as u64);
        let start = end - size;
        file.seek(SeekFrom::Start(start))?;
        let part = &mut chunk[..usize::try_from(size).unwrap_or(0)];
        file.read_exact(part)?;
        for (offset, _) in part.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            wanted -= 1;
            if wanted == 0 {
                file.seek(SeekFrom::Start(start + offset as u64 + 1))?;
                *left = 0;
                return Ok(true);
            }
        }
        end = start;
    }
    file.seek(SeekFrom::Start(0))?;
    // All lines of this file were passed; the first has no line end before it.
    *left = wanted.saturating_sub(1);
    Ok(*left == 0)
}

#[cfg(test)]
mod tests {
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
        let check =
            |tail, expected: &str| assert_eq!(rest(&mut Cursor::open(&path, tail).unwrap()), expected, "{tail:?}");
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
        let mut cursor = Cursor::open(&path, None).unwrap();
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
        let mut cursor = Cursor::open(&path, Some(3)).unwrap();
        assert_eq!(rest(&mut cursor), "");
        corten_sys::fs::write(folder.0.join("x.log"), "1\n").unwrap();
        assert_eq!(rest(&mut cursor), "1\n");
    }
}
