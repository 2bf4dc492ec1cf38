//! Limits as cgroup v2 files (Linux `Documentation/admin-guide/cgroup-v2.rst`).
//!
//! The runtime specification speaks cgroup v1; values are converted as runc and crun do.

use corten_oci::runtime::{BlockIo, Cpu, HugepageLimit, Memory, Resources, ThrottleDevice};

use super::limits_v1::{page_size, pids_max, rdma_max, set_cpuset};
use super::setting::{Fallback, Setting};
use crate::error::{Error, Kind, Result};

/// The CPU quota in force, which a change of the period alone keeps: the first word of `cpu.max`.
pub(crate) struct CurrentQuota<'a>(pub(crate) &'a str);

/// Lists what to write for these limits; device rules are apart.
pub(crate) fn settings(resources: &Resources, quota: &CurrentQuota<'_>) -> Result<Vec<Setting>> {
    let mut list = Vec::new();
    if let Some(memory) = &resources.memory {
        set_memory(memory, &mut list)?;
    }
    if let Some(cpu) = &resources.cpu {
        set_cpu(cpu, quota, &mut list)?;
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        list.push(Setting::new("pids", "pids.max", pids_max(limit), "--pids-limit"));
    }
    if let Some(block_io) = &resources.block_io {
        set_block_io(block_io, &mut list)?;
    }
    for limit in &resources.hugepage_limits {
        set_huge_pages(limit, &mut list)?;
    }
    if resources
        .network
        .as_ref()
        .is_some_and(|network| *network != Default::default())
    {
        return Err(only_v1("network.classID and network.priorities"));
    }
    for (device, limit) in &resources.rdma {
        list.push(Setting::new(
            "rdma",
            "rdma.max",
            rdma_max(device, limit),
            "an RDMA limit",
        ));
    }
    for (file, value) in &resources.unified {
        set_unified(file, value, &mut list)?;
    }
    Ok(list)
}

fn only_v1(what: &str) -> Error {
    let message = format!("cannot apply {what}: this host has cgroup v2, which knows no such limit");
    Error::new(Kind::Unsupported, message).with_hint(format!("leave {what} out"))
}

fn or_max(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

fn set_memory(memory: &Memory, list: &mut Vec<Setting>) -> Result<()> {
    let unsupported = [
        (memory.kernel.is_some_and(|kernel| kernel > 0), "--kernel-memory"),
        (
            memory.kernel_tcp.is_some_and(|tcp| tcp > 0),
            "a kernel TCP memory limit",
        ),
        (memory.swappiness.is_some(), "--memory-swappiness"),
        (memory.disable_oom_killer == Some(true), "--oom-kill-disable"),
    ];
    if let Some((_, what)) = unsupported.iter().find(|(asked, _)| *asked) {
        return Err(only_v1(what));
    }
    let limit = memory.limit.filter(|&limit| limit != 0);
    if let Some(swap) = swap_alone(limit, memory.swap.filter(|&swap| swap != 0))? {
        let setting = Setting::new("memory", "memory.swap.max", or_max(swap), "--memory-swap");
        // Without swap in the kernel there is nothing to lift or to forbid.
        let setting = if swap <= 0 { setting.or(Fallback::Skip) } else { setting };
        list.push(setting);
    }
    if let Some(limit) = limit {
        list.push(Setting::new("memory", "memory.max", or_max(limit), "--memory"));
    }
    if let Some(low) = memory.reservation.filter(|&low| low != 0) {
        list.push(Setting::new(
            "memory",
            "memory.low",
            or_max(low),
            "--memory-reservation",
        ));
    }
    Ok(())
}

/// Version 1 limits memory and swap together, version 2 swap alone.
fn swap_alone(limit: Option<i64>, both: Option<i64>) -> Result<Option<i64>> {
    let invalid = |message: String| Err(Error::new(Kind::Invalid, message));
    match (limit, both) {
        (Some(-1), None) => Ok(Some(-1)),
        (_, None) => Ok(None),
        (_, Some(both)) if both < 0 => Ok(Some(-1)),
        (Some(limit), Some(both)) if limit < 0 => Ok(Some(both)),
        (None, Some(_)) => invalid("cannot limit swap without limiting memory".to_owned()),
        (Some(limit), Some(both)) if both < limit => invalid(format!(
            "memory and swap together ({both}) must not be less than memory ({limit})"
        )),
        (Some(limit), Some(both)) => Ok(Some(both - limit)),
    }
}

fn set_cpu(cpu: &Cpu, current: &CurrentQuota<'_>, list: &mut Vec<Setting>) -> Result<()> {
    if cpu.realtime_runtime.is_some_and(|time| time != 0) || cpu.realtime_period.is_some_and(|time| time != 0) {
        return Err(only_v1("--cpu-rt-runtime and --cpu-rt-period"));
    }
    if let Some(idle) = cpu.idle {
        list.push(Setting::new("cpu", "cpu.idle", idle, "cpu.idle"));
    }
    // The kernel refuses a weight in an idle cgroup.
    if let Some(shares) = cpu.shares.filter(|&shares| shares != 0 && cpu.idle != Some(1)) {
        list.push(Setting::new("cpu", "cpu.weight", cpu_weight(shares), "--cpu-shares"));
    }
    let quota = cpu.quota.filter(|&quota| quota != 0);
    let period = cpu.period.filter(|&period| period != 0);
    let quota_text = quota.map(or_max);
    let max = match (&quota_text, period) {
        (None, None) => None,
        (Some(quota), None) => Some(quota.clone()),
        (quota, Some(period)) => Some(format!("{} {period}", quota.as_deref().unwrap_or(current.0))),
    };
    if let Some(max) = max {
        let asked_by = if quota.is_some() { "--cpu-quota" } else { "--cpu-period" };
        list.push(Setting::new("cpu", "cpu.max", max, asked_by));
    }
    if let Some(burst) = cpu.burst {
        list.push(Setting::new("cpu", "cpu.max.burst", burst, "a CPU burst"));
    }
    set_cpuset(cpu, list);
    Ok(())
}

/// Converts shares (2 to 262144, 1024 by default) to a weight (1 to 10000, 100 by default).
///
/// The curve goes through the three pairs of bounds and defaults, as that of crun 1.23 and
/// Kubernetes; the straight line of older runtimes gave a default container 39 of 100.
fn cpu_weight(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let log = f64::from(u32::try_from(shares).unwrap_or(u32::MAX)).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the result lies between 1 and 10000"
    )]
    let weight = 10_f64.powf(exponent).ceil() as u64;
    weight.clamp(1, 10_000)
}

