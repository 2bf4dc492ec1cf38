//! What the paths of a copy mean: where things go and what they are called there.
//!
//! The rules are `cp -a`'s, as Docker has them: an existing folder takes the source into it, a path that
//! ends with a slash must be a folder, and `/.` means a folder's contents.

use std::path::Path;

use corten_sys::fs;

use crate::error::{Error, Result, file_error, reason};

/// One end of a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CopyInfo {
    /// Where it is, with a slash or `/.` at its end if they were written.
    pub(super) path: String,
    /// Whether something is there.
    pub(super) exists: bool,
    /// Whether that is a folder.
    pub(super) is_folder: bool,
    /// What it was called before links were followed; empty when that is the path's last part.
    pub(super) rename: String,
}

/// What names in an archive begin with, and what they are to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rename {
    pub(super) old: String,
    pub(super) new: String,
}

impl Rename {
    /// The new name; names that begin otherwise stay.
    pub(super) fn apply(&self, name: &[u8]) -> Vec<u8> {
        match name.strip_prefix(self.old.as_bytes()) {
            Some(rest) => [self.new.as_bytes(), rest].concat(),
            None => name.to_vec(),
        }
    }
}

/// Tells `CONTAINER:PATH` from a path of this machine, which a slash or a dot at its beginning makes sure.
pub(super) fn split_argument(argument: &str) -> (Option<&str>, &str) {
    match argument.split_once(':') {
        Some((container, path))
            if !argument.starts_with('/') && !container.starts_with('.') && !container.is_empty() =>
        {
            (Some(container), path)
        }
        _ => (None, argument),
    }
}

/// A path from the root, ending as it was written.
pub(super) fn absolute(path: &str) -> Result<String> {
    let full = if path.starts_with('/') {
        path.to_owned()
    } else {
        let here = std::env::current_dir().map_err(|e| Error::new(reason(&e)))?;
        format!("{}/{path}", here.display())
    };
    Ok(keep_end(clean(&full), path))
}

fn is_here(path: &str) -> bool {
    base(path) == "."
}

fn ends_with_slash(path: &str) -> bool {
    path.ends_with('/')
}

/// Puts back the `/.` or the slash that cleaning took.
fn keep_end(mut cleaned: String, original: &str) -> String {
    if !is_here(&cleaned) && is_here(original) {
        if !ends_with_slash(&cleaned) {
            cleaned.push('/');
        }
        cleaned.push('.');
    }
    if !ends_with_slash(&cleaned) && ends_with_slash(original) {
        cleaned.push('/');
    }
    cleaned
}

/// A path without empty parts and dots, as Go's `filepath.Clean`.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last()) {
            ("" | ".", _) => {}
            ("..", Some(&last)) if last != ".." => {
                parts.pop();
            }
            ("..", None) if rooted => {}
            (part, _) => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => ".".to_owned(),
        (false, joined) => joined,
    }
}

/// A path's last part, as Go's `filepath.Base`.
fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    match path.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }
}

/// A path's folder and last part; the last part is a dot if that was written.
pub(super) fn split_entry(path: &str) -> (String, String) {
    let mut cleaned = clean(path);
    if is_here(path) {
        cleaned = format!("{}/.", cleaned.trim_end_matches('/'));
    }
    let folder = match cleaned.rsplit_once('/') {
        Some(("", _)) => "/".to_owned(),
        Some((folder, _)) => clean(folder),
        None => ".".to_owned(),
    };
    let base = base(&cleaned).to_owned();
    (folder, base)
}

/// Where a link beside a path leads.
pub(super) fn join_link(path: &str, link: &str) -> String {
    match link.starts_with('/') {
        true => link.to_owned(),
        false => clean(&format!("{}/{link}", split_entry(path).0)),
    }
}

/// The path that links led to, ending as the written one does, and the written one's last part if
/// the other has another.
pub(super) fn rebase_name(path: &str, resolved: &str) -> (String, String) {
    let resolved = keep_end(resolved.to_owned(), path);
    let rename = match base(path) == base(&resolved) {
        true => String::new(),
        false => base(path).to_owned(),
    };
    (resolved, rename)
}

/// Looks at a source on this machine.
pub(super) fn source(path: &str, follow: bool) -> Result<CopyInfo> {
    let (path, rename) = if follow {
        rebase_name(path, &evaluate(path)?)
    } else {
        let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
        let folder = match folder {
            "" => "/".to_owned(),
            folder => evaluate(folder)?,
        };
        let resolved = format!("{}/{name}", folder.trim_end_matches('/'));
        let rename = match ends_with_slash(path) && base(path) != base(&resolved) {
            true => base(path).to_owned(),
            false => String::new(),
        };
        (resolved, rename)
    };
    let found = fs::symlink_metadata(Path::new(&path)).map_err(|e| Error::new(file_error("lstat", &path, &e)))?;
    Ok(CopyInfo {
        is_folder: found.is_dir(),
        exists: true,
        path,
        rename,
    })
}

fn evaluate(path: &str) -> Result<String> {
    // Go names the first part that is not there.
    let resolved = fs::canonicalize(Path::new(path)).map_err(|e| {
        let mut first = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            first = format!("{first}/{part}");
            if fs::symlink_metadata(Path::new(&first)).is_err() {
                break;
            }
        }
        Error::new(file_error("lstat", &first, &e))
    })?;
    Ok(resolved.to_string_lossy().into_owned())
}

