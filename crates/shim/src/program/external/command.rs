//! One command of a runtime: run to its end, and what it said when it failed.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use corten_sys::process::{Ended, PidFd, StringArray, close_from, execve, exit, fork, reset_signals};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a shell answers for a program that is not there.
const NOT_FOUND: i32 = 127;
/// The longest part of the log that is looked at.
const LONGEST_LOG: usize = 64 << 10;
/// What runtimes may need of an environment: hooks are found by it.
const ENVIRONMENT: &std::ffi::CStr = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Standard streams of a command.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stdio<'a> {
    /// `/dev/null`.
    Nothing,
    /// Those that the process it makes is to have.
    Streams(&'a [OwnedFd; 3]),
}

/// Runs a command; returns its exit code.
pub(super) fn run(program: &Path, args: &[&str], stdio: Stdio<'_>) -> io::Result<i32> {
    let name = CString::new(program.as_os_str().as_bytes())?;
    let mut all = vec![name.clone()];
    for arg in args {
        all.push(CString::new(*arg)?);
    }
    let all = StringArray::new(all);
    let environment = StringArray::new(vec![ENVIRONMENT.to_owned()]);
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    // Not by std's Command: what it starts is born with our signals blocked, and the container's processes after it.
    let Some(pid) = fork()? else {
        let failed = match prepare(stdio, &nothing) {
            Ok(()) => execve(&name, &all, &environment),
            Err(error) => error,
        };
        exit(match failed.kind() {
            io::ErrorKind::NotFound => NOT_FOUND,
            _ => NOT_FOUND - 1,
        });
    };
    let process = PidFd::open(pid)?;
    match wait(&process)? {
        Ended::Exited(code) => Ok(code),
        Ended::Killed(signal) => Ok(128 + signal),
    }
}

/// What the child does before it becomes the program.
fn prepare(stdio: Stdio<'_>, nothing: &OwnedFd) -> io::Result<()> {
    reset_signals()?;
    let [input, output, error] = match stdio {
        Stdio::Nothing => [nothing.as_fd(); 3],
        Stdio::Streams(streams) => streams.each_ref().map(|stream| stream.as_fd()),
    };
    rustix::stdio::dup2_stdin(input)?;
    rustix::stdio::dup2_stdout(output)?;
    rustix::stdio::dup2_stderr(error)?;
    close_from(3, None)
}

/// Waits for a command's end, and makes one of it in the end.
fn wait(process: &PidFd) -> io::Result<Ended> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or_default();
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) {
            Ok(0) => {
                // It may end by itself at this very moment.
                let _ = process.send_signal(9);
                return process.wait();
            }
            Ok(_) => return process.wait(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    level: String,
    #[serde(default)]
    msg: String,
}

/// The last error in a runtime's log.
pub(super) fn last_error(log: &Path) -> Option<String> {
    let text = corten_sys::fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(LONGEST_LOG)..]).into_owned();
    let lines = text.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
    let mut errors = lines.filter(|line: &Line| matches!(line.level.as_str(), "error" | "fatal"));
    errors.next().map(|line| line.msg)
}

/// The sentence as Docker tells it; runc begins its own with what it was doing.
pub(super) fn in_its_words(program: &str, command: &str, said: &str) -> String {
    let own = format!("{program} {command} failed: ");
    // Clients know the system's reasons as Go writes them.
    let said = &said
        .replace("No such file or directory", "no such file or directory")
        .replace("Permission denied", "permission denied");
    match (command, said.starts_with(&own)) {
        (_, true) | ("exec", _) => said.clone(),
        _ => format!("{own}{said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_end_as_they_end() {
        let sh = |script: &str| run(Path::new("/bin/sh"), &["-c", script], Stdio::Nothing);
        // The tests' own process has many threads; then it is refused, and nothing is started.
        match sh("exit 3") {
            Ok(code) => assert_eq!(code, 3),
            Err(error) => assert_eq!(error.raw_os_error(), Some(16)),
        }
    }

    #[test]
    fn the_last_error_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.json");
        let lines = "{\"level\":\"error\",\"msg\":\"first\"}\nnoise\n{\"level\":\"error\",\"msg\":\"last\"}\n\
                     {\"level\":\"info\",\"msg\":\"bye\"}\n";
        corten_sys::fs::write(&log, lines).unwrap();
        assert_eq!(last_error(&log).as_deref(), Some("last"));
        assert_eq!(last_error(&folder.path().join("none")), None);
    }

    #[test]
    fn sentences_are_dockers() {
        assert_eq!(
            in_its_words("runc", "create", "runc create failed: x"),
            "runc create failed: x"
        );
        assert_eq!(in_its_words("crun", "create", "x"), "crun create failed: x");
        assert_eq!(in_its_words("runc", "exec", "exec failed: x"), "exec failed: x");
    }
}
