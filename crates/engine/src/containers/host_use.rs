//! What the host uses, read once for all samples that are taken at about the same time: of two hundred containers
//! that are looked at, each would otherwise read the same two files every second.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// How old a reading may be; a hundredth of the time between two samples or so.
const FRESH: Duration = Duration::from_millis(20);
/// How often a sample is taken.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// The kernel's ticks in a second as it tells them to programs, and nanoseconds in one (proc_stat(5)).
const TICK: u64 = 1_000_000_000 / 100;

/// A reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HostUse {
    /// Nanoseconds that all processors have spent.
    pub(super) time: u64,
    /// Processors that are on.
    pub(super) processors: u64,
    /// Bytes of memory, if they could be read.
    pub(super) memory: Option<u64>,
}

/// The last reading, and the beat of samples.
#[derive(Debug)]
pub(super) struct Host {
    /// Guards the reading, also while it is made anew: whoever waits wants the same.
    last: Mutex<Option<(Instant, HostUse)>>,
    began: Instant,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
            began: Instant::now(),
        }
    }
}

impl Host {
    /// What the host uses now.
    pub(super) fn now(&self) -> HostUse {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((at, used)) if at.elapsed() < FRESH => used,
            _ => {
                let memory = last.and_then(|(_, used)| used.memory);
                let used = read(memory);
                *last = Some((Instant::now(), used));
                used
            }
        }
    }

    /// A clock for samples that many take: one at once, then all at the same time.
    pub(super) fn beat(&self) -> Interval {
        let mut clock = interval_at(Instant::now() + until_beat(self.began.elapsed()), INTERVAL);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        clock
    }
}

/// How long it is to a beat, so long after the beginning. A first step of much less than the others would tell
/// nothing, and is left out.
fn until_beat(after: Duration) -> Duration {
    match INTERVAL.saturating_sub(Duration::from_nanos(u64::from(after.subsec_nanos()))) {
        short if short < INTERVAL / 2 => short + INTERVAL,
        long => long,
    }
}

fn read(memory: Option<u64>) -> HostUse {
    let read = |path: &str| corten_sys::fs::read_to_string(path).unwrap_or_default();
    let stat = read("/proc/stat");
    HostUse {
        time: host_time(&stat),
        processors: processors(&stat),
        memory: memory.or_else(|| host_memory(&read("/proc/meminfo"))),
    }
}

/// The time that all processors have spent, without that of guests, which is counted already.
fn host_time(stat: &str) -> u64 {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "));
    let ticks = all.into_iter().flat_map(str::split_whitespace).take(7);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    ticks.saturating_mul(TICK)
}

fn processors(stat: &str) -> u64 {
    let is_one = |line: &&str| {
        let number = line.strip_prefix("cpu");
        number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    u64::try_from(
        stat.lines()
            .take_while(|line| line.starts_with("cpu"))
            .filter(is_one)
            .count(),
    )
    .unwrap_or(0)
}

fn host_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_time_processors_and_memory_are_read() {
        let stat = "cpu  1 2 3 4 5 6 7 800 900 1000\ncpu0 1 1 1\ncpu1 1 1 1\nintr 5\n";
        assert_eq!((host_time(stat), processors(stat)), (280_000_000, 2));
        assert_eq!((host_time(""), processors("")), (0, 0));
        let memory = "MemTotal:        2000 kB\nMemFree: 1 kB\n";
        assert_eq!((host_memory(memory), host_memory("")), (Some(2_048_000), None));
    }

    #[test]
    fn clocks_beat_together() {
        let millis = Duration::from_millis;
        for (after, expected) in [(0, 1000), (300, 700), (500, 500), (501, 1499), (5900, 1100)] {
            let until = until_beat(millis(after));
            assert_eq!(until, millis(expected), "{after}");
            assert_eq!((millis(after) + until).subsec_nanos(), 0);
        }
    }
}
