//! `corten-init`: the first process of a container that was created with `--init`.
//!
//! It runs one command, passes every signal on to it, reaps whatever loses its parent, and ends as
//! the command does. Usage, exit codes and the words of its errors are tini's, which Docker puts at
//! `/sbin/docker-init`: `docker-init -- COMMAND [ARGUMENTS]`; 127 when the command is not found, 126
//! when it cannot be executed.

#![forbid(unsafe_code)]

use std::ffi::{CString, OsString};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::ExitCode;

use corten_sys::process::{StringArray, execve, exit, fork, reset_signals};
use corten_sys::signal::{self, SignalFd, SignalSet};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, getpid, setpgid, wait};

const SIGABRT: i32 = 6;
const SIGBUS: i32 = 7;
const SIGCHLD: i32 = 17;
const SIGFPE: i32 = 8;
const SIGILL: i32 = 4;
const SIGSEGV: i32 = 11;
const SIGSYS: i32 = 31;
const SIGTRAP: i32 = 5;
const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let command = match args.first().map(OsString::as_os_str) {
        Some(first) if first == "--version" => return version(),
        Some(first) if first == "--" => &args[1..],
        _ => &args[..],
    };
    if command.is_empty() {
        complain("no command is given; usage: docker-init -- COMMAND [ARGUMENTS]");
        return ExitCode::FAILURE;
    }
    match run(command) {
        Ok(code) => ExitCode::from(u8::try_from(code & 255).unwrap_or(u8::MAX)),
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn version() -> ExitCode {
    match writeln!(io::stdout(), "corten-init version {}", env!("CARGO_PKG_VERSION")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) {
    // There is nobody else to tell.
    let _ = writeln!(io::stderr(), "[FATAL tini ({})] {text}", std::process::id());
}

fn run(command: &[OsString]) -> io::Result<i32> {
    if getpid() != Pid::INIT {
        // In a shared PID namespace orphans come here only if asked for.
        rustix::process::set_child_subreaper(Some(getpid()))?;
    }
    let signals = forwarded();
    signal::block(signals)?;
    let arrivals = SignalFd::new(signals)?;
    let Some(child) = fork()? else {
        exit(execute(command));
    };
    loop {
        match arrivals.read()? {
            SIGCHLD => {
                if let Some(code) = reap(child)? {
                    return Ok(code);
                }
            }
            // Stops by terminal input and output are for the command's group.
            SIGTTIN | SIGTTOU => {}
            // It fails only when the child has ended, which the next SIGCHLD tells.
            number => drop(signal::kill(child, number)),
        }
    }
}

/// All signals but those that mean a fault of this very process.
fn forwarded() -> SignalSet {
    [SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS]
        .into_iter()
        .fold(SignalSet::ALL, SignalSet::without)
}

/// Reaps every child that has ended and returns the exit code of `child` if it was among them.
fn reap(child: i32) -> io::Result<Option<i32>> {
    let mut code = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == child => {
                let killed = || status.terminating_signal().map(|signal| 128 + signal);
                code = status.exit_status().or_else(killed);
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(code),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Becomes the command, in a process group of its own; returns the exit code of a failure.
fn execute(command: &[OsString]) -> i32 {
    let name = command[0].to_string_lossy();
    if let Err(error) = prepare() {
        complain(&format!("cannot prepare to execute {name}: {error}"));
        return 1;
    }
    let error = search_and_execute(command);
    complain(&format!("exec {name} failed: {}", words(&error)));
    match error.kind() {
        io::ErrorKind::NotFound => 127,
        io::ErrorKind::PermissionDenied => 126,
        _ => 1,
    }
}

/// The system's words, without Rust's error number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

fn prepare() -> io::Result<()> {
    setpgid(None, None)?;
    // SIGTTOU is still blocked, so that taking the terminal does not stop us.
    match rustix::termios::tcsetpgrp(rustix::stdio::stdin(), getpid()) {
        // No terminal, or another session's.
        Ok(()) | Err(Errno::NOTTY | Errno::NXIO | Errno::PERM | Errno::BADF) => {}
        Err(error) => return Err(error.into()),
    }
    reset_signals()
}

/// Executes as `execvp(3)`; returns only with an error.
fn search_and_execute(command: &[OsString]) -> io::Error {
    let strings = |texts: &mut dyn Iterator<Item = OsString>| -> Option<StringArray> {
        let strings: Option<_> = texts.map(|text| CString::new(text.into_vec()).ok()).collect();
        strings.map(StringArray::new)
    };
    let mut pairs = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    });
    let (Some(args), Some(env)) = (strings(&mut command.iter().cloned()), strings(&mut pairs)) else {
        return io::ErrorKind::InvalidInput.into();
    };
    let mut last = io::Error::from_raw_os_error(Errno::NOENT.raw_os_error());
    for path in candidates(command[0].as_bytes()) {
        let error = execve(&path, &args, &env);
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR) => {}
            Some(Errno::ACCESS) => last = error,
            // A script without a `#!` line.
            Some(Errno::NOEXEC) => return execute_by_shell(path, &args, &env),
            _ => return error,
        }
    }
    last
}

fn execute_by_shell(script: CString, args: &StringArray, env: &StringArray) -> io::Error {
    let mut with_shell = vec![c"/bin/sh".to_owned(), script];
    with_shell.extend(args.strings().iter().skip(1).cloned());
    execve(c"/bin/sh", &StringArray::new(with_shell), env)
}

/// The paths at which a command may be.
fn candidates(name: &[u8]) -> Vec<CString> {
    let joined = |folder: &[u8]| -> Option<CString> {
        let folder = if folder.is_empty() { b".".as_slice() } else { folder };
        CString::new([folder, b"/", name].concat()).ok()
    };
    if name.contains(&b'/') || name.is_empty() {
        return CString::new(name).into_iter().collect();
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    path.as_bytes().split(|&byte| byte == b':').filter_map(joined).collect()
}
