//! Copying files into an image's root: COPY, and ADD once it has fetched and unpacked.
//!
//! Both trees are held by descriptors. The destination itself is found through links, as if the image
//! were `/`; below it nothing follows links.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::chmod::Chmod;
use crate::contents::{Filter, join};
use crate::error::{Error, Result};
use crate::paths;
use crate::roots::{self, Owner, Root};

/// How copies differ from what is copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Attributes {
    /// Their owner; none keeps the sources'.
    pub(crate) owner: Option<Owner>,
    /// How modes change.
    pub(crate) chmod: Option<Chmod>,
    /// When they were changed, in seconds; none keeps the sources' times.
    pub(crate) modified: Option<i64>,
    /// What the copies are a copy of.
    pub(crate) source: Nature,
}

/// What a tree is, and so what it does to what is there before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Nature {
    /// Files, which come to those that are there.
    #[default]
    Files,
    /// An archive: what it has takes the place of what is there, and its whiteouts take away. Where links of the image
    /// lead to a folder, its folders do not replace them: an image whose `/bin` is a link goes on working.
    Archive,
    /// A layer: the same to the letter.
    Layer,
}

/// Where one source goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// From the destination's root.
    pub(crate) path: String,
    /// Whether the path is a folder into which the source, if it is a file, is put under its own name.
    pub(crate) is_folder: bool,
}

/// Copies a file, or what a folder holds.
pub(crate) fn copy(
    from: &Root,
    source: &str,
    to: &Root,
    place: &Place,
    attributes: &Attributes,
    filter: &Filter<'_>,
) -> Result<()> {
    let stat = from
        .find(source)?
        .ok_or_else(|| Error::invalid(format!("/{source} vanished meanwhile")))?;
    let owner = attributes.owner.unwrap_or_default();
    let mut copier = Copier {
        attributes,
        filter,
        links: HashMap::new(),
        root: to,
    };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let folder = from.folder(source)?;
        let is_new = to.find(&place.path)?.is_none();
        let target = to.make_folders(&place.path, owner)?;
        copier.folder(folder.as_fd(), target.as_fd(), "", &place.path)?;
        if is_new {
            copier.folder_attributes(target.as_fd(), folder.as_fd(), &stat)?;
        }
        return Ok(());
    }
    if filter.leaves_out_file(paths::name(source)) {
        return Ok(());
    }
    let as_folder = place.is_folder || to.is_folder(&place.path)?;
    let path = if as_folder {
        join(&place.path, paths::name(source))
    } else {
        place.path.clone()
    };
    let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let target = to.make_folders(above, owner)?;
    let name = CString::new(name).map_err(|_| Error::invalid("a name has a NUL in it"))?;
    if name.as_bytes().is_empty() {
        return Err(Error::invalid("cannot copy a file over the root"));
    }
    copier.file(from.file(source)?.into(), target.as_fd(), &name, &stat)
}

/// Writes a small file.
pub(crate) fn write(to: &Root, place: &Place, name: &str, bytes: &[u8], attributes: &Attributes) -> Result<()> {
    let as_folder = place.is_folder || to.is_folder(&place.path)?;
    let path = if as_folder {
        join(&place.path, name)
    } else {
        place.path.clone()
    };
    let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let owner = attributes.owner.unwrap_or_default();
    let target = to.make_folders(above, owner)?;
    let name = CString::new(name).map_err(|_| Error::invalid("a name has a NUL in it"))?;
    let mut file = std::fs::File::from(create(target.as_fd(), &name)?);
    std::io::Write::write_all(&mut file, bytes)?;
    let mode = attributes
        .chmod
        .as_ref()
        .map_or(0o644, |chmod| chmod.apply(0o644, false));
    set(file.as_fd(), owner, mode)?;
    let time = attributes.modified.unwrap_or(0);
    Ok(rustix::fs::futimens(&file, &times(time, 0))?)
}

struct Copier<'a> {
    attributes: &'a Attributes,
    filter: &'a Filter<'a>,
    /// Where files with several names were first put: folder and name, from the destination's root.
    links: HashMap<(u64, u64), (String, CString)>,
    root: &'a Root,
}

