//! The copy of a client's folder: what it holds, and how it becomes what the client has now.
//!
//! Nobody else changes the copy, and a list of what is in it is kept beside it: what did not change costs
//! a comparison in memory. A file's parent is always a folder of the list, never a link, so that paths
//! joined here stay inside.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use corten_sys::fs;
use prost::Message as _;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::mode::{self, Kind};
use crate::{
    grpc::{Result, Status},
    proto::session::Stat,
};

/// The longest path that is taken.
const LONGEST: usize = 4096;
/// The most files.
const MOST: usize = 4_000_000;

/// "Now", for `utimensat(2)`.
const NOW: Timestamps = Timestamps {
    last_access: Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_NOW,
    },
    last_modification: Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_NOW,
    },
};

/// A copy of a folder.
#[derive(Debug)]
pub(crate) struct Tree {
    folder: PathBuf,
    entries: BTreeMap<String, Stat>,
}

/// The list on the disk.
#[derive(Clone, PartialEq, prost::Message)]
struct Listed {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Stat>,
    /// The kernel's run in which it was written. Files are not forced to the disk, so that after a power
    /// loss some may be empty: a copy lives no longer than the kernel.
    #[prost(string, tag = "2")]
    boot: String,
}

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The copy while it is brought up to date.
#[derive(Debug)]
pub(crate) struct Update<'a> {
    tree: &'a mut Tree,
    /// What the client has, as far as it has told.
    now: BTreeMap<String, Stat>,
    /// What is awaited, by its number, and the file as far as it has come.
    awaited: BTreeMap<u32, (String, Option<File>)>,
    /// How many files the client has told of.
    told: u32,
    /// Whether the copy was changed, and the list on the disk is gone.
    changed: bool,
}

impl Tree {
    /// Takes up what is in a folder, or begins anew.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let mut tree = Self {
            folder: folder.to_path_buf(),
            entries: BTreeMap::new(),
        };
        let listed = fs::read(tree.list()).ok();
        let listed = listed.and_then(|bytes| Listed::decode(bytes.as_slice()).ok());
        match listed.filter(|listed| listed.boot == boot()) {
            Some(listed) => {
                let entries = listed.entries.into_iter();
                tree.entries = entries.map(|entry| (entry.path.clone(), entry)).collect();
            }
            None => {
                fs::if_there(fs::remove_dir_all(folder))?;
                fs::create_dir_all_mode(folder, 0o700)?;
                fs::create_dir(tree.root())?;
                fs::set_mode(tree.root(), 0o755)?;
            }
        }
        Ok(tree)
    }

    fn list(&self) -> PathBuf {
        self.folder.join("list")
    }

    /// Where the files are.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// Begins to bring it up to date. If that is not finished, it begins anew after a restart.
    pub(crate) fn update(&mut self) -> Update<'_> {
        Update {
            tree: self,
            now: BTreeMap::new(),
            awaited: BTreeMap::new(),
            told: 0,
            changed: false,
        }
    }

    fn save(&self) -> Result<()> {
        let listed = Listed {
            entries: self.entries.values().cloned().collect(),
            boot: boot(),
        };
        Ok(fs::write(self.list(), listed.encode_to_vec())?)
    }

    /// Takes something out, and whatever is below it.
    fn clear(&mut self, path: &str) -> Result<()> {
        let Some(old) = self.entries.remove(path) else {
            // What an update that broke off has left.
            return remove(&self.root().join(path));
        };
        if mode::kind(old.mode) == Kind::Folder {
            let below = format!("{path}/");
            let inside = self.entries.range(below.clone()..).map(|(path, _)| path.clone());
            let inside: Vec<String> = inside.take_while(|path| path.starts_with(&below)).collect();
            for path in inside {
                self.entries.remove(&path);
            }
        }
        remove(&self.root().join(path))
    }
}

fn remove(path: &Path) -> Result<()> {
    let Some(found) = fs::if_there(fs::symlink_metadata(path))? else {
        return Ok(());
    };
    match found.is_dir() {
        true => fs::remove_dir_all(path)?,
        false => fs::remove_file(path)?,
    }
    Ok(())
}

