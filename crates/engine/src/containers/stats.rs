//! What containers use (Docker API, `GET /containers/{id}/stats`): the cgroup's counters come from the shim, the rest
//! from procfs.

use std::{collections::BTreeMap, sync::Arc};

use corten_api::{
    stats::{BlkioEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, Stats, ThrottlingData},
    time::Time,
};
use corten_shim::protocol::{Reply, Request, Stats as Counters};
use tokio::{
    sync::mpsc,
    time::{Instant, interval_at},
};

use super::{
    Container, Containers, Inner,
    host_use::{HostUse, INTERVAL},
    modes::{self, Network},
};
use crate::error::{Error, Result, blocking};

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
        let mut clock = match samples {
            Samples::Stream => self.0.host.beat(),
            Samples::Now | Samples::One => interval_at(Instant::now() + INTERVAL, INTERVAL),
        };
        let mut before: Option<(Time, CpuStats)> = None;
        loop {
            let mut sample = sample(&self.0, container).await;
            let runs = matches!(&sample, Ok(stats) if !stats.read.is_zero());
            let is_first = before.is_none();
            let now = sample.as_ref().ok().map(|now| (now.read, now.cpu_stats.clone()));
            if let (Ok(now), Some((read, cpu))) = (&mut sample, before) {
                (now.preread, now.precpu_stats) = (read, cpu);
            }
            before = now;
            let is_skipped = samples == Samples::One && runs && is_first;
            let is_last = match samples {
                Samples::Now | Samples::One => !is_skipped,
                Samples::Stream => sample.is_err() || self.find(&container.id).is_err(),
            };
            // Nobody reads any more.
            if !is_skipped && (sender.send(sample).await.is_err() || is_last) {
                return;
            }
            tokio::select! {
                _ = clock.tick() => {}
                () = sender.closed() => return,
            }
        }
    }
}

async fn sample(inner: &Arc<Inner>, container: &Arc<Container>) -> Result<Stats> {
    let mut stats = Stats {
        id: container.id.clone(),
        ..Stats::default()
    };
    // No more is copied than is told: with many containers this is done often.
    let (pid, has_links) = {
        let inner = container.lock();
        let record = &inner.record;
        stats.name = format!("/{}", record.name);
        let mode = modes::network(&record.host_config.network_mode);
        let has_links = !matches!(mode, Network::Host | Network::None);
        (record.state.running().map(|running| running.pid), has_links)
    };
    let (Some(pid), Ok(link)) = (pid, container.link()) else {
        return Ok(stats);
    };
    let counters = match link.call(Request::Stats, Vec::new()).await {
        Ok(Reply::Stats(counters)) => *counters,
        Ok(_) => return Err(Error::internal("the shim's answer is not about statistics")),
        // It may just have ended.
        Err(_) if container.lock().record.state.running().is_none() => return Ok(stats),
        Err(error) => return Err(error.into()),
    };
    // How long procfs takes depends on processors and interfaces, and on who holds the kernel's locks.
    let inner = Arc::clone(inner);
    blocking(move || {
        fill(&mut stats, counters, inner.host.now());
        if has_links {
            let text = corten_sys::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
            stats.networks = Some(interfaces(&text));
        }
        stats.read = Time::now();
        Ok(stats)
    })
    .await
}

fn fill(stats: &mut Stats, mut counters: Counters, host: HostUse) {
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
        system_cpu_usage: host.time,
        online_cpus: host.processors,
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
        limit: counters.memory_limit.min(host.memory.unwrap_or(u64::MAX)),
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
        let host = HostUse {
            memory: Some(2_048_000),
            ..HostUse::default()
        };
        fill(&mut stats, counters, host);
        assert_eq!(
            (stats.memory_stats.limit, stats.pids_stats.limit),
            (2_048_000, u64::MAX)
        );
        assert_eq!(stats.blkio_stats.io_serviced_recursive, None);
    }
}