impl Copier<'_> {
    /// Copies what a folder holds. `path` is the place below the source, `target` below the destination's root.
    fn folder(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, path: &str, target: &str) -> Result<()> {
        for name in roots::names(from)? {
            let text = name.to_string_lossy();
            let (path, target_path) = (join(path, &text), join(target, &text));
            let excluded = self.filter.leaves_out(&path);
            if excluded && !self.filter.may_keep_below() {
                continue;
            }
            let Some(stat) = roots::look(from, &name)? else {
                continue;
            };
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if self.replaces() && self.takes_away(to, &name, &stat, &target_path)? {
                continue;
            }
            match (is_folder, excluded) {
                (false, true) => {}
                (false, false) => self
                    .member(from, to, &name, &stat, target)
                    .map_err(|error| error.context(format!("cannot copy to /{target_path}")))?,
                (true, _) => self.subfolder(from, to, &name, (&path, &target_path), (&stat, excluded))?,
            }
        }
        Ok(())
    }

    fn replaces(&self) -> bool {
        self.attributes.source != Nature::Files
    }

    /// Whether a folder of an archive goes where a link leads that has its name.
    fn goes_through(&self, there: &Stat, target: &str) -> Result<bool> {
        let is_link = FileType::from_raw_mode(there.st_mode) == FileType::Symlink;
        Ok(is_link && self.attributes.source == Nature::Archive && self.root.is_folder(target)?)
    }

    /// Makes room for an entry of a layer; whether that was all it asks for.
    fn takes_away(&self, to: BorrowedFd<'_>, name: &CStr, stat: &Stat, target: &str) -> Result<bool> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            remove(to, name)?;
            return Ok(true);
        }
        let Some(there) = roots::look(to, name)? else {
            return Ok(false);
        };
        let is_folder = kind == FileType::Directory;
        let was_folder = FileType::from_raw_mode(there.st_mode) == FileType::Directory;
        if was_folder != is_folder && !(is_folder && self.goes_through(&there, target)?) {
            remove(to, name)?;
        }
        Ok(false)
    }

    fn subfolder(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        (path, target): (&str, &str),
        (stat, excluded): (&Stat, bool),
    ) -> Result<()> {
        let below = roots::subfolder(from, name)?;
        if excluded && !self.keeps_below(below.as_fd(), path)? {
            return Ok(());
        }
        let (folder, is_new) = match roots::look(to, name)? {
            None => (roots::make_folder(to, name, Owner::default())?, true),
            Some(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
                (roots::subfolder(to, name)?, false)
            }
            Some(found) if self.goes_through(&found, target)? => (self.root.folder(target)?, false),
            Some(_) => return Err(Error::invalid(format!("cannot copy to non-directory: /{target}"))),
        };
        if self.replaces() && is_opaque(below.as_fd()) {
            for name in roots::names(folder.as_fd())? {
                remove(folder.as_fd(), &name)?;
            }
        }
        self.folder(below.as_fd(), folder.as_fd(), path, target)?;
        if is_new || self.replaces() {
            self.folder_attributes(folder.as_fd(), below.as_fd(), stat)?;
        }
        Ok(())
    }

    /// Whether a folder that is left out has something that is not.
    fn keeps_below(&self, folder: BorrowedFd<'_>, path: &str) -> Result<bool> {
        for name in roots::names(folder)? {
            let path = join(path, &name.to_string_lossy());
            if !self.filter.leaves_out(&path) {
                return Ok(true);
            }
            let stat = roots::look(folder, &name)?;
            if stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
                && self.keeps_below(roots::subfolder(folder, &name)?.as_fd(), &path)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn member(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
        target: &str,
    ) -> Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if stat.st_nlink > 1 && kind != FileType::Socket {
            let key = (stat.st_dev, stat.st_ino);
            if let Some((folder, first)) = self.links.get(&key) {
                make_room(to, name)?;
                let folder = self.root.folder(folder)?;
                return Ok(rustix::fs::linkat(&folder, first, to, name, AtFlags::empty())?);
            }
            self.links.insert(key, (target.to_owned(), name.to_owned()));
        }
        match kind {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = rustix::fs::openat(from, name, flags, Mode::empty())?;
                self.file(file, to, name, stat)
            }
            FileType::Symlink => {
                let text = rustix::fs::readlinkat(from, name, Vec::new())?;
                make_room(to, name)?;
                rustix::fs::symlinkat(&text, to, name)?;
                self.attributes_at(to, name, stat)
            }
            FileType::Socket | FileType::Unknown | FileType::Directory => Ok(()),
            FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
                make_room(to, name)?;
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)?;
                self.attributes_at(to, name, stat)
            }
        }
    }

    fn file(&self, from: OwnedFd, to: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<()> {
        let mut source = std::fs::File::from(from);
        let mut file = std::fs::File::from(create(to, name)?);
        std::io::copy(&mut source, &mut file)?;
        self.finish(file.as_fd(), source.as_fd(), stat, false)
    }

    fn folder_attributes(&self, folder: BorrowedFd<'_>, from: BorrowedFd<'_>, stat: &Stat) -> Result<()> {
        self.finish(folder, from, stat, true)
    }

    fn finish(&self, file: BorrowedFd<'_>, from: BorrowedFd<'_>, stat: &Stat, is_folder: bool) -> Result<()> {
        let mode = stat.st_mode & 0o7777;
        let mode = self
            .attributes
            .chmod
            .as_ref()
            .map_or(mode, |chmod| chmod.apply(mode, is_folder));
        set(file, self.owner(stat), mode)?;
        xattrs(from, file)?;
        Ok(rustix::fs::futimens(file, &self.times(stat))?)
    }

    fn attributes_at(&self, folder: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<()> {
        let Owner { uid, gid } = self.owner(stat);
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(rustix::fs::utimensat(
            folder,
            name,
            &self.times(stat),
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    fn owner(&self, stat: &Stat) -> Owner {
        self.attributes.owner.unwrap_or(Owner {
            uid: stat.st_uid,
            gid: stat.st_gid,
        })
    }

    fn times(&self, stat: &Stat) -> Timestamps {
        match self.attributes.modified {
            Some(seconds) => times(seconds, 0),
            None => times(stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        }
    }
}

/// The owner first: changing it takes set-id bits away.
fn set(file: BorrowedFd<'_>, owner: Owner, mode: u32) -> Result<()> {
    rustix::fs::fchown(file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?)
}

fn times(seconds: i64, nanoseconds: i64) -> Timestamps {
    let stamp = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    Timestamps {
        last_access: stamp,
        last_modification: stamp,
    }
}

/// Makes a new file, in the place of one that is there.
fn create(folder: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o600);
    match rustix::fs::openat(folder, name, flags, mode) {
        Err(Errno::EXIST) => {
            make_room(folder, name)?;
            Ok(rustix::fs::openat(folder, name, flags, mode)?)
        }
        other => Ok(other?),
    }
}

fn make_room(folder: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => Err(Error::invalid("cannot copy a file over a folder")),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a folder of a layer hides what is below it (overlayfs.rst, "whiteouts and opaque directories").
fn is_opaque(folder: BorrowedFd<'_>) -> bool {
    let mut value = [0; 8];
    let length = rustix::fs::fgetxattr(folder, "trusted.overlay.opaque", &mut value[..]);
    length.is_ok_and(|length| value[..length] == *b"y")
}

/// Removes whatever has a name in an open folder.
fn remove(folder: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let below = roots::subfolder(folder, name)?;
    for inner in roots::names(below.as_fd())? {
        remove(below.as_fd(), &inner)?;
    }
    Ok(rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?)
}

/// Copies capabilities and the users' own attributes.
fn xattrs(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let source = format!("/proc/self/fd/{}", from.as_raw_fd());
    let mut list = vec![0; 64 * 1024];
    let Ok(length) = rustix::fs::listxattr(&source, &mut list[..]) else {
        return Ok(());
    };
    let is_kept = |name: &[u8]| name == b"security.capability" || name.starts_with(b"user.");
    for name in list[..length].split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        let mut value = vec![0; 64 * 1024];
        let Ok(length) = rustix::fs::getxattr(&source, name, &mut value[..]) else {
            continue;
        };
        match rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use corten_dockerfile::Ignore;
    use corten_sys::fs;

    fn copy(from: &Root, source: &str, to: &Root, place: &Place, attributes: &Attributes) -> Result<()> {
        super::copy(from, source, to, place, attributes, &Filter::default())
    }

    fn roots() -> (tempfile::TempDir, Root, Root) {
        let folder = tempfile::tempdir().unwrap();
        for path in ["from/d/e", "to/real"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        fs::write(folder.path().join("from/f"), "one").unwrap();
        fs::write(folder.path().join("from/d/g"), "two").unwrap();
        fs::hard_link(folder.path().join("from/d/g"), folder.path().join("from/d/h")).unwrap();
        fs::symlink("/etc/passwd", folder.path().join("from/d/link")).unwrap();
        fs::symlink("/real", folder.path().join("to/alias")).unwrap();
        let open = |name: &str| Root::open(&folder.path().join(name)).unwrap();
        let (from, to) = (open("from"), open("to"));
        (folder, from, to)
    }

    fn place(path: &str, is_folder: bool) -> Place {
        Place {
            path: path.into(),
            is_folder,
        }
    }

    #[test]
    fn files_and_folders_arrive() {
        let (folder, from, to) = roots();
        let at = |path: &str| folder.path().join("to").join(path);
        let plain = Attributes::default();
        copy(&from, "f", &to, &place("new/f", false), &plain).unwrap();
        copy(&from, "f", &to, &place("real", false), &plain).unwrap();
        copy(&from, "f", &to, &place("alias/x/", true), &plain).unwrap();
        assert_eq!(fs::read(at("new/f")).unwrap(), b"one");
        assert_eq!(fs::read(at("real/f")).unwrap(), b"one");
        assert_eq!(fs::read(at("real/x/f")).unwrap(), b"one");
        copy(&from, "d", &to, &place("d2", false), &plain).unwrap();
        assert_eq!(fs::read(at("d2/g")).unwrap(), b"two");
        assert!(at("d2/e").is_dir());
        assert_eq!(
            fs::metadata(at("d2/g")).unwrap().ino(),
            fs::metadata(at("d2/h")).unwrap().ino()
        );
        assert!(fs::symlink_metadata(at("d2/link")).unwrap().is_symlink());
    }

    #[test]
    fn modes_and_exclusions() {
        let (folder, from, to) = roots();
        let attributes = Attributes {
            chmod: Some(Chmod::parse("u=rw,go=").unwrap()),
            modified: Some(1000),
            ..Attributes::default()
        };
        let excludes = Ignore::of(["h", "link"]);
        let none = Ignore::default();
        let filter = Filter::new(&none, "d", Some(&excludes));
        super::copy(&from, "d", &to, &place("d", false), &attributes, &filter).unwrap();
        let file = fs::metadata(folder.path().join("to/d/g")).unwrap();
        assert_eq!((file.mode() & 0o7777, file.mtime()), (0o600, 1000));
        assert!(!folder.path().join("to/d/h").exists());
        write(&to, &place("texts", true), "t", b"text", &Attributes::default()).unwrap();
        assert_eq!(fs::read(folder.path().join("to/texts/t")).unwrap(), b"text");
    }

    #[test]
    fn what_is_in_the_way() {
        let (folder, from, to) = roots();
        fs::write(folder.path().join("to/e"), "x").unwrap();
        assert!(copy(&from, "d", &to, &place("", false), &Attributes::default()).is_err());
        fs::create_dir_all(folder.path().join("to/d3/g")).unwrap();
        let error = copy(&from, "d", &to, &place("d3", false), &Attributes::default()).unwrap_err();
        assert!(error.to_string().contains("over a folder"), "{error}");
    }
}