impl Update<'_> {
    /// The client tells of its next file; whether its bytes are wanted, and by which number.
    pub(crate) fn stat(&mut self, stat: Stat) -> Result<Option<u32>> {
        let number = self.told;
        self.told += 1;
        if self.now.len() >= MOST {
            return Err(Status::invalid("the folder has too many files"));
        }
        self.check(&stat.path)?;
        let kind = mode::kind(stat.mode);
        if kind == Kind::Other {
            // Sockets and devices are of no use to a build.
            return Ok(None);
        }
        let path = stat.path.clone();
        let same = self
            .tree
            .entries
            .get(&path)
            .is_some_and(|old| is_same(old, &stat, kind));
        if !same {
            self.change()?;
        }
        let wanted = !same && self.make(&stat, kind)?;
        if wanted {
            self.awaited.insert(number, (path.clone(), None));
        }
        self.now.insert(path, stat);
        Ok(wanted.then_some(number))
    }

    /// The list on the disk is not true from here on.
    fn change(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.changed, true) {
            fs::if_there(fs::remove_file(self.tree.list()))?;
        }
        Ok(())
    }

    /// A path stays below the root, and what it is in is a folder.
    fn check(&self, path: &str) -> Result<()> {
        let bad = |why: &str| Err(Status::invalid(format!("path {path:?} {why}")));
        if path.is_empty() || path.len() > LONGEST || path.contains('\0') {
            return bad("cannot be a file's");
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return bad("leads elsewhere");
        }
        let folder = path.rsplit_once('/').map(|(folder, _)| folder);
        let known = |folder: &str| {
            self.now
                .get(folder)
                .is_some_and(|stat| mode::kind(stat.mode) == Kind::Folder)
        };
        if folder.is_some_and(|folder| !known(folder)) {
            return bad("is in no folder");
        }
        Ok(())
    }

    /// Makes what is not there as it should be; whether its bytes are needed.
    fn make(&mut self, stat: &Stat, kind: Kind) -> Result<bool> {
        let place = self.tree.root().join(&stat.path);
        let old = self.tree.entries.get(&stat.path).map(|old| mode::kind(old.mode));
        if !(kind == Kind::Folder && old == Some(Kind::Folder)) {
            self.tree.clear(&stat.path)?;
        }
        match kind {
            Kind::Folder => {
                if old != Some(Kind::Folder) {
                    fs::create_dir(&place)?;
                }
                fs::set_mode(&place, mode::permissions(stat.mode))?;
                times(&place, stat)?;
            }
            Kind::Link => {
                fs::symlink(&stat.linkname, &place)?;
                times(&place, stat)?;
            }
            Kind::File if !stat.linkname.is_empty() => return self.hard_link(stat, &place),
            Kind::File | Kind::Other => return Ok(true),
        }
        self.tree.entries.insert(stat.path.clone(), stat.clone());
        Ok(false)
    }

    /// Another name of a file that was told of before. Its bytes may still be on the way.
    fn hard_link(&mut self, stat: &Stat, place: &Path) -> Result<bool> {
        let first = stat.linkname.trim_start_matches('/');
        let known = self
            .now
            .get(first)
            .is_some_and(|stat| mode::kind(stat.mode) == Kind::File);
        if !known {
            return Err(Status::invalid(format!(
                "{:?} is another name of {first:?}, which is not there",
                stat.path
            )));
        }
        let original = self.tree.root().join(first);
        if !fs::exists(&original)? {
            drop(create(&original)?);
        }
        fs::hard_link(original, place)?;
        self.tree.entries.insert(stat.path.clone(), stat.clone());
        Ok(false)
    }

    /// Some of a file's bytes; none at its end.
    pub(crate) fn data(&mut self, number: u32, bytes: &[u8]) -> Result<()> {
        let unknown = || Status::invalid(format!("nobody asked for file {number}"));
        let (path, file) = self.awaited.get_mut(&number).ok_or_else(unknown)?;
        let place = self.tree.root().join(&*path);
        if file.is_none() {
            *file = Some(create(&place)?);
        }
        if let (Some(file), false) = (file.as_mut(), bytes.is_empty()) {
            return Ok(file.write_all(bytes)?);
        }
        let Some((path, _)) = self.awaited.remove(&number) else {
            return Ok(());
        };
        if let Some(stat) = self.now.get(&path) {
            fs::set_mode(&place, mode::permissions(stat.mode))?;
            times(&place, stat)?;
            self.tree.entries.insert(path, stat.clone());
        }
        Ok(())
    }

    /// Whether all has come that was asked for.
    pub(crate) fn is_complete(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Takes out what the client has no more.
    pub(crate) fn finish(mut self) -> Result<()> {
        let gone = self.tree.entries.keys().filter(|path| !self.now.contains_key(*path));
        let gone: Vec<String> = gone.cloned().collect();
        for path in gone {
            self.change()?;
            if self.tree.entries.contains_key(&path) {
                self.tree.clear(&path)?;
            }
        }
        match self.changed {
            true => self.tree.save(),
            false => {
                // Its time says when it was last used; it need not be there.
                let _ = utimensat(CWD, self.tree.list(), &NOW, AtFlags::empty());
                Ok(())
            }
        }
    }
}

