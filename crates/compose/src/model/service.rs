//! A service and the parts of it.

use std::collections::BTreeMap;

use super::{
    Build, Bytes, Decode, Deploy, DeviceRequest, Duration, EnvFile, Extends, ExtraHosts, FileMount, HealthTest, Mount,
    Options, Part, Port, Render, ServiceNetwork, ShellCommand, Strings, Variables,
    decode::{self, integer},
    model,
};
use crate::{
    Node, Value,
    error::{Error, Result},
    output::{Format, Output},
};

/// A service's command, which JSON has even when it is not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command(pub ShellCommand);

impl Decode for Command {
    fn decode(node: &Node) -> Result<Self> {
        let words = match &node.value {
            Value::Text(text) => crate::words::split(text)
                .map_err(|reason| Error::invalid(format!("cannot split {text:?} into words: {reason}")).at(node.at))?,
            Value::List(list) => list.iter().map(decode::text).collect::<Result<_>>()?,
            _ => return Err(decode::expected(node, "a text or a list of texts")),
        };
        Ok(Self(Some(words)))
    }
}

impl Render for Command {
    fn is_zero(&self) -> bool {
        self.0.is_none()
    }

    fn is_omitted(&self, format: Format) -> bool {
        format == Format::Yaml && self.0.is_none()
    }

    fn render(&self, format: Format) -> Output {
        self.0.render(format)
    }
}

impl std::ops::Deref for Command {
    type Target = ShellCommand;

    fn deref(&self) -> &ShellCommand {
        &self.0
    }
}

