//! Tells which files below some paths change (inotify(7)).
//!
//! A watch tells of one folder only, so every folder has its own, and new ones get theirs before they are read:
//! what is made in between is then found either way. The names that were seen are kept, because the kernel says
//! nothing of what a folder held that was moved away.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use corten_sys::fs;
use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::Instant,
};

use crate::error::{Error, Result};

/// A batch ends when nothing has changed for so long, as Compose's does,
const QUIET: Duration = Duration::from_millis(500);
/// and at the latest so long after its first change.
const LONGEST: Duration = Duration::from_secs(5);
/// How far the kernel's times of files may be behind the clock, in seconds.
const SLACK: i64 = 1;

/// Whether a folder and all below it is of no interest.
pub(super) type Skip = Box<dyn Fn(&Path) -> bool>;

/// Paths that are watched.
pub(super) struct Tree {
    inotify: AsyncFd<OwnedFd>,
    roots: Vec<PathBuf>,
    skip: Skip,
    /// The folders that are watched.
    folders: BTreeMap<i32, PathBuf>,
    /// Everything below the roots.
    known: BTreeSet<PathBuf>,
    /// What has changed since the last batch.
    pending: BTreeSet<PathBuf>,
    /// How many changes there were.
    told: u64,
    /// When the last changes were read, in seconds since the epoch.
    read: i64,
}

