//! Counters of a cgroup, read off its files.

use std::collections::BTreeMap;
use std::path::Path;

use corten_sys::fs;

/// Counters of a container's cgroup, in the units of `GET /containers/{id}/stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// CPU time used, in nanoseconds.
    pub cpu_total: u64,
    /// Of it in user mode.
    pub cpu_user: u64,
    /// Of it in the kernel.
    pub cpu_kernel: u64,
    /// CPU time on each processor (cgroup v1 only).
    pub cpu_per_cpu: Vec<u64>,
    /// Enforcement intervals that have passed.
    pub throttling_periods: u64,
    /// Of them with throttling.
    pub throttled_periods: u64,
    /// Time throttled, in nanoseconds.
    pub throttled_time: u64,
    /// Memory in use, in bytes.
    pub memory_usage: u64,
    /// The most it has been (cgroup v1, or v2 with `memory.peak`).
    pub memory_max_usage: u64,
    /// The limit in bytes; `u64::MAX` when there is none.
    pub memory_limit: u64,
    /// How often the limit was hit.
    pub memory_failures: u64,
    /// `memory.stat`, as the kernel names its lines.
    pub memory: BTreeMap<String, u64>,
    /// Processes.
    pub pids: u64,
    /// Their limit; none when there is none.
    pub pids_limit: Option<u64>,
    /// Bytes read and written, for each device: major, minor, operation, bytes.
    pub io_bytes: Vec<(u64, u64, String, u64)>,
    /// Operations, likewise.
    pub io_operations: Vec<(u64, u64, String, u64)>,
}

/// Nanoseconds of one clock tick in `cpuacct.stat` (`USER_HZ` is 100 on every architecture we build for).
const TICK: u64 = 10_000_000;
/// At or above this, a v1 memory limit is none: the highest page-aligned value the kernel keeps.
const V1_NO_LIMIT: u64 = 0x7fff_ffff_ffff_0000;

/// Reads the counters of a v1 cgroup; controllers it has no folder for count nothing.
pub(super) fn read_v1<'a>(folder_of: impl Fn(&str) -> Option<&'a Path>) -> Stats {
    let text = |controller: &str, file: &str| {
        folder_of(controller)
            .map(|folder| read(folder, file))
            .unwrap_or_default()
    };
    let value = |controller: &str, file: &str| number(&text(controller, file));
    let times = pairs(&text("cpuacct", "cpuacct.stat"));
    let throttling = pairs(&text("cpu", "cpu.stat"));
    let limit = value("memory", "memory.limit_in_bytes").unwrap_or(u64::MAX);
    Stats {
        cpu_total: value("cpuacct", "cpuacct.usage").unwrap_or(0),
        cpu_user: count(&times, "user").saturating_mul(TICK),
        cpu_kernel: count(&times, "system").saturating_mul(TICK),
        cpu_per_cpu: numbers(&text("cpuacct", "cpuacct.usage_percpu")),
        throttling_periods: count(&throttling, "nr_periods"),
        throttled_periods: count(&throttling, "nr_throttled"),
        throttled_time: count(&throttling, "throttled_time"),
        memory_usage: value("memory", "memory.usage_in_bytes").unwrap_or(0),
        memory_max_usage: value("memory", "memory.max_usage_in_bytes").unwrap_or(0),
        memory_limit: if limit >= V1_NO_LIMIT { u64::MAX } else { limit },
        memory_failures: value("memory", "memory.failcnt").unwrap_or(0),
        memory: pairs(&text("memory", "memory.stat")),
        pids: value("pids", "pids.current").unwrap_or(0),
        pids_limit: value("pids", "pids.max"),
        io_bytes: v1_io(&text, "io_service_bytes_recursive"),
        io_operations: v1_io(&text, "io_serviced_recursive"),
    }
}

/// BFQ counts what goes through it; where it isn't in use, throttling counts all.
fn v1_io(text: &impl Fn(&str, &str) -> String, counter: &str) -> Vec<(u64, u64, String, u64)> {
    let bfq = v1_devices(&text("blkio", &format!("blkio.bfq.{counter}")));
    if !bfq.is_empty() {
        return bfq;
    }
    v1_devices(&text("blkio", &format!("blkio.throttle.{counter}")))
}

