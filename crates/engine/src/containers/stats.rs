//! What containers use (Docker API, `GET /containers/{id}/stats`): the cgroup's counters come from the shim, the rest
//! from procfs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use corten_api::{
    stats::{BlkioEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, Stats, ThrottlingData},
    time::Time,
};
use corten_shim::protocol::{Reply, Request, Stats as Counters};
use tokio::{sync::mpsc, time::MissedTickBehavior};

use super::{
    Container, Containers,
    modes::{self, Network},
};
use crate::error::{Error, Result};

/// How often a sample is taken.
const INTERVAL: Duration = Duration::from_secs(1);
/// The kernel's ticks in a second as it tells them to programs, and nanoseconds in one (proc_stat(5)).
const TICK: u64 = 1_000_000_000 / 100;

/// Which samples are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Samples {
    /// One, at once, without one before it to compare with.
    Now,
    /// One, and what was a second before it.
    One,
    /// One in each second until nobody reads them any more or the container is removed.
    Stream,
}

impl Containers {
    /// Takes samples of what a container uses. One that does not run uses nothing.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn stats(&self, name: &str, samples: Samples) -> Result<mpsc::Receiver<Result<Stats>>> {
        let container = self.find(name)?;
        let (sender, receiver) = mpsc::channel(1);
        let containers = self.clone();
        tokio::spawn(async move { containers.take_samples(&container, samples, &sender).await });
        Ok(receiver)
    }

    async fn take_samples(&self, container: &Arc<Container>, samples: Samples, sender: &mpsc::Sender<Result<Stats>>) {
        let mut clock = tokio::time::interval(INTERVAL);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before: Option<Stats> = None;
        loop {
            tokio::select! {
                _ = clock.tick() => {}
                () = sender.closed() => return,
            }
            let mut sample = sample(container).await;
            let runs = matches!(&sample, Ok(stats) if !stats.read.is_zero());
            if let (Ok(now), Some(before)) = (&mut sample, &before) {
                now.preread = before.read;
                now.precpu_stats = before.cpu_stats.clone();
            }
            let is_first = before.is_none();
            before = sample.as_ref().ok().cloned();
            let is_last = match samples {
                Samples::Now => true,
                Samples::One if runs && is_first => continue,
                Samples::One => true,
                Samples::Stream => sample.is_err() || self.find(&container.id).is_err(),
            };
            // Nobody reads any more.
            if sender.send(sample).await.is_err() || is_last {
                return;
            }
        }
    }
}

async fn sample(container: &Arc<Container>) -> Result<Stats> {
    let record = container.record();
    let mut stats = Stats {
        name: format!("/{}", record.name),
        id: record.id.clone(),
        ..Stats::default()
    };
    let (Some(running), Ok(link)) = (record.state.running(), container.link()) else {
        return Ok(stats);
    };
    let counters = match link.call(Request::Stats, Vec::new()).await {
        Ok(Reply::Stats(counters)) => *counters,
        Ok(_) => return Err(Error::internal("the shim's answer is not about statistics")),
        // It may just have ended.
        Err(_) if container.record().state.running().is_none() => return Ok(stats),
        Err(error) => return Err(error.into()),
    };
    let read = |path: &str| corten_sys::fs::read_to_string(path).unwrap_or_default();
    fill(&mut stats, counters, &read("/proc/stat"), &read("/proc/meminfo"));
    if !matches!(
        modes::network(&record.host_config.network_mode),
        Network::Host | Network::None
    ) {
        stats.networks = Some(interfaces(&read(&format!("/proc/{}/net/dev", running.pid))));
    }
    stats.read = Time::now();
    Ok(stats)
}

