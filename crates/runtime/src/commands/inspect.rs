//! `state`, `list`, `ps`, `events`.

use std::time::Duration;

use corten_oci::runtime::Status;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::arguments::{Order, Parsed, switch, value};
use super::record::Record;
use super::{Command, Context, print};
use crate::cgroup::{Cgroup, Stats};
use crate::context::{Context as _, invalid};
use crate::error::{Error, Kind, Result};

pub(super) const STATE: Command = Command {
    name: "state",
    usage: "<container-id>: show its state, as JSON",
    flags: &[],
    order: Order::Mixed,
    run: |context, args| {
        let record = context.root.read(args.id("state")?)?;
        let status = context.root.status(&record)?;
        print(&format!("{}\n", pretty(&describe(&record, status)?)?))
    },
};

pub(super) const LIST: Command = Command {
    name: "list",
    usage: "show all containers",
    flags: &[value("format", "f", "table or json"), switch("quiet", "q", "ids only")],
    order: Order::Mixed,
    run: list,
};

pub(super) const PS: Command = Command {
    name: "ps",
    usage: "<container-id> [ps options]: show its processes",
    flags: &[value("format", "f", "table or json")],
    order: Order::First,
    run: ps,
};

pub(super) const EVENTS: Command = Command {
    name: "events",
    usage: "<container-id>: show counters and out-of-memory events, as JSON lines",
    flags: &[
        value("interval", "", "time between counters, 5s by default"),
        switch("stats", "", "counters once"),
    ],
    order: Order::Mixed,
    run: events,
};

/// The state with runc's additions.
fn describe(record: &Record, status: Status) -> Result<Value> {
    let mut state = serde_json::to_value(record.state(status)).map_err(unwritable)?;
    state["rootfs"] = json!(record.rootfs());
    state["created"] = json!(record.created);
    state["owner"] = json!(if record.owner == 0 {
        "root".to_owned()
    } else {
        record.owner.to_string()
    });
    Ok(state)
}

fn pretty(value: &Value) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(Kind::Internal, "cannot write the answer").with_source(error)
}

fn list(context: &Context, args: Parsed) -> Result<i32> {
    let ids = context.root.ids()?;
    if args.has("quiet") {
        return print(&ids.iter().map(|id| format!("{id}\n")).collect::<String>());
    }
    let mut all = Vec::new();
    for id in &ids {
        let record = match context.root.read(id) {
            // Deleted since the folder was read.
            Err(error) if error.kind() == Kind::NotFound => continue,
            result => result?,
        };
        let status = context.root.status(&record)?;
        all.push(describe(&record, status)?);
    }
    match args.value("format") {
        Some("json") => print(&Value::from(all).to_string()),
        None | Some("table") => print(&table(&all)),
        Some(format) => Err(invalid(format!("invalid format option {format:?}"))),
    }
}

/// Columns as wide as their longest word and three blanks, at least twelve.
fn table(all: &[Value]) -> String {
    const COLUMNS: [(&str, &str); 6] = [
        ("ID", "id"),
        ("PID", "pid"),
        ("STATUS", "status"),
        ("BUNDLE", "bundle"),
        ("CREATED", "created"),
        ("OWNER", "owner"),
    ];
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut rows = vec![COLUMNS.map(|(title, _)| title.to_owned())];
    rows.extend(all.iter().map(|state| COLUMNS.map(|(_, key)| word(&state[key]))));
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count() + 3)
            .max()
            .unwrap_or(0)
            .max(12)
    };
    let widths: Vec<_> = (0..COLUMNS.len() - 1).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (cell, &width) in row.iter().zip(&widths) {
            text.push_str(&format!("{cell:<width$}"));
        }
        text.push_str(&row[COLUMNS.len() - 1]);
        text.push('\n');
    }
    text
}

fn ps(context: &Context, args: Parsed) -> Result<i32> {
    let record = context.root.read(args.id("ps")?)?;
    let pids = match record.cgroup()? {
        Some(cgroup) => cgroup.pids()?,
        None if record.is_alive() => vec![record.pid],
        None => Vec::new(),
    };
    match args.value("format") {
        Some("json") => return print(&format!("{}\n", json!(pids))),
        None | Some("table") => {}
        Some(format) => return Err(invalid(format!("invalid format option {format:?}"))),
    }
    let options = args.rest.get(1..).filter(|options| !options.is_empty());
    let default = ["-ef".to_owned()];
    let output = std::process::Command::new("ps")
        .args(options.unwrap_or(&default))
        .output();
    let output = output.context(|| "cannot run \"ps\"".into())?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(Kind::Internal, format!("ps: {}", told.trim())));
    }
    print(&of_pids(&String::from_utf8_lossy(&output.stdout), &pids)?)
}

