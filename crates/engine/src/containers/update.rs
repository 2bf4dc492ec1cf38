//! Changing limits and the restart policy of a container (Docker API, `POST /containers/{id}/update`).

use corten_api::container::{HostConfig, Resources, UpdateRequest, Updated};
use corten_shim::protocol::Request;

use super::{Containers, State, resources, validate};
use crate::error::{Error, Result};

impl Containers {
    /// Changes what a request names; zero and empty fields stay as they are.
    ///
    /// # Errors
    /// `Invalid` and `Conflict` in Docker's words; what the kernel refuses leaves the record as it was.
    pub async fn update(&self, name: &str, mut request: UpdateRequest) -> Result<Updated> {
        let container = self.find(name)?;
        let mut record = container.record();
        let refused = |error: Error| error.context(format!("Cannot update container {}", container.id));
        let warnings = self.0.machine.supported.discard(&mut request.resources);
        let asked = HostConfig {
            resources: request.resources.clone(),
            restart_policy: request.restart_policy.clone().unwrap_or_default(),
            ..HostConfig::default()
        };
        validate::updated(&asked, self.0.machine.limits())?;
        if matches!(record.state, State::Removing(_) | State::Dead(_)) {
            return Err(refused(Error::internal(
                "container is marked for removal and cannot be \"update\"",
            )));
        }
        conflict(&record.host_config.resources, &request.resources).map_err(refused)?;
        merge(&mut record.host_config.resources, &request.resources);
        if let Some(policy) = request.restart_policy.filter(|policy| !policy.name.is_empty()) {
            if record.host_config.auto_remove && policy.name != "no" {
                return Err(refused(Error::internal(
                    "Restart policy cannot be updated because AutoRemove is enabled for the container",
                )));
            }
            record.host_config.restart_policy = policy;
        }
        if record.state.running().is_some() && request.resources != Resources::default() {
            let limits = resources::limits(&record.host_config.resources)?;
            let request = Request::Update {
                resources: Box::new(limits),
            };
            let answer = container.link()?.call(request, Vec::new()).await;
            answer.map_err(|error| refused(error.into()))?;
        }
        container.edit(|kept| {
            kept.host_config.resources = record.host_config.resources;
            kept.host_config.restart_policy = record.host_config.restart_policy;
        })?;
        self.0.emit(&container, "update", &[]);
        Ok(Updated {
            warnings: (!warnings.is_empty()).then_some(warnings),
        })
    }
}

/// Refuses what contradicts the limits that a container has.
fn conflict(own: &Resources, new: &Resources) -> Result<()> {
    let both = |new: &str, own: &str| {
        Err(Error::conflict(format!(
            "Conflicting options: {new} cannot be updated as {own} has already been set"
        )))
    };
    match () {
        () if new.nano_cpus > 0 && own.cpu_period > 0 => both("Nano CPUs", "CPU Period"),
        () if new.nano_cpus > 0 && own.cpu_quota > 0 => both("Nano CPUs", "CPU Quota"),
        () if new.cpu_period > 0 && own.nano_cpus > 0 => both("CPU Period", "NanoCPUs"),
        () if new.cpu_quota > 0 && own.nano_cpus > 0 => both("CPU Quota", "NanoCPUs"),
        () if new.memory != 0 && new.memory_swap == 0 && new.memory > own.memory_swap => Err(Error::internal(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        )),
        () => Ok(()),
    }
}

/// Whether a request names a field.
fn given<T: Default + PartialEq>(value: &T) -> bool {
    *value != T::default()
}

/// Puts what a request names over what a container has.
fn merge(own: &mut Resources, new: &Resources) {
    macro_rules! take {
        ($($field:ident),*) => {
            $(if given(&new.$field) { own.$field.clone_from(&new.$field); })*
        };
    }
    take!(
        cpu_shares,
        memory,
        nano_cpus,
        blkio_weight,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        cpuset_cpus,
        cpuset_mems,
        memory_reservation,
        memory_swap,
        pids_limit
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(edit: impl FnOnce(&mut Resources)) -> Resources {
        let mut limits = Resources::default();
        edit(&mut limits);
        limits
    }

    #[test]
    fn merges_what_is_named() {
        let mut own = limits(|l| (l.memory, l.memory_swap, l.cpu_shares) = (64, 128, 5));
        merge(&mut own, &limits(|l| (l.memory, l.pids_limit) = (32, Some(7))));
        assert_eq!(
            (own.memory, own.memory_swap, own.cpu_shares, own.pids_limit),
            (32, 128, 5, Some(7))
        );
    }

    #[test]
    fn contradictions_are_refused_in_dockers_words() {
        let check = |own: fn(&mut Resources), new: fn(&mut Resources), expected: &str| {
            let refusal = conflict(&limits(own), &limits(new)).map_or_else(|e| e.report(), |()| "fine".into());
            assert_eq!(refusal, expected);
        };
        check(
            |l| l.cpu_period = 1,
            |l| l.nano_cpus = 1,
            "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
        );
        check(
            |l| l.nano_cpus = 1,
            |l| l.cpu_quota = 1,
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
        );
        let swap =
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time";
        check(|l| l.memory_swap = 128, |l| l.memory = 129, swap);
        check(|_| (), |l| l.memory = 1, swap);
        check(|l| l.memory_swap = 128, |l| l.memory = 128, "fine");
        check(|l| l.nano_cpus = 1, |l| l.nano_cpus = 2, "fine");
    }
}
