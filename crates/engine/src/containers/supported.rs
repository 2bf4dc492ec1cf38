//! What this host's control groups can limit. What they cannot is discarded, and said in Docker's words.

use std::path::Path;

use corten_api::container::{Resources, ThrottleDevice};

/// Where the hierarchies are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// Something that can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// `--memory`.
    Memory,
    /// `--memory-swap`.
    Swap,
    /// `--memory-reservation`.
    Reservation,
    /// `--memory-swappiness`.
    Swappiness,
    /// `--oom-kill-disable`.
    OomKillDisable,
    /// `--pids-limit`.
    Pids,
    /// `--cpu-shares`.
    Shares,
    /// `--cpus`, `--cpu-quota`, `--cpu-period`.
    Quota,
    /// `--cpu-rt-runtime`, `--cpu-rt-period`.
    Realtime,
    /// `--cpuset-cpus`, `--cpuset-mems`.
    Cpuset,
    /// `--blkio-weight`.
    Weight,
    /// `--blkio-weight-device`, with any scheduler.
    WeightDevice,
    /// `--device-read-bps`.
    ReadBps,
    /// `--device-write-bps`.
    WriteBps,
    /// `--device-read-iops`.
    ReadIops,
    /// `--device-write-iops`.
    WriteIops,
}

/// What shows that a limit can be had: files of version 1, any of which will do, and the controller of
/// version 2, if it has it at all.
const EVIDENCE: [(Limit, &[&str], &str); 16] = [
    (Limit::Memory, &["memory/memory.limit_in_bytes"], "memory"),
    (Limit::Swap, &["memory/memory.memsw.limit_in_bytes"], "memory"),
    (Limit::Reservation, &["memory/memory.soft_limit_in_bytes"], "memory"),
    (Limit::Swappiness, &["memory/memory.swappiness"], ""),
    (Limit::OomKillDisable, &["memory/memory.oom_control"], ""),
    // Neither it nor the weights of BFQ are in the root group: other files stand for them.
    (Limit::Pids, &["pids/cgroup.procs"], "pids"),
    (Limit::Shares, &["cpu/cpu.shares"], "cpu"),
    (Limit::Quota, &["cpu/cpu.cfs_quota_us"], "cpu"),
    (Limit::Realtime, &["cpu/cpu.rt_period_us"], ""),
    (Limit::Cpuset, &["cpuset/cpuset.cpus"], "cpuset"),
    (
        Limit::Weight,
        &["blkio/blkio.weight", "blkio/blkio.bfq.io_serviced"],
        "io",
    ),
    (Limit::WeightDevice, &["blkio/blkio.weight_device"], ""),
    (Limit::ReadBps, &["blkio/blkio.throttle.read_bps_device"], "io"),
    (Limit::WriteBps, &["blkio/blkio.throttle.write_bps_device"], "io"),
    (Limit::ReadIops, &["blkio/blkio.throttle.read_iops_device"], "io"),
    (Limit::WriteIops, &["blkio/blkio.throttle.write_iops_device"], "io"),
];

/// The limits that this host knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Supported(Vec<Limit>);

impl Supported {
    /// Looks at this host.
    pub(crate) fn probe() -> Self {
        Self::below(Path::new(ROOT))
    }

    fn below(root: &Path) -> Self {
        let unified = corten_sys::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let exists = |file: &str| corten_sys::fs::exists(root.join(file)).unwrap_or(false);
        let is_there = |files: &[&str], controller: &str| match unified.is_empty() {
            true => files.iter().any(|file| exists(file)),
            false => unified.split_whitespace().any(|name| name == controller),
        };
        Self(
            EVIDENCE
                .iter()
                .filter(|(_, files, controller)| is_there(files, controller))
                .map(|(limit, ..)| *limit)
                .collect(),
        )
    }

