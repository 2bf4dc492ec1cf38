//! `exec`.

use std::path::PathBuf;

use corten_oci::runtime::{Capabilities, ConsoleSize, Process, Spec, Status};
use corten_sys::fs;
use rustix::stdio::stdin;
use rustix::termios::tcgetwinsize;

use super::arguments::{Order, Parsed, switch, value};
use super::console::{Signals, attend, send};
use super::lifecycle::{Attendance, check_terminal, preserved, write_pid};
use super::{Command, Context, sealed};
use crate::context::invalid;
use crate::create::console_size;
use crate::error::{Error, Kind, Result};
use crate::exec::{Exec, exec};
use crate::init::Keyring;
use crate::terminal::Stdio;

pub(super) const EXEC: Command = Command {
    name: "exec",
    usage: "<container-id> <command> [arguments]: run another process in a container",
    flags: &[
        value("console-socket", "", "unix socket that gets the terminal's master"),
        value("cwd", "", "working directory"),
        value("env", "e", "NAME=value, repeated"),
        switch("tty", "t", "give it a terminal"),
        value("user", "u", "uid[:gid]"),
        value("additional-gids", "g", "supplementary group, repeated"),
        value("process", "p", "file with the process, as in config.json"),
        switch("detach", "d", "don't wait for its end"),
        value("pid-file", "", "file that gets the process's number"),
        value("process-label", "", "SELinux label"),
        value("apparmor", "", "AppArmor profile"),
        switch("no-new-privs", "", "gain no privileges through execve"),
        value("cap", "c", "additional capability, repeated"),
        value("preserve-fds", "", "how many descriptors from 3 on are passed on"),
        switch("ignore-paused", "", "allow it in a paused container"),
    ],
    order: Order::First,
    run,
};

fn run(context: &Context, args: Parsed) -> Result<i32> {
    sealed::ensure()?;
    let record = context.root.read(args.id("exec")?)?;
    let status = context.root.status(&record)?;
    let stopped = || Error::new(Kind::Conflict, "cannot exec in a stopped container");
    match status {
        Status::Stopped => return Err(stopped()),
        Status::Paused if !args.has("ignore-paused") => {
            let message = "cannot exec in a paused container (use --ignore-paused to override)";
            return Err(Error::new(Kind::Conflict, message));
        }
        Status::Creating | Status::Created | Status::Running | Status::Paused => {}
    }
    let process = process(&args, &record.config)?;
    let leaves = args.has("detach");
    let socket = args.value("console-socket").map(PathBuf::from);
    let attendance = if leaves { Attendance::Leaves } else { Attendance::Stays };
    check_terminal(process.terminal, attendance, socket.is_some())?;
    let init = record.process().ok_or_else(stopped)?;
    let cgroup = record.cgroup()?;
    let signals = if leaves { None } else { Some(Signals::take()?) };
    let mut executed = exec(Exec {
        init: &init,
        spec: &record.config,
        process: &process,
        cgroup: cgroup.as_ref(),
        stdio: stdio(&process),
        preserved_fds: preserved(&args)?,
        keyring: Keyring::Inherit,
        id: &record.id,
    })?;
    if let (Some(socket), Some(master)) = (&socket, &executed.console) {
        send(socket, master)?;
    }
    write_pid(args.value("pid-file").map(PathBuf::from).as_deref(), executed.pid)?;
    match signals {
        Some(signals) => attend(&executed.process, &signals, executed.console.take()),
        None => Ok(0),
    }
}

fn stdio(process: &Process) -> Stdio {
    if !process.terminal {
        return Stdio::Inherit;
    }
    let own = tcgetwinsize(stdin()).ok().map(|size| ConsoleSize {
        height: size.ws_row.into(),
        width: size.ws_col.into(),
    });
    Stdio::Terminal(console_size(process).or(own))
}

/// The process: read from a file, or the container's own changed by flags.
fn process(args: &Parsed, config: &Spec) -> Result<Process> {
    let command = args.rest.get(1..).unwrap_or_default();
    if let Some(path) = args.value("process") {
        let text = fs::read(path).map_err(|error| invalid("cannot read the process").with_source(error))?;
        return serde_json::from_slice(&text)
            .map_err(|error| invalid(format!("cannot read the process in {path:?}")).with_source(error));
    }
    if command.is_empty() {
        return Err(invalid("\"exec\" requires a command, or --process"));
    }
    let mut process = config.process.clone().unwrap_or_default();
    process.args = command.to_vec();
    process.terminal = args.has("tty");
    process.console_size = None;
    if let Some(cwd) = args.value("cwd") {
        process.cwd = cwd.into();
    }
    if let Some(profile) = args.value("apparmor") {
        process.apparmor_profile = Some(profile.into());
    }
    if let Some(label) = args.value("process-label") {
        process.selinux_label = Some(label.into());
    }
    if args.value("no-new-privs").is_some() {
        process.no_new_privileges = args.has("no-new-privs");
    }
    process.env.extend(args.values("env").iter().cloned());
    if let Some(user) = args.value("user") {
        (process.user.uid, process.user.gid) = self::user(user, process.user.gid)?;
    }
    for gid in args.values("additional-gids") {
        let gid = gid.parse().map_err(|_| invalid(format!("invalid group {gid:?}")))?;
        process.user.additional_gids.push(gid);
    }
    grant(&mut process, args.values("cap"));
    Ok(process)
}

fn user(word: &str, gid: u32) -> Result<(u32, u32)> {
    let number = |part: &str| {
        part.parse()
            .map_err(|_| invalid(format!("parsing {part:?} as int for uid or gid failed")))
    };
    match word.split_once(':') {
        Some((uid, gid)) => Ok((number(uid)?, number(gid)?)),
        None => Ok((number(word)?, gid)),
    }
}

fn grant(process: &mut Process, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let capabilities = process.capabilities.get_or_insert_with(Capabilities::default);
    for name in names {
        let upper = name.to_ascii_uppercase();
        let name = if upper.starts_with("CAP_") {
            upper
        } else {
            format!("CAP_{upper}")
        };
        capabilities.bounding.push(name.clone());
        capabilities.effective.push(name.clone());
        capabilities.permitted.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    #[test]
    fn flags_change_the_containers_process() {
        let line = "-e A=b -u 5:6 -g 7 --cap net_admin --cwd /x -t id ls -l";
        let args = Parsed::new(line.split(' ').map(OsString::from), EXEC.flags, EXEC.order).unwrap();
        let made = process(&args, &Spec::default()).unwrap();
        assert_eq!(made.args, ["ls", "-l"]);
        assert_eq!((made.user.uid, made.user.gid), (5, 6));
        assert_eq!(made.user.additional_gids, [7]);
        assert_eq!(made.env, ["A=b"]);
        assert_eq!(made.capabilities.unwrap().effective, ["CAP_NET_ADMIN"]);
        assert!(made.terminal && made.cwd == "/x");
    }

    #[test]
    fn users_are_numbers() {
        assert_eq!(user("3", 9).unwrap(), (3, 9));
        assert!(user("root", 0).is_err());
    }
}
