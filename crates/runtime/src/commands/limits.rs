//! `pause`, `resume`, `update`.

use corten_oci::runtime::{BlockIo, Cpu, Memory, Pids, Resources, Status};
use corten_sys::fs;

use super::arguments::{Order, Parsed, value};
use super::record::Record;
use super::{Command, Context};
use crate::cgroup::Cgroup;
use crate::context::invalid;
use crate::error::{Error, Kind, Result};

pub(super) const PAUSE: Command = Command {
    name: "pause",
    usage: "<container-id>: stop all its processes for a while",
    flags: &[],
    order: Order::Mixed,
    run: |context, args| {
        let record = context.root.read(args.id("pause")?)?;
        match context.root.status(&record)? {
            Status::Created | Status::Running => {}
            Status::Creating | Status::Paused | Status::Stopped => return Err(conflict("container not running")),
        }
        cgroup(&record)?.freeze()?;
        Ok(0)
    },
};

pub(super) const RESUME: Command = Command {
    name: "resume",
    usage: "<container-id>: let paused processes go on",
    flags: &[],
    order: Order::Mixed,
    run: |context, args| {
        let record = context.root.read(args.id("resume")?)?;
        let cgroup = cgroup(&record)?;
        if !cgroup.is_frozen()? {
            return Err(conflict("container not paused"));
        }
        cgroup.thaw()?;
        Ok(0)
    },
};

pub(super) const UPDATE: Command = Command {
    name: "update",
    usage: "<container-id>: change its limits",
    flags: &[
        value(
            "resources",
            "r",
            "file with the limits, as in config.json; - for standard input",
        ),
        value("blkio-weight", "", "block I/O weight, 10 to 1000"),
        value("cpu-period", "", "CPU period in microseconds"),
        value("cpu-quota", "", "CPU time in each period in microseconds"),
        value("cpu-burst", "", "CPU time that may be saved up"),
        value("cpu-share", "", "CPU weight"),
        value("cpu-rt-period", "", "real-time period in microseconds"),
        value("cpu-rt-runtime", "", "real-time time in each period"),
        value("cpuset-cpus", "", "processors"),
        value("cpuset-mems", "", "memory nodes"),
        value("cpu-idle", "", "1 for SCHED_IDLE"),
        value("memory", "", "memory limit in bytes"),
        value("memory-reservation", "", "soft memory limit in bytes"),
        value("memory-swap", "", "limit of memory and swap together; -1 for none"),
        value("pids-limit", "", "limit of processes"),
    ],
    order: Order::Mixed,
    run: update,
};

fn conflict(message: &str) -> Error {
    Error::new(Kind::Conflict, message)
}

fn cgroup(record: &Record) -> Result<Cgroup> {
    let none = || Error::new(Kind::Unsupported, "the container has no cgroup");
    record.cgroup()?.ok_or_else(none)
}

fn update(context: &Context, args: Parsed) -> Result<i32> {
    let mut record = context.root.read(args.id("update")?)?;
    if context.root.status(&record)? == Status::Stopped {
        return Err(conflict("container not running"));
    }
    let resources = match args.value("resources") {
        Some(path) => read(path)?,
        None => from_flags(&args)?,
    };
    cgroup(&record)?.update(&resources)?;
    remember(&mut record, resources);
    context.root.write(&record)?;
    Ok(0)
}

fn read(path: &str) -> Result<Resources> {
    let path = if path == "-" { "/dev/stdin" } else { path };
    let text = fs::read(path).map_err(|error| invalid("cannot read the limits").with_source(error))?;
    serde_json::from_slice(&text)
        .map_err(|error| invalid(format!("cannot read the limits in {path:?}")).with_source(error))
}

fn from_flags(args: &Parsed) -> Result<Resources> {
    let text = |name: &str| args.value(name).map(str::to_owned);
    let memory = Memory {
        limit: bytes(args, "memory")?,
        reservation: bytes(args, "memory-reservation")?,
        swap: bytes(args, "memory-swap")?,
        ..Memory::default()
    };
    let cpu = Cpu {
        shares: args.number("cpu-share")?,
        quota: args.number("cpu-quota")?,
        burst: args.number("cpu-burst")?,
        period: args.number("cpu-period")?,
        realtime_runtime: args.number("cpu-rt-runtime")?,
        realtime_period: args.number("cpu-rt-period")?,
        cpus: text("cpuset-cpus"),
        mems: text("cpuset-mems"),
        idle: args.number("cpu-idle")?,
    };
    let block_io = BlockIo {
        weight: args.number("blkio-weight")?,
        ..BlockIo::default()
    };
    let pids = Pids {
        limit: args.number("pids-limit")?,
    };
    Ok(Resources {
        memory: (memory != Memory::default()).then_some(memory),
        cpu: (cpu != Cpu::default()).then_some(cpu),
        block_io: (block_io != BlockIo::default()).then_some(block_io),
        pids: (pids != Pids::default()).then_some(pids),
        ..Resources::default()
    })
}

/// A number of bytes, with `k`, `m`, `g` or `t` behind it or not.
fn bytes(args: &Parsed, name: &str) -> Result<Option<i64>> {
    let Some(word) = args.value(name) else { return Ok(None) };
    let wrong = || invalid(format!("invalid value for {name}: {word:?}"));
    let lower = word.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let shift = match lower.bytes().last() {
        Some(b'k') => 10,
        Some(b'm') => 20,
        Some(b'g') => 30,
        Some(b't') => 40,
        _ => 0,
    };
    let digits = if shift == 0 { lower } else { &lower[..lower.len() - 1] };
    let number: i64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).map(Some).ok_or_else(wrong)
}

/// Keeps what was changed in the record, which `spec`-reading commands show.
fn remember(record: &mut Record, new: Resources) {
    let linux = record.config.linux.get_or_insert_default();
    let kept = linux.resources.get_or_insert_default();
    if new.memory.is_some() {
        kept.memory = new.memory;
    }
    if new.cpu.is_some() {
        kept.cpu = new.cpu;
    }
    if new.block_io.is_some() {
        kept.block_io = new.block_io;
    }
    if new.pids.is_some() {
        kept.pids = new.pids;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn flags(line: &str) -> Result<Resources> {
        let args = line.split_whitespace().map(OsString::from);
        from_flags(&Parsed::new(args, UPDATE.flags, UPDATE.order)?)
    }

    #[test]
    fn flags_become_limits() {
        let limits = flags("id --memory 64m --memory-swap -1 --cpu-quota 5000 --pids-limit 7").unwrap();
        let memory = limits.memory.unwrap();
        assert_eq!((memory.limit, memory.swap), (Some(64 << 20), Some(-1)));
        assert_eq!(limits.cpu.unwrap().quota, Some(5000));
        assert_eq!(limits.pids.unwrap().limit, Some(7));
        assert!(limits.block_io.is_none());
    }

    #[test]
    fn wrong_numbers_are_told() {
        for line in ["--memory x", "--memory 9999999999999g", "--pids-limit many"] {
            assert!(flags(line).is_err(), "{line}");
        }
    }
}
