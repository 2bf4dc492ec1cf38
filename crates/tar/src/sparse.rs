//! Where the data of a sparse file goes: GNU's four ways to say it.

use super::header::{Block, bad_header, number};
use super::pax::{PaxSparse, decimal};
use super::{BLOCK, Chunk};
use crate::error::Result;

/// Most pieces a file may have; 21 a block, this is 100 MB of headers.
const MAX_CHUNKS: usize = 4 << 20;

/// The pieces in an old GNU header; with more to come if the second value is true.
pub(super) fn old_gnu_header(block: &Block, chunks: &mut Vec<Chunk>) -> Result<bool> {
    pieces(&block[386..482], chunks)?;
    Ok(block[482] != 0)
}

/// The size of the whole file in an old GNU header.
pub(super) fn old_gnu_size(block: &Block) -> Result<u64> {
    u64::try_from(number(&block[483..495])?).map_err(|_| bad_header())
}

/// The pieces in a block that follows an old GNU header.
pub(super) fn old_gnu_extension(block: &Block, chunks: &mut Vec<Chunk>) -> Result<bool> {
    pieces(&block[..504], chunks)?;
    if chunks.len() > MAX_CHUNKS {
        return Err(bad_header());
    }
    Ok(block[504] != 0)
}

fn pieces(field: &[u8], chunks: &mut Vec<Chunk>) -> Result<()> {
    for pair in field.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let part = |bytes: &[u8]| number(bytes).and_then(|n| u64::try_from(n).map_err(|_| bad_header()));
        chunks.push(Chunk {
            offset: part(&pair[..12])?,
            len: part(&pair[12..])?,
        });
    }
    Ok(())
}

/// The pieces that formats 0.0 and 0.1 put into the extended header.
pub(super) fn from_records(sparse: &PaxSparse) -> Result<Option<Vec<Chunk>>> {
    let Some(map) = &sparse.map else { return Ok(None) };
    if map.len() % 2 != 0 {
        return Err(bad_header());
    }
    Ok(Some(
        map.chunks_exact(2)
            .map(|pair| Chunk {
                offset: pair[0],
                len: pair[1],
            })
            .collect(),
    ))
}

/// Reads the map that format 1.0 puts before the data: decimal lines in whole blocks.
pub(super) fn from_data(mut next_block: impl FnMut() -> Result<Block>) -> Result<Vec<Chunk>> {
    let mut lines = Lines {
        block: [0; BLOCK],
        position: BLOCK,
    };
    let count = usize::try_from(lines.number(&mut next_block)?).map_err(|_| bad_header())?;
    if count > MAX_CHUNKS {
        return Err(bad_header());
    }
    let mut chunks = Vec::new();
    for _ in 0..count {
        let offset = lines.number(&mut next_block)?;
        let len = lines.number(&mut next_block)?;
        chunks.push(Chunk { offset, len });
    }
    Ok(chunks)
}

struct Lines {
    block: Block,
    position: usize,
}

impl Lines {
    fn number(&mut self, next_block: &mut impl FnMut() -> Result<Block>) -> Result<u64> {
        let mut digits = Vec::new();
        loop {
            if self.position == BLOCK {
                self.block = next_block()?;
                self.position = 0;
            }
            let byte = self.block[self.position];
            self.position += 1;
            match byte {
                b'\n' => return decimal(&digits),
                _ if digits.len() == 20 => return Err(bad_header()),
                byte => digits.push(byte),
            }
        }
    }
}

/// Pieces go forward, do not overlap, stay in the file and are as long as what the archive holds.
pub(super) fn check(chunks: &[Chunk], size: u64, stored: u64) -> Result<()> {
    let mut end = 0;
    let mut total: u64 = 0;
    for chunk in chunks {
        let next = chunk.offset.checked_add(chunk.len).ok_or_else(bad_header)?;
        if chunk.offset < end || next > size {
            return Err(bad_header());
        }
        end = next;
        total = total.checked_add(chunk.len).ok_or_else(bad_header)?;
    }
    if total == stored { Ok(()) } else { Err(bad_header()) }
}
