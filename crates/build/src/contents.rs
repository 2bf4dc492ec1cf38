//! What COPY and ADD copy: sources found by name or pattern, and digests of what they hold.
//!
//! A digest covers names, kinds, modes, links and bytes, never times: a checkout is not different for
//! being a day younger.

use std::ffi::CStr;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use corten_dockerfile::{Ignore, glob_matches};
use corten_oci::digest::{Algorithm, Digest, Hasher};
use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::error::{Error, Result};
use crate::known::{FileDigests, Seen, bytes_of};
use crate::paths;
use crate::roots::{self, Root};

/// The most bytes of paths that a pattern may find.
const MOST: usize = 100_000;

/// What is left out of a tree: what its context does not have, and what the instruction excludes.
#[derive(Debug, Default)]
pub(crate) struct Filter<'a> {
    context: Option<(&'a Ignore, String)>,
    excludes: Option<&'a Ignore>,
}

impl<'a> Filter<'a> {
    /// For what is below a path of a context.
    pub(crate) fn new(context: &'a Ignore, path: &str, excludes: Option<&'a Ignore>) -> Self {
        Self {
            context: (!context.is_empty()).then(|| (context, path.to_owned())),
            excludes: excludes.filter(|excludes| !excludes.is_empty()),
        }
    }

    /// Whether a path from where the filter is for is left out.
    pub(crate) fn leaves_out(&self, path: &str) -> bool {
        let context = self.context.as_ref();
        context.is_some_and(|(ignore, below)| ignore.excludes(&join(below, path)))
            || self.excludes.is_some_and(|excludes| excludes.excludes(path))
    }

    /// Whether a source that is a file itself is left out by the instruction.
    pub(crate) fn leaves_out_file(&self, name: &str) -> bool {
        self.excludes.is_some_and(|excludes| excludes.excludes(name))
    }

    /// Whether a folder that is left out may nevertheless have something in it that is not.
    pub(crate) fn may_keep_below(&self) -> bool {
        let context = self.context.as_ref();
        context.is_some_and(|(ignore, _)| ignore.may_keep_below()) || self.excludes.is_some_and(Ignore::may_keep_below)
    }
}

/// The paths in a tree that a source means, from its root, sorted; none when a pattern finds nothing.
///
/// # Errors
/// When a plain path is not there.
pub(crate) fn find(root: &Root, source: &str, filter: &Filter<'_>) -> Result<Vec<String>> {
    let source = paths::below(source);
    if !source.contains(['*', '?', '[', '\\']) {
        return match is_there(root, &source, filter)? {
            true => Ok(vec![source]),
            false => Err(missing(&source)),
        };
    }
    let mut found = vec![String::new()];
    for part in source.split('/') {
        found = step(root, &found, part, filter)?;
    }
    if filter.context.is_some() {
        let mut seen = Vec::with_capacity(found.len());
        for path in found {
            // A link to what is not there is nothing that could be copied either way.
            if root.find(&path)?.is_none() || is_there(root, &path, filter)? {
                seen.push(path);
            }
        }
        return Ok(seen);
    }
    Ok(found)
}

/// Whether a tree has a path, and its context has it too: both the path, and where links in it lead.
pub(crate) fn is_there(root: &Root, path: &str, filter: &Filter<'_>) -> Result<bool> {
    let Some(stat) = root.find(path)? else {
        return Ok(false);
    };
    if filter.context.is_none() {
        return Ok(true);
    }
    let real = root.real(path)?;
    Ok(!is_hidden(path, &stat, filter) && !real.is_some_and(|real| is_hidden(&real, &stat, filter)))
}

/// Whether the context does not have a path. A folder that it does not have may have something in it
/// that it has.
fn is_hidden(path: &str, stat: &Stat, filter: &Filter<'_>) -> bool {
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    !path.is_empty() && filter.leaves_out(path) && !(is_folder && filter.may_keep_below())
}

pub(crate) fn missing(source: &str) -> Error {
    Error::new(
        crate::Kind::NotFound,
        format!("file not found in build context or excluded by .dockerignore: stat {source}: file does not exist"),
    )
    .in_other_words(format!(
        "failed to compute cache key: failed to calculate checksum of ref: \"/{source}\": not found"
    ))
}

/// What a pattern for one part of a path finds below the paths found so far.
fn step(root: &Root, folders: &[String], part: &str, filter: &Filter<'_>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in folders {
        let Ok(open) = root.folder(folder) else { continue };
        if part == "**" {
            deep(root, folder, filter, &mut found)?;
            continue;
        }
        for name in roots::names(open.as_fd())? {
            let name = name.to_string_lossy();
            let path = join(folder, &name);
            if glob_matches(part, &name) && (!filter.leaves_out(&path) || filter.may_keep_below()) {
                found.push(path);
            }
        }
        if found.len() > MOST {
            return Err(Error::invalid(format!("a pattern finds more than {MOST} files")));
        }
    }
    Ok(found)
}

