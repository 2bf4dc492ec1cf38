//! Limits as cgroup v1 files (Linux `Documentation/admin-guide/cgroup-v1`).

use corten_oci::runtime::{BlockIo, Cpu, HugepageLimit, Memory, Network, Resources, ThrottleDevice};

use super::setting::{Fallback, Setting};
use crate::error::{Error, Kind, Result};

/// The kernel's bounds of `cpu.shares`.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

/// Lists what to write for these limits; device rules are apart.
pub(crate) fn settings(resources: &Resources) -> Result<Vec<Setting>> {
    if let Some(file) = resources.unified.keys().next() {
        let message = format!("cannot set \"{file}\": this host has cgroup v1, \"unified\" needs v2");
        return Err(Error::new(Kind::Unsupported, message));
    }
    let mut list = Vec::new();
    if let Some(memory) = &resources.memory {
        set_memory(memory, &mut list)?;
    }
    if let Some(cpu) = &resources.cpu {
        set_cpu(cpu, &mut list)?;
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        list.push(Setting::new("pids", "pids.max", pids_max(limit), "--pids-limit"));
    }
    if let Some(block_io) = &resources.block_io {
        set_block_io(block_io, &mut list);
    }
    for limit in &resources.hugepage_limits {
        set_huge_pages(limit, &mut list)?;
    }
    if let Some(network) = &resources.network {
        set_network(network, &mut list);
    }
    for (device, limit) in &resources.rdma {
        list.push(Setting::new(
            "rdma",
            "rdma.max",
            rdma_max(device, limit),
            "an RDMA limit",
        ));
    }
    Ok(list)
}

/// The value of `pids.max`.
pub(crate) fn pids_max(limit: i64) -> String {
    if limit > 0 { limit.to_string() } else { "max".to_owned() }
}

/// The value of `rdma.max`.
pub(crate) fn rdma_max(device: &str, limit: &corten_oci::runtime::Rdma) -> String {
    let mut value = device.to_owned();
    for (name, count) in [("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)] {
        if let Some(count) = count {
            value.push_str(&format!(" {name}={count}"));
        }
    }
    value
}

/// A huge page size as it stands in file names; it becomes part of a path.
pub(crate) fn page_size(limit: &HugepageLimit) -> Result<&str> {
    let size = limit.page_size.as_str();
    let digits = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
    if digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())) {
        return Ok(size);
    }
    let message = format!("invalid huge page size \"{size}\": expected a number and KB, MB or GB");
    Err(Error::new(Kind::Invalid, message))
}

fn set_memory(memory: &Memory, list: &mut Vec<Setting>) -> Result<()> {
    let mut set = |file: &'static str, value: Option<i64>, asked_by| {
        if let Some(value) = value.filter(|&value| value != 0) {
            list.push(Setting::new("memory", file, value, asked_by));
        }
    };
    let limit = memory.limit.filter(|&limit| limit != 0);
    // Lifting the limit lifts that on swap, unless it is given: runc does so, and Docker counts on it.
    let swap = memory.swap.filter(|&swap| swap != 0);
    let lifted = (limit == Some(-1) && swap.is_none()).then_some(-1);
    if let (Some(limit), Some(swap)) = (limit, swap)
        && swap > 0
        && limit > swap
    {
        let message = format!("memory and swap together ({swap}) must not be less than memory ({limit})");
        return Err(Error::new(Kind::Invalid, message));
    }
    set("memory.limit_in_bytes", limit, "--memory");
    set("memory.memsw.limit_in_bytes", swap, "--memory-swap");
    set("memory.soft_limit_in_bytes", memory.reservation, "--memory-reservation");
    set("memory.kmem.limit_in_bytes", memory.kernel, "--kernel-memory");
    set(
        "memory.kmem.tcp.limit_in_bytes",
        memory.kernel_tcp,
        "a kernel TCP memory limit",
    );
    if let Some(lifted) = lifted {
        let setting = Setting::new("memory", "memory.memsw.limit_in_bytes", lifted, "--memory-swap");
        list.insert(0, setting.or(Fallback::Skip));
    }
    if memory.use_hierarchy == Some(true) {
        list.push(Setting::new("memory", "memory.use_hierarchy", 1, "memory.useHierarchy"));
    }
    if let Some(swappiness) = memory.swappiness {
        if swappiness > 100 {
            let message = format!("invalid memory swappiness {swappiness}: valid are 0 to 100");
            return Err(Error::new(Kind::Invalid, message));
        }
        let asked_by = "--memory-swappiness";
        list.push(Setting::new("memory", "memory.swappiness", swappiness, asked_by));
    }
    if let Some(disable) = memory.disable_oom_killer {
        let value = u8::from(disable);
        list.push(Setting::new(
            "memory",
            "memory.oom_control",
            value,
            "--oom-kill-disable",
        ));
    }
    Ok(())
}

