//! Scheduling, placement and execution domain of a process, from the specification's words.

use corten_oci::runtime::{IoPriority, MemoryPolicy, Personality, Scheduler};
use corten_sys::process::Scheduling;
use rustix::thread::CpuSet;

use crate::context::invalid;
use crate::error::Result;

/// Reads `process.scheduler`.
pub(crate) fn parse(scheduler: &Scheduler) -> Result<Scheduling> {
    let mut scheduling = Scheduling::default();
    scheduling.policy = match scheduler.policy.as_str() {
        "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        policy => return Err(invalid(format!("invalid scheduler policy: {policy}"))),
    };
    for flag in &scheduler.flags {
        scheduling.flags |= match flag.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            flag => return Err(invalid(format!("invalid scheduler flag: {flag}"))),
        };
    }
    let priority = scheduler.priority.unwrap_or(0);
    scheduling.priority =
        u32::try_from(priority).map_err(|_| invalid(format!("invalid scheduler priority: {priority}")))?;
    scheduling.nice = scheduler.nice.unwrap_or(0);
    scheduling.runtime = scheduler.runtime.unwrap_or(0);
    scheduling.deadline = scheduler.deadline.unwrap_or(0);
    scheduling.period = scheduler.period.unwrap_or(0);
    Ok(scheduling)
}

/// Reads `process.ioPriority`.
pub(crate) fn io_priority(priority: &IoPriority) -> Result<(u32, u32)> {
    let class = match priority.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        class => return Err(invalid(format!("invalid io priority class: {class}"))),
    };
    let level = u32::try_from(priority.priority).ok().filter(|&level| level < 8);
    let level = level.ok_or_else(|| invalid("io priority must be from 0 to 7"))?;
    Ok((class, level))
}

/// Reads `linux.personality`.
pub(crate) fn personality(personality: &Personality) -> Result<u32> {
    if let Some(flag) = personality.flags.first() {
        return Err(invalid(format!("personality flag {flag:?} is not supported")));
    }
    match personality.domain.as_str() {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(8),
        domain => Err(invalid(format!("invalid personality domain {domain}"))),
    }
}

/// Reads `linux.memoryPolicy` into a mode with its flags and a bit for each node.
pub(crate) fn memory_policy(policy: &MemoryPolicy) -> Result<(u32, Vec<u64>)> {
    let mut mode: u32 = match policy.mode.as_str() {
        "MPOL_DEFAULT" => 0,
        "MPOL_PREFERRED" => 1,
        "MPOL_BIND" => 2,
        "MPOL_INTERLEAVE" => 3,
        "MPOL_LOCAL" => 4,
        "MPOL_PREFERRED_MANY" => 5,
        "MPOL_WEIGHTED_INTERLEAVE" => 6,
        mode => return Err(invalid(format!("invalid memory policy mode: {mode}"))),
    };
    for flag in &policy.flags {
        mode |= match flag.as_str() {
            "MPOL_F_NUMA_BALANCING" => 1 << 13,
            "MPOL_F_RELATIVE_NODES" => 1 << 14,
            "MPOL_F_STATIC_NODES" => 1 << 15,
            flag => return Err(invalid(format!("invalid memory policy flag: {flag}"))),
        };
    }
    let mut nodes = Vec::new();
    for node in list(policy.nodes.as_deref().unwrap_or_default())? {
        let word = node / 64;
        if nodes.len() <= word {
            nodes.resize(word + 1, 0);
        }
        nodes[word] |= 1_u64 << (node % 64);
    }
    Ok((mode, nodes))
}

/// Reads a list of processors such as `0-3,7`.
pub(crate) fn cpus(text: &str) -> Result<CpuSet> {
    let mut set = CpuSet::new();
    for cpu in list(text)? {
        if cpu >= CpuSet::MAX_CPU {
            return Err(invalid(format!("invalid CPU list {text:?}")));
        }
        set.set(cpu);
    }
    Ok(set)
}

/// The highest number a list may have.
const HIGHEST: usize = 4095;

fn list(text: &str) -> Result<Vec<usize>> {
    let refused = || invalid(format!("invalid list {text:?}"));
    let number = |word: &str| word.trim().parse().ok().filter(|&number: &usize| number <= HIGHEST);
    let mut all = Vec::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = number(first).zip(number(last)).ok_or_else(refused)?;
        if first > last {
            return Err(refused());
        }
        all.extend(first..=last);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_ranges_and_numbers() {
        assert_eq!(list("0-2, 7").unwrap(), [0, 1, 2, 7]);
        assert!(list("").unwrap().is_empty());
        for wrong in ["3-1", "a", "-1", "5000", "1-"] {
            assert!(list(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nodes_are_bits() {
        let policy = MemoryPolicy {
            mode: "MPOL_BIND".into(),
            nodes: Some("0,65".into()),
            flags: vec!["MPOL_F_STATIC_NODES".into()],
        };
        assert_eq!(memory_policy(&policy).unwrap(), (2 | 1 << 15, vec![1, 2]));
    }

    #[test]
    fn words_are_checked() {
        assert!(
            io_priority(&IoPriority {
                class: "IOPRIO_CLASS_BE".into(),
                priority: 8
            })
            .is_err()
        );
        assert!(
            personality(&Personality {
                domain: "BSD".into(),
                flags: vec![]
            })
            .is_err()
        );
        let fifo = Scheduler {
            policy: "SCHED_FIFO".into(),
            priority: Some(9),
            ..Scheduler::default()
        };
        assert_eq!(parse(&fifo).unwrap().priority, 9);
    }
}
