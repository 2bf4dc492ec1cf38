//! What a container uses: the documents of `GET /containers/{id}/stats`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// One sample.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// The container's name, with a slash before it.
    pub name: String,
    /// Its id.
    pub id: String,
    /// When it was taken.
    pub read: Time,
    /// When the one before was.
    pub preread: Time,
    /// Processes.
    pub pids_stats: PidsStats,
    /// Block devices.
    pub blkio_stats: BlkioStats,
    /// Always 0 on Linux.
    pub num_procs: u32,
    /// Always empty on Linux.
    pub storage_stats: BTreeMap<String, u64>,
    /// Processors.
    pub cpu_stats: CpuStats,
    /// Processors in the sample before.
    pub precpu_stats: CpuStats,
    /// Memory.
    pub memory_stats: MemoryStats,
    /// Its network interfaces, where it has some of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<BTreeMap<String, NetworkStats>>,
}

/// Processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PidsStats {
    /// How many there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// How many there may be.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block devices: lists are `null` where the kernel does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioStats {
    /// Bytes.
    pub io_service_bytes_recursive: Option<Vec<BlkioEntry>>,
    /// Operations.
    pub io_serviced_recursive: Option<Vec<BlkioEntry>>,
    /// Not counted.
    pub io_queue_recursive: Option<Vec<BlkioEntry>>,
    /// Not counted.
    pub io_service_time_recursive: Option<Vec<BlkioEntry>>,
    /// Not counted.
    pub io_wait_time_recursive: Option<Vec<BlkioEntry>>,
    /// Not counted.
    pub io_merged_recursive: Option<Vec<BlkioEntry>>,
    /// Not counted.
    pub io_time_recursive: Option<Vec<BlkioEntry>>,
    /// Not counted.
    pub sectors_recursive: Option<Vec<BlkioEntry>>,
}

/// A device's count of one operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlkioEntry {
    /// Its major number.
    pub major: u64,
    /// Its minor number.
    pub minor: u64,
    /// `read`, `write` and the like, as the kernel spells them.
    pub op: String,
    /// The count.
    pub value: u64,
}

/// Processors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    /// Time used.
    pub cpu_usage: CpuUsage,
    /// Time that all processors of the host have spent, in nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub system_cpu_usage: u64,
    /// Processors.
    #[serde(skip_serializing_if = "is_zero")]
    pub online_cpus: u64,
    /// Time waited for the limit's sake.
    pub throttling_data: ThrottlingData,
}

/// Time used, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    /// In all.
    pub total_usage: u64,
    /// On each processor (cgroup v1 only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_usage: Vec<u64>,
    /// In the kernel.
    pub usage_in_kernelmode: u64,
    /// In programs.
    pub usage_in_usermode: u64,
}

/// Time waited for the limit's sake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThrottlingData {
    /// Periods that have passed.
    pub periods: u64,
    /// Of them those with waiting.
    pub throttled_periods: u64,
    /// Nanoseconds waited.
    pub throttled_time: u64,
}

/// Memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    /// In use.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most that was (cgroup v1, or Linux 5.19).
    #[serde(skip_serializing_if = "is_zero")]
    pub max_usage: u64,
    /// What the kernel counts, by its names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stats: BTreeMap<String, u64>,
    /// How often the limit was hit (cgroup v1 only).
    #[serde(skip_serializing_if = "is_zero")]
    pub failcnt: u64,
    /// The limit; the host's memory without one.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkStats {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Errors in receiving.
    pub rx_errors: u64,
    /// Received and dropped.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Errors in sending.
    pub tx_errors: u64,
    /// Dropped instead of sent.
    pub tx_dropped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
