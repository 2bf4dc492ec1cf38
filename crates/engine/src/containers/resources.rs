//! Resource limits: from the API's terms to the runtime's (OCI runtime-spec, config-linux.md "Control groups").

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use corten_api::container::{DeviceMapping, HostConfig, Resources as Limits, ThrottleDevice as ApiThrottle, Ulimit};
use corten_oci::runtime::{
    BlockIo, Cpu, Device, DeviceCgroup, Memory, Pids, Resources, Rlimit, ThrottleDevice, WeightDevice,
};

use crate::error::{Error, Result};

/// The scheduler's period in microseconds when only CPUs are given.
const PERIOD: u64 = 100_000;

/// Limits as the runtime takes them; what is zero or absent is left out, so that this serves updates too.
pub(crate) fn limits(limits: &Limits) -> Result<Resources> {
    let positive = |value: i64| (value != 0).then_some(value);
    let unsigned = |value: i64| u64::try_from(value).ok().filter(|v| *v != 0);
    let memory = Memory {
        limit: positive(limits.memory),
        reservation: positive(limits.memory_reservation),
        swap: swap(limits),
        swappiness: limits.memory_swappiness.and_then(|v| u64::try_from(v).ok()),
        disable_oom_killer: limits.oom_kill_disable.filter(|disable| *disable),
        ..Memory::default()
    };
    let (quota, period) = match unsigned(limits.nano_cpus) {
        Some(nano) => {
            let quota = i64::try_from(nano / 1_000 * PERIOD / 1_000_000).unwrap_or(i64::MAX);
            (Some(quota), Some(PERIOD))
        }
        None => (positive(limits.cpu_quota), unsigned(limits.cpu_period)),
    };
    let text = |value: &String| (!value.is_empty()).then(|| value.clone());
    let cpu = Cpu {
        shares: unsigned(limits.cpu_shares),
        quota,
        period,
        cpus: text(&limits.cpuset_cpus),
        mems: text(&limits.cpuset_mems),
        realtime_period: unsigned(limits.cpu_realtime_period),
        realtime_runtime: positive(limits.cpu_realtime_runtime),
        ..Cpu::default()
    };
    Ok(Resources {
        memory: (memory != Memory::default()).then_some(memory),
        cpu: (cpu != Cpu::default()).then_some(cpu),
        pids: limits
            .pids_limit
            .filter(|limit| *limit != 0)
            .map(|limit| Pids { limit: Some(limit) }),
        block_io: block_io(limits)?,
        ..Resources::default()
    })
}

/// Without a wish, swap is as much again as memory.
fn swap(limits: &Limits) -> Option<i64> {
    match (limits.memory, limits.memory_swap) {
        (memory, 0) if memory > 0 => Some(memory.saturating_mul(2)),
        (_, 0) => None,
        (_, swap) => Some(swap),
    }
}

fn block_io(limits: &Limits) -> Result<Option<BlockIo>> {
    let throttles = |list: &Option<Vec<ApiThrottle>>| -> Result<Vec<ThrottleDevice>> {
        list.iter()
            .flatten()
            .map(|device| {
                let (major, minor) = block_device(&device.path)?;
                Ok(ThrottleDevice {
                    major,
                    minor,
                    rate: device.rate,
                })
            })
            .collect()
    };
    let weights = limits.blkio_weight_device.iter().flatten().map(|device| {
        let (major, minor) = block_device(&device.path)?;
        Ok(WeightDevice {
            major,
            minor,
            weight: Some(device.weight),
            leaf_weight: None,
        })
    });
    let block_io = BlockIo {
        weight: (limits.blkio_weight != 0).then_some(limits.blkio_weight),
        weight_device: weights.collect::<Result<_>>()?,
        throttle_read_bps_device: throttles(&limits.blkio_device_read_bps)?,
        throttle_write_bps_device: throttles(&limits.blkio_device_write_bps)?,
        throttle_read_iops_device: throttles(&limits.blkio_device_read_iops)?,
        throttle_write_iops_device: throttles(&limits.blkio_device_write_iops)?,
        ..BlockIo::default()
    };
    Ok((block_io != BlockIo::default()).then_some(block_io))
}

