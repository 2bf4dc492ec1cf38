//! What the kernel must have, checked before anything is touched.

use std::path::Path;

use corten_sys::fs;

/// The oldest kernel that works: `mount_setattr(2)` came with it.
const OLDEST: (u32, u32) = (5, 12);

/// Checks the kernel.
///
/// # Errors
/// A sentence that names what is missing and what to do.
pub(super) fn check() -> Result<(), String> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    if version(&release).is_some_and(|version| version < OLDEST) {
        return Err(format!(
            "the kernel {release} is too old: Linux {}.{} or newer is needed",
            OLDEST.0, OLDEST.1
        ));
    }
    // Asking for it has the kernel load its module.
    if let Err(why) = rustix::mount::fsopen("overlay", rustix::mount::FsOpenFlags::FSOPEN_CLOEXEC) {
        let why = fs::reason(&why.into());
        return Err(format!(
            "overlay file systems cannot be had ({why}): is the engine root, is there the kernel's module overlay?"
        ));
    }
    for namespace in ["mnt", "pid", "net", "ipc", "uts"] {
        if !is_there(&format!("/proc/self/ns/{namespace}")) {
            return Err(format!("the kernel has no {namespace} namespaces"));
        }
    }
    let is_unified = is_there("/sys/fs/cgroup/cgroup.controllers");
    if !is_unified && !is_there("/sys/fs/cgroup/pids") && !is_there("/sys/fs/cgroup/memory") {
        tracing::warn!("no control groups are mounted below /sys/fs/cgroup: containers cannot be limited");
    }
    Ok(())
}

fn is_there(path: &str) -> bool {
    fs::exists(Path::new(path)).unwrap_or(false)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("6.1.0-13-amd64"), Some((6, 1)));
        assert_eq!(version("5.4"), Some((5, 4)));
        assert_eq!(version("x"), None);
        assert!(check().is_ok(), "the machine that tests run on has what is needed");
    }
}