fn fill(stats: &mut Stats, mut counters: Counters, host: &str, memory: &str) {
    // Only the first version of cgroups counts this.
    let is_v1 = counters.memory.contains_key("hierarchical_memory_limit");
    stats.pids_stats = PidsStats {
        current: counters.pids,
        limit: counters.pids_limit.unwrap_or(if is_v1 { 0 } else { u64::MAX }),
    };
    stats.blkio_stats = BlkioStats {
        io_service_bytes_recursive: entries(counters.io_bytes),
        io_serviced_recursive: entries(counters.io_operations),
        ..BlkioStats::default()
    };
    if is_v1 {
        fill_empty(&mut stats.blkio_stats);
        counters.memory.retain(|name, _| is_known(name));
    }
    stats.cpu_stats = CpuStats {
        cpu_usage: CpuUsage {
            total_usage: counters.cpu_total,
            percpu_usage: counters.cpu_per_cpu,
            usage_in_kernelmode: counters.cpu_kernel,
            usage_in_usermode: counters.cpu_user,
        },
        system_cpu_usage: host_time(host),
        online_cpus: processors(host),
        throttling_data: ThrottlingData {
            periods: counters.throttling_periods,
            throttled_periods: counters.throttled_periods,
            throttled_time: counters.throttled_time,
        },
    };
    stats.memory_stats = MemoryStats {
        usage: counters.memory_usage,
        max_usage: counters.memory_max_usage,
        stats: counters.memory,
        failcnt: counters.memory_failures,
        limit: counters.memory_limit.min(host_memory(memory).unwrap_or(u64::MAX)),
    };
}

/// With the first version of cgroups Docker has lists of everything, though most are empty.
fn fill_empty(stats: &mut BlkioStats) {
    for list in [
        &mut stats.io_service_bytes_recursive,
        &mut stats.io_serviced_recursive,
        &mut stats.io_queue_recursive,
        &mut stats.io_service_time_recursive,
        &mut stats.io_wait_time_recursive,
        &mut stats.io_merged_recursive,
        &mut stats.io_time_recursive,
        &mut stats.sectors_recursive,
    ] {
        list.get_or_insert_default();
    }
}

/// Whether Docker tells this count of `memory.stat` (containerd's metrics of cgroup v1 have no others).
fn is_known(name: &str) -> bool {
    let name = name.strip_prefix("total_").unwrap_or(name);
    !matches!(name, "shmem" | "swap" | "swapcached") && !name.starts_with("workingset_")
}

fn entries(counts: Vec<(u64, u64, String, u64)>) -> Option<Vec<BlkioEntry>> {
    let entry = |(major, minor, op, value)| BlkioEntry {
        major,
        minor,
        op,
        value,
    };
    (!counts.is_empty()).then(|| counts.into_iter().map(entry).collect())
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
    u64::try_from(stat.lines().filter(is_one).count()).unwrap_or(0)
}

fn host_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Reads `/proc/<pid>/net/dev` (proc_pid_net(5)).
fn interfaces(text: &str) -> BTreeMap<String, NetworkStats> {
    let interface = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        let counts: Vec<u64> = counts
            .split_whitespace()
            .filter_map(|count| count.parse().ok())
            .collect();
        let [
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            _,
            _,
            _,
            _,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
            ..,
        ] = counts[..]
        else {
            return None;
        };
        let stats = NetworkStats {
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
        };
        Some((name.trim().to_owned(), stats)).filter(|(name, _)| name != "lo")
    };
    text.lines().filter_map(interface).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_time_and_processors_are_read() {
        let stat = "cpu  1 2 3 4 5 6 7 800 900 1000\ncpu0 1 1 1\ncpu1 1 1 1\nintr 5\n";
        assert_eq!((host_time(stat), processors(stat)), (280_000_000, 2));
        assert_eq!((host_time(""), processors("")), (0, 0));
    }

    #[test]
    fn interfaces_are_read_but_loopback() {
        let text = "Inter-| Receive | Transmit\n face |bytes packets|bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  \
                    eth0: 10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n";
        let all = interfaces(text);
        let eth0 = &all["eth0"];
        assert_eq!(all.len(), 1);
        assert_eq!(
            (eth0.rx_bytes, eth0.rx_dropped, eth0.tx_bytes, eth0.tx_dropped),
            (10, 4, 50, 8)
        );
    }

    #[test]
    fn a_container_without_a_limit_has_the_hosts_memory() {
        let mut stats = Stats::default();
        let counters = Counters {
            memory_limit: u64::MAX,
            ..Counters::default()
        };
        fill(&mut stats, counters, "", "MemTotal:        2000 kB\nMemFree: 1 kB\n");
        assert_eq!(
            (stats.memory_stats.limit, stats.pids_stats.limit),
            (2_048_000, u64::MAX)
        );
        assert_eq!(stats.blkio_stats.io_serviced_recursive, None);
    }
}