    /// A host that can limit all there is.
    #[cfg(test)]
    pub(crate) fn everything() -> Self {
        Self(EVIDENCE.iter().map(|(limit, ..)| *limit).collect())
    }

    /// Whether it can be limited.
    pub(crate) fn has(&self, limit: Limit) -> bool {
        self.0.contains(&limit)
    }

    /// What is missing, in the words of Docker's `info`. `unified`: control groups are version 2.
    pub(crate) fn warnings(&self, unified: bool) -> Vec<String> {
        let io = |two: &str, one: &str| {
            if unified {
                format!("io.max ({two})")
            } else {
                format!("blkio throttle.{one}")
            }
        };
        let table = [
            (Limit::Memory, "memory limit".to_owned()),
            (Limit::Swap, "swap limit".to_owned()),
            (Limit::OomKillDisable, "oom kill disable".to_owned()),
            (Limit::Quota, "cpu cfs quota".to_owned()),
            (Limit::Quota, "cpu cfs period".to_owned()),
            (Limit::Shares, "cpu shares".to_owned()),
            (Limit::Cpuset, "cpuset".to_owned()),
            (Limit::ReadBps, io("rbps", "read_bps_device")),
            (Limit::WriteBps, io("wbps", "write_bps_device")),
            (Limit::ReadIops, io("riops", "read_iops_device")),
            (Limit::WriteIops, io("wiops", "write_iops_device")),
        ];
        table
            .into_iter()
            // Version 2 never has it, and nobody can do anything about that.
            .filter(|(limit, _)| !self.has(*limit) && (!unified || *limit != Limit::OomKillDisable))
            .map(|(_, what)| format!("WARNING: No {what} support"))
            .collect()
    }

    /// Takes away what this host cannot do, with the warnings that Docker gives.
    pub(crate) fn discard(&self, limits: &mut Resources) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |text: &str| warnings.push(text.to_owned());
        self.discard_memory(limits, &mut warn);
        self.discard_cpu(limits, &mut warn);
        self.discard_io(limits, &mut warn);
        warnings
    }

    fn discard_memory(&self, limits: &mut Resources, warn: &mut impl FnMut(&str)) {
        // What clients send for "not given".
        limits.memory_swappiness = limits.memory_swappiness.filter(|swappiness| *swappiness != -1);
        if limits.memory > 0 && !self.has(Limit::Memory) {
            warn(
                "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
            );
            (limits.memory, limits.memory_swap) = (0, -1);
        }
        if limits.memory > 0 && limits.memory_swap != -1 && !self.has(Limit::Swap) {
            warn(
                "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
            );
            limits.memory_swap = -1;
        }
        if limits.memory_swappiness.is_some() && !self.has(Limit::Swappiness) {
            warn(
                "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
            );
            limits.memory_swappiness = None;
        }
        if limits.memory_reservation > 0 && !self.has(Limit::Reservation) {
            warn(
                "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
            );
            limits.memory_reservation = 0;
        }
        if !self.has(Limit::OomKillDisable) && limits.oom_kill_disable.take() == Some(true) {
            warn("Your kernel does not support OomKillDisable. OomKillDisable discarded.");
        }
        if !self.has(Limit::Pids) && limits.pids_limit.take().is_some_and(|limit| limit > 0) {
            warn(
                "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
            );
        }
    }

    fn discard_cpu(&self, limits: &mut Resources, warn: &mut impl FnMut(&str)) {
        if limits.cpu_shares > 0 && !self.has(Limit::Shares) {
            warn("Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.");
            limits.cpu_shares = 0;
        }
        if (limits.cpu_period != 0 || limits.cpu_quota != 0) && !self.has(Limit::Quota) {
            warn("Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.");
            (limits.cpu_period, limits.cpu_quota) = (0, 0);
        }
        if limits.cpu_percent > 0 {
            warn("linux does not support CPU percent. Percent discarded.");
            limits.cpu_percent = 0;
        }
        let is_set = !limits.cpuset_cpus.is_empty() || !limits.cpuset_mems.is_empty();
        if is_set && !self.has(Limit::Cpuset) {
            warn("Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.");
            limits.cpuset_cpus.clear();
            limits.cpuset_mems.clear();
        }
    }

    fn discard_io(&self, limits: &mut Resources, warn: &mut impl FnMut(&str)) {
        if limits.blkio_weight > 0 && !self.has(Limit::Weight) {
            warn("Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.");
            limits.blkio_weight = 0;
        }
        let weighs = |path: &str| self.has(Limit::WeightDevice) || weighs(path);
        if limits
            .blkio_weight_device
            .iter()
            .flatten()
            .any(|device| !weighs(&device.path))
        {
            warn(
                "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.",
            );
            limits.blkio_weight_device = Some(Vec::new());
        }
        let throttles: [(Limit, &mut Option<Vec<ThrottleDevice>>, &str); 4] = [
            (
                Limit::ReadBps,
                &mut limits.blkio_device_read_bps,
                "BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit",
            ),
            (
                Limit::WriteBps,
                &mut limits.blkio_device_write_bps,
                "BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit",
            ),
            (
                Limit::ReadIops,
                &mut limits.blkio_device_read_iops,
                "IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit",
            ),
            (
                Limit::WriteIops,
                &mut limits.blkio_device_write_iops,
                "IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit",
            ),
        ];
        for (limit, devices, what) in throttles {
            if devices.iter().flatten().next().is_some() && !self.has(limit) {
                warn(&format!("Your kernel does not support {what} discarded."));
                *devices = Some(Vec::new());
            }
        }
    }
}

