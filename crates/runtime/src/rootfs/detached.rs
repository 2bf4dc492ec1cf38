//! Mounts that are in no place yet: made by descriptor, to be put where they belong.
//!
//! Bind mounts are copies of a part of the host's tree (`open_tree`), all others new instances of a
//! file system (`fsopen`, `fsconfig`, `fsmount`); as each parameter is a call of its own, an overlay
//! may have as many layers as the kernel lets it, and no text needs to be escaped. Before Linux 6.8
//! an overlay is mounted with mount(2) instead.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use corten_sys::mount::{Change, MountAttrFlags, MountPropagationFlags, Reach, mount_setattr};
use corten_sys::overlay::{Overlay, takes_layers_one_by_one};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, move_mount, open_tree,
};

use super::options::{Attributes, Options, Parameter};
use crate::context::Context as _;
use crate::error::{Error, Kind, Result};

/// Copies the tree at a host path.
pub(crate) fn copy_tree(path: impl rustix::path::Arg, reach: Reach) -> std::result::Result<OwnedFd, Errno> {
    open_tree(CWD, path, copying(reach))
}

/// Copies the mount, or the part of it, that a descriptor refers to.
pub(crate) fn copy_of(fd: impl AsFd, reach: Reach) -> std::result::Result<OwnedFd, Errno> {
    open_tree(fd, "", copying(reach) | OpenTreeFlags::AT_EMPTY_PATH)
}

fn copying(reach: Reach) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match reach {
        Reach::Tree => flags | OpenTreeFlags::AT_RECURSIVE,
        Reach::Mount => flags,
    }
}

/// Puts a detached mount on what a descriptor refers to.
pub(crate) fn put(mount: impl AsFd, place: impl AsFd) -> std::result::Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", place, "", flags)
}

/// Makes a new instance of a file system.
pub(crate) fn new_file_system(kind: &str, source: &str, options: &Options) -> Result<OwnedFd> {
    if kind == "overlay" && !takes_layers_one_by_one() {
        return old_overlay(options);
    }
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|errno| match errno {
        Errno::NODEV => Error::new(Kind::Unsupported, format!("the kernel has no file system {kind:?}")),
        errno => Error::new(Kind::Internal, format!("fsopen {kind}: {}", reason(errno))),
    })?;
    let configured = configure(&context, kind, source, options);
    configured.map_err(|(what, errno)| refused(&context, kind, &what, errno))?;
    fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        options.attributes.set | options.tree_attributes.set,
    )
    .map_err(|errno| refused(&context, kind, "mounting", errno))
}

/// Mounts an overlay as older kernels know it.
fn old_overlay(options: &Options) -> Result<OwnedFd> {
    let mut layers = Vec::new();
    let mut overlay = Overlay::default();
    for Parameter { key, value } in &options.parameters {
        match (key.as_str(), value) {
            ("lowerdir", Some(value)) => layers.extend(overlay_layers(value)),
            ("lowerdir+", Some(value)) => layers.push((value.clone(), "lowerdir+")),
            ("datadir+", Some(value)) => layers.push((value.clone(), "datadir+")),
            (key, value) => overlay.options.push((key, value.as_deref().map(OsStr::new))),
        }
    }
    for (path, key) in &layers {
        match *key {
            "datadir+" => overlay.data.push(Path::new(path)),
            _ => overlay.lower.push(Path::new(path)),
        }
    }
    let attributes = options.attributes.set | options.tree_attributes.set;
    overlay.mount(attributes).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::NotFound => Kind::Invalid,
            _ => Kind::Internal,
        };
        Error::new(kind, format!("overlay: {}", corten_sys::fs::reason(&error)))
    })
}

type Refusal = (String, Errno);

