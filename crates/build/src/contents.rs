//! What COPY and ADD copy: sources found by name or pattern, and digests of what they hold.
//!
//! A digest covers names, kinds, modes, links and bytes, never times: a checkout is not different for
//! being a day younger.

use std::ffi::CStr;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};

use corten_dockerfile::{Ignore, glob_matches};
use corten_oci::digest::{Algorithm, Digest, Hasher};
use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::error::{Error, Result};
use crate::paths;
use crate::roots::{self, Root};

/// The most bytes of paths that a pattern may find.
const MOST: usize = 100_000;

/// The paths in a tree that a source means, from its root, sorted; none when a pattern finds nothing.
///
/// # Errors
/// When a plain path is not there.
pub(crate) fn find(root: &Root, source: &str) -> Result<Vec<String>> {
    let source = paths::below(source);
    if !source.contains(['*', '?', '[', '\\']) {
        return match root.find(&source)? {
            Some(_) => Ok(vec![source]),
            None => Err(missing(&source)),
        };
    }
    let mut found = vec![String::new()];
    for part in source.split('/') {
        found = step(root, &found, part)?;
    }
    Ok(found)
}

fn missing(source: &str) -> Error {
    Error::new(
        crate::Kind::NotFound,
        format!("file not found in build context or excluded by .dockerignore: stat {source}: file does not exist"),
    )
}

/// What a pattern for one part of a path finds below the paths found so far.
fn step(root: &Root, folders: &[String], part: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in folders {
        let Ok(open) = root.folder(folder) else { continue };
        if part == "**" {
            deep(root, folder, &mut found)?;
            continue;
        }
        for name in roots::names(open.as_fd())? {
            let name = name.to_string_lossy();
            if glob_matches(part, &name) {
                found.push(join(folder, &name));
            }
        }
        if found.len() > MOST {
            return Err(Error::invalid(format!("a pattern finds more than {MOST} files")));
        }
    }
    Ok(found)
}

/// A folder and all below it.
fn deep(root: &Root, folder: &str, found: &mut Vec<String>) -> Result<()> {
    found.push(folder.to_owned());
    let open = root.folder(folder)?;
    for name in roots::names(open.as_fd())? {
        let stat = roots::look(open.as_fd(), &name)?;
        if stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory) {
            deep(root, &join(folder, &name.to_string_lossy()), found)?;
        }
    }
    Ok(())
}

pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// Whose owners count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    /// Nobody's: they are set anew.
    Reset,
    /// The files' own.
    Keep,
}

/// The digest of a file or tree.
pub(crate) fn digest(root: &Root, path: &str, excludes: &Ignore, owners: Owners) -> Result<Digest> {
    let mut walk = Walk {
        hasher: Hasher::new(Algorithm::Sha256),
        excludes,
        owners,
    };
    let stat = root.find(path)?.ok_or_else(|| missing(path))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let folder = root.folder(path)?;
        walk.head(b"", b'd', &stat);
        walk.folder(folder.as_fd(), "")?;
    } else {
        walk.head(paths::name(path).as_bytes(), b'f', &stat);
        walk.bytes(root.file(path)?)?;
    }
    Ok(walk.hasher.finish())
}

struct Walk<'a> {
    hasher: Hasher,
    excludes: &'a Ignore,
    owners: Owners,
}

impl Walk<'_> {
    fn head(&mut self, path: &[u8], kind: u8, stat: &Stat) {
        let mut head = path.to_vec();
        head.extend([0, kind]);
        head.extend((stat.st_mode & 0o7777).to_le_bytes());
        if self.owners == Owners::Keep {
            head.extend(stat.st_uid.to_le_bytes());
            head.extend(stat.st_gid.to_le_bytes());
        }
        self.hasher.update(&head);
    }

    fn folder(&mut self, folder: BorrowedFd<'_>, path: &str) -> Result<()> {
        for name in roots::names(folder)? {
            let path = join(path, &name.to_string_lossy());
            let excluded = self.excludes.excludes(&path);
            if excluded && !self.excludes.may_keep_below() {
                continue;
            }
            let Some(stat) = roots::look(folder, &name)? else {
                continue;
            };
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::Directory {
                if !excluded {
                    self.head(path.as_bytes(), b'd', &stat);
                }
                let below = roots::subfolder(folder, &name)?;
                self.folder(below.as_fd(), &path)?;
            } else if !excluded {
                self.member(folder, &name, &path, kind, &stat)?;
            }
        }
        Ok(())
    }

    fn member(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &str, kind: FileType, stat: &Stat) -> Result<()> {
        match kind {
            FileType::RegularFile => {
                self.head(path.as_bytes(), b'f', stat);
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = rustix::fs::openat(folder, name, flags, Mode::empty())?;
                self.bytes(file.into())
            }
            FileType::Symlink => {
                self.head(path.as_bytes(), b'l', stat);
                let target = rustix::fs::readlinkat(folder, name, Vec::new())?;
                self.hasher.update(target.as_bytes());
                Ok(())
            }
            _ => {
                self.head(path.as_bytes(), b'o', stat);
                self.hasher.update(&stat.st_rdev.to_le_bytes());
                Ok(())
            }
        }
    }

    fn bytes(&mut self, mut file: std::fs::File) -> Result<()> {
        let mut buffer = vec![0; 128 * 1024];
        let mut length: u64 = 0;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => {
                    self.hasher.update(&buffer[..read]);
                    length += read as u64;
                }
            }
        }
        // After the bytes, so that none can be taken for the next file's.
        self.hasher.update(&length.to_le_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_sys::fs;

    fn tree() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("d/e")).unwrap();
        for (name, text) in [("a.txt", "a"), ("b.txt", "b"), ("d/c.txt", "c"), ("d/e/f.o", "f")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let root = Root::open(folder.path()).unwrap();
        (folder, root)
    }

    #[test]
    fn sources_are_found() {
        let (_folder, root) = tree();
        let check = |source: &str, expected: &[&str]| assert_eq!(find(&root, source).unwrap(), expected, "{source}");
        check("a.txt", &["a.txt"]);
        check("/a.txt", &["a.txt"]);
        check("../../a.txt", &["a.txt"]);
        check(".", &[""]);
        check("*.txt", &["a.txt", "b.txt"]);
        check("d/?.txt", &["d/c.txt"]);
        check("**/*.o", &["d/e/f.o"]);
        check("*.nothing", &[]);
        assert!(find(&root, "nosuch").unwrap_err().to_string().contains("stat nosuch"));
    }

    #[test]
    fn digests_are_of_content() {
        let (folder, root) = tree();
        let of = |path: &str| digest(&root, path, &Ignore::default(), Owners::Reset).unwrap();
        let before = (of(""), of("a.txt"), of("d"));
        let again = fs::read(folder.path().join("a.txt")).unwrap();
        fs::remove_file(folder.path().join("a.txt")).unwrap();
        fs::write(folder.path().join("a.txt"), again).unwrap();
        assert_eq!((of(""), of("a.txt"), of("d")), before);
        fs::set_mode(folder.path().join("a.txt"), 0o755).unwrap();
        assert_ne!(of("a.txt"), before.1);
        fs::write(folder.path().join("d/e/f.o"), "g").unwrap();
        assert_ne!(of("d"), before.2);
        let without = |text| {
            fs::write(folder.path().join("d/e/f.o"), text).unwrap();
            digest(&root, "d", &Ignore::of(["**/*.o"]), Owners::Reset).unwrap()
        };
        assert_eq!(without("1"), without("2"));
    }
}