/// Converts a block I/O weight (10 to 1000) to that of `io.weight` (1 to 10000).
fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.saturating_sub(10)) * 9_999 / 990
}

fn set_block_io(block_io: &BlockIo, list: &mut Vec<Setting>) -> Result<()> {
    let leaf = |weight: Option<u16>| weight.is_some_and(|weight| weight != 0);
    if leaf(block_io.leaf_weight) || block_io.weight_device.iter().any(|device| leaf(device.leaf_weight)) {
        return Err(only_v1("blockIO.leafWeight"));
    }
    if let Some(weight) = block_io.weight.filter(|&weight| weight != 0) {
        list.push(weight_setting("default", weight, "--blkio-weight"));
    }
    for device in &block_io.weight_device {
        if let Some(weight) = device.weight.filter(|&weight| weight != 0) {
            let number = format!("{}:{}", device.major, device.minor);
            list.push(weight_setting(&number, weight, "--blkio-weight-device"));
        }
    }
    let throttles: [(&str, &[ThrottleDevice], &'static str); 4] = [
        ("rbps", &block_io.throttle_read_bps_device, "--device-read-bps"),
        ("wbps", &block_io.throttle_write_bps_device, "--device-write-bps"),
        ("riops", &block_io.throttle_read_iops_device, "--device-read-iops"),
        ("wiops", &block_io.throttle_write_iops_device, "--device-write-iops"),
    ];
    for (key, devices, asked_by) in throttles {
        for device in devices {
            // Zero lifts the limit in v1; v2 says it in a word.
            let rate = if device.rate == 0 {
                "max".to_owned()
            } else {
                device.rate.to_string()
            };
            let value = format!("{}:{} {key}={rate}", device.major, device.minor);
            list.push(Setting::new("io", "io.max", value, asked_by));
        }
    }
    Ok(())
}

/// BFQ has a file of its own, with the weights of v1.
fn weight_setting(target: &str, weight: u16, asked_by: &'static str) -> Setting {
    let other = format!("{target} {}", io_weight(weight));
    Setting::new("io", "io.bfq.weight", format!("{target} {weight}"), asked_by).or(Fallback::File("io.weight", other))
}

fn set_huge_pages(limit: &HugepageLimit, list: &mut Vec<Setting>) -> Result<()> {
    let size = page_size(limit)?;
    let asked_by = "a huge page limit";
    list.push(Setting::new(
        "hugetlb",
        format!("hugetlb.{size}.max"),
        limit.limit,
        asked_by,
    ));
    let reserved = Setting::new("hugetlb", format!("hugetlb.{size}.rsvd.max"), limit.limit, asked_by);
    list.push(reserved.or(Fallback::Skip));
    Ok(())
}

/// Files the specification leaves to the user; a value of several lines is several writes.
fn set_unified(file: &str, value: &str, list: &mut Vec<Setting>) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let Some((controller, rest)) = file.split_once('.') else {
        return Err(bad_unified(file));
    };
    if controller.is_empty() || rest.is_empty() || !file.bytes().all(plain) {
        return Err(bad_unified(file));
    }
    for line in value.lines() {
        list.push(Setting {
            controller: controller.to_owned().into(),
            file: file.to_owned().into(),
            fallback: None,
            value: line.to_owned(),
            asked_by: format!("unified \"{file}\"").into(),
        });
    }
    Ok(())
}