/// Looks at a destination on this machine; its folder at least has to be there.
pub(super) fn destination(path: &str) -> Result<CopyInfo> {
    let mut at = path.to_owned();
    for _ in 0..=10 {
        let found = match fs::if_there(fs::symlink_metadata(Path::new(&at))) {
            Ok(Some(found)) => found,
            Ok(None) => {
                let folder = split_entry(&at).0;
                let about =
                    fs::metadata(Path::new(&folder)).map_err(|e| Error::new(file_error("stat", &folder, &e)))?;
                if !about.is_dir() {
                    return Err(Error::new("not a directory"));
                }
                return Ok(CopyInfo {
                    path: at,
                    ..CopyInfo::default()
                });
            }
            Err(error) => return Err(Error::new(file_error("lstat", &at, &error))),
        };
        if !found.is_symlink() {
            return Ok(CopyInfo {
                path: at,
                exists: true,
                is_folder: found.is_dir(),
                rename: String::new(),
            });
        }
        let link = fs::read_link(Path::new(&at)).map_err(|e| Error::new(file_error("readlink", &at, &e)))?;
        at = join_link(&at, &link.to_string_lossy());
    }
    Err(Error::new(format!("too many symlinks in {path}")))
}

/// The folder that an archive is unpacked into, and what its names have to begin with if not with the
/// source's own.
pub(super) fn prepare(source: &CopyInfo, destination: &CopyInfo) -> Result<(String, Option<String>)> {
    if destination.exists && destination.is_folder {
        return Ok((destination.path.clone(), None));
    }
    if destination.exists && source.is_folder {
        return Err(Error::new("cannot copy directory"));
    }
    let asserted = ends_with_slash(&destination.path) || is_here(&destination.path);
    if !destination.exists && !source.is_folder && asserted {
        return Err(Error::new("no such directory"));
    }
    let (folder, name) = split_entry(&destination.path);
    Ok((folder, Some(name)))
}

/// Checks a destination before anything is asked of the engine.
pub(super) fn check_output(path: &str) -> Result<()> {
    let (folder, _) = split_entry(&clean(path));
    if folder != "." && matches!(fs::if_there(fs::metadata(Path::new(&folder))), Ok(None)) {
        return Err(Error::new(format!(
            "invalid output path: directory \"{folder}\" does not exist"
        )));
    }
    use std::os::unix::fs::FileTypeExt as _;
    let device = |kind: std::fs::FileType| kind.is_block_device() || kind.is_char_device();
    match fs::metadata(Path::new(path)) {
        Ok(found) if device(found.file_type()) => Err(Error::new(format!(
            "invalid output path: \"{path}\" must be a directory or a regular file: got a device"
        ))),
        _ => Ok(()),
    }
}

/// Why something of a Go file mode can be no destination.
pub(super) fn unusable(mode: u32) -> Option<&'static str> {
    match mode {
        mode if mode & (1 << 26) != 0 => Some("got a device"),
        mode if mode & (1 << 19) != 0 => Some("got an irregular file"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_told_apart() {
        let check = |argument, container, path| assert_eq!(split_argument(argument), (container, path), "{argument}");
        check("c:/x", Some("c"), "/x");
        check("c:x:y", Some("c"), "x:y");
        check("./c:x", None, "./c:x");
        check("/c:x", None, "/c:x");
        check("-", None, "-");
        check("plain", None, "plain");
    }

    #[test]
    fn paths_are_taken_apart_as_go_does() {
        let check = |path, folder: &str, name: &str| {
            assert_eq!(split_entry(path), (folder.to_owned(), name.to_owned()), "{path}");
        };
        check("/a/b", "/a", "b");
        check("/a/b/", "/a", "b");
        check("/a/b/.", "/a/b", ".");
        check("/a", "/", "a");
        check("/", "/", "/");
        check("b", ".", "b");
        assert_eq!(absolute("/a/../b/.").unwrap(), "/b/.");
        assert_eq!(absolute("/a//b/").unwrap(), "/a/b/");
    }

    #[test]
    fn names_at_the_destination() {
        let info = |path: &str, exists, is_folder| CopyInfo {
            path: path.to_owned(),
            exists,
            is_folder,
            rename: String::new(),
        };
        let (file, folder) = (info("/s/file", true, false), info("/s/dir", true, true));
        let check = |source: &CopyInfo, target: CopyInfo, expected: std::result::Result<(&str, Option<&str>), &str>| {
            let found = prepare(source, &target);
            let found = found
                .as_ref()
                .map(|(folder, name)| (folder.as_str(), name.as_deref()))
                .map_err(|e| e.message.as_str());
            assert_eq!(found, expected, "{} to {}", source.path, target.path);
        };
        check(&file, info("/d", true, true), Ok(("/d", None)));
        check(&folder, info("/d", true, true), Ok(("/d", None)));
        check(&folder, info("/d/f", true, false), Err("cannot copy directory"));
        check(&file, info("/d/f", true, false), Ok(("/d", Some("f"))));
        check(&folder, info("/d/new", false, false), Ok(("/d", Some("new"))));
        check(&folder, info("/d/new/", false, false), Ok(("/d", Some("new"))));
        check(&file, info("/d/new/", false, false), Err("no such directory"));
        check(&file, info("/d/new", false, false), Ok(("/d", Some("new"))));
    }
}
