//! `deploy`: how many containers, and what they may use.

use super::{Bytes, Decode, DeviceCount, Duration, Options, Part, Render, Strings, decode, model};
use crate::{
    Node,
    error::Result,
    output::{Format, Output},
};

model! {
    /// How a service is deployed (Compose specification, `deploy`).
    pub struct Deploy {
        /// `replicated`, `global`, or a job of either kind.
        "mode" mode: String,
        /// How many containers.
        "replicas" replicas: Option<i64>,
        /// Labels of the service, not of its containers.
        "labels" labels: Options,
        /// How containers are replaced.
        "update_config" update_config: Option<UpdateConfig>,
        /// How a failed replacement is undone.
        "rollback_config" rollback_config: Option<UpdateConfig>,
        /// What containers may use, and what is kept for them.
        "resources" resources: Part<Resources>,
        /// When containers are started again.
        "restart_policy" restart_policy: Option<RestartPolicy>,
        /// Where containers run.
        "placement" placement: Part<Placement>,
        /// How clients reach the service.
        "endpoint_mode" endpoint_mode: String,
    }
}

model! {
    /// How containers are replaced.
    pub struct UpdateConfig {
        /// How many at once.
        "parallelism" parallelism: Option<u64>,
        /// The pause between them.
        "delay" delay: Duration,
        /// What to do when one fails.
        "failure_action" failure_action: String,
        /// How long to watch each.
        "monitor" monitor: Duration,
        /// The share of failures that is borne.
        "max_failure_ratio" max_failure_ratio: f32,
        /// Whether the old one is stopped first or the new one started first.
        "order" order: String,
    }
}

model! {
    /// What containers may use, and what is kept for them.
    pub struct Resources {
        /// What they may use at most.
        "limits" limits: Option<Resource>,
        /// What is kept for them.
        "reservations" reservations: Option<Resource>,
    }
}

model! {
    /// Amounts of what a machine has.
    pub struct Resource {
        /// Processors.
        "cpus" cpus: NanoCpus,
        /// Memory.
        "memory" memory: Bytes,
        /// Processes.
        "pids" pids: i64,
        /// Devices.
        "devices" devices: Vec<DeviceRequest>,
        /// Whatever else is counted.
        "generic_resources" generic_resources: Vec<GenericResource>,
    }
}

/// A number of processors.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NanoCpus(pub f32);

impl Decode for NanoCpus {
    fn decode(node: &Node) -> Result<Self> {
        f32::decode(node).map(Self)
    }
}

impl Render for NanoCpus {
    fn is_zero(&self) -> bool {
        self.0 == 0.0
    }

    fn render(&self, _: Format) -> Output {
        Output::Float32(self.0)
    }
}

/// A request for devices such as GPUs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviceRequest {
    /// What they must be able to do.
    pub capabilities: Strings,
    /// Whose devices.
    pub driver: String,
    /// How many.
    pub count: DeviceCount,
    /// Which ones.
    pub ids: Strings,
    /// Options for the driver.
    pub options: Options,
}

impl Decode for DeviceRequest {
    fn decode(node: &Node) -> Result<Self> {
        let mut request = Self::default();
        for (key, node) in decode::mapping(node)? {
            match key.as_str() {
                "capabilities" => request.capabilities = decode::field(node)?,
                "driver" => request.driver = decode::field(node)?,
                "count" => request.count = decode::field(node)?,
                "device_ids" => request.ids = decode::field(node)?,
                "options" => request.options = decode::field(node)?,
                _ => {}
            }
        }
        Ok(request)
    }
}

impl Render for DeviceRequest {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    fn render(&self, format: Format) -> Output {
        let fields: [(&str, &dyn Render); 5] = [
            ("capabilities", &self.capabilities),
            ("driver", &self.driver),
            ("count", &self.count),
            ("device_ids", &self.ids),
            ("options", &self.options),
        ];
        let fields = fields.into_iter().filter(|(_, value)| !value.is_zero());
        Output::Map(
            fields
                .map(|(key, value)| (key.to_owned(), value.render(format)))
                .collect(),
        )
    }
}

model! {
    /// Something else that is counted.
    pub struct GenericResource {
        /// What, and how many.
        "discrete_resource_spec" discrete_resource_spec: Option<DiscreteResource>,
    }
}

model! {
    /// What is counted, and how many.
    pub struct DiscreteResource {
        /// What.
        "kind" kind: String [always],
        /// How many.
        "value" value: i64 [always],
    }
}

model! {
    /// When containers are started again.
    pub struct RestartPolicy {
        /// `none`, `on-failure` or `any`.
        "condition" condition: String,
        /// How long to wait before.
        "delay" delay: Option<Duration>,
        /// How often at most.
        "max_attempts" max_attempts: Option<u64>,
        /// How long one must run to count as started.
        "window" window: Option<Duration>,
    }
}

model! {
    /// Where containers run.
    pub struct Placement {
        /// What a machine must meet.
        "constraints" constraints: Strings,
        /// What to spread them over.
        "preferences" preferences: Vec<PlacementPreference>,
        /// How many a machine may have.
        "max_replicas_per_node" max_replicas_per_node: u64,
    }
}

model! {
    /// What to spread containers over.
    pub struct PlacementPreference {
        /// The label.
        "spread" spread: String,
    }
}