model! {
    /// A service: what its containers are made of (Compose specification, `services`).
    pub struct Service {
        /// The profiles that it belongs to; it always runs when there are none.
        "profiles" profiles: Strings,
        /// Metadata for the runtime.
        "annotations" annotations: Options,
        /// Whether `up` shows its output.
        "attach" attach: Option<bool>,
        /// How its image is built.
        "build" build: Option<Build>,
        /// What happens when its sources change.
        "develop" develop: Option<Develop>,
        /// Limits of reading and writing disks.
        "blkio_config" blkio_config: Option<BlkioConfig>,
        /// Capabilities to add.
        "cap_add" cap_add: Strings,
        /// Capabilities to drop.
        "cap_drop" cap_drop: Strings,
        /// The cgroup above its own.
        "cgroup_parent" cgroup_parent: String,
        /// The cgroup namespace: `host` or `private`.
        "cgroup" cgroup: String,
        /// How many processors; for Windows.
        "cpu_count" cpu_count: i64,
        /// The share of processors; for Windows.
        "cpu_percent" cpu_percent: f32,
        /// The scheduler's period in microseconds.
        "cpu_period" cpu_period: i64,
        /// The time in each period in microseconds.
        "cpu_quota" cpu_quota: i64,
        /// The realtime period in microseconds.
        "cpu_rt_period" cpu_rt_period: i64,
        /// The realtime in each period in microseconds.
        "cpu_rt_runtime" cpu_rt_runtime: i64,
        /// How many processors.
        "cpus" cpus: f32,
        /// Which processors.
        "cpuset" cpuset: String,
        /// The relative weight.
        "cpu_shares" cpu_shares: i64,
        /// The command.
        "command" command: Command,
        /// Configs to mount.
        "configs" configs: Vec<FileMount>,
        /// The container's name, when it is not `<project>-<service>-<number>`.
        "container_name" container_name: String,
        /// Credentials; for Windows.
        "credential_spec" credential_spec: Option<CredentialSpec>,
        /// The services to start before, by name.
        "depends_on" depends_on: BTreeMap<String, Dependency>,
        /// How it is deployed.
        "deploy" deploy: Option<Deploy>,
        /// Rules of the devices cgroup.
        "device_cgroup_rules" device_cgroup_rules: Strings,
        /// Devices.
        "devices" devices: Vec<DeviceMapping>,
        /// Nameservers.
        "dns" dns: Strings,
        /// Options of the resolver.
        "dns_opt" dns_opt: Strings,
        /// Domains to search.
        "dns_search" dns_search: Strings,
        /// An old name of `build.dockerfile`.
        "dockerfile" dockerfile: String,
        /// The domain.
        "domainname" domainname: String,
        /// The entrypoint.
        "entrypoint" entrypoint: Command,
        /// Who provides the service when it is no container.
        "provider" provider: Option<Provider>,
        /// Variables.
        "environment" environment: Variables,
        /// Files with variables.
        "env_file" env_file: Vec<EnvFile>,
        /// Ports that other services may use.
        "expose" expose: Strings,
        /// The service that this one extends.
        "extends" extends: Option<Extends>,
        /// Containers outside of the project to link.
        "external_links" external_links: Strings,
        /// Further names of hosts.
        "extra_hosts" extra_hosts: ExtraHosts,
        /// Further groups of its user.
        "group_add" group_add: Strings,
        /// GPUs.
        "gpus" gpus: Vec<DeviceRequest>,
        /// The host's name.
        "hostname" hostname: String,
        /// How to tell that it is well.
        "healthcheck" healthcheck: Option<Healthcheck>,
        /// The image.
        "image" image: String,
        /// Whether an init runs before the command.
        "init" init: Option<bool>,
        /// The IPC namespace.
        "ipc" ipc: String,
        /// How containers are kept apart; for Windows.
        "isolation" isolation: String,
        /// Labels of its containers.
        "labels" labels: Options,
        /// Files with labels.
        "label_file" label_file: Strings,
        /// Services to link.
        "links" links: Strings,
        /// Where its output goes.
        "logging" logging: Option<Logging>,
        /// An old name of `logging.driver`.
        "log_driver" log_driver: String,
        /// An old name of `logging.options`.
        "log_opt" log_opt: Options,
        /// The most memory.
        "mem_limit" mem_limit: Bytes,
        /// The memory that is kept for it.
        "mem_reservation" mem_reservation: Bytes,
        /// The most memory and swap.
        "memswap_limit" memswap_limit: Bytes,
        /// How willingly it is swapped out, in percent.
        "mem_swappiness" mem_swappiness: Bytes,
        /// The MAC address.
        "mac_address" mac_address: String,
        /// The language models that it uses, by name.
        "models" models: BTreeMap<String, Option<ServiceModel>>,
        /// An old name of `network_mode`.
        "net" net: String,
        /// The network namespace, when it is in no network.
        "network_mode" network_mode: String,
        /// The networks that it is in, by name.
        "networks" networks: BTreeMap<String, Option<ServiceNetwork>>,
        /// Whether it is spared when memory runs out.
        "oom_kill_disable" oom_kill_disable: bool,
        /// How soon it is killed when memory runs out.
        "oom_score_adj" oom_score_adj: i64,
        /// The PID namespace.
        "pid" pid: String,
        /// The most processes.
        "pids_limit" pids_limit: i64,
        /// The platform.
        "platform" platform: String,
        /// Published ports.
        "ports" ports: Vec<Port>,
        /// Whether it has all privileges.
        "privileged" privileged: bool,
        /// When its image is pulled.
        "pull_policy" pull_policy: String,
        /// Whether its root is read-only.
        "read_only" read_only: bool,
        /// When its containers are started again.
        "restart" restart: String,
        /// The runtime.
        "runtime" runtime: String,
        /// How many containers.
        "scale" scale: Option<i64>,
        /// Secrets to mount.
        "secrets" secrets: Vec<FileMount>,
        /// Security options.
        "security_opt" security_opt: Strings,
        /// The size of `/dev/shm`.
        "shm_size" shm_size: Bytes,
        /// Whether standard input stays open.
        "stdin_open" stdin_open: bool,
        /// How long it has to stop.
        "stop_grace_period" stop_grace_period: Option<Duration>,
        /// The signal to stop it.
        "stop_signal" stop_signal: String,
        /// Options of storage.
        "storage_opt" storage_opt: Options,
        /// Settings of the kernel.
        "sysctls" sysctls: Options,
        /// Folders in memory.
        "tmpfs" tmpfs: Strings,
        /// Whether it has a terminal.
        "tty" tty: bool,
        /// Limits of its processes, by name.
        "ulimits" ulimits: BTreeMap<String, Option<Ulimit>>,
        /// Whether it may talk to the engine.
        "use_api_socket" use_api_socket: bool,
        /// The user.
        "user" user: String,
        /// The user namespace.
        "userns_mode" userns_mode: String,
        /// The UTS namespace.
        "uts" uts: String,
        /// The driver of anonymous volumes.
        "volume_driver" volume_driver: String,
        /// Mounts.
        "volumes" volumes: Vec<Mount>,
        /// Services and containers whose mounts it has as well.
        "volumes_from" volumes_from: Strings,
        /// The working directory.
        "working_dir" working_dir: String,
        /// What runs in a container after it was started.
        "post_start" post_start: Vec<Hook>,
        /// What runs in a container before it is stopped.
        "pre_stop" pre_stop: Vec<Hook>,
    }
}

impl Service {
    /// How many containers it is to have.
    pub fn replicas(&self) -> i64 {
        let deployed = self.deploy.as_ref().and_then(|deploy| deploy.replicas);
        self.scale.or(deployed).unwrap_or(1)
    }

    /// Whether one of these profiles enables it.
    pub fn is_enabled_by(&self, profiles: &[String]) -> bool {
        self.profiles.is_empty() || profiles.iter().any(|p| p == "*" || self.profiles.contains(p))
    }

    /// The networks that it is in, the one with the highest priority first.
    pub fn networks_by_priority(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.networks.iter().collect();
        names.sort_by_key(|(_, network)| std::cmp::Reverse(network.as_ref().map_or(0, |network| network.priority)));
        names.into_iter().map(|(name, _)| name.as_str()).collect()
    }
}

model! {
    /// What a service waits for before it starts.
    pub struct Dependency {
        /// `service_started`, `service_healthy` or `service_completed_successfully`.
        "condition" condition: String,
        /// Whether it is restarted after the other one was replaced.
        "restart" restart: bool,
        /// Whether it does without when the other one cannot be had.
        "required" required: bool [always],
    }
}