/// The title and the lines of these processes, by the column that is called `PID`.
fn of_pids(text: &str, pids: &[i32]) -> Result<String> {
    let mut lines = text.lines();
    let title = lines.next().unwrap_or_default();
    let column = title.split_whitespace().position(|word| word == "PID");
    let column = column.ok_or_else(|| invalid("ps must show the column PID"))?;
    let wanted = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    let lines = std::iter::once(title).chain(lines.filter(wanted));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

fn events(context: &Context, args: Parsed) -> Result<i32> {
    let record = context.root.read(args.id("events")?)?;
    let interval = match args.value("interval") {
        None => Duration::from_secs(5),
        Some(word) => interval(word)?,
    };
    let stopped = || {
        Error::new(
            Kind::Conflict,
            format!("container with id {} is not running", record.id),
        )
    };
    let process = record.process().ok_or_else(stopped)?;
    let none = || Error::new(Kind::Unsupported, "the container has no cgroup");
    let cgroup = record.cgroup()?.ok_or_else(none)?;
    show_stats(&record, &cgroup)?;
    if args.has("stats") {
        return Ok(0);
    }
    let mut killed = cgroup.oom_events()?;
    let interval = Timespec::try_from(interval).map_err(|_| invalid("invalid interval"))?;
    loop {
        let mut fds = [
            PollFd::new(&process, PollFlags::IN),
            PollFd::new(&killed, PollFlags::IN),
        ];
        let ready = match poll(&mut fds, Some(&interval)) {
            Err(Errno::INTR) => continue,
            result => result.context(|| "cannot wait for events".into())?,
        };
        let ended = !fds[0].revents().is_empty();
        if ready == 0 {
            show_stats(&record, &cgroup)?;
        } else if !ended && killed.drain().context(|| "cannot read events".into())? {
            print(&format!("{}\n", json!({"type": "oom", "id": record.id})))?;
        }
        if ended {
            return Ok(0);
        }
    }
}

/// Reads a time such as `500ms`, `5s` or `1m`.
fn interval(word: &str) -> Result<Duration> {
    let digits = word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let wrong = || invalid(format!("invalid value {word:?} for flag -interval"));
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let interval = match &word[digits.len()..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => return Err(wrong()),
    };
    if interval.is_zero() {
        return Err(invalid("duration interval must be greater than 0"));
    }
    Ok(interval)
}

fn show_stats(record: &Record, cgroup: &Cgroup) -> Result<()> {
    let line = json!({"type": "stats", "id": record.id, "data": stats(&cgroup.stats()?)});
    print(&format!("{line}\n")).map(drop)
}

/// Counters in the shape of `runc events`.
fn stats(stats: &Stats) -> Value {
    let entries = |all: &[(u64, u64, String, u64)]| {
        let entry = |(major, minor, op, value): &(u64, u64, String, u64)| json!({"major": major, "minor": minor, "op": op, "value": value});
        all.iter().map(entry).collect::<Vec<_>>()
    };
    json!({
        "cpu": {
            "usage": {
                "total": stats.cpu_total,
                "percpu": stats.cpu_per_cpu,
                "kernel": stats.cpu_kernel,
                "user": stats.cpu_user,
            },
            "throttling": {
                "periods": stats.throttling_periods,
                "throttledPeriods": stats.throttled_periods,
                "throttledTime": stats.throttled_time,
            },
        },
        "memory": {
            "usage": {
                "limit": stats.memory_limit,
                "usage": stats.memory_usage,
                "max": stats.memory_max_usage,
                "failcnt": stats.memory_failures,
            },
            "raw": stats.memory,
        },
        "pids": { "current": stats.pids, "limit": stats.pids_limit.unwrap_or(0) },
        "blkio": {
            "ioServiceBytesRecursive": entries(&stats.io_bytes),
            "ioServicedRecursive": entries(&stats.io_operations),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_picked_by_their_column() {
        let text = "UID PID CMD\nroot 1 init\nroot 12 sh 1\nroot 2 x\n";
        assert_eq!(
            of_pids(text, &[12, 2]).unwrap(),
            "UID PID CMD\nroot 12 sh 1\nroot 2 x\n"
        );
        assert!(of_pids("UID CMD\n", &[1]).is_err());
    }

    #[test]
    fn intervals_have_units() {
        assert_eq!(interval("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(interval("2m").unwrap(), Duration::from_secs(120));
        for wrong in ["5", "0s", "s", "1h1"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_table_is_runcs() {
        let one = json!({"id": "a", "pid": 7, "status": "running", "bundle": "/a/long/bundle", "created": "now", "owner": "root"});
        assert_eq!(
            table(&[one]),
            "ID          PID         STATUS      BUNDLE           CREATED     OWNER\n\
             a           7           running     /a/long/bundle   now         root\n"
        );
    }
}
