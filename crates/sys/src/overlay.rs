//! Overlays where the kernel does not take their layers one by one (`lowerdir+`, Linux 6.8): mount(2) with one text
//! of at most a page, whose layers are named by descriptors when their paths are too long for that.
//!
//! mount(2) only mounts in a place, so this happens in a mount namespace of its own, out of which the overlay is
//! copied. Linux, filesystems/overlayfs.rst, "Multiple lower layers".

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountAttrFlags, MountFlags, OpenTreeFlags, open_tree};

use crate::mount::{Change, MountPropagationFlags, Reach, mount_setattr, mount_setattr_path};
use crate::namespace::{Namespaces, setns, unshare};

/// The most bytes that mount(2) reads, the last of them zero.
const PAGE: usize = 4096;

/// What an overlay is made of.
#[derive(Debug, Clone, Default)]
pub struct Overlay<'a> {
    /// Lower layers, the topmost first; at least one.
    pub lower: Vec<&'a Path>,
    /// Layers below those with nothing but files' data (Linux 6.5).
    pub data: Vec<&'a Path>,
    /// The other options, `upperdir` and `workdir` among them, as mount(8) takes them.
    pub options: Vec<(&'a str, Option<&'a OsStr>)>,
}

/// Whether the kernel takes an overlay's layers one by one. Told by its version: to try would leave a line in the
/// kernel's log each time.
#[must_use]
pub fn takes_layers_one_by_one() -> bool {
    let release = rustix::system::uname();
    is_at_least(&release.release().to_string_lossy(), (6, 8))
}

fn is_at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= wanted,
        _ => false,
    }
}

impl Overlay<'_> {
    /// Mounts it with mount(2), detached, and with these attributes.
    ///
    /// The calling thread gets a current folder and a root of its own (`CLONE_FS`): it has to be the only thread, or
    /// one that ends soon.
    ///
    /// # Errors
    /// As mount(2), and `E2BIG` when there are more layers than fit into a page.
    pub fn mount(&self, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(".", flags | OFlags::DIRECTORY, Mode::empty())?;
        let namespace = rustix::fs::open("/proc/thread-self/ns/mnt", flags, Mode::empty())?;
        unshare(Namespaces::MOUNT)?;
        let mounted = self.mount_here(attributes);
        setns(namespace.as_fd(), Namespaces::MOUNT)?;
        rustix::process::fchdir(&folder)?;
        mounted
    }

    fn mount_here(&self, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
        let private = Change {
            propagation: MountPropagationFlags::PRIVATE,
            ..Change::default()
        };
        mount_setattr_path(c"/", Reach::Tree, &private)?;
        // Any place would do.
        let place = *self.lower.first().ok_or(io::ErrorKind::InvalidInput)?;
        let (text, _held) = self.text(PAGE)?;
        rustix::mount::mount("overlay", place, "overlay", MountFlags::empty(), Some(text.as_c_str()))?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let copy = open_tree(CWD, place, flags)?;
        let change = Change {
            set: attributes,
            ..Change::default()
        };
        mount_setattr(copy.as_fd(), Reach::Mount, &change)?;
        Ok(copy)
    }

    /// The text of mount(2), with paths as they are if they fit, and the descriptors that it needs.
    fn text(&self, most: usize) -> io::Result<(CString, Vec<OwnedFd>)> {
        let mut held = Vec::new();
        let mut text = self.write(|path| Ok(path.as_os_str().as_bytes().to_vec()))?;
        if text.len() >= most {
            text = self.write(|path| {
                let layer = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
                let name = format!("/proc/self/fd/{}", layer.as_raw_fd());
                held.push(layer);
                Ok(name.into_bytes())
            })?;
        }
        if text.len() >= most {
            return Err(rustix::io::Errno::TOOBIG.into());
        }
        Ok((CString::new(text)?, held))
    }

    fn write(&self, mut name: impl FnMut(&Path) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        let mut text = b"lowerdir=".to_vec();
        let layers = self.lower.iter().map(|path| (path, &b":"[..]));
        let layers = layers.chain(self.data.iter().map(|path| (path, &b"::"[..])));
        for (position, (path, separator)) in layers.enumerate() {
            if position > 0 {
                text.extend_from_slice(separator);
            }
            escape(&mut text, &name(path)?, b"\\:,");
        }
        for (key, value) in &self.options {
            text.push(b',');
            text.extend_from_slice(key.as_bytes());
            let Some(value) = value else { continue };
            text.push(b'=');
            match *key {
                // Marked as mount(8) has it, which is lost on the way through a descriptor.
                "upperdir" | "workdir" => {
                    let plain = name(Path::new(OsStr::from_bytes(&unescape(value.as_bytes()))))?;
                    escape(&mut text, &plain, b"\\,");
                }
                _ => escape(&mut text, value.as_bytes(), b","),
            }
        }
        Ok(text)
    }
}