fn bad_unified(file: &str) -> Error {
    let message = format!("invalid unified resource \"{file}\": expected a cgroup file such as memory.high");
    Error::new(Kind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(resources: &str, expected: &[(&str, &str)]) {
        let resources: Resources = serde_json::from_str(resources).unwrap();
        let list = settings(&resources, &CurrentQuota("max")).unwrap();
        let list: Vec<_> = list.iter().map(|setting| (&*setting.file, &*setting.value)).collect();
        assert_eq!(list, expected, "{resources:?}");
    }

    fn refusal(resources: &str) -> String {
        let resources: Resources = serde_json::from_str(resources).unwrap();
        settings(&resources, &CurrentQuota("max")).unwrap_err().to_string()
    }

    #[test]
    fn memory() {
        check(
            r#"{"memory":{"limit":1000,"swap":3000,"reservation":500}}"#,
            &[
                ("memory.swap.max", "2000"),
                ("memory.max", "1000"),
                ("memory.low", "500"),
            ],
        );
        check(
            r#"{"memory":{"limit":1000,"swap":1000}}"#,
            &[("memory.swap.max", "0"), ("memory.max", "1000")],
        );
        check(
            r#"{"memory":{"limit":-1}}"#,
            &[("memory.swap.max", "max"), ("memory.max", "max")],
        );
        check(
            r#"{"memory":{"limit":1000,"swap":-1}}"#,
            &[("memory.swap.max", "max"), ("memory.max", "1000")],
        );
        check(r#"{"memory":{"limit":0,"swap":0}}"#, &[]);
        assert!(refusal(r#"{"memory":{"swap":1}}"#).contains("without limiting memory"));
        assert!(refusal(r#"{"memory":{"limit":5,"swap":1}}"#).contains("must not be less"));
        assert!(refusal(r#"{"memory":{"swappiness":60}}"#).contains("--memory-swappiness"));
    }

    #[test]
    fn cpu() {
        check(
            r#"{"cpu":{"shares":1024,"quota":50000,"period":100000,"cpus":"1"}}"#,
            &[("cpu.weight", "100"), ("cpu.max", "50000 100000"), ("cpuset.cpus", "1")],
        );
        check(r#"{"cpu":{"quota":-1}}"#, &[("cpu.max", "max")]);
        check(r#"{"cpu":{"period":50000}}"#, &[("cpu.max", "max 50000")]);
        check(r#"{"cpu":{"shares":2,"idle":1}}"#, &[("cpu.idle", "1")]);
        let resources: Resources = serde_json::from_str(r#"{"cpu":{"period":7000}}"#).unwrap();
        let list = settings(&resources, &CurrentQuota("5000")).unwrap();
        assert_eq!(list[0].value, "5000 7000");
    }

    #[test]
    fn weights() {
        let pairs = [
            (0, 1),
            (2, 1),
            (3, 2),
            (512, 59),
            (1024, 100),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ];
        for (shares, weight) in pairs {
            assert_eq!(cpu_weight(shares), weight, "{shares}");
        }
        assert_eq!([io_weight(10), io_weight(500), io_weight(1000)], [1, 4950, 10_000]);
    }

    #[test]
    fn io_and_the_rest() {
        check(
            r#"{"blockIO":{"weight":500,"weightDevice":[{"major":8,"minor":0,"weight":10}],"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":7}],"throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":0}]},"pids":{"limit":0}}"#,
            &[
                ("pids.max", "max"),
                ("io.bfq.weight", "default 500"),
                ("io.bfq.weight", "8:0 10"),
                ("io.max", "8:0 rbps=7"),
                ("io.max", "8:0 wiops=max"),
            ],
        );
        check(
            r#"{"unified":{"io.max":"8:0 rbps=1\n8:1 rbps=2","memory.high":"5"}}"#,
            &[("io.max", "8:0 rbps=1"), ("io.max", "8:1 rbps=2"), ("memory.high", "5")],
        );
        for bad in ["../memory.max", "memory", "memory.", ".max", "memory/x.y"] {
            assert!(refusal(&format!(r#"{{"unified":{{"{bad}":"1"}}}}"#)).contains("invalid unified"));
        }
        assert!(refusal(r#"{"network":{"classID":1}}"#).contains("cgroup v2"));
    }
}
