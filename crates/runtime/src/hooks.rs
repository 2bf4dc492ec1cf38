//! Programs run at points of a container's life (config.md "POSIX-platform Hooks").

use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use corten_oci::runtime::{Hook, State};
use corten_sys::process::{Ended, PidFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

use crate::context::Context as _;
use crate::error::{Error, Kind, Result};

/// The longest part of a failed hook's output that is told.
const LONGEST_OUTPUT: u64 = 2048;

/// Runs hooks one after the other; each gets the state on its standard input.
///
/// # Errors
/// The first that fails or takes too long ends the row.
pub(crate) fn run(point: &str, hooks: &[Hook], state: &State) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state = serde_json::to_vec(state)
        .map_err(|error| Error::new(Kind::Internal, "cannot write the state").with_source(error))?;
    for (number, hook) in hooks.iter().enumerate() {
        run_one(hook, &state).map_err(|error| {
            let message = format!("error running {point} hook #{number}: {}", error.chain());
            Error::new(error.kind(), message)
        })?;
    }
    Ok(())
}

fn run_one(hook: &Hook, state: &[u8]) -> Result<()> {
    // Files in memory rather than pipes: a hook that doesn't read, or writes much, blocks nobody.
    let mut input = file("hook-state")?;
    let written = input.write_all(state).and_then(|()| input.rewind());
    written.context(|| "cannot write the state".into())?;
    let mut output = file("hook-output")?;
    let copy = |file: &std::fs::File| file.try_clone().context(|| "cannot copy a descriptor".into());
    let mut command = Command::new(&hook.path);
    if let Some((name, args)) = hook.args.split_first() {
        command.arg0(name).args(args);
    }
    let env = hook.env.iter().filter_map(|variable| variable.split_once('='));
    command
        .env_clear()
        .envs(env)
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(copy(&output)?))
        .stderr(Stdio::from(copy(&output)?));
    let child = command.spawn().context(|| format!("cannot run {:?}", hook.path))?;
    let pid = i32::try_from(child.id()).map_err(|_| Error::new(Kind::Internal, "its number is too big"))?;
    let process = PidFd::open(pid).context(|| "cannot hold it".into())?;
    let timeout = hook
        .timeout_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|&seconds| seconds > 0);
    let ended = wait(&process, timeout.map(Duration::from_secs))?;
    if ended == Ended::Exited(0) {
        return Ok(());
    }
    let how = match ended {
        Ended::Exited(code) => format!("exit status {code}"),
        Ended::Killed(signal) => format!("signal {signal}"),
    };
    let mut told = String::new();
    // What it has said is a help only; its failure is the error.
    let _ = output.rewind();
    let _ = output.take(LONGEST_OUTPUT).read_to_string(&mut told);
    Err(Error::new(Kind::Internal, format!("{how}, output: {}", told.trim())))
}

fn file(name: &str) -> Result<std::fs::File> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC);
    Ok(file.context(|| "cannot make a file in memory".into())?.into())
}

fn wait(process: &PidFd, timeout: Option<Duration>) -> Result<Ended> {
    let waiting = || "cannot wait for it".to_owned();
    let Some(timeout) = timeout else {
        return process.wait().context(waiting);
    };
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or_default();
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) {
            Ok(0) => break,
            Ok(_) => return process.wait().context(waiting),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context(waiting),
        }
    }
    // It may end by itself at this very moment.
    let _ = process.send_signal(9);
    process.wait().context(waiting)?;
    Err(Error::new(
        Kind::Internal,
        format!("it took longer than {} s", timeout.as_secs()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_oci::runtime::Status;

    fn state() -> State {
        State {
            oci_version: "1.2.0".into(),
            id: "c".into(),
            status: Status::Created,
            pid: Some(7),
            bundle: "/b".into(),
            annotations: Default::default(),
        }
    }

    fn hook(script: &str) -> Hook {
        Hook {
            path: "/bin/sh".into(),
            args: ["sh", "-c", script].map(Into::into).into(),
            env: vec!["WORD=x y".into()],
            timeout_seconds: Some(1),
        }
    }

    #[test]
    fn a_hook_gets_state_and_environment_only() {
        let script = r#"s=$(cat); case $s in *'"id":"c"'*) ;; *) exit 1;; esac; [ "$WORD" = "x y" ] && [ -z "$HOME" ]"#;
        run("poststop", &[hook(script)], &state()).unwrap();
    }

    #[test]
    fn failures_are_told() {
        let error = run("prestart", &[hook("true"), hook("echo no >&2; exit 3")], &state()).unwrap_err();
        assert_eq!(
            error.chain(),
            "error running prestart hook #1: exit status 3, output: no"
        );
        let error = run("prestart", &[hook("exec sleep 60")], &state()).unwrap_err();
        assert_eq!(error.chain(), "error running prestart hook #0: it took longer than 1 s");
    }
}
