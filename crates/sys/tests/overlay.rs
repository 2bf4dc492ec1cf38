//! Overlays mounted by text, on kernels that would take their layers one by one as well. Runs as root.

#![allow(clippy::unwrap_used, reason = "tests may panic")]
#![allow(clippy::disallowed_methods, reason = "tests use std::fs where errors need no path")]

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use corten_sys::overlay::Overlay;
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountAttrFlags;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("corten-overlay-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn layer(&self, name: &str, file: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join(file), name).unwrap();
        std::fs::write(path.join("top"), name).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Mounts on a thread of its own, as a process with threads has to.
fn mount(overlay: &Overlay<'_>, attributes: MountAttrFlags) -> OwnedFd {
    std::thread::scope(|scope| scope.spawn(|| overlay.mount(attributes)).join().unwrap()).unwrap()
}

fn read(mount: &OwnedFd, name: &str) -> String {
    let fd = rustix::fs::openat(mount, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let mut text = String::new();
    std::fs::File::from(fd).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn two_hundred_layers_with_long_names_are_mounted() {
    let folder = Folder::new("many");
    let layers: Vec<_> = (0..200)
        .map(|n| folder.layer(&format!("{}/{n}", "layer".repeat(40)), &format!("file{n}")))
        .collect();
    let overlay = Overlay {
        lower: layers.iter().map(PathBuf::as_path).collect(),
        ..Overlay::default()
    };
    let mount = mount(&overlay, MountAttrFlags::MOUNT_ATTR_RDONLY);
    assert!(read(&mount, "file199").ends_with("/199"));
    assert!(read(&mount, "top").ends_with("/0"), "the first layer is the topmost");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(folder.0.to_str().unwrap()), "the host does not see it");
}

#[test]
fn letters_with_a_meaning_are_only_letters_in_paths() {
    let folder = Folder::new("letters");
    let first = folder.layer(r"a:b,c\d", "first");
    let second = folder.layer("plain", "second");
    let (upper, work) = (folder.layer("u,v:w", "upper"), folder.layer("work", "x"));
    std::fs::remove_dir_all(&work).unwrap();
    std::fs::create_dir(&work).unwrap();
    let overlay = Overlay {
        lower: vec![&first, &second],
        data: Vec::new(),
        options: vec![
            ("upperdir", Some(upper.as_os_str())),
            ("workdir", Some(work.as_os_str())),
            ("index", Some(OsStr::new("off"))),
            ("volatile", None),
        ],
    };
    let mount = mount(&overlay, MountAttrFlags::empty());
    for (name, text) in [
        ("first", r"a:b,c\d"),
        ("second", "plain"),
        ("upper", "u,v:w"),
        ("top", "u,v:w"),
    ] {
        assert_eq!(read(&mount, name), text);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    rustix::fs::openat(&mount, "new", flags, Mode::from_raw_mode(0o600)).unwrap();
    assert!(upper.join("new").exists());
}

#[test]
fn the_caller_stays_where_it_was() {
    let folder = Folder::new("stays");
    let layer = folder.layer("one", "file");
    let both = std::thread::spawn(move || {
        let name = |path: &str| std::fs::read_link(path).unwrap();
        let before = (name("/proc/thread-self/ns/mnt"), name("/proc/thread-self/cwd"));
        let overlay = Overlay {
            lower: vec![&layer, Path::new("/usr")],
            ..Overlay::default()
        };
        overlay.mount(MountAttrFlags::empty()).unwrap();
        (
            before,
            (name("/proc/thread-self/ns/mnt"), name("/proc/thread-self/cwd")),
        )
    });
    let (before, after) = both.join().unwrap();
    assert_eq!(before, after);
}
