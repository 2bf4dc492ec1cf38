//! Changing limits and the restart policy of a container (Docker API, `POST /containers/{id}/update`).

use corten_api::container::{Resources, UpdateRequest, Updated};
use corten_shim::protocol::Request;

use super::{Containers, resources, validate};
use crate::error::{Error, Result};

impl Containers {
    /// Changes what a request names; zero and empty fields stay as they are.
    ///
    /// # Errors
    /// `Invalid` in Docker's words; what the kernel refuses leaves the record as it was.
    pub async fn update(&self, name: &str, request: UpdateRequest) -> Result<Updated> {
        let container = self.find(name)?;
        let mut record = container.record();
        merge(&mut record.host_config.resources, &request.resources);
        if let Some(policy) = request.restart_policy.filter(|policy| !policy.name.is_empty()) {
            validate::restart_policy(&policy, record.host_config.auto_remove).map_err(|e| {
                match record.host_config.auto_remove {
                    true => Error::invalid(
                        "Restart policy cannot be updated because AutoRemove is enabled for the container",
                    ),
                    false => e,
                }
            })?;
            record.host_config.restart_policy = policy;
        }
        validate::check(
            &record.config,
            &record.host_config,
            validate::Host {
                cpus: self.0.machine.cpus,
            },
        )?;
        if record.state.running().is_some() {
            let limits = resources::limits(&record.host_config.resources)?;
            container
                .link()?
                .call(
                    Request::Update {
                        resources: Box::new(limits),
                    },
                    Vec::new(),
                )
                .await?;
        }
        container.edit(|kept| {
            kept.host_config.resources = record.host_config.resources;
            kept.host_config.restart_policy = record.host_config.restart_policy;
        })?;
        self.0.emit(&container, "update", &[]);
        Ok(Updated { warnings: None })
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
    if new.nano_cpus != 0 {
        // The two ways to say the same take each other's place.
        (own.cpu_period, own.cpu_quota) = (0, 0);
    }
    if new.cpu_period != 0 || new.cpu_quota != 0 {
        own.nano_cpus = 0;
    }
    if new.memory != 0 && new.memory_swap == 0 && own.memory_swap > 0 && own.memory_swap < new.memory {
        own.memory_swap = new.memory.saturating_mul(2);
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
        memory_swappiness,
        pids_limit
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_what_is_named() {
        let mut own = Resources {
            memory: 64,
            memory_swap: 128,
            cpu_quota: 5,
            ..Default::default()
        };
        merge(
            &mut own,
            &Resources {
                memory: 32,
                nano_cpus: 1,
                ..Default::default()
            },
        );
        assert_eq!(
            (own.memory, own.memory_swap, own.nano_cpus, own.cpu_quota),
            (32, 128, 1, 0)
        );
        merge(
            &mut own,
            &Resources {
                memory: 500,
                ..Default::default()
            },
        );
        assert_eq!((own.memory, own.memory_swap), (500, 1000));
    }
}
