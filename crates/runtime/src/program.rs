//! Which file a container's command names, in the words of Go's `exec.LookPath`, which Docker's
//! clients match on.

use std::ffi::CString;

use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use rustix::io::Errno;

use crate::context::invalid;
use crate::error::{Error, Kind, Result};
use crate::rootfs::reason;

/// Finds a program from the process's present root, working directory and user.
///
/// # Errors
/// `CommandNotFound` or `CommandNotExecutable`.
pub(crate) fn find(name: &str, env: &[String]) -> Result<CString> {
    if name.contains('/') {
        return match check(name) {
            Ok(()) => terminated(name),
            Err(error) => Err(refused(name, error)),
        };
    }
    let path = env.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
    for folder in path.unwrap_or_default().split(':').filter(|_| !name.is_empty()) {
        let folder = if folder.is_empty() { "." } else { folder };
        let candidate = format!("{folder}/{name}");
        if check(&candidate).is_ok() {
            return terminated(&candidate);
        }
    }
    let message = format!("exec: {name:?}: executable file not found in $PATH");
    Err(Error::new(Kind::CommandNotFound, message))
}

enum Refusal {
    Stat(Errno),
    Directory,
    Access(Errno),
}

fn check(path: &str) -> std::result::Result<(), Refusal> {
    let stat = stat(path).map_err(Refusal::Stat)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Refusal::Directory);
    }
    match accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        // A filter forbids the question; the bits have to do.
        Err(Errno::NOSYS | Errno::PERM) if stat.st_mode & 0o111 != 0 => Ok(()),
        Err(Errno::NOSYS | Errno::PERM) => Err(Refusal::Access(Errno::ACCESS)),
        result => result.map_err(Refusal::Access),
    }
}

fn refused(name: &str, refusal: Refusal) -> Error {
    let (kind, words) = match refusal {
        Refusal::Stat(errno @ (Errno::NOENT | Errno::NOTDIR)) => {
            (Kind::CommandNotFound, format!("stat {name}: {}", reason(errno)))
        }
        Refusal::Stat(errno) => (Kind::CommandNotExecutable, format!("stat {name}: {}", reason(errno))),
        Refusal::Directory => (Kind::CommandNotExecutable, "is a directory: permission denied".into()),
        Refusal::Access(errno) => (Kind::CommandNotExecutable, reason(errno)),
    };
    Error::new(kind, format!("exec: {name:?}: {words}"))
}

/// The error of an execve(2) of a file that had looked right: a missing interpreter, a wrong format.
pub(crate) fn not_executed(path: &CString, error: &std::io::Error) -> Error {
    let kind = match error.raw_os_error() {
        Some(number) if number == Errno::NOENT.raw_os_error() => Kind::CommandNotFound,
        _ => Kind::CommandNotExecutable,
    };
    let path = path.to_string_lossy();
    Error::new(kind, format!("exec {path}: {}", corten_sys::fs::reason(error)))
}

fn terminated(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| invalid(format!("{text:?} has a null byte in it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_error(name: &str, kind: Kind, words: &str) {
        let error = find(name, &["PATH=/nowhere:/etc:/bin".into()]).unwrap_err();
        assert_eq!((error.kind(), error.chain().as_str()), (kind, words));
    }

    #[test]
    fn errors_have_dockers_words() {
        use Kind::{CommandNotExecutable as Refused, CommandNotFound as Missing};
        check_error(
            "nosuchcmd",
            Missing,
            "exec: \"nosuchcmd\": executable file not found in $PATH",
        );
        check_error(
            "passwd.d",
            Missing,
            "exec: \"passwd.d\": executable file not found in $PATH",
        );
        check_error("", Missing, "exec: \"\": executable file not found in $PATH");
        check_error("/x", Missing, "exec: \"/x\": stat /x: no such file or directory");
        check_error(
            "/etc/passwd/x",
            Missing,
            "exec: \"/etc/passwd/x\": stat /etc/passwd/x: not a directory",
        );
        check_error("/etc", Refused, "exec: \"/etc\": is a directory: permission denied");
        check_error("/etc/passwd", Refused, "exec: \"/etc/passwd\": permission denied");
    }

    #[test]
    fn the_last_path_counts() {
        let env = ["PATH=/nowhere".into(), "PATH=:/bin".into()];
        assert_eq!(find("sh", &env).unwrap().as_c_str(), c"/bin/sh");
        assert!(find("sh", &[]).is_err());
    }
}