fn configure(context: &OwnedFd, kind: &str, source: &str, options: &Options) -> std::result::Result<(), Refusal> {
    if !source.is_empty() {
        set(context, "source", Some(source))?;
    }
    if options.is_read_only() && !is_virtual(kind) {
        set(context, "ro", None)?;
    }
    for parameter in &options.parameters {
        match (kind, parameter.key.as_str(), &parameter.value) {
            ("overlay", "lowerdir", Some(value)) => {
                for (layer, key) in overlay_layers(value) {
                    set(context, key, Some(&layer))?;
                }
            }
            (_, key, value) => set(context, key, value.as_deref())?,
        }
    }
    fsconfig_create(context).map_err(|errno| ("creating".into(), errno))
}

/// The most bytes of a parameter's value, its end included (`strndup_user` in `fsconfig(2)`).
const LONGEST_VALUE: usize = 255;

fn set(context: &OwnedFd, key: &str, value: Option<&str>) -> std::result::Result<(), Refusal> {
    let Some(value) = value else {
        return fsconfig_set_flag(context, key).map_err(|errno| (key.into(), errno));
    };
    let refused = |errno| (format!("{key}={value}"), errno);
    if value.len() < LONGEST_VALUE || !value.starts_with('/') {
        return fsconfig_set_string(context, key, value).map_err(refused);
    }
    // A long path is named by a descriptor.
    let folder = rustix::fs::open(value, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let folder = folder.map_err(refused)?;
    let short = format!("/proc/self/fd/{}", folder.as_raw_fd());
    fsconfig_set_string(context, key, short).map_err(refused)
}

/// Splits the old form `lowerdir=a:b::data`, with `\` before a colon or a backslash that is part of a path.
fn overlay_layers(value: &str) -> Vec<(String, &'static str)> {
    let mut layers = vec![(String::new(), "lowerdir+")];
    let mut letters = value.chars().peekable();
    while let Some(letter) = letters.next() {
        let Some(last) = layers.last_mut() else { break };
        match letter {
            '\\' => last.0.extend(letters.next()),
            ':' if letters.peek() == Some(&':') => {
                letters.next();
                layers.push((String::new(), "datadir+"));
            }
            ':' => {
                let key = last.1;
                layers.push((String::new(), key));
            }
            letter => last.0.push(letter),
        }
    }
    layers
}

/// Whether all mounts of a file system are one to the kernel, or read-only means the mount alone.
fn is_virtual(kind: &str) -> bool {
    matches!(
        kind,
        "proc" | "sysfs" | "tmpfs" | "devpts" | "mqueue" | "cgroup" | "cgroup2" | "overlay" | "devtmpfs"
    )
}

/// Makes an error of what the kernel wrote into the context's log, or of the number alone.
fn refused(context: &OwnedFd, kind: &str, what: &str, errno: Errno) -> Error {
    let mut log = [0_u8; 512];
    let mut words = Vec::new();
    while let Ok(length @ 1..) = rustix::io::read(context, &mut log) {
        let line = String::from_utf8_lossy(&log[..length]);
        if let Some(error) = line.strip_prefix("e ") {
            words.push(error.trim().to_owned());
        }
    }
    let told = if words.is_empty() {
        String::new()
    } else {
        format!(" ({})", words.join("; "))
    };
    Error::new(
        if errno == Errno::INVAL {
            Kind::Invalid
        } else {
            Kind::Internal
        },
        format!("{kind}: {what}: {}{told}", reason(errno)),
    )
}

pub(crate) fn reason(errno: Errno) -> String {
    corten_sys::fs::reason(&errno.into())
}

/// Changes a detached mount's attributes and propagation, and maps its ids.
pub(crate) fn change(
    mount: BorrowedFd<'_>,
    options: &Options,
    default_propagation: Option<(MountPropagationFlags, Reach)>,
    id_map: Option<BorrowedFd<'_>>,
) -> Result<()> {
    if let (Some(reach), Some(map)) = (options.id_map, id_map) {
        let map = Change {
            id_map: Some(map),
            ..Change::default()
        };
        mount_setattr(mount, reach, &map).context(|| "cannot map the mount's ids".into())?;
    }
    let propagation = options.propagation.or(default_propagation);
    let mut changes = [
        (options.tree_attributes, Reach::Tree, MountPropagationFlags::empty()),
        (options.attributes, Reach::Mount, MountPropagationFlags::empty()),
    ];
    if let Some((flags, reach)) = propagation {
        for change in &mut changes {
            if change.1 == reach {
                change.2 = flags;
            }
        }
    }
    for (attributes, reach, propagation) in changes {
        if !attributes.is_empty() || !propagation.is_empty() {
            apply(mount, attributes, reach, propagation)?;
        }
    }
    Ok(())
}

fn apply(
    mount: BorrowedFd<'_>,
    attributes: Attributes,
    reach: Reach,
    propagation: MountPropagationFlags,
) -> Result<()> {
    let change = Change {
        set: attributes.set,
        clear: attributes.clear,
        propagation,
        id_map: None,
    };
    mount_setattr(mount, reach, &change).context(|| "cannot change the mount's attributes".into())
}

/// Makes what a descriptor refers to a mount of its own that cannot be written.
pub(crate) fn read_only_copy(fd: impl AsFd) -> Result<OwnedFd> {
    let copy = copy_of(fd, Reach::Mount).context(|| "cannot copy the mount".into())?;
    let change = Change {
        set: MountAttrFlags::MOUNT_ATTR_RDONLY,
        ..Change::default()
    };
    mount_setattr(copy.as_fd(), Reach::Mount, &change).context(|| "cannot make the mount read-only".into())?;
    Ok(copy)
}

/// Returns a descriptor's permission bits.
pub(crate) fn mode(fd: impl AsFd) -> Option<u32> {
    let stat = rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH).ok()?;
    Some(stat.st_mode & 0o7777)
}

