//! Labels of Linux security modules: the `AppArmor` profile and the `SELinux` context of a process,
//! and the context of its mounts.
//!
//! A label takes effect at the next execve: it is written to the process's own attributes in procfs.
//! The caller brings a procfs of the host's, as in the container's tree something else could stand in
//! its place and swallow the label (CVE-2019-16884).

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use corten_sys::fs;
use rustix::fs::{Mode, OFlags, fstatfs, openat, statfs};
use rustix::io::Errno;

use crate::context::Context as _;
use crate::error::{Error, Kind, Result};

/// The profile that confines nothing.
const UNCONFINED: &str = "unconfined";
const APPARMOR_PROFILES: &str = "/sys/kernel/security/apparmor/profiles";
const PROC_SUPER_MAGIC: u64 = 0x9fa0;
const SELINUX_MAGIC: u64 = 0xf97c_ff8c;

/// Whether the kernel runs `AppArmor`.
#[must_use]
pub fn apparmor_enabled() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'))
}

/// Whether an `AppArmor` profile of this name is loaded.
///
/// # Errors
/// The list cannot be read (securityfs isn't mounted, or the caller isn't root).
pub fn apparmor_profile_loaded(name: &str) -> Result<bool> {
    let text = fs::read_to_string(APPARMOR_PROFILES)
        .map_err(|error| Error::new(Kind::Internal, "cannot list the AppArmor profiles").with_source(error))?;
    Ok(lists_profile(&text, name))
}

/// Whether a line is `name (mode)`; names may hold blanks and brackets.
fn lists_profile(list: &str, name: &str) -> bool {
    list.lines()
        .any(|line| line.rsplit_once(" (").is_some_and(|(listed, _)| listed == name))
}

/// Whether the kernel runs `SELinux` with a policy.
#[must_use]
pub fn selinux_enabled() -> bool {
    has_magic(statfs("/sys/fs/selinux"), SELINUX_MAGIC)
        && fs::exists(Path::new("/sys/fs/selinux/enforce")).unwrap_or(false)
}

/// The mount parameter that labels a file system's files, if a label is asked for.
#[must_use]
pub fn mount_context(label: Option<&str>) -> Option<(&'static str, &str)> {
    label.filter(|label| !label.is_empty()).map(|label| ("context", label))
}

/// The labels of the program executed next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecLabel {
    apparmor: Option<String>,
    selinux: Option<String>,
}

impl ExecLabel {
    /// Checks what a process's configuration asks for against what the kernel can do.
    ///
    /// # Errors
    /// `Unsupported` for a label of a module that isn't running; `Invalid` for a name with a line
    /// break or a null byte in it.
    pub fn prepare(apparmor: Option<&str>, selinux: Option<&str>) -> Result<Self> {
        let apparmor = apparmor.filter(|name| !name.is_empty());
        let selinux = selinux.filter(|label| !label.is_empty());
        for label in apparmor.iter().chain(&selinux) {
            if label.bytes().any(|byte| byte == 0 || byte == b'\n') {
                return Err(Error::new(Kind::Invalid, format!("invalid label {label:?}")));
            }
        }
        // Without the module everything is unconfined already.
        let apparmor = apparmor.filter(|&name| name != UNCONFINED || apparmor_enabled());
        if let Some(name) = apparmor.filter(|_| !apparmor_enabled()) {
            return Err(not_running("AppArmor", &format!("profile {name:?}")));
        }
        if let Some(label) = selinux.filter(|_| !selinux_enabled()) {
            return Err(not_running("SELinux", &format!("label {label:?}")));
        }
        Ok(Self {
            apparmor: apparmor.map(str::to_owned),
            selinux: selinux.map(str::to_owned),
        })
    }

    /// Labels what the calling thread executes next; `proc` is a procfs of the host's.
    ///
    /// # Errors
    /// `NotFound` when the profile isn't loaded; `Internal`.
    pub fn apply(&self, proc: impl AsFd) -> Result<()> {
        let proc = proc.as_fd();
        if let Some(label) = &self.selinux {
            let file = open_attribute(proc, "exec").context(|| "cannot set the SELinux label".into())?;
            write_attribute(&file, label).context(|| format!("cannot set the SELinux label {label:?}"))?;
        }
        let Some(profile) = &self.apparmor else { return Ok(()) };
        let naming = || format!("cannot apply the AppArmor profile {profile:?}");
        // Its own file came with Linux 5.8; before, the module that came first had the common one.
        let file = match open_attribute(proc, "apparmor/exec") {
            Err(Errno::NOENT) => open_attribute(proc, "exec"),
            result => result,
        };
        match write_attribute(&file.context(naming)?, &format!("exec {profile}")) {
            Err(Errno::NOENT) => {
                let message = format!("the AppArmor profile {profile:?} is not loaded");
                Err(Error::new(Kind::NotFound, message).with_hint("load it with apparmor_parser -r"))
            }
            result => result.context(naming),
        }
    }
}

fn not_running(module: &str, what: &str) -> Error {
    let message = format!("cannot apply the {module} {what}: {module} is not enabled on this host");
    Error::new(Kind::Unsupported, message).with_hint(format!("leave the {what} out"))
}

fn open_attribute(proc: impl AsFd, name: &str) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(proc, format!("thread-self/attr/{name}"), flags, Mode::empty())?;
    match has_magic(fstatfs(&file), PROC_SUPER_MAGIC) {
        true => Ok(file),
        // Something was put there that isn't the kernel's.
        false => Err(Errno::PERM),
    }
}

fn write_attribute(file: &OwnedFd, value: &str) -> std::result::Result<(), Errno> {
    rustix::io::retry_on_intr(|| rustix::io::write(file, value.as_bytes())).map(drop)
}

fn has_magic(status: rustix::io::Result<rustix::fs::StatFs>, magic: u64) -> bool {
    status.is_ok_and(|status| u64::try_from(status.f_type).is_ok_and(|kind| kind == magic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_listed_by_their_whole_name() {
        let list = "corten-default (enforce)\n/usr/bin/man (complain)\nodd (name) (enforce)\n";
        for (name, there) in [
            ("corten-default", true),
            ("corten", false),
            ("odd (name)", true),
            ("odd", false),
        ] {
            assert_eq!(lists_profile(list, name), there, "{name}");
        }
    }

    #[test]
    fn nothing_asked_is_nothing_done() {
        let label = ExecLabel::prepare(Some(""), None).unwrap();
        assert_eq!(label, ExecLabel::default());
        // Not even a procfs is looked at.
        label.apply(std::io::stdin()).unwrap();
        assert_eq!(mount_context(Some("")), None);
        assert_eq!(mount_context(Some("a:b")), Some(("context", "a:b")));
    }

    #[test]
    fn what_the_kernel_lacks_is_refused() {
        if !apparmor_enabled() {
            let error = ExecLabel::prepare(Some("corten-default"), None).unwrap_err();
            assert_eq!(error.kind(), Kind::Unsupported);
            assert_eq!(
                ExecLabel::prepare(Some("unconfined"), None).unwrap(),
                ExecLabel::default()
            );
        }
        if !selinux_enabled() {
            let error = ExecLabel::prepare(None, Some("system_u:system_r:container_t:s0")).unwrap_err();
            assert!(error.to_string().contains("SELinux is not enabled"), "{error}");
        }
        assert_eq!(
            ExecLabel::prepare(Some("a\nb"), None).unwrap_err().kind(),
            Kind::Invalid
        );
    }
}