/// Whether a file is still the same, as fsutil sees it.
fn is_same(old: &Stat, new: &Stat, kind: Kind) -> bool {
    let content = |stat: &Stat| (stat.size, stat.mod_time);
    old.mode == new.mode && old.linkname == new.linkname && (kind == Kind::Folder || content(old) == content(new))
}

/// An empty file that only its owner reads until it is complete.
fn create(path: &Path) -> Result<File> {
    let options = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .clone();
    Ok(fs::open_with(&options, path)?)
}

fn times(path: &Path, stat: &Stat) -> Result<()> {
    let time = Timespec {
        tv_sec: stat.mod_time.div_euclid(1_000_000_000),
        tv_nsec: stat.mod_time.rem_euclid(1_000_000_000),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(std::io::Error::from)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: u32 = (1 << 31) | 0o755;
    const LINK: u32 = (1 << 27) | 0o777;

    fn stat(path: &str, mode: u32, size: i64, linkname: &str) -> Stat {
        Stat {
            path: path.into(),
            mode,
            size,
            linkname: linkname.into(),
            mod_time: 1_000_000_001,
            ..Stat::default()
        }
    }

    /// Brings a tree up to date; gives what was asked for.
    fn sync(tree: &mut Tree, stats: &[(Stat, &str)]) -> Result<Vec<String>> {
        let mut update = tree.update();
        let mut asked = Vec::new();
        for (stat, bytes) in stats {
            if let Some(number) = update.stat(stat.clone())? {
                asked.push(stat.path.clone());
                update.data(number, bytes.as_bytes())?;
                if !bytes.is_empty() {
                    update.data(number, b"")?;
                }
            }
        }
        assert!(update.is_complete());
        update.finish()?;
        Ok(asked)
    }

    #[test]
    fn only_what_changed_is_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("copy");
        let mut tree = Tree::open(&folder).unwrap();
        let mut files = vec![
            (stat("a", 0o644, 1, ""), "1"),
            (stat("d", FOLDER, 0, ""), ""),
            (stat("d/b", 0o755, 2, ""), "22"),
            (stat("d/l", LINK, 0, "../../outside"), ""),
            (stat("e", 0o644, 1, "a"), ""),
        ];
        assert_eq!(sync(&mut tree, &files).unwrap(), ["a", "d/b"]);
        assert!(sync(&mut tree, &files).unwrap().is_empty());
        let mut tree = Tree::open(&folder).unwrap();
        files[2] = (stat("d/b", 0o755, 3, ""), "333");
        assert_eq!(sync(&mut tree, &files).unwrap(), ["d/b"]);
        let read = |path: &str| fs::read_to_string(tree.root().join(path)).unwrap();
        assert_eq!(
            (read("a"), read("d/b"), read("e")),
            ("1".into(), "333".into(), "1".into())
        );
    }

    #[test]
    fn things_become_other_things_and_vanish() {
        let place = tempfile::tempdir().unwrap();
        let mut tree = Tree::open(&place.path().join("copy")).unwrap();
        let before = [
            (stat("a", FOLDER, 0, ""), ""),
            (stat("a/x", 0o644, 1, ""), "1"),
            (stat("b", LINK, 0, "/etc"), ""),
            (stat("c", 0o644, 1, ""), "1"),
        ];
        sync(&mut tree, &before).unwrap();
        let after = [
            (stat("a", 0o644, 1, ""), "2"),
            (stat("b", FOLDER, 0, ""), ""),
            (stat("b/y", 0o600, 1, ""), "3"),
        ];
        assert_eq!(sync(&mut tree, &after).unwrap(), ["a", "b/y"]);
        assert_eq!(fs::read_to_string(tree.root().join("a")).unwrap(), "2");
        assert!(!fs::exists(tree.root().join("c")).unwrap() && !fs::exists("/etc/y").unwrap());
    }

    #[test]
    fn nothing_leads_outside() {
        let place = tempfile::tempdir().unwrap();
        let mut tree = Tree::open(&place.path().join("copy")).unwrap();
        for path in ["../x", "/x", "a/../../x", "", ".", "a//b", "a/b", "a\0"] {
            assert!(sync(&mut tree, &[(stat(path, 0o644, 1, ""), "x")]).is_err(), "{path:?}");
        }
        let through = [(stat("l", LINK, 0, "/tmp"), ""), (stat("l/x", 0o644, 1, ""), "x")];
        assert!(sync(&mut tree, &through).is_err());
        assert!(sync(&mut tree, &[(stat("h", 0o644, 1, "../../../etc/passwd"), "")]).is_err());
    }
}
