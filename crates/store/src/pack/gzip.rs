//! gzip in blocks that know nothing of each other, so that several are packed at once (RFC 1951, RFC 1952).
//!
//! One member: a header, each block's deflate data ended at a byte's border, an empty last block, and the
//! check of the whole, which is put together from the blocks' own. Blocks that look like noise are stored
//! as they are: looking for what repeats in them costs most and gives nothing.

use std::io;

use flate2::{Compress, Compression, Crc, FlushCompress};

/// Bytes of a block before it is packed.
pub(super) const BLOCK: usize = 512 << 10;
/// Bytes that are judged together: what is noise in a section that is none costs thirty times its share.
const SECTION: usize = 16 << 10;
/// Bytes of noise after which its packing is tried again.
const TRIED: usize = 256 << 10;
/// Bytes of a section that are counted at a time, and from where one begins to where the next does.
const COUNTED: (usize, usize) = (256, 2 << 10);
/// Bytes that are packed on trial.
const SAMPLE: usize = 2 << 10;
/// Bytes that a packed block grows by.
const ROOM: usize = 64 << 10;
/// The most bytes of a stored deflate block.
const STORED: usize = 0xffff;

/// What a gzip file begins with: deflate, no name, no time, system unknown.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty block that is the last.
const LAST: [u8; 2] = [3, 0];

/// A packed block.
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    /// The check of what was packed.
    pub(super) check: Crc,
}

/// Packs block after block.
pub(super) struct Packer {
    deflate: Compress,
    trial: Compress,
}

impl Packer {
    pub(super) fn new(level: Option<u32>) -> Self {
        Self {
            deflate: Compress::new(level.map_or_else(Compression::default, Compression::new), false),
            trial: Compress::new(Compression::fast(), false),
        }
    }

    /// Packs a block. Equal blocks become equal bytes.
    ///
    /// # Errors
    /// Never, unless the packing itself is at fault.
    pub(super) fn block(&mut self, block: &[u8]) -> io::Result<Packed> {
        let mut check = Crc::new();
        check.update(block);
        // Untouched room costs nothing; to grow costs copies.
        let mut bytes = Vec::with_capacity(BLOCK + ROOM);
        let mut rest = block;
        while !rest.is_empty() {
            let (run, is_noise) = self.run(rest)?;
            match is_noise {
                true => store(run, &mut bytes),
                false => deflate(&mut self.deflate, run, &mut bytes)?,
            }
            rest = &rest[run.len()..];
        }
        Ok(Packed { bytes, check })
    }

    /// The longest beginning whose sections are all noise, or all none.
    fn run<'a>(&mut self, bytes: &'a [u8]) -> io::Result<(&'a [u8], bool)> {
        let (mut length, mut kind) = (0, None);
        for section in bytes.chunks(SECTION) {
            let goes_on = kind == Some(true) && length % TRIED != 0;
            let is_noise = is_flat(section) && (goes_on || self.gains_nothing(section)?);
            if *kind.get_or_insert(is_noise) != is_noise {
                break;
            }
            length += section.len();
        }
        Ok((&bytes[..length], kind == Some(true)))
    }

    /// Whether packing the middle of a section is not worth while. Where every byte is as frequent as any
    /// other there may still be much that repeats.
    fn gains_nothing(&mut self, section: &[u8]) -> io::Result<bool> {
        let Some(middle) = section.len().checked_sub(SAMPLE) else {
            return Ok(false);
        };
        let middle = middle / 2;
        let mut packed = Vec::with_capacity(SAMPLE * 2);
        deflate(&mut self.trial, &section[middle..middle + SAMPLE], &mut packed)?;
        Ok(packed.len() >= SAMPLE)
    }
}

/// Whether all bytes are about as frequent, as in what is packed or encrypted already. Some of a section stand
/// for all: to count each costs more than to pack what is easily packed.
fn is_flat(section: &[u8]) -> bool {
    let (mut counts, mut counted) = ([0_usize; 256], 0);
    for part in section.chunks(COUNTED.1) {
        let part = &part[..part.len().min(COUNTED.0)];
        counted += part.len();
        for byte in part {
            counts[usize::from(*byte)] += 1;
        }
    }
    // Of 2048 bytes of noise no value has more than about 25, and 8 is the mean.
    counts.iter().all(|count| *count <= counted / 64)
}

/// Appends bytes as deflate data that ends at a byte's border and refers to nothing before.
fn deflate(packer: &mut Compress, bytes: &[u8], packed: &mut Vec<u8>) -> io::Result<()> {
    packer.reset();
    loop {
        packed.reserve(ROOM);
        let eaten = usize::try_from(packer.total_in()).unwrap_or(usize::MAX);
        packer.compress_vec(&bytes[eaten.min(bytes.len())..], packed, FlushCompress::Sync)?;
        let is_eaten = usize::try_from(packer.total_in()).is_ok_and(|eaten| eaten == bytes.len());
        // Room that is left says that nothing is held back.
        if is_eaten && packed.len() < packed.capacity() {
            return Ok(());
        }
    }
}

/// Appends bytes as they are, in deflate's stored blocks.
fn store(bytes: &[u8], packed: &mut Vec<u8>) {
    packed.reserve(bytes.len() + bytes.len() / STORED * 5 + 10);
    for part in bytes.chunks(STORED) {
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        packed.push(0);
        packed.extend_from_slice(&length.to_le_bytes());
        packed.extend_from_slice(&(!length).to_le_bytes());
        packed.extend_from_slice(part);
    }
}

/// What a gzip file ends with.
pub(super) fn trailer(check: &Crc) -> [u8; 10] {
    let mut end = [0; 10];
    end[..2].copy_from_slice(&LAST);
    end[2..6].copy_from_slice(&check.sum().to_le_bytes());
    end[6..].copy_from_slice(&check.amount().to_le_bytes());
    end
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..length).map(|_| next()).collect()
    }

    fn packed(whole: &[u8]) -> Vec<u8> {
        let mut packer = Packer::new(None);
        let (mut file, mut check) = (HEADER.to_vec(), Crc::new());
        for block in whole.chunks(BLOCK) {
            let packed = packer.block(block).unwrap();
            file.extend_from_slice(&packed.bytes);
            check.combine(&packed.check);
        }
        file.extend_from_slice(&trailer(&check));
        file
    }

    #[test]
    fn blocks_make_one_member() {
        let text = b"corten ".repeat(200_000);
        let mixed = [&noise(300_000)[..], &text[..700_001], &noise(SECTION)].concat();
        for (whole, most) in [
            (Vec::new(), 20),
            (b"x".to_vec(), 40),
            (text.clone(), text.len() / 50),
            (noise(BLOCK + 1), BLOCK + 200),
            (mixed, 400_000),
        ] {
            let file = packed(&whole);
            assert!(file.len() <= most, "{} of {}", file.len(), whole.len());
            let mut again = Vec::new();
            // The decoder of one member takes all of it.
            let mut decoder = flate2::bufread::GzDecoder::new(&file[..]);
            decoder.read_to_end(&mut again).unwrap();
            assert!(again == whole && decoder.into_inner().is_empty());
            assert_eq!(file, packed(&whole));
        }
    }
}