fn block_device(path: &str) -> Result<(i64, i64)> {
    let metadata =
        corten_sys::fs::metadata(path).map_err(|e| Error::invalid(format!("no such device \"{path}\"")).source(e))?;
    Ok(numbers(metadata.rdev()))
}

fn numbers(device: u64) -> (i64, i64) {
    (
        i64::from(rustix::fs::major(device)),
        i64::from(rustix::fs::minor(device)),
    )
}

/// Devices of a container and the rules that let it use them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Devices {
    /// Nodes to make, beside the ones every container has.
    pub(crate) nodes: Vec<Device>,
    /// Rules, in order.
    pub(crate) rules: Vec<DeviceCgroup>,
}

/// A device rule.
fn rule(allow: bool, kind: &str, major: Option<i64>, minor: Option<i64>, access: &str) -> DeviceCgroup {
    DeviceCgroup {
        allow,
        kind: Some(kind.to_owned()),
        major,
        minor,
        access: Some(access.to_owned()),
    }
}

/// Finds the devices that a container gets.
pub(crate) fn devices(host: &HostConfig) -> Result<Devices> {
    if host.privileged {
        let mut nodes = Vec::new();
        collect("/dev", &mut nodes)?;
        return Ok(Devices {
            nodes,
            rules: vec![rule(true, "a", None, None, "rwm")],
        });
    }
    let mut devices = Devices {
        nodes: Vec::new(),
        rules: default_rules(),
    };
    for mapping in host.resources.devices.iter().flatten() {
        map(mapping, &mut devices)?;
    }
    for text in host.resources.device_cgroup_rules.iter().flatten() {
        devices.rules.push(parse_rule(text)?);
    }
    Ok(devices)
}

/// What every container may use: making nodes, and the devices that the runtime makes.
fn default_rules() -> Vec<DeviceCgroup> {
    let character = |major, minor| rule(true, "c", Some(major), minor, "rwm");
    vec![
        rule(false, "a", None, None, "rwm"),
        rule(true, "c", None, None, "m"),
        rule(true, "b", None, None, "m"),
        // null, zero, full, random, urandom
        character(1, Some(3)),
        character(1, Some(5)),
        character(1, Some(7)),
        character(1, Some(8)),
        character(1, Some(9)),
        // tty, ptmx, console, pseudo terminals
        character(5, Some(0)),
        character(5, Some(1)),
        character(5, Some(2)),
        character(136, None),
    ]
}

/// Reads a rule such as `c 13:* rwm`.
fn parse_rule(text: &str) -> Result<DeviceCgroup> {
    let bad = || Error::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let [kind, numbers, access] = text.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err(bad());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(bad)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        _ => text.parse::<u32>().map(|n| Some(i64::from(n))).map_err(|_| bad()),
    };
    if !matches!(kind, "a" | "b" | "c") || access.is_empty() || access.chars().any(|c| !"rwm".contains(c)) {
        return Err(bad());
    }
    Ok(rule(true, kind, number(major)?, number(minor)?, access))
}

/// Adds the device, or all devices of a folder, that `--device` names.
fn map(mapping: &DeviceMapping, devices: &mut Devices) -> Result<()> {
    let path = mapping.path_on_host.as_str();
    let target = if mapping.path_in_container.is_empty() {
        path
    } else {
        &mapping.path_in_container
    };
    let access = if mapping.cgroup_permissions.is_empty() {
        "rwm"
    } else {
        &mapping.cgroup_permissions
    };
    let missing = |error: std::io::Error| {
        Error::invalid(format!(
            "error gathering device information while adding custom device \"{path}\": {}",
            bare_reason(&error)
        ))
    };
    let metadata = corten_sys::fs::metadata(path).map_err(missing)?;
    let mut found = Vec::new();
    if metadata.is_dir() {
        collect(path, &mut found)?;
        for node in &mut found {
            let below = node.path.strip_prefix(path).unwrap_or_default();
            node.path = format!("{}{below}", target.trim_end_matches('/'));
        }
    } else {
        let Some(mut node) = node(path, &metadata) else {
            return Err(Error::invalid(format!(
                "error gathering device information while adding custom device \"{path}\": not a device node"
            )));
        };
        target.clone_into(&mut node.path);
        found.push(node);
    }
    for node in found {
        devices
            .rules
            .push(rule(true, &node.kind, node.major, node.minor, access));
        devices.nodes.push(node);
    }
    Ok(())
}

