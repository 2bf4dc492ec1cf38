//! Unpacks an archive into a layer's folder, and nowhere else.
//!
//! Nothing outside the folder is written, linked or changed, whatever the archive says: every
//! operation is relative to a held folder that `openat2(2)` found beneath the layer's root. Names are
//! cleaned as Go's `filepath.Clean` does; a name that leads outside is an error. A parent that is a
//! symbolic link is followed as if the layer were `/`. Whiteouts (OCI image-spec, layer.md
//! "Whiteouts") become overlayfs's own: a character device 0/0, and `trusted.overlay.opaque`.

mod folders;
mod names;

use std::fs::File;
use std::io::{BufRead, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::recipe::{self, Move};
use crate::tar::{Chunk, Device, Entry, EntryKind, RawSink, Reader, Time};
use folders::{Folder, Folders};
use names::{Target, display};

pub(crate) use names::clean as clean_name;

/// Overlayfs's mark of a folder that hides the one below it.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

/// Bounds on what an archive from outside may make us do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries of a layer. Default 5,000,000.
    pub entries: u64,
    /// Bytes a layer may unpack to. Default 1 TiB.
    pub unpacked: u64,
    /// How many times its compressed size a layer may unpack to, once it is over 4 GiB. Default 300.
    pub ratio: u64,
    /// Bytes of a name. Default 4096, Linux's own limit.
    pub name: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 5_000_000,
            unpacked: 1 << 40,
            ratio: 300,
            name: 4096,
        }
    }
}

impl Limits {
    pub(crate) fn reader(&self) -> corten_tar::Limits {
        corten_tar::Limits {
            entries: self.entries,
            name: self.name,
        }
    }
}

/// What an archive unpacked to.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    /// Bytes of all files, as Docker counts an image's size.
    pub(crate) size: u64,
    /// Files, folders and the rest.
    pub(crate) entries: u64,
    /// Bytes of the archive.
    pub(crate) tar_size: u64,
    /// What later entries replaced.
    pub(crate) moves: Vec<Move>,
}

/// Unpacks one archive into `folder/diff`, with its recipe in `folder/recipe`.
pub(crate) fn unpack(input: impl BufRead, folder: &Path, limits: &Limits) -> Result<Unpacked> {
    let recipe = recipe::Writer::new(corten_sys::fs::create(folder.join("recipe"))?)?;
    let mut reader = Reader::new(input, recipe, limits.reader());
    let mut unpacker = Unpacker::new(folder, limits)?;
    while let Some(entry) = reader.next()? {
        unpacker.entry(&entry, &mut reader).map_err(|error| {
            if entry.path.is_empty() {
                error
            } else {
                error.context(display(&entry.path))
            }
        })?;
    }
    unpacker.set_folder_times()?;
    let Unpacker { mut done, .. } = unpacker;
    let (recipe, tar_size) = reader.finish()?;
    done.tar_size = tar_size;
    recipe.finish()?;
    Ok(done)
}

struct Unpacker<'a> {
    layer: &'a Path,
    limits: &'a Limits,
    folders: Folders,
    /// Set at the end, because making entries changes them.
    folder_times: Vec<(Vec<u8>, Time)>,
    done: Unpacked,
    umask: u32,
    euid: u32,
    egid: u32,
}

type LayerReader<R> = Reader<R, recipe::Writer>;

impl<'a> Unpacker<'a> {
    fn new(layer: &'a Path, limits: &'a Limits) -> Result<Self> {
        let path = layer.join("diff");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(|errno| corten_sys::fs::with_path("open", &path, errno.into()))?;
        Ok(Self {
            layer,
            limits,
            folders: Folders::new(root),
            folder_times: Vec::new(),
            done: Unpacked::default(),
            umask: umask(),
            euid: rustix::process::geteuid().as_raw(),
            egid: rustix::process::getegid().as_raw(),
        })
    }

    fn entry<R: BufRead>(&mut self, entry: &Entry, reader: &mut LayerReader<R>) -> Result<()> {
        if entry.kind == EntryKind::Global {
            return Ok(());
        }
        self.done.entries += 1;
        let path = names::clean(&entry.path)?;
        match names::target(&path)? {
            Target::Root => self.root(entry),
            Target::Opaque { folder } => self.opaque(folder),
            Target::Ignored => Ok(()),
            Target::Whiteout { folder, name } => {
                let parent = self.folders.open(folder)?;
                self.whiteout(&parent, name)
            }
            Target::Entry { folder, name } => {
                let parent = self.folders.open(folder)?;
                self.make(&parent, name, entry, reader)
            }
        }
    }