impl Tree {
    /// Watches files, folders with all below them, and paths that are not there yet.
    pub(super) fn new(mut roots: Vec<PathBuf>, skip: Skip) -> Result<Self> {
        roots.sort();
        roots.dedup();
        let failed = |error: io::Error| Error::new(format!("cannot watch files: {error}"));
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|error| match error {
            Errno::MFILE => Error::new(
                "cannot watch files: the user's limit of inotify instances is reached; raise it: sysctl \
                 fs.inotify.max_user_instances=1024",
            ),
            error => failed(error.into()),
        })?;
        let mut tree = Self {
            inotify: registered(inotify).map_err(failed)?,
            roots,
            skip,
            folders: BTreeMap::new(),
            known: BTreeSet::new(),
            pending: BTreeSet::new(),
            told: 0,
            read: now(),
        };
        for root in tree.roots.clone() {
            tree.approach(&root)?;
        }
        tree.pending.clear();
        Ok(tree)
    }

    /// The next batch of paths that have changed, been made or gone; nothing is lost when it is not waited for.
    pub(super) async fn next(&mut self) -> Result<BTreeSet<PathBuf>> {
        while self.pending.is_empty() {
            self.gather().await?;
        }
        let end = Instant::now() + LONGEST;
        while let Ok(result) = tokio::time::timeout_at(end.min(Instant::now() + QUIET), self.gather()).await {
            result?;
            if Instant::now() >= end {
                break;
            }
        }
        Ok(std::mem::take(&mut self.pending))
    }

    /// Takes changes in as soon as there are some, for the next batch.
    pub(super) async fn gather(&mut self) -> Result<()> {
        let failed = |error: io::Error| Error::new(format!("cannot watch files: {error}"));
        let before = self.told;
        while self.told == before {
            let mut ready = self.inotify.readable().await.map_err(failed)?;
            ready.clear_ready();
            self.drain()?;
        }
        Ok(())
    }

    /// Everything that there is.
    pub(super) fn known(&self) -> impl Iterator<Item = &PathBuf> {
        self.known.iter()
    }

    fn tell(&mut self, path: PathBuf) {
        self.told += 1;
        self.pending.insert(path);
    }

    /// Reads all that there is to read.
    fn drain(&mut self) -> Result<()> {
        let start = now();
        let mut events = Vec::new();
        {
            let mut buffer = vec![MaybeUninit::uninit(); 64 << 10];
            let mut reader = inotify::Reader::new(self.inotify.get_ref().as_fd(), &mut buffer);
            loop {
                match reader.next() {
                    Ok(event) => {
                        let name = event.file_name().map(|name| name.to_bytes().to_vec());
                        events.push((event.wd(), event.events(), name));
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => break,
                    Err(error) => return Err(Error::new(format!("cannot watch files: {error}"))),
                }
            }
        }
        for (watch, what, name) in events {
            self.event(watch, what, name.as_deref())?;
        }
        self.read = start;
        Ok(())
    }

    fn event(&mut self, watch: i32, what: ReadFlags, name: Option<&[u8]>) -> Result<()> {
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            return self.look_again();
        }
        if what.contains(ReadFlags::IGNORED) {
            self.folders.remove(&watch);
            return Ok(());
        }
        let (Some(folder), Some(name)) = (self.folders.get(&watch), name) else {
            return Ok(());
        };
        let path = folder.join(OsStr::from_bytes(name));
        if what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            self.gone(&path);
            return self.approach_below(&path);
        }
        if !self.is_ours(&path) {
            return self.approach_below(&path);
        }
        if what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) && what.contains(ReadFlags::ISDIR) {
            return self.walk(&path);
        }
        self.known.insert(path.clone());
        self.tell(path);
        Ok(())
    }

    fn is_ours(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root))
    }

    /// Forgets what is at a path and below it, and tells of it.
    fn gone(&mut self, path: &Path) {
        let below = |known: &&PathBuf| known.starts_with(path);
        let gone: Vec<_> = self
            .known
            .range(path.to_path_buf()..)
            .take_while(below)
            .cloned()
            .collect();
        for path in gone {
            self.known.remove(&path);
            self.tell(path);
        }
        if self.is_ours(path) {
            self.tell(path.to_path_buf());
        }
        let watches = self.folders.iter().filter(|(_, folder)| folder.starts_with(path));
        for watch in watches.map(|(watch, _)| *watch).collect::<Vec<_>>() {
            // That of a folder which was removed went with it.
            let _ = inotify::remove_watch(self.inotify.get_ref(), watch);
            self.folders.remove(&watch);
        }
    }

    /// Watches the roots anew that a path leads to.
    fn approach_below(&mut self, path: &Path) -> Result<()> {
        let roots = self.roots.iter().filter(|root| root.starts_with(path));
        for root in roots.cloned().collect::<Vec<_>>() {
            self.approach(&root)?;
        }
        Ok(())
    }

    /// Watches the deepest folder on the way to a root, and the root itself when it is there.
    fn approach(&mut self, root: &Path) -> Result<()> {
        let Some(mut at) = root
            .ancestors()
            .skip(1)
            .find(|path| path.is_dir())
            .map(Path::to_path_buf)
        else {
            return Ok(());
        };
        loop {
            self.watch(&at)?;
            let Some(name) = root.strip_prefix(&at).ok().and_then(|rest| rest.components().next()) else {
                return Ok(());
            };
            let next = at.join(name);
            if next == root {
                break;
            }
            if !next.is_dir() {
                return Ok(());
            }
            at = next;
        }
        match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => self.walk(root),
            Ok(_) => {
                if self.known.insert(root.to_path_buf()) {
                    self.tell(root.to_path_buf());
                }
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    /// Watches a folder and all below it; what was not known yet has changed.
    fn walk(&mut self, top: &Path) -> Result<()> {
        let mut folders = vec![top.to_path_buf()];
        while let Some(folder) = folders.pop() {
            if self.known.insert(folder.clone()) {
                self.tell(folder.clone());
            }
            if (self.skip)(&folder) || !self.watch(&folder)? {
                continue;
            }
            // It may be gone already, which its parent's watch tells.
            let Ok(list) = fs::read_dir(&folder) else { continue };
            for entry in list.flatten() {
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(path);
                } else if self.known.insert(path.clone()) {
                    self.tell(path);
                }
            }
        }
        Ok(())
    }

    /// Watches one folder; tells whether it is there.
    fn watch(&mut self, folder: &Path) -> Result<bool> {
        let what = WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::ONLYDIR
            | WatchFlags::EXCL_UNLINK;
        match inotify::add_watch(self.inotify.get_ref(), folder, what) {
            Ok(watch) => {
                self.folders.insert(watch, folder.to_path_buf());
                Ok(true)
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(false),
            Err(Errno::NOSPC) => Err(Error::new(format!(
                "cannot watch {}: the user's limit of inotify watches is reached; raise it: sysctl \
                 fs.inotify.max_user_watches=1048576",
                folder.display()
            ))),
            Err(error) => Err(Error::new(format!("cannot watch {}: {error}", folder.display()))),
        }
    }

    /// Finds out what has changed when the kernel had more to tell than it keeps.
    fn look_again(&mut self) -> Result<()> {
        let since = self.read - SLACK;
        for watch in std::mem::take(&mut self.folders).into_keys() {
            // Those of folders that are gone went with them.
            let _ = inotify::remove_watch(self.inotify.get_ref(), watch);
        }
        let before = std::mem::take(&mut self.known);
        let pending = std::mem::take(&mut self.pending);
        for root in self.roots.clone() {
            self.approach(&root)?;
        }
        let is_new = |path: &&PathBuf| {
            let changed = fs::symlink_metadata(path).map_or(true, |metadata| metadata.ctime() >= since);
            changed || !before.contains(*path)
        };
        self.pending = self.known.iter().filter(is_new).cloned().collect();
        self.pending.extend(before.difference(&self.known).cloned());
        self.pending.extend(pending);
        Ok(())
    }
}

#[expect(
    deprecated,
    reason = "the unsafe replacement asks for a descriptor that stays the same and open: an OwnedFd does"
)]
fn registered(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(test: impl AsyncFnOnce(&Path)) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test(&folder.path().canonicalize().unwrap()));
    }

    fn watch(roots: &[&Path]) -> Tree {
        let roots = roots.iter().map(|root| root.to_path_buf()).collect();
        Tree::new(roots, Box::new(|path| path.ends_with("ignored"))).unwrap()
    }

    /// Waits until all of these were told; tells what else was.
    async fn expect(tree: &mut Tree, paths: &[PathBuf]) -> BTreeSet<PathBuf> {
        let mut told = BTreeSet::new();
        while !paths.iter().all(|path| told.contains(path)) {
            told.extend(tree.next().await.unwrap());
        }
        told
    }

    #[test]
    fn files_are_written_replaced_and_removed() {
        run(async |top| {
            let at = |name: &str| top.join(name);
            fs::write(at("a"), "1").unwrap();
            let mut tree = watch(&[top]);
            fs::write(at("a"), "2").unwrap();
            expect(&mut tree, &[at("a")]).await;
            // As editors save: a file beside it, and then in its place.
            fs::write(at("a.new"), "3").unwrap();
            fs::rename(at("a.new"), at("a")).unwrap();
            expect(&mut tree, &[at("a"), at("a.new")]).await;
            fs::remove_file(at("a")).unwrap();
            expect(&mut tree, &[at("a")]).await;
        });
    }

    #[test]
    fn folders_that_are_made_or_moved_are_watched_with_all_below() {
        run(async |top| {
            let at = |name: &str| top.join(name);
            fs::create_dir_all(at("out/deep/er")).unwrap();
            fs::write(at("out/deep/er/file"), "").unwrap();
            fs::create_dir(at("in")).unwrap();
            let mut tree = watch(&[&at("in")]);
            fs::create_dir_all(at("in/new/er")).unwrap();
            fs::write(at("in/new/er/file"), "").unwrap();
            expect(&mut tree, &[at("in/new/er/file")]).await;
            fs::write(at("in/new/er/file"), "again").unwrap();
            expect(&mut tree, &[at("in/new/er/file")]).await;
            fs::rename(at("out/deep"), at("in/deep")).unwrap();
            expect(&mut tree, &[at("in/deep/er/file")]).await;
            fs::rename(at("in/deep"), at("in/moved")).unwrap();
            expect(&mut tree, &[at("in/deep/er/file"), at("in/moved/er/file")]).await;
            fs::write(at("in/moved/er/more"), "").unwrap();
            expect(&mut tree, &[at("in/moved/er/more")]).await;
            fs::rename(at("in/moved"), at("out/back")).unwrap();
            expect(&mut tree, &[at("in/moved/er/file"), at("in/moved/er/more")]).await;
            fs::write(at("out/back/er/file"), "unseen").unwrap();
            fs::write(at("in/seen"), "").unwrap();
            let told = expect(&mut tree, &[at("in/seen")]).await;
            assert!(told.iter().all(|path| path == &at("in/seen")), "{told:?}");
        });
    }

    #[test]
    fn what_is_not_there_yet_and_single_files_are_watched() {
        run(async |top| {
            let at = |name: &str| top.join(name);
            let mut tree = watch(&[&at("later/on/src"), &at("file")]);
            fs::create_dir_all(at("later/on/src/sub")).unwrap();
            fs::write(at("later/on/src/sub/a"), "").unwrap();
            expect(&mut tree, &[at("later/on/src/sub/a")]).await;
            fs::write(at("file"), "").unwrap();
            fs::write(at("other"), "").unwrap();
            let told = expect(&mut tree, &[at("file")]).await;
            assert!(!told.contains(&at("other")), "{told:?}");
            fs::remove_dir_all(at("later")).unwrap();
            expect(&mut tree, &[at("later/on/src/sub/a")]).await;
            fs::create_dir_all(at("later/on/src")).unwrap();
            fs::write(at("later/on/src/b"), "").unwrap();
            expect(&mut tree, &[at("later/on/src/b")]).await;
        });
    }

    #[test]
    fn nothing_is_told_of_folders_that_are_skipped() {
        run(async |top| {
            let at = |name: &str| top.join(name);
            fs::create_dir_all(at("ignored")).unwrap();
            let mut tree = watch(&[top]);
            fs::write(at("ignored/a"), "").unwrap();
            fs::write(at("b"), "").unwrap();
            let told = expect(&mut tree, &[at("b")]).await;
            assert!(!told.contains(&at("ignored/a")), "{told:?}");
        });
    }

    #[test]
    fn an_overflow_loses_nothing() {
        run(async |top| {
            let at = |name: &str| top.join(name);
            for name in ["kept", "changed", "removed"] {
                fs::write(at(name), "").unwrap();
            }
            let mut tree = watch(&[top]);
            tree.read = now() + 100;
            fs::create_dir(at("new")).unwrap();
            fs::write(at("new/file"), "").unwrap();
            fs::remove_file(at("removed")).unwrap();
            tree.look_again().unwrap();
            let told = std::mem::take(&mut tree.pending);
            assert!(
                told.contains(&at("new/file")) && told.contains(&at("removed")),
                "{told:?}"
            );
            assert!(!told.contains(&at("kept")), "{told:?}");
            tree.read = 0;
            tree.look_again().unwrap();
            assert!(tree.pending.contains(&at("changed")));
            fs::write(at("new/file"), "again").unwrap();
            expect(&mut tree, &[at("new/file")]).await;
        });
    }
}