fn set_cpu(cpu: &Cpu, list: &mut Vec<Setting>) -> Result<()> {
    let mut set = |file: &'static str, value: Option<String>, asked_by| {
        if let Some(value) = value {
            list.push(Setting::new("cpu", file, value, asked_by));
        }
    };
    let shares = cpu.shares.filter(|&shares| shares != 0);
    if let Some(shares) = shares.filter(|shares| !SHARES.contains(shares)) {
        return Err(shares_error(shares));
    }
    set("cpu.shares", shares.map(|shares| shares.to_string()), "--cpu-shares");
    let text = |value: Option<u64>| value.filter(|&value| value != 0).map(|value| value.to_string());
    let signed = |value: Option<i64>| value.filter(|&value| value != 0).map(|value| value.to_string());
    set("cpu.cfs_period_us", text(cpu.period), "--cpu-period");
    set("cpu.cfs_quota_us", signed(cpu.quota), "--cpu-quota");
    set(
        "cpu.cfs_burst_us",
        cpu.burst.map(|burst| burst.to_string()),
        "a CPU burst",
    );
    set("cpu.rt_period_us", text(cpu.realtime_period), "--cpu-rt-period");
    set("cpu.rt_runtime_us", signed(cpu.realtime_runtime), "--cpu-rt-runtime");
    set("cpu.idle", cpu.idle.map(|idle| idle.to_string()), "cpu.idle");
    set_cpuset(cpu, list);
    Ok(())
}

/// Processors and memory nodes: the same files in v1 and v2.
pub(crate) fn set_cpuset(cpu: &Cpu, list: &mut Vec<Setting>) {
    let wanted = [
        ("cpuset.cpus", &cpu.cpus, "--cpuset-cpus"),
        ("cpuset.mems", &cpu.mems, "--cpuset-mems"),
    ];
    for (file, value, asked_by) in wanted {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            list.push(Setting::new("cpuset", file, value, asked_by));
        }
    }
}

/// The error for shares out of the kernel's bounds, which it would silently cut.
fn shares_error(shares: u64) -> Error {
    let (word, bound) = if shares < *SHARES.start() {
        ("minimum", SHARES.start())
    } else {
        ("maximum", SHARES.end())
    };
    Error::new(Kind::Invalid, format!("the {word} allowed cpu-shares is {bound}"))
}

fn set_block_io(block_io: &BlockIo, list: &mut Vec<Setting>) {
    if let Some(weight) = block_io.weight.filter(|&weight| weight != 0) {
        list.push(weight_setting("blkio.weight", "blkio.bfq.weight", weight.to_string()));
    }
    if let Some(weight) = block_io.leaf_weight.filter(|&weight| weight != 0) {
        list.push(Setting::new("blkio", "blkio.leaf_weight", weight, "blockIO.leafWeight"));
    }
    for device in &block_io.weight_device {
        let number = format!("{}:{}", device.major, device.minor);
        if let Some(weight) = device.weight.filter(|&weight| weight != 0) {
            let value = format!("{number} {weight}");
            list.push(weight_setting("blkio.weight_device", "blkio.bfq.weight_device", value));
        }
        if let Some(weight) = device.leaf_weight.filter(|&weight| weight != 0) {
            let value = format!("{number} {weight}");
            let asked_by = "blockIO.weightDevice.leafWeight";
            list.push(Setting::new("blkio", "blkio.leaf_weight_device", value, asked_by));
        }
    }
    let throttles: [(&'static str, &[ThrottleDevice], &'static str); 4] = [
        (
            "blkio.throttle.read_bps_device",
            &block_io.throttle_read_bps_device,
            "--device-read-bps",
        ),
        (
            "blkio.throttle.write_bps_device",
            &block_io.throttle_write_bps_device,
            "--device-write-bps",
        ),
        (
            "blkio.throttle.read_iops_device",
            &block_io.throttle_read_iops_device,
            "--device-read-iops",
        ),
        (
            "blkio.throttle.write_iops_device",
            &block_io.throttle_write_iops_device,
            "--device-write-iops",
        ),
    ];
    for (file, devices, asked_by) in throttles {
        for device in devices {
            let value = format!("{}:{} {}", device.major, device.minor, device.rate);
            list.push(Setting::new("blkio", file, value, asked_by));
        }
    }
}

/// Weights belong to the I/O scheduler: CFQ's file until Linux 5.0, BFQ's since.
fn weight_setting(file: &'static str, bfq: &'static str, value: String) -> Setting {
    Setting::new("blkio", file, &value, "--blkio-weight").or(Fallback::File(bfq, value))
}

fn set_huge_pages(limit: &HugepageLimit, list: &mut Vec<Setting>) -> Result<()> {
    let size = page_size(limit)?;
    let asked_by = "a huge page limit";
    let file = format!("hugetlb.{size}.limit_in_bytes");
    list.push(Setting::new("hugetlb", file, limit.limit, asked_by));
    // Reservations count since Linux 5.7.
    let file = format!("hugetlb.{size}.rsvd.limit_in_bytes");
    list.push(Setting::new("hugetlb", file, limit.limit, asked_by).or(Fallback::Skip));
    Ok(())
}