/// The system's own words, without the path that the sentence already has.
fn bare_reason(error: &std::io::Error) -> String {
    match corten_sys::fs::raw_os_error(error) {
        Some(number) => corten_sys::fs::reason(&std::io::Error::from_raw_os_error(number)),
        None => corten_sys::fs::reason(error),
    }
}

fn node(path: &str, metadata: &std::fs::Metadata) -> Option<Device> {
    let kind = metadata.file_type();
    let letter = match () {
        () if kind.is_char_device() => "c",
        () if kind.is_block_device() => "b",
        () => return None,
    };
    let (major, minor) = numbers(metadata.rdev());
    Some(Device {
        kind: letter.to_owned(),
        path: path.to_owned(),
        major: Some(major),
        minor: Some(minor),
        file_mode: Some(metadata.mode() & 0o7777),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
    })
}

/// All device nodes below a folder, but those that the runtime makes or mounts itself.
fn collect(folder: &str, nodes: &mut Vec<Device>) -> Result<()> {
    for entry in corten_sys::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if matches!(
            name.as_str(),
            "pts" | "shm" | "fd" | "mqueue" | ".lxc" | ".lxd-mounts" | ".udev" | "console" | "ptmx"
        ) {
            continue;
        }
        let path = format!("{}/{name}", folder.trim_end_matches('/'));
        // Nodes come and go; one that has just gone is not there to be given.
        let Ok(metadata) = corten_sys::fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            collect(&path, nodes)?;
        } else if let Some(node) = node(&path, &metadata) {
            nodes.push(node);
        }
    }
    Ok(())
}

/// Limits of processes; the user's over the engine's.
pub(crate) fn rlimits<'a>(own: &'a [Ulimit], defaults: impl Iterator<Item = &'a Ulimit>) -> Vec<Rlimit> {
    let inherited = defaults.filter(|limit| !own.iter().any(|o| o.name == limit.name));
    let value = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    own.iter()
        .chain(inherited)
        .map(|limit| Rlimit {
            kind: format!("RLIMIT_{}", limit.name.to_uppercase()),
            hard: value(limit.hard),
            soft: value(limit.soft),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_limits() {
        let given = Limits {
            memory: 64 << 20,
            nano_cpus: 500_000_000,
            pids_limit: Some(50),
            ..Default::default()
        };
        let resources = limits(&given).unwrap();
        let memory = resources.memory.unwrap();
        assert_eq!((memory.limit, memory.swap), (Some(64 << 20), Some(128 << 20)));
        let cpu = resources.cpu.unwrap();
        assert_eq!((cpu.quota, cpu.period), (Some(50_000), Some(100_000)));
        assert_eq!(resources.pids.unwrap().limit, Some(50));
        assert_eq!(limits(&Limits::default()).unwrap(), Resources::default());
    }

    #[test]
    fn reads_device_rules() {
        assert_eq!(parse_rule("c 13:* rw").unwrap(), rule(true, "c", Some(13), None, "rw"));
        for bad in ["", "c 1 rwm", "x 1:1 r", "c 1:1 q", "c a:1 r"] {
            assert_eq!(
                parse_rule(bad).unwrap_err().message(),
                format!("invalid device cgroup rule format: '{bad}'")
            );
        }
    }

    #[test]
    fn names_a_missing_device() {
        let mapping = DeviceMapping {
            path_on_host: "/dev/gpnosuch".into(),
            ..Default::default()
        };
        assert_eq!(
            map(&mapping, &mut Devices::default()).unwrap_err().report(),
            "error gathering device information while adding custom device \"/dev/gpnosuch\": no such file or directory"
        );
    }

    #[test]
    fn own_limits_win() {
        let limit = |name: &str, value| Ulimit {
            name: name.into(),
            hard: value,
            soft: value,
        };
        let defaults = [limit("nofile", 1), limit("core", -1)];
        let result = rlimits(&[limit("nofile", 2)], defaults.iter());
        assert_eq!(
            result.iter().map(|r| (r.kind.as_str(), r.hard)).collect::<Vec<_>>(),
            [("RLIMIT_NOFILE", 2), ("RLIMIT_CORE", u64::MAX)]
        );
    }
}