/// Whether a device's scheduler knows weights, as BFQ and the cost model of version 2 do; kernels since
/// 5.0 have no others. One that is not there is refused later, by its name.
fn weighs(path: &str) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(metadata) = corten_sys::fs::metadata(path) else {
        return true;
    };
    let device = metadata.rdev();
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let read = |path: String| corten_sys::fs::read_to_string(path).unwrap_or_default();
    // A partition's queue is its disk's.
    let is_bfq = ["queue", "../queue"]
        .iter()
        .any(|queue| read(format!("/sys/dev/block/{number}/{queue}/scheduler")).contains("[bfq]"));
    let is_costed = |line: &str| line.starts_with(&format!("{number} ")) && line.contains("enable=1");
    is_bfq || read(format!("{ROOT}/io.cost.qos")).lines().any(is_costed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_can_limit_is_discarded_with_a_word() {
        let mut limits = Resources {
            memory: 1 << 30,
            memory_swap: 2 << 30,
            memory_swappiness: Some(5),
            oom_kill_disable: Some(true),
            pids_limit: Some(7),
            cpu_shares: 3,
            cpu_quota: 5000,
            cpu_percent: 5,
            cpuset_mems: "0".into(),
            blkio_weight: 100,
            blkio_device_read_bps: Some(vec![ThrottleDevice::default()]),
            ..Resources::default()
        };
        let warnings = Supported::default().discard(&mut limits);
        assert_eq!(warnings.len(), 10, "{warnings:#?}");
        let expected = Resources {
            memory_swap: -1,
            blkio_device_read_bps: Some(Vec::new()),
            ..Resources::default()
        };
        assert_eq!(limits, expected);
        assert!(Supported::default().discard(&mut limits).is_empty());
    }

    #[test]
    fn hosts_differ() {
        let folder = tempfile::tempdir().unwrap();
        corten_sys::fs::write(folder.path().join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        let unified = Supported::below(folder.path());
        assert!(unified.has(Limit::Swap) && unified.has(Limit::Weight) && !unified.has(Limit::Swappiness));
        assert_eq!(unified.warnings(true), Vec::<String>::new());
        let bare = Supported::default().warnings(false);
        assert_eq!((bare.len(), bare[0].as_str()), (11, "WARNING: No memory limit support"));
    }
}
