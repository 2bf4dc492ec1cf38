//! What is written into a cgroup's files: values first, then the writing.

use std::borrow::Cow;
use std::io::{self, Write as _};
use std::path::Path;

use corten_sys::fs;
use rustix::io::Errno;

use crate::error::{Error, Kind, Result};

/// One value for one file of a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The controller that owns the file (`memory`, `io`, …).
    pub(crate) controller: Cow<'static, str>,
    /// The file.
    pub(crate) file: Cow<'static, str>,
    /// The file to take instead when the kernel hasn't that one.
    pub(crate) fallback: Option<Fallback>,
    /// What is written.
    pub(crate) value: String,
    /// How the user asks for it, named when the kernel cannot do it.
    pub(crate) asked_by: Cow<'static, str>,
}

/// What happens when a kernel lacks a setting's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// The value goes to another file.
    File(&'static str, String),
    /// Nothing is lost without it.
    Skip,
}

impl Setting {
    /// A setting that must be possible.
    pub(crate) fn new(
        controller: &'static str,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
        asked_by: &'static str,
    ) -> Self {
        Self {
            controller: controller.into(),
            file: file.into(),
            fallback: None,
            value: value.to_string(),
            asked_by: asked_by.into(),
        }
    }

    /// Says what to do on a kernel without the file.
    pub(crate) fn or(mut self, fallback: Fallback) -> Self {
        self.fallback = Some(fallback);
        self
    }
}

/// Writes settings of one cgroup.
///
/// A value the kernel refuses is tried once more after the others: some are judged against each
/// other (a memory limit against that with swap, a CPU quota against its period), and which order
/// is right depends on the values in force.
pub(crate) fn write_all<'a>(settings: &[Setting], folder_of: impl Fn(&str) -> Option<&'a Path>) -> Result<()> {
    let mut refused = Vec::new();
    for setting in settings {
        let folder = folder_of(&setting.controller).ok_or_else(|| missing(setting))?;
        match write_one(folder, setting) {
            Err(error) if is(&error, Errno::INVAL) => refused.push((folder, setting)),
            result => result.map_err(|error| explain(error, folder, setting))?,
        }
    }
    for (folder, setting) in refused {
        write_one(folder, setting).map_err(|error| explain(error, folder, setting))?;
    }
    Ok(())
}

fn write_one(folder: &Path, setting: &Setting) -> io::Result<()> {
    let result = write_file(&folder.join(&*setting.file), &setting.value);
    match (&setting.fallback, result) {
        (Some(Fallback::File(file, value)), Err(error)) if is(&error, Errno::NOENT) => {
            write_file(&folder.join(file), value)
        }
        (Some(Fallback::Skip), Err(error)) if is(&error, Errno::NOENT) => Ok(()),
        (_, result) => result,
    }
}

/// Writes a value in one `write`, as cgroup files want it, and never makes the file.
pub(crate) fn write_file(path: &Path, value: &str) -> io::Result<()> {
    let mut file = fs::open_with(std::fs::OpenOptions::new().write(true), path)?;
    file.write_all(value.as_bytes())
        .map_err(|error| fs::with_path("write", path, error))
}

/// Whether an error is, at its bottom, this one.
pub(crate) fn is(error: &io::Error, errno: Errno) -> bool {
    fs::raw_os_error(error) == Some(errno.raw_os_error())
}

/// The error for a controller that the host doesn't offer.
fn missing(setting: &Setting) -> Error {
    let (asked_by, controller) = (&setting.asked_by, &setting.controller);
    Error::new(
        Kind::Unsupported,
        format!("cannot apply {asked_by}: this host has no \"{controller}\" cgroup controller"),
    )
    .with_hint(format!(
        "leave {asked_by} out, or enable the controller (on some systems: boot with cgroup_enable={controller})"
    ))
}

fn explain(error: io::Error, folder: &Path, setting: &Setting) -> Error {
    let (asked_by, value) = (&setting.asked_by, &setting.value);
    if is(&error, Errno::NOENT) || is(&error, Errno::OPNOTSUPP) {
        let file = &setting.file;
        let message = format!("cannot apply {asked_by}: this kernel has no \"{file}\"");
        return Error::new(Kind::Unsupported, message).with_source(error);
    }
    let mut message = format!("cannot apply {asked_by}: \"{value}\" was refused");
    if is(&error, Errno::BUSY) && setting.controller == "memory" {
        message.push_str(&usage(folder));
    }
    Error::new(Kind::Invalid, message).with_source(error)
}

/// What is in use, for a limit that is below it.
fn usage(folder: &Path) -> String {
    let read = |file| fs::read_to_string(folder.join(file)).unwrap_or_default();
    let (now, peak) = (read("memory.usage_in_bytes"), read("memory.max_usage_in_bytes"));
    format!(" (in use: {}, at most so far: {})", now.trim(), peak.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    fn content(folder: &tempfile::TempDir, file: &str) -> String {
        fs::read_to_string(folder.path().join(file)).unwrap()
    }

    #[test]
    fn writes_to_the_fallback_when_the_file_is_missing() {
        let folder = folder_with(&["io.weight"]);
        let settings = [
            Setting::new("io", "io.bfq.weight", 500, "--blkio-weight")
                .or(Fallback::File("io.weight", "4950".to_owned())),
            Setting::new("io", "hugetlb.2MB.rsvd.max", 1, "a huge page limit").or(Fallback::Skip),
        ];
        write_all(&settings, |_| Some(folder.path())).unwrap();
        assert_eq!(content(&folder, "io.weight"), "4950");
    }

    #[test]
    fn names_the_flag_and_what_is_missing() {
        let folder = folder_with(&[]);
        let settings = [Setting::new("memory", "memory.max", 1, "--memory")];
        let error = write_all(&settings, |_| None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot apply --memory: this host has no \"memory\" cgroup controller"
        );
        let error = write_all(&settings, |_| Some(folder.path())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot apply --memory: this kernel has no \"memory.max\""
        );
        assert_eq!(error.kind(), Kind::Unsupported);
    }
}