fn set_network(network: &Network, list: &mut Vec<Setting>) {
    if let Some(class) = network.class_id {
        list.push(Setting::new("net_cls", "net_cls.classid", class, "network.classID"));
    }
    for priority in &network.priorities {
        let value = format!("{} {}", priority.name, priority.priority);
        list.push(Setting::new(
            "net_prio",
            "net_prio.ifpriomap",
            value,
            "network.priorities",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(resources: &str, expected: &[(&str, &str, &str)]) {
        let resources: Resources = serde_json::from_str(resources).unwrap();
        let list = settings(&resources).unwrap();
        let list: Vec<_> = list
            .iter()
            .map(|setting| (&*setting.controller, &*setting.file, &*setting.value))
            .collect();
        assert_eq!(list, expected, "{resources:?}");
    }

    fn refusal(resources: &str) -> String {
        let resources: Resources = serde_json::from_str(resources).unwrap();
        settings(&resources).unwrap_err().to_string()
    }

    #[test]
    fn memory() {
        check("{}", &[]);
        check(
            r#"{"memory":{"limit":1000,"swap":2000,"reservation":500,"swappiness":0}}"#,
            &[
                ("memory", "memory.limit_in_bytes", "1000"),
                ("memory", "memory.memsw.limit_in_bytes", "2000"),
                ("memory", "memory.soft_limit_in_bytes", "500"),
                ("memory", "memory.swappiness", "0"),
            ],
        );
        check(
            r#"{"memory":{"limit":-1}}"#,
            &[
                ("memory", "memory.memsw.limit_in_bytes", "-1"),
                ("memory", "memory.limit_in_bytes", "-1"),
            ],
        );
        check(
            r#"{"memory":{"limit":0,"swap":0,"disableOOMKiller":true}}"#,
            &[("memory", "memory.oom_control", "1")],
        );
    }

    #[test]
    fn cpu() {
        check(
            r#"{"cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0-1","mems":"0"}}"#,
            &[
                ("cpu", "cpu.shares", "512"),
                ("cpu", "cpu.cfs_period_us", "100000"),
                ("cpu", "cpu.cfs_quota_us", "50000"),
                ("cpuset", "cpuset.cpus", "0-1"),
                ("cpuset", "cpuset.mems", "0"),
            ],
        );
        check(r#"{"cpu":{"shares":0,"quota":0,"period":0,"cpus":""}}"#, &[]);
        check(r#"{"cpu":{"quota":-1}}"#, &[("cpu", "cpu.cfs_quota_us", "-1")]);
    }

    #[test]
    fn pids_and_the_rest() {
        check(r#"{"pids":{"limit":10}}"#, &[("pids", "pids.max", "10")]);
        check(r#"{"pids":{"limit":-1}}"#, &[("pids", "pids.max", "max")]);
        check(
            r#"{"hugepageLimits":[{"pageSize":"2MB","limit":9}],"network":{"classID":5,"priorities":[{"name":"lo","priority":3}]},"rdma":{"mlx":{"hcaHandles":2,"hcaObjects":4}}}"#,
            &[
                ("hugetlb", "hugetlb.2MB.limit_in_bytes", "9"),
                ("hugetlb", "hugetlb.2MB.rsvd.limit_in_bytes", "9"),
                ("net_cls", "net_cls.classid", "5"),
                ("net_prio", "net_prio.ifpriomap", "lo 3"),
                ("rdma", "rdma.max", "mlx hca_handle=2 hca_object=4"),
            ],
        );
        check(
            r#"{"blockIO":{"weight":300,"weightDevice":[{"major":8,"minor":0,"weight":20}],"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":7}],"throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":9}]}}"#,
            &[
                ("blkio", "blkio.weight", "300"),
                ("blkio", "blkio.weight_device", "8:0 20"),
                ("blkio", "blkio.throttle.read_bps_device", "8:0 7"),
                ("blkio", "blkio.throttle.write_iops_device", "8:16 9"),
            ],
        );
    }

    #[test]
    fn refuses_what_cannot_be() {
        assert_eq!(
            refusal(r#"{"cpu":{"shares":1}}"#),
            "the minimum allowed cpu-shares is 2"
        );
        assert_eq!(
            refusal(r#"{"cpu":{"shares":262145}}"#),
            "the maximum allowed cpu-shares is 262144"
        );
        assert!(refusal(r#"{"memory":{"limit":2,"swap":1}}"#).contains("must not be less"));
        assert!(refusal(r#"{"memory":{"swappiness":101}}"#).contains("0 to 100"));
        assert!(refusal(r#"{"unified":{"memory.high":"1"}}"#).contains("memory.high"));
        for size in ["../x", "MB", "2mb", "2MBMB", ""] {
            let json = format!(r#"{{"hugepageLimits":[{{"pageSize":"{size}","limit":1}}]}}"#);
            assert!(refusal(&json).contains("page size"), "{size}");
        }
    }
}
