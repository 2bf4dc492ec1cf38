//! The limits that `run`, `create` and `update` know.

use corten_api::container::Resources;

use crate::{
    command::Flag,
    flags::Matches,
    opts::{number, size},
};

/// Their flags.
pub(crate) static FLAGS: &[Flag] = &[
    Flag::value(
        "blkio-weight",
        "uint16",
        number::check_uint16,
        "Block I/O weight from 10 to 1000, 0 for none",
    )
    .shown("0"),
    Flag::int("cpu-period", "Period of the CFS scheduler in microseconds"),
    Flag::int("cpu-quota", "CPU time in each CFS period in microseconds"),
    Flag::int("cpu-rt-period", "Period of the real-time scheduler in microseconds"),
    Flag::int("cpu-rt-runtime", "Real-time CPU time in each period in microseconds"),
    Flag::int("cpu-shares", "CPU weight against other containers").short('c'),
    Flag::value("cpus", "decimal", number::check_cpus, "How many CPUs it may use"),
    Flag::string("cpuset-cpus", "CPUs it may run on (0-3, 0,1)"),
    Flag::string("cpuset-mems", "Memory nodes it may use (0-3, 0,1)"),
    Flag::value("memory", "bytes", size::check, "Most memory it may use").short('m'),
    Flag::value(
        "memory-reservation",
        "bytes",
        size::check,
        "Memory it is pushed back to when the host runs short",
    ),
    Flag::value(
        "memory-swap",
        "bytes",
        size::check_swap,
        "Most memory and swap together: '-1' for unlimited swap",
    ),
    Flag::int("pids-limit", "Most processes it may have (-1 for no limit)"),
];

/// What they ask for.
pub(crate) fn resources(m: &Matches) -> Result<Resources, String> {
    let swap = m.opt("memory-swap").map(size::parse_swap).transpose()?;
    let cpus = m.opt("cpus").map(number::parse_cpus).transpose()?;
    Ok(Resources {
        blkio_weight: u16::try_from(m.int("blkio-weight")).map_err(|e| e.to_string())?,
        cpu_period: m.int("cpu-period"),
        cpu_quota: m.int("cpu-quota"),
        cpu_realtime_period: m.int("cpu-rt-period"),
        cpu_realtime_runtime: m.int("cpu-rt-runtime"),
        cpu_shares: m.int("cpu-shares"),
        nano_cpus: cpus.unwrap_or_default(),
        cpuset_cpus: m.get("cpuset-cpus").to_owned(),
        cpuset_mems: m.get("cpuset-mems").to_owned(),
        memory: m.bytes("memory"),
        memory_reservation: m.bytes("memory-reservation"),
        memory_swap: swap.unwrap_or_default(),
        pids_limit: m.given("pids-limit").then(|| m.int("pids-limit")),
        ..Resources::default()
    })
}