/// Reads the counters of a v2 cgroup.
pub(super) fn read_v2(folder: &Path) -> Stats {
    let text = |file: &str| read(folder, file);
    let cpu = pairs(&text("cpu.stat"));
    let nanoseconds = |key: &str| count(&cpu, key).saturating_mul(1_000);
    let io = text("io.stat");
    Stats {
        cpu_total: nanoseconds("usage_usec"),
        cpu_user: nanoseconds("user_usec"),
        cpu_kernel: nanoseconds("system_usec"),
        cpu_per_cpu: Vec::new(),
        throttling_periods: count(&cpu, "nr_periods"),
        throttled_periods: count(&cpu, "nr_throttled"),
        throttled_time: nanoseconds("throttled_usec"),
        memory_usage: number(&text("memory.current")).unwrap_or(0),
        memory_max_usage: number(&text("memory.peak")).unwrap_or(0),
        memory_limit: number(&text("memory.max")).unwrap_or(u64::MAX),
        memory_failures: count(&pairs(&text("memory.events")), "max"),
        memory: pairs(&text("memory.stat")),
        pids: number(&text("pids.current")).unwrap_or(0),
        pids_limit: number(&text("pids.max")),
        io_bytes: v2_devices(&io, [("rbytes", "read"), ("wbytes", "write")]),
        io_operations: v2_devices(&io, [("rios", "read"), ("wios", "write")]),
    }
}

/// A file's text; nothing when the kernel doesn't have it (which files there are depends on its
/// configuration, and counters are no place to fail).
fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_default()
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().map_while(number).collect()
}

/// Lines of a name and a number.
pub(super) fn pairs(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), number(value)?))
    };
    text.lines().filter_map(pair).collect()
}

fn count(pairs: &BTreeMap<String, u64>, name: &str) -> u64 {
    pairs.get(name).copied().unwrap_or(0)
}

/// `8:0 Read 4096` and so on; the closing `Total` without a device is left out.
fn v1_devices(text: &str) -> Vec<(u64, u64, String, u64)> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = device(words.next()?)?;
        let operation = words.next()?.to_owned();
        Some((major, minor, operation, number(words.next()?)?))
    };
    text.lines().filter_map(entry).collect()
}

/// `8:0 rbytes=4096 wbytes=0 …`, from which two counters are taken.
fn v2_devices(text: &str, wanted: [(&str, &str); 2]) -> Vec<(u64, u64, String, u64)> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(device) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let operation = wanted.iter().find(|(name, _)| *name == key);
            if let (Some((_, operation)), Some(value)) = (operation, number(value)) {
                entries.push((major, minor, (*operation).to_owned(), value));
            }
        }
    }
    entries
}

fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((number(major)?, number(minor)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn v1() {
        let folder = folder(&[
            ("cpuacct.usage", "5000\n"),
            ("cpuacct.usage_percpu", "2000 3000 \n"),
            ("cpuacct.stat", "user 2\nsystem 1\n"),
            ("cpu.stat", "nr_periods 4\nnr_throttled 3\nthrottled_time 99\n"),
            ("memory.usage_in_bytes", "10\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory.stat", "cache 7\nrss 3\n"),
            ("pids.current", "2\n"),
            ("pids.max", "max\n"),
            (
                "blkio.throttle.io_service_bytes_recursive",
                "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n",
            ),
        ]);
        let stats = read_v1(|_| Some(folder.path()));
        assert_eq!(
            (stats.cpu_total, stats.cpu_user, stats.cpu_kernel),
            (5000, 2 * TICK, TICK)
        );
        assert_eq!(stats.cpu_per_cpu, [2000, 3000]);
        assert_eq!(
            (stats.throttling_periods, stats.throttled_periods, stats.throttled_time),
            (4, 3, 99)
        );
        assert_eq!((stats.memory_usage, stats.memory_limit), (10, u64::MAX));
        assert_eq!(stats.memory["rss"], 3);
        assert_eq!((stats.pids, stats.pids_limit), (2, None));
        assert_eq!(stats.io_bytes.len(), 3);
        assert_eq!(stats.io_bytes[1], (8, 0, "Write".to_owned(), 2));
    }

    #[test]
    fn v2() {
        let folder = folder(&[
            (
                "cpu.stat",
                "usage_usec 5\nuser_usec 2\nsystem_usec 3\nthrottled_usec 1\n",
            ),
            ("memory.current", "10\n"),
            ("memory.max", "20\n"),
            ("memory.events", "low 0\nmax 6\noom_kill 1\n"),
            ("pids.max", "30\n"),
            ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"),
        ]);
        let stats = read_v2(folder.path());
        assert_eq!(
            (stats.cpu_total, stats.cpu_user, stats.throttled_time),
            (5000, 2000, 1000)
        );
        assert_eq!(
            (stats.memory_limit, stats.memory_failures, stats.pids_limit),
            (20, 6, Some(30))
        );
        assert_eq!(
            stats.io_bytes,
            [(8, 0, "read".to_owned(), 1), (8, 0, "write".to_owned(), 2)]
        );
        assert_eq!(
            stats.io_operations,
            [(8, 0, "read".to_owned(), 3), (8, 0, "write".to_owned(), 4)]
        );
    }
}
