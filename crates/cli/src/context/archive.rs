//! The archive that contexts travel in: a tar of small files (POSIX ustar), as Docker writes and reads it.

/// Size of a block.
const BLOCK: usize = 512;
/// Where a header holds a file's size: twelve octal digits.
const SIZE: std::ops::Range<usize> = 124..136;
/// Where a header holds its own sum.
const SUM: std::ops::Range<usize> = 148..156;
/// The most bytes that an archive may have.
pub(super) const LIMIT: usize = 10 << 20;

/// Packs files: names and contents.
pub(super) fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files {
        archive.extend_from_slice(&header(name, content.len()));
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn header(name: &str, size: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(SIZE.start, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(SUM.start, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Unpacks the plain files of an archive; none if it is no tar.
pub(super) fn unpack(archive: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut rest = archive;
    while let Some((header, after)) = rest.split_at_checked(BLOCK) {
        if header.iter().all(|&byte| byte == 0) {
            break;
        }
        let size = usize::from_str_radix(text(header.get(SIZE)?)?.trim(), 8).ok()?;
        let sum = u32::from_str_radix(text(header.get(SUM)?)?.trim(), 8).ok()?;
        let own: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        let without: u32 = header.get(SUM)?.iter().map(|&byte| u32::from(byte)).sum();
        if own - without + 8 * u32::from(b' ') != sum {
            return None;
        }
        let content = after.get(..size)?;
        if matches!(header.get(156), Some(b'0' | 0)) {
            files.push((text(header.get(..100)?)?.to_owned(), content.to_vec()));
        }
        rest = after.get(size.next_multiple_of(BLOCK)..).unwrap_or_default();
    }
    (!files.is_empty()).then_some(files)
}

/// A field's text, up to the zero that ends it.
fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    std::str::from_utf8(field.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_out() {
        let files = vec![
            ("meta.json".to_owned(), b"{}".to_vec()),
            ("tls/docker/ca.pem".to_owned(), vec![b'x'; 1000]),
            ("empty".to_owned(), Vec::new()),
        ];
        assert_eq!(unpack(&pack(&files)), Some(files));
    }

    #[test]
    fn damaged_ones_are_noticed() {
        let mut archive = pack(&[("meta.json".to_owned(), vec![1; 600])]);
        assert_eq!(unpack(&archive[..700]), None);
        archive[0] = b'x';
        assert_eq!(unpack(&archive), None);
        assert_eq!(unpack(b"PK\x03\x04"), None);
        assert_eq!(unpack(&[]), None);
    }
}