/// A folder and all below it.
fn deep(root: &Root, folder: &str, filter: &Filter<'_>, found: &mut Vec<String>) -> Result<()> {
    found.push(folder.to_owned());
    let open = root.folder(folder)?;
    for name in roots::names(open.as_fd())? {
        let path = join(folder, &name.to_string_lossy());
        if filter.leaves_out(&path) && !filter.may_keep_below() {
            continue;
        }
        let stat = roots::look(open.as_fd(), &name)?;
        if stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory) {
            deep(root, &path, filter, found)?;
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

/// The most files of a tree that are named with its digest.
const NAMED: usize = 1000;

/// The digest of a file or tree, and those of its files by name.
pub(crate) fn digest(
    root: &Root,
    path: &str,
    filter: &Filter<'_>,
    owners: Owners,
    known: &FileDigests,
) -> Result<(Digest, Vec<(String, String)>)> {
    let mut walk = Walk {
        named: Vec::new(),
        hasher: Hasher::new(Algorithm::Sha256),
        filter,
        owners,
        known,
        buffer: Vec::new(),
    };
    let stat = root.find(path)?.ok_or_else(|| missing(path))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let folder = root.folder(path)?;
        walk.head(b"", b'd', &stat);
        walk.folder(folder.as_fd(), "")?;
    } else {
        walk.head(paths::name(path).as_bytes(), b'f', &stat);
        walk.content(path, &stat, || Ok(root.file(path)?.into()))?;
    }
    Ok((walk.hasher.finish(), walk.named))
}

struct Walk<'a> {
    hasher: Hasher,
    filter: &'a Filter<'a>,
    owners: Owners,
    known: &'a FileDigests,
    buffer: Vec<u8>,
    named: Vec<(String, String)>,
}

impl Walk<'_> {
    fn head(&mut self, path: &[u8], kind: u8, stat: &Stat) {
        let mut head = Vec::with_capacity(path.len() + 16);
        head.extend_from_slice(path);
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
            let excluded = self.filter.leaves_out(&path);
            if excluded && !self.filter.may_keep_below() {
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
                self.content(path, stat, || {
                    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                    Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?)
                })
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

    /// A file's bytes, by their digest; a file that is as it was is not read again.
    fn content(&mut self, path: &str, stat: &Stat, open: impl FnOnce() -> Result<OwnedFd>) -> Result<()> {
        if let Some(digest) = self.known.get(stat) {
            self.hasher.update(&digest);
            self.name(path, &digest);
            return Ok(());
        }
        let seen = Seen::now();
        let mut file = std::fs::File::from(open()?);
        self.buffer.resize(128 * 1024, 0);
        let mut hasher = Hasher::new(Algorithm::Sha256);
        loop {
            match file.read(&mut self.buffer)? {
                0 => break,
                read => hasher.update(&self.buffer[..read]),
            }
        }
        let digest = bytes_of(&hasher.finish());
        self.hasher.update(&digest);
        self.name(path, &digest);
        self.known.put(stat, digest, seen);
        Ok(())
    }

    fn name(&mut self, path: &str, digest: &[u8; 32]) {
        if self.named.len() < NAMED {
            let short = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
            self.named.push((format!("the file {path}"), short.collect()));
        }
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
        let check = |source: &str, expected: &[&str]| {
            assert_eq!(find(&root, source, &Filter::default()).unwrap(), expected, "{source}")
        };
        check("a.txt", &["a.txt"]);
        check("/a.txt", &["a.txt"]);
        check("../../a.txt", &["a.txt"]);
        check(".", &[""]);
        check("*.txt", &["a.txt", "b.txt"]);
        check("d/?.txt", &["d/c.txt"]);
        check("**/*.o", &["d/e/f.o"]);
        check("*.nothing", &[]);
        assert!(
            find(&root, "nosuch", &Filter::default())
                .unwrap_err()
                .to_string()
                .contains("stat nosuch")
        );
    }

    #[test]
    fn digests_are_of_content() {
        let (folder, root) = tree();
        let known = FileDigests::default();
        let of = |path: &str| {
            digest(&root, path, &Filter::default(), Owners::Reset, &known)
                .unwrap()
                .0
        };
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
            let excludes = Ignore::of(["**/*.o"]);
            let none = Ignore::default();
            let filter = Filter::new(&none, "d", Some(&excludes));
            digest(&root, "d", &filter, Owners::Reset, &known).unwrap().0
        };
        assert_eq!(without("1"), without("2"));
    }
}