model! {
    /// Who provides a service that is no container.
    pub struct Provider {
        /// The program, or the plugin of the command line.
        "type" kind: String,
        /// Its options.
        "options" options: BTreeMap<String, Strings>,
    }
}

model! {
    /// A device of the host.
    pub struct DeviceMapping {
        /// Its path on the host.
        "source" source: String,
        /// Its path in the container.
        "target" target: String,
        /// What the container may do: of `rwm`.
        "permissions" permissions: String,
    }
}

model! {
    /// Limits of reading and writing disks.
    pub struct BlkioConfig {
        /// The relative weight.
        "weight" weight: u16,
        /// The relative weight on each disk.
        "weight_device" weight_device: Vec<WeightDevice>,
        /// Bytes read a second.
        "device_read_bps" device_read_bps: Vec<ThrottleDevice>,
        /// Reads a second.
        "device_read_iops" device_read_iops: Vec<ThrottleDevice>,
        /// Bytes written a second.
        "device_write_bps" device_write_bps: Vec<ThrottleDevice>,
        /// Writes a second.
        "device_write_iops" device_write_iops: Vec<ThrottleDevice>,
    }
}

model! {
    /// The weight on a disk.
    pub struct WeightDevice {
        /// The disk.
        "path" path: String [named "Path"],
        /// The relative weight.
        "weight" weight: u16 [named "Weight"],
    }
}

model! {
    /// The limit on a disk.
    pub struct ThrottleDevice {
        /// The disk.
        "path" path: String [named "Path"],
        /// How much a second.
        "rate" rate: Bytes [named "Rate"],
    }
}

model! {
    /// Where a service's output goes.
    pub struct Logging {
        /// The driver.
        "driver" driver: String,
        /// Options for the driver.
        "options" options: Options,
    }
}

model! {
    /// How to tell that a container is well.
    pub struct Healthcheck {
        /// What to run.
        "test" test: HealthTest,
        /// How long it may take.
        "timeout" timeout: Option<Duration>,
        /// How long to wait between two.
        "interval" interval: Option<Duration>,
        /// How many failures in a row mean unhealthy.
        "retries" retries: Option<u64>,
        /// How long failures do not count.
        "start_period" start_period: Option<Duration>,
        /// How long to wait between two during that.
        "start_interval" start_interval: Option<Duration>,
        /// Whether the image's is turned off.
        "disable" disable: bool,
    }
}

model! {
    /// Credentials; for Windows.
    pub struct CredentialSpec {
        /// The config with them.
        "config" config: String,
        /// The file with them.
        "file" file: String,
        /// The registry's key with them.
        "registry" registry: String,
    }
}

model! {
    /// A command that runs in a container at a point of its life.
    pub struct Hook {
        /// The command.
        "command" command: Command,
        /// The user.
        "user" user: String,
        /// Whether it has all privileges.
        "privileged" privileged: bool,
        /// The working directory.
        "working_dir" working_dir: String,
        /// Variables.
        "environment" environment: Variables,
    }
}

model! {
    /// What happens when a service's sources change.
    pub struct Develop {
        /// What to watch.
        "watch" watch: Vec<Trigger>,
    }
}

model! {
    /// What to watch, and what to do about changes.
    pub struct Trigger {
        /// The folder or file.
        "path" path: String [always],
        /// `rebuild`, `sync`, `restart`, `sync+restart` or `sync+exec`.
        "action" action: String [always],
        /// Where it is in the container.
        "target" target: String,
        /// What to run after.
        "exec" exec: Part<Hook>,
        /// Patterns of what counts.
        "include" include: Strings,
        /// Patterns of what does not.
        "ignore" ignore: Strings,
        /// Whether everything is sent once at the beginning.
        "initial_sync" initial_sync: bool,
    }
}

model! {
    /// A model that a service uses.
    pub struct ServiceModel {
        /// The variable with the address.
        "endpoint_var" endpoint_var: String,
        /// The variable with the model's name.
        "model_var" model_var: String,
    }
}

/// A limit of processes: one number, or a soft and a hard one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ulimit {
    /// Both at once; 0 when they differ.
    pub single: i64,
    /// What applies.
    pub soft: i64,
    /// What a process may raise it to.
    pub hard: i64,
}

impl Decode for Ulimit {
    fn decode(node: &Node) -> Result<Self> {
        let Value::Map(map) = &node.value else {
            return Ok(Self {
                single: integer(node)?,
                ..Self::default()
            });
        };
        let number = |key: &str| map.get(key).map_or(Ok(0), integer);
        Ok(Self {
            single: 0,
            soft: number("soft")?,
            hard: number("hard")?,
        })
    }
}

impl Render for Ulimit {
    fn is_zero(&self) -> bool {
        false
    }

    fn render(&self, format: Format) -> Output {
        if self.single != 0 {
            return self.single.render(format);
        }
        let fields = [("soft", self.soft), ("hard", self.hard)];
        let given = fields
            .into_iter()
            .filter(|(_, value)| format == Format::Yaml || *value != 0);
        Output::Map(
            given
                .map(|(key, value)| (key.to_owned(), value.render(format)))
                .collect(),
        )
    }
}
