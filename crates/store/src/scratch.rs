//! Trees of files that belong to nobody for long: a build's context, an archive on its way into an image.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_oci::digest::Algorithm;
use corten_sys::fs;

use crate::error::{Error, Result};
use crate::pipeline::{CHUNK, Format, Pipeline, Plan};
use crate::store::{Inner, Store};

/// A tree of files, gone when dropped; after a crash the next start removes it.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    store: Arc<Inner>,
}

impl Scratch {
    /// The tree's root.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join("diff")
    }

    /// A folder beside the tree, for what goes with it.
    #[must_use]
    pub fn beside(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        let _ = self.store.throw_away(&self.folder);
    }
}

impl Store {
    /// An empty tree.
    ///
    /// # Errors
    /// Internal when the data root cannot be written.
    pub fn scratch(&self) -> Result<Scratch> {
        let folder = self.inner.temporary("scratch");
        fs::create_dir(&folder)?;
        let scratch = Scratch {
            folder,
            store: Arc::clone(&self.inner),
        };
        fs::create_dir(scratch.path())?;
        fs::set_mode(scratch.path(), 0o755)?;
        Ok(scratch)
    }

    /// Unpacks a tar, plain or compressed, with the same care as a layer.
    ///
    /// # Errors
    /// Invalid when it is no tar, truncated, beyond a limit, or leads outside.
    pub fn scratch_from_tar(&self, input: &mut dyn Read) -> Result<Scratch> {
        let scratch = self.scratch()?;
        let plan = Plan {
            compressed: Algorithm::Sha256,
            diff_id: Algorithm::Sha256,
            replay: None,
        };
        let mut pipeline = Pipeline::start(scratch.folder.clone(), plan, self.inner.limits)?;
        loop {
            let mut chunk = vec![0; CHUNK];
            let length = match input.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::from(error)),
            };
            chunk.truncate(length);
            pipeline.send(chunk)?;
        }
        pipeline.finish()?;
        Ok(scratch)
    }
}

/// Whether bytes, compressed or not, begin with the header of a tar's first entry.
#[must_use]
pub fn begins_a_tar(mut input: impl BufRead) -> bool {
    let mut header = [0; 512];
    let read = match input.fill_buf().map(Format::of) {
        Ok(Ok(Format::Plain)) => input.read_exact(&mut header),
        Ok(Ok(Format::Gzip)) => flate2::bufread::MultiGzDecoder::new(input).read_exact(&mut header),
        Ok(Ok(Format::Zstd)) => zstd::Decoder::with_buffer(input).and_then(|mut zstd| zstd.read_exact(&mut header)),
        Ok(Err(_)) | Err(_) => return false,
    };
    read.is_ok() && is_header(&header)
}

/// Whether a block's sum is the one that it names, as each format of tar has it.
fn is_header(block: &[u8; 512]) -> bool {
    let (start, rest) = block.split_at(148);
    let (named, rest) = rest.split_at(8);
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let digits = String::from_utf8_lossy(named);
    let digits = digits.trim_matches([' ', '\0']);
    u32::from_str_radix(digits, 8) == Ok(sum(start) + sum(rest) + 8 * 32)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn beginnings_of_archives_are_known() {
        let mut writer = corten_tar::Writer::new(Vec::new());
        writer.file("f", 0o644, corten_tar::Time::default(), b"text").unwrap();
        let plain = writer.finish().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&plain).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
        for (what, bytes, expected) in [
            ("plain", &plain[..], true),
            ("cut", &plain[..600], true),
            ("cut in its header", &plain[..500], false),
            ("gzip", &gzip[..], true),
            ("zstd", &zstd[..], true),
            ("nothing", b"", false),
            ("zeros", &[0; 1024], false),
            ("a text", &[b'7'; 1024], false),
            ("xz", b"\xfd7zXZ\0", false),
        ] {
            assert_eq!(begins_a_tar(bytes), expected, "{what}");
        }
    }
}
