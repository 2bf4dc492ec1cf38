//! How much space a folder's files take.

use std::{collections::HashSet, io, os::unix::fs::MetadataExt, path::Path};

use corten_sys::fs;

/// Bytes of all files below a folder; a file with several names counts once.
pub(super) fn of(folder: &Path) -> io::Result<u64> {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        // What vanishes while we look is not counted.
        let Some(items) = fs::if_there(fs::read_dir(&folder))? else {
            continue;
        };
        for item in items {
            let path = item?.path();
            let Some(metadata) = fs::if_there(fs::symlink_metadata(&path))? else {
                continue;
            };
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())) {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}