/// Adds a parameter unless one of its name is there.
pub(crate) fn default_parameter(options: &mut Options, key: &str, value: String) {
    if options.parameters.iter().all(|parameter| parameter.key != key) {
        options.parameters.push(Parameter {
            key: key.into(),
            value: Some(value),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_layers_are_split_at_bare_colons() {
        let layers = overlay_layers(r"/a\:b:/c::/d::/e");
        let expected = [
            ("/a:b", "lowerdir+"),
            ("/c", "lowerdir+"),
            ("/d", "datadir+"),
            ("/e", "datadir+"),
        ];
        let expected: Vec<_> = expected.map(|(path, key)| (path.to_owned(), key)).into();
        assert_eq!(layers, expected);
    }

    #[test]
    fn overlays_are_mounted_on_older_kernels_too() {
        let folder = tempfile::tempdir().unwrap();
        let layer = |name: &str| {
            let path = folder.path().join(name);
            corten_sys::fs::create_dir(&path).unwrap();
            corten_sys::fs::write(path.join(format!("in-{name}")), name).unwrap();
            path.to_string_lossy().into_owned()
        };
        let words = [
            format!("lowerdir={}:{}", layer("a"), layer("b")),
            format!("lowerdir+={}", layer("c")),
            format!("upperdir={}", layer("upper")),
            format!("workdir={}", layer("work")),
            "index=off".into(),
            "volatile".into(),
            "nosuid".into(),
        ];
        // On a thread of its own: it gets a current folder of its own.
        let mounted = std::thread::spawn(move || old_overlay(&Options::parse(&words)));
        let mount = mounted.join().unwrap().unwrap();
        for name in ["in-a", "in-b", "in-c", "in-upper"] {
            rustix::fs::statat(&mount, name, AtFlags::empty()).expect(name);
        }
        let flags = rustix::fs::fstatvfs(&mount).unwrap().f_flag;
        assert!(flags.contains(rustix::fs::StatVfsMountFlags::NOSUID), "{flags:?}");
        let words = ["lowerdir+=/there/is/none"];
        let error = std::thread::spawn(move || old_overlay(&Options::parse(&words)));
        assert_eq!(error.join().unwrap().unwrap_err().kind(), Kind::Invalid);
    }
}
