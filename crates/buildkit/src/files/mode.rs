//! Go's `os.FileMode`, which the wire has, and Linux's.

const DIR: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const PIPE: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const SETUID: u32 = 1 << 23;
const SETGID: u32 = 1 << 22;
const CHAR: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;
const IRREGULAR: u32 = 1 << 19;
const KIND: u32 = DIR | SYMLINK | DEVICE | PIPE | SOCKET | CHAR | IRREGULAR;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// Anything else.
    Other,
}

/// What Go's mode says a file is.
pub(crate) fn kind(mode: u32) -> Kind {
    match mode & KIND {
        0 => Kind::File,
        DIR => Kind::Folder,
        SYMLINK => Kind::Link,
        _ => Kind::Other,
    }
}

/// Linux's permission bits of Go's mode.
pub(crate) fn permissions(mode: u32) -> u32 {
    let bit = |go: u32, linux: u32| if mode & go == 0 { 0 } else { linux };
    (mode & 0o777) | bit(SETUID, 0o4000) | bit(SETGID, 0o2000) | bit(STICKY, 0o1000)
}

/// Go's mode of Linux's `st_mode`.
pub(crate) fn from_linux(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => DIR,
        0o120_000 => SYMLINK,
        0o060_000 => DEVICE,
        0o020_000 => DEVICE | CHAR,
        0o010_000 => PIPE,
        0o140_000 => SOCKET,
        _ => 0,
    };
    let bit = |linux: u32, go: u32| if mode & linux == 0 { 0 } else { go };
    kind | (mode & 0o777) | bit(0o4000, SETUID) | bit(0o2000, SETGID) | bit(0o1000, STICKY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_converted_both_ways() {
        assert_eq!(from_linux(0o040_755), 2_147_484_141);
        for (linux, expected) in [
            (0o100_644, Kind::File),
            (0o104_755, Kind::File),
            (0o041_777, Kind::Folder),
            (0o120_777, Kind::Link),
            (0o010_644, Kind::Other),
        ] {
            let go = from_linux(linux);
            assert_eq!((kind(go), permissions(go)), (expected, linux & 0o7777));
        }
    }
}
