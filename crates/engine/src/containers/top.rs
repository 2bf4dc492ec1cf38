//! The processes of a container (Docker API, `GET /containers/{id}/top`).
//!
//! The usual columns are read from `/proc`; other ones come from the host's `ps`, as users of
//! Docker know them.

use std::{collections::BTreeSet, process::Stdio};

use corten_api::{container::Top, time::Time};
use corten_shim::protocol::{Reply, Request};

use super::Containers;
use crate::error::{Error, Result, blocking};

/// The columns of `ps -ef`.
const TITLES: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
/// Clock ticks a second, as `/proc/<pid>/stat` counts on Linux.
const TICKS: u64 = 100;

impl Containers {
    /// Lists the processes of a running container, with `ps_args` as `ps` understands them.
    ///
    /// # Errors
    /// `Conflict` when it does not run; `Invalid` when the columns lack the process's number.
    pub async fn top(&self, name: &str, ps_args: &str) -> Result<Top> {
        let container = self.find(name)?;
        let Reply::Pids(pids) = container.link()?.call(Request::Pids, Vec::new()).await? else {
            return Err(Error::internal(
                "the container's shim gave an answer to another question",
            ));
        };
        let pids: BTreeSet<i32> = pids.into_iter().collect();
        let args = ps_args.trim().to_owned();
        let top = blocking(move || {
            if matches!(args.as_str(), "" | "-ef") {
                Ok(usual(&pids))
            } else {
                by_ps(&args, &pids)
            }
        })
        .await?;
        self.0.emit(&container, "top", &[]);
        Ok(top)
    }
}

fn usual(pids: &BTreeSet<i32>) -> Top {
    let users = corten_sys::fs::read_to_string("/etc/passwd").unwrap_or_default();
    // A process that has ended meanwhile has no row.
    let processes = pids.iter().filter_map(|pid| row(*pid, &users)).collect();
    Top {
        titles: TITLES.map(str::to_owned).to_vec(),
        processes,
    }
}

fn row(pid: i32, users: &str) -> Option<Vec<String>> {
    let read = |name: &str| {
        corten_sys::fs::read(format!("/proc/{pid}/{name}"))
            .ok()
            .map(|b| String::from_utf8_lossy(&b).into_owned())
    };
    let stat = read("stat")?;
    let (head, rest) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let cpu = (number(11)? + number(12)?) / TICKS;
    let started = number(19)? / TICKS;
    let uptime: f64 = read_uptime()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds since the boot"
    )]
    let uptime = uptime as u64;
    let age = uptime.saturating_sub(started).max(1);
    let uid = read("status")?
        .lines()
        .find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1).map(str::to_owned))?;
    let command = read("cmdline")?.trim_end_matches('\0').replace('\0', " ");
    Some(vec![
        user_name(&uid, users).unwrap_or(uid),
        pid.to_string(),
        fields.get(1)?.to_string(),
        (cpu * 100 / age).min(99).to_string(),
        start_text(Time::now().seconds() - i64::try_from(age).ok()?),
        terminal(number(4)?),
        format!("{:02}:{:02}:{:02}", cpu / 3600, cpu / 60 % 60, cpu % 60),
        if command.is_empty() {
            format!("[{name}]")
        } else {
            command
        },
    ])
}

fn read_uptime() -> Option<f64> {
    corten_sys::fs::read_to_string("/proc/uptime")
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn user_name(uid: &str, users: &str) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

/// The hour for today's processes, the day for older ones.
fn start_text(seconds: i64) -> String {
    let zone = jiff::tz::TimeZone::system();
    let Ok(start) = jiff::Timestamp::from_second(seconds) else {
        return "?".into();
    };
    let start = start.to_zoned(zone.clone());
    let today = jiff::Timestamp::now().to_zoned(zone).date();
    let format = if start.date() == today { "%H:%M" } else { "%b%d" };
    start.strftime(format).to_string()
}

/// The name of a controlling terminal (`proc_pid_stat(5)`, field 7).
fn terminal(number: u64) -> String {
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xf_ff00));
    match major {
        0 => "?".to_owned(),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 => format!("tty{minor}"),
        _ => "?".to_owned(),
    }
}

/// Runs the host's `ps` and keeps the container's rows.
fn by_ps(args: &str, pids: &BTreeSet<i32>) -> Result<Top> {
    let words: Vec<&str> = args.split_whitespace().collect();
    let output = std::process::Command::new("ps")
        .args(&words)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| {
            Error::unsupported(format!("cannot run ps {args} on the host"))
                .source(e)
                .hint("install ps, or leave out its options")
        })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let why = text.trim().lines().next().unwrap_or("it failed");
        return Err(Error::internal(format!("ps: {}", why.trim_start_matches("ps: "))));
    }
    keep(&String::from_utf8_lossy(&output.stdout), pids)
}

fn keep(text: &str, pids: &BTreeSet<i32>) -> Result<Top> {
    let mut lines = text.lines();
    let titles: Vec<String> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let Some(column) = titles.iter().position(|title| title == "PID") else {
        return Err(Error::internal("Couldn't find PID field in ps output"));
    };
    let processes = lines
        .filter_map(|line| {
            let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let pid = words.get(column)?.parse::<i32>().ok()?;
            // The last column takes the rest of the line.
            if words.len() > titles.len() {
                let rest = words.split_off(titles.len() - 1).join(" ");
                words.push(rest);
            }
            pids.contains(&pid).then_some(words)
        })
        .collect();
    Ok(Top { titles, processes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_containers_rows() {
        let text = "  PID COMMAND\n    1 init\n   42 sleep 300 now\n";
        let top = keep(text, &BTreeSet::from([42])).unwrap();
        assert_eq!(top.processes, [["42", "sleep 300 now"]]);
        assert_eq!(
            keep("COMMAND\nsh\n", &BTreeSet::new()).unwrap_err().message(),
            "Couldn't find PID field in ps output"
        );
    }

    #[test]
    fn shows_this_very_process() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let top = usual(&BTreeSet::from([pid]));
        assert_eq!(top.processes.len(), 1);
        assert_eq!(top.processes[0][1], pid.to_string());
    }
}