    fn root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != EntryKind::Folder {
            return Err(Error::invalid("it would replace the layer's root"));
        }
        let root = self.folders.open(b"")?;
        self.attributes(root.fd.as_fd(), entry)?;
        self.folder_times.push((Vec::new(), entry.modified));
        Ok(())
    }

    fn make<R: BufRead>(
        &mut self,
        parent: &Rc<Folder>,
        name: &[u8],
        entry: &Entry,
        reader: &mut LayerReader<R>,
    ) -> Result<()> {
        match &entry.kind {
            EntryKind::File => self.file(parent, name, entry, reader),
            EntryKind::Folder => self.folder(parent, name, entry, reader.sink()),
            EntryKind::HardLink(target) => self.hard_link(parent, name, target, reader.sink()),
            EntryKind::Symlink(target) => {
                self.replacing(parent, name, reader.sink(), |fd| {
                    rustix::fs::symlinkat(&target[..], fd, name)
                })?;
                self.attributes_at(parent, name, entry)
            }
            EntryKind::Fifo => self.node(parent, name, entry, FileType::Fifo, None, reader.sink()),
            EntryKind::CharDevice(device) => self.node(
                parent,
                name,
                entry,
                FileType::CharacterDevice,
                Some(*device),
                reader.sink(),
            ),
            EntryKind::BlockDevice(device) => {
                self.node(parent, name, entry, FileType::BlockDevice, Some(*device), reader.sink())
            }
            EntryKind::Global => Ok(()),
        }
    }

    fn file<R: BufRead>(
        &mut self,
        parent: &Rc<Folder>,
        name: &[u8],
        entry: &Entry,
        reader: &mut LayerReader<R>,
    ) -> Result<()> {
        self.count(entry.size)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let file = self.replacing(parent, name, reader.sink(), |fd| {
            rustix::fs::openat(fd, name, flags, mode)
        })?;
        let file = File::from(file);
        write_content(&file, entry, reader, &parent.join(name))?;
        self.attributes(file.as_fd(), entry)?;
        rustix::fs::futimens(&file, &times(entry.modified))?;
        Ok(())
    }

    fn count(&mut self, size: u64) -> Result<()> {
        self.done.size = self.done.size.saturating_add(size);
        if self.done.size <= self.limits.unpacked {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the layer unpacks to more than {} bytes",
            self.limits.unpacked
        )))
    }

    /// A folder that is there already, by an entry or because something lies in it, gets the
    /// entry's attributes. One that a whiteout stood for hides what is below it.
    fn folder(&mut self, parent: &Rc<Folder>, name: &[u8], entry: &Entry, recipe: &recipe::Writer) -> Result<()> {
        let mut hides = false;
        match rustix::fs::mkdirat(&parent.fd, name, Mode::from_raw_mode(entry.mode & 0o777)) {
            Ok(()) => {}
            Err(Errno::EXIST) => match existing(parent, name)? {
                Some(FileType::Directory) => {}
                found => {
                    hides = found == Some(FileType::CharacterDevice) && is_whiteout(parent, name)?;
                    self.move_away(parent, name, recipe)?;
                    rustix::fs::mkdirat(&parent.fd, name, Mode::from_raw_mode(entry.mode & 0o777))?;
                }
            },
            Err(errno) => return Err(errno.into()),
        }
        let folder = self.folders.child(parent, name)?;
        self.attributes(folder.fd.as_fd(), entry)?;
        if hides {
            rustix::fs::fsetxattr(&folder.fd, OPAQUE, b"y", XattrFlags::empty())?;
        }
        self.folder_times.push((folder.path.clone(), entry.modified));
        Ok(())
    }

    fn hard_link(&mut self, parent: &Rc<Folder>, name: &[u8], target: &[u8], recipe: &recipe::Writer) -> Result<()> {
        let path = names::clean(target)?;
        let Target::Entry { folder, name: original } = names::plain(&path) else {
            return Err(Error::invalid(format!(
                "hard link to {}, which is no file",
                display(target)
            )));
        };
        let holder = self.folders.find(folder)?;
        let missing = || Error::invalid(format!("hard link to {}, which the layer has not", display(target)));
        let holder = holder.ok_or_else(missing)?;
        match existing(&holder, original)? {
            None => return Err(missing()),
            Some(FileType::Directory) => {
                return Err(Error::invalid(format!("hard link to the folder {}", display(target))));
            }
            Some(_) => {}
        }
        if holder.path == parent.path && original == name {
            return Ok(());
        }
        self.replacing(parent, name, recipe, |fd| {
            rustix::fs::linkat(&holder.fd, original, fd, name, AtFlags::empty())
        })
    }

    fn node(
        &mut self,
        parent: &Rc<Folder>,
        name: &[u8],
        entry: &Entry,
        kind: FileType,
        device: Option<Device>,
        recipe: &recipe::Writer,
    ) -> Result<()> {
        let device = device.map_or(0, |device| rustix::fs::makedev(device.major, device.minor));
        let mode = Mode::from_raw_mode(entry.mode & 0o7777);
        self.replacing(parent, name, recipe, |fd| {
            rustix::fs::mknodat(fd, name, kind, mode, device)
        })?;
        self.attributes_at(parent, name, entry)
    }

    /// What the same layer puts at the name stays visible; if that is a folder, only what lower
    /// layers have in it is hidden.
    fn whiteout(&mut self, parent: &Rc<Folder>, name: &[u8]) -> Result<()> {
        match rustix::fs::mknodat(&parent.fd, name, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) if existing(parent, name)? == Some(FileType::Directory) => {
                let folder = self.folders.child(parent, name)?;
                Ok(rustix::fs::fsetxattr(&folder.fd, OPAQUE, b"y", XattrFlags::empty())?)
            }
            Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn opaque(&mut self, folder: &[u8]) -> Result<()> {
        let folder = self.folders.open(folder)?;
        Ok(rustix::fs::fsetxattr(&folder.fd, OPAQUE, b"y", XattrFlags::empty())?)
    }

    /// Makes something at a name, moving away what is there.
    fn replacing<T>(
        &mut self,
        parent: &Rc<Folder>,
        name: &[u8],
        recipe: &recipe::Writer,
        make: impl Fn(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<T> {
        match make(parent.fd.as_fd()) {
            Err(Errno::EXIST) => {
                self.move_away(parent, name, recipe)?;
                Ok(make(parent.fd.as_fd())?)
            }
            other => Ok(other?),
        }
    }

    /// Keeps what the recipe points to; the rest is removed.
    fn move_away(&mut self, parent: &Rc<Folder>, name: &[u8], recipe: &recipe::Writer) -> Result<()> {
        if !matches!(
            existing(parent, name)?,
            Some(FileType::RegularFile | FileType::Directory)
        ) {
            return Ok(rustix::fs::unlinkat(&parent.fd, name, AtFlags::empty())?);
        }
        let before = recipe.pieces();
        let replaced = self.layer.join("replaced");
        corten_sys::fs::create_dir_all(&replaced)?;
        let to = self.done.moves.len() as u64;
        rustix::fs::renameat(&parent.fd, name, rustix::fs::CWD, replaced.join(to.to_string()))?;
        self.done.moves.push(Move {
            path: parent.join(name),
            before,
            to,
        });
        self.folders.forget();
        Ok(())
    }

    /// Owner, mode and extended attributes of an open file or folder. The owner first: changing it
    /// takes set-id bits and capabilities away.
    fn attributes(&self, fd: BorrowedFd<'_>, entry: &Entry) -> Result<()> {
        if entry.uid != self.euid || entry.gid != self.egid {
            rustix::fs::fchown(fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
        }
        let made_right = entry.kind == EntryKind::File && entry.mode & (self.umask | 0o7000) == 0;
        if !made_right {
            rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode & 0o7777))?;
        }
        for (name, value) in entry.xattrs.iter().filter(|(name, _)| is_wanted(name)) {
            accept_unsupported(rustix::fs::fsetxattr(fd, &name[..], value, XattrFlags::empty()))?;
        }
        Ok(())
    }

    /// The same for what cannot be opened.
    fn attributes_at(&self, parent: &Folder, name: &[u8], entry: &Entry) -> Result<()> {
        if entry.uid != self.euid || entry.gid != self.egid {
            let (uid, gid) = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
            rustix::fs::chownat(&parent.fd, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if !matches!(entry.kind, EntryKind::Symlink(_)) {
            rustix::fs::chmodat(
                &parent.fd,
                name,
                Mode::from_raw_mode(entry.mode & 0o7777),
                AtFlags::empty(),
            )?;
        }
        for (key, value) in entry.xattrs.iter().filter(|(key, _)| is_wanted(key)) {
            // The parent is held, and the name has no slash: nobody can lead this elsewhere.
            let path = parent.proc_path(name);
            accept_unsupported(rustix::fs::lsetxattr(path, &key[..], value, XattrFlags::empty()))?;
        }
        rustix::fs::utimensat(&parent.fd, name, &times(entry.modified), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    fn set_folder_times(&mut self) -> Result<()> {
        for (path, time) in std::mem::take(&mut self.folder_times) {
            // A later entry may have replaced it with something that is no folder.
            if let Some(folder) = self.folders.find_plain(&path)? {
                rustix::fs::futimens(&folder.fd, &times(time))?;
            }
        }
        Ok(())
    }
}

/// Copies a file's content out of the archive and tells the recipe where it went.
fn write_content<R: BufRead>(file: &File, entry: &Entry, reader: &mut LayerReader<R>, path: &[u8]) -> Result<()> {
    copy_content(file, entry, reader)?;
    let Some(chunks) = &entry.sparse else {
        if entry.stored > 0 {
            reader.sink().piece(path, 0, entry.stored)?;
        }
        return Ok(());
    };
    for chunk in chunks.iter().filter(|chunk| chunk.len > 0) {
        reader.sink().piece(path, chunk.offset, chunk.len)?;
    }
    Ok(())
}

/// Copies a file's content out of an archive, its holes as holes.
pub(crate) fn copy_content<R: BufRead, S: RawSink>(
    file: &File,
    entry: &Entry,
    reader: &mut Reader<R, S>,
) -> Result<()> {
    let Some(chunks) = &entry.sparse else {
        let mut file = file;
        return reader.content(|bytes| Ok(file.write_all(bytes)?));
    };
    file.set_len(entry.size)?;
    let mut pieces = chunks.iter().filter(|chunk| chunk.len > 0).copied();
    let mut here: Option<Chunk> = pieces.next();
    reader.content(|mut bytes| {
        while !bytes.is_empty() {
            let Some(chunk) = &mut here else {
                return Err(Error::internal("sparse pieces end early"));
            };
            let length = usize::try_from(chunk.len).unwrap_or(usize::MAX).min(bytes.len());
            file.write_all_at(&bytes[..length], chunk.offset)?;
            chunk.offset += length as u64;
            chunk.len -= length as u64;
            bytes = &bytes[length..];
            if chunk.len == 0 {
                here = pieces.next();
            }
        }
        Ok(())
    })
}

pub(crate) fn times(time: Time) -> Timestamps {
    let stamp = Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    Timestamps {
        last_access: stamp,
        last_modification: stamp,
    }
}

fn existing(parent: &Folder, name: &[u8]) -> Result<Option<FileType>> {
    match rustix::fs::statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn is_whiteout(parent: &Folder, name: &[u8]) -> Result<bool> {
    Ok(rustix::fs::statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW)?.st_rdev == 0)
}

/// Overlayfs's own attributes would let an archive reach into other layers; labels are this host's.
pub(crate) fn is_wanted(name: &[u8]) -> bool {
    let refused: [&[u8]; 5] = [
        b"trusted.",
        b"user.overlay.",
        b"security.selinux",
        b"security.ima",
        b"security.evm",
    ];
    !refused.iter().any(|prefix| name.starts_with(prefix))
}

/// File systems that know no such attribute get the file without it, as Docker does.
pub(crate) fn accept_unsupported(result: Result<(), Errno>) -> Result<()> {
    match result {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// This process's umask, from where reading it does not change it; all bits if that fails.
fn umask() -> u32 {
    let status = corten_sys::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok())
        .unwrap_or(0o777)
}

/// A held folder's descriptor, for those who need one.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| corten_sys::fs::with_path("open", path, errno.into()).into())
}