/// Puts a backslash before each of these letters.
fn escape(text: &mut Vec<u8>, plain: &[u8], special: &[u8]) {
    for &byte in plain {
        if special.contains(&byte) {
            text.push(b'\\');
        }
        text.push(byte);
    }
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => plain.extend(bytes.next()),
            byte => plain.push(byte),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay<'a>(lower: &[&'a str], options: &[(&'a str, Option<&'a str>)]) -> Overlay<'a> {
        Overlay {
            lower: lower.iter().map(|path| Path::new(*path)).collect(),
            data: Vec::new(),
            options: options
                .iter()
                .map(|(key, value)| (*key, value.map(OsStr::new)))
                .collect(),
        }
    }

    fn check(overlay: &Overlay<'_>, most: usize, expected: &str) {
        let (text, _) = overlay.text(most).unwrap();
        assert_eq!(text.to_str().unwrap(), expected);
    }

    #[test]
    fn kernels_are_told_apart() {
        for (release, expected) in [
            ("6.1.0-50-amd64", false),
            ("6.8.0", true),
            ("6.18+", true),
            ("7.0", true),
            ("", false),
        ] {
            assert_eq!(is_at_least(release, (6, 8)), expected, "{release}");
        }
    }

    #[test]
    fn layers_are_one_text() {
        check(&overlay(&["/a"], &[]), PAGE, "lowerdir=/a");
        check(
            &overlay(
                &["/a", "/b"],
                &[("upperdir", Some("/u")), ("workdir", Some("/w")), ("volatile", None)],
            ),
            PAGE,
            "lowerdir=/a:/b,upperdir=/u,workdir=/w,volatile",
        );
        let mut with_data = overlay(&["/a", "/b"], &[]);
        with_data.data = vec![Path::new("/c"), Path::new("/d")];
        check(&with_data, PAGE, "lowerdir=/a:/b::/c::/d");
    }

    #[test]
    fn letters_with_a_meaning_are_marked() {
        check(&overlay(&[r"/a:b,c\d", "/e"], &[]), PAGE, r"lowerdir=/a\:b\,c\\d:/e");
        // Options come as mount(8) takes them, where a backslash is a mark already.
        check(
            &overlay(&["/a"], &[("upperdir", Some(r"/u,v:w\\x\,y"))]),
            PAGE,
            r"lowerdir=/a,upperdir=/u\,v:w\\x\,y",
        );
    }

    #[test]
    fn paths_that_do_not_fit_are_named_by_descriptors() {
        let long = format!("/proc{}", "/.".repeat(40));
        let lower: Vec<_> = (0..100).map(|_| Path::new(&long)).collect();
        let overlay = Overlay {
            lower,
            ..Overlay::default()
        };
        let (text, held) = overlay.text(PAGE).unwrap();
        assert_eq!(held.len(), 100);
        let text = text.into_string().unwrap();
        assert!(text.starts_with("lowerdir=/proc/self/fd/"), "{text}");
        assert_eq!(text.matches(':').count(), 99);
        let error = overlay.text(1000).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::E2BIG));
    }
}
