//! What a container is made with, as texts by attribute: of a request, or of a container that is there.

use std::collections::{BTreeMap, BTreeSet};

use corten_api::{
    container::{Config, CreateRequest, HostConfig, Inspect},
    image,
    network::EndpointSettings,
};
use serde_json::Value;

use super::Difference;
use crate::convert::STANDS_BY_FOR;

/// The prefix of Compose's own labels.
const OWN_LABELS: &str = "com.docker.compose.";

/// Attributes of the specification by the names that the API has for them (`HostConfig`).
const HOST: &[(&str, &str)] = &[
    ("Annotations", "annotations"),
    ("BlkioDeviceReadBps", "blkio_config.device_read_bps"),
    ("BlkioDeviceReadIOps", "blkio_config.device_read_iops"),
    ("BlkioDeviceWriteBps", "blkio_config.device_write_bps"),
    ("BlkioDeviceWriteIOps", "blkio_config.device_write_iops"),
    ("BlkioWeight", "blkio_config.weight"),
    ("BlkioWeightDevice", "blkio_config.weight_device"),
    ("CapAdd", "cap_add"),
    ("CapDrop", "cap_drop"),
    ("CgroupParent", "cgroup_parent"),
    ("CgroupnsMode", "cgroup"),
    ("CpuCount", "cpu_count"),
    ("CpuPercent", "cpu_percent"),
    ("CpuPeriod", "cpu_period"),
    ("CpuQuota", "cpu_quota"),
    ("CpuRealtimePeriod", "cpu_rt_period"),
    ("CpuRealtimeRuntime", "cpu_rt_runtime"),
    ("CpuShares", "cpu_shares"),
    ("CpusetCpus", "cpuset"),
    ("DeviceCgroupRules", "device_cgroup_rules"),
    ("DeviceRequests", "gpus"),
    ("Devices", "devices"),
    ("Dns", "dns"),
    ("DnsOptions", "dns_opt"),
    ("DnsSearch", "dns_search"),
    ("ExtraHosts", "extra_hosts"),
    ("GroupAdd", "group_add"),
    ("Init", "init"),
    ("IpcMode", "ipc"),
    ("Isolation", "isolation"),
    ("Links", "links"),
    ("Memory", "mem_limit"),
    ("MemoryReservation", "mem_reservation"),
    ("MemorySwappiness", "mem_swappiness"),
    ("NanoCpus", "cpus"),
    ("OomKillDisable", "oom_kill_disable"),
    ("OomScoreAdj", "oom_score_adj"),
    ("PidMode", "pid"),
    ("PidsLimit", "pids_limit"),
    ("Privileged", "privileged"),
    ("ReadonlyRootfs", "read_only"),
    ("Runtime", "runtime"),
    ("SecurityOpt", "security_opt"),
    ("ShmSize", "shm_size"),
    ("StorageOpt", "storage_opt"),
    ("Sysctls", "sysctls"),
    ("Tmpfs", "tmpfs"),
    ("UTSMode", "uts"),
    ("Ulimits", "ulimits"),
    ("UsernsMode", "userns_mode"),
    ("VolumeDriver", "volume_driver"),
    ("VolumesFrom", "volumes_from"),
];

/// What engines fill in where nothing was asked for; some of it depends on their configuration.
const FILLED_IN: &[&str] = &[
    "ipc",
    "cgroup",
    "runtime",
    "shm_size",
    "isolation",
    "logging",
    "ulimits",
];

/// An attribute.
type Path = Vec<String>;

/// Attributes with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts(BTreeMap<Path, String>);

impl Facts {
    /// Of a request, on top of what its image says.
    pub(super) fn of_request(request: &CreateRequest, image: &image::Config, networks: &BTreeMap<&str, &str>) -> Self {
        let mut facts = Self::default();
        facts.config(&over_image(&request.config, image), image);
        facts.host(&request.host_config);
        facts.networks(&request.networking_config.endpoints_config, networks, &[]);
        facts
    }

    /// Of a container that is there.
    pub(super) fn of_container(container: &Inspect, image: &image::Config, networks: &BTreeMap<&str, &str>) -> Self {
        let mut facts = Self::default();
        let mut config = container.config.clone();
        let short = container.id.get(..12).unwrap_or(&container.id);
        if config.hostname == short {
            config.hostname.clear();
        }
        facts.config(&config, image);
        facts.host(&container.host_config);
        facts.networks(&container.network_settings.networks, networks, &[short]);
        facts
    }

    fn put(&mut self, path: &[&str], value: impl Into<String>) {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.0.insert(path, value.into());
    }

    fn text(&mut self, path: &[&str], value: &str) {
        if !value.is_empty() {
            self.put(path, value);
        }
    }

    fn config(&mut self, config: &Config, image: &image::Config) {
        for (name, value) in config.env.iter().flatten().filter_map(|line| line.split_once('=')) {
            self.put(&["environment", name], value);
        }
        let from_image = image.labels.iter().flatten().collect::<BTreeMap<_, _>>();
        for (name, value) in &config.labels {
            if !name.starts_with(OWN_LABELS) && from_image.get(name) != Some(&value) {
                self.put(&["labels", name], value);
            }
        }
        for (attribute, words) in [("command", &config.cmd), ("entrypoint", &config.entrypoint)] {
            let words = words.as_deref().unwrap_or_default();
            if !words.is_empty() && words != [""] {
                self.put(&[attribute], json(words));
            }
        }
        self.text(&["user"], &config.user);
        self.text(&["working_dir"], &config.working_dir);
        self.text(&["hostname"], &config.hostname);
        self.text(&["domainname"], &config.domainname);
        self.text(&["stop_signal"], &config.stop_signal);
        for (attribute, on) in [("tty", config.tty), ("stdin_open", config.open_stdin)] {
            if on {
                self.put(&[attribute], "true");
            }
        }
        if let Some(seconds) = config.stop_timeout {
            self.put(&["stop_grace_period"], format!("{seconds}s"));
        }
        if let Some(check) = &config.healthcheck {
            self.healthcheck(check);
        }
        let ports = config
            .exposed_ports
            .iter()
            .flatten()
            .map(|(port, _)| match port.contains('/') {
                true => port.clone(),
                false => format!("{port}/tcp"),
            });
        let ports: BTreeSet<_> = ports.collect();
        if !ports.is_empty() {
            self.put(&["expose"], Value::from_iter(ports).to_string());
        }
    }

    fn healthcheck(&mut self, check: &corten_api::container::Healthcheck) {
        if !check.test.is_empty() {
            self.put(&["healthcheck", "test"], json(&check.test));
        }
        for (attribute, nanoseconds) in [
            ("interval", check.interval),
            ("timeout", check.timeout),
            ("start_period", check.start_period),
            ("start_interval", check.start_interval),
        ] {
            if let Ok(nanoseconds @ 1..) = u64::try_from(nanoseconds) {
                let span = std::time::Duration::from_nanos(nanoseconds);
                self.put(&["healthcheck", attribute], format!("{span:?}"));
            }
        }
        if check.retries > 0 {
            self.put(&["healthcheck", "retries"], check.retries.to_string());
        }
    }

    fn host(&mut self, host: &HostConfig) {
        let value = serde_json::to_value(host).unwrap_or_default();
        for (name, attribute) in HOST {
            let path: Vec<_> = attribute.split('.').collect();
            match value.get(name) {
                Some(Value::Object(map)) => {
                    for (key, value) in map.iter().filter(|(key, _)| *key != STANDS_BY_FOR) {
                        self.put(&[&path[..], &[key]].concat(), plain(value));
                    }
                }
                Some(Value::Array(list)) if name.starts_with("Cap") && !list.is_empty() => {
                    self.put(&path, capabilities(list));
                }
                Some(value) if !is_nothing(value) => self.put(&path, plain(value)),
                _ => {}
            }
        }
        let policy = &host.restart_policy;
        match (policy.name.as_str(), policy.maximum_retry_count) {
            ("" | "no", _) => {}
            (name, 0) => self.put(&["restart"], name),
            (name, count) => self.put(&["restart"], format!("{name}:{count}")),
        }
        // What engines make of a limit of memory, where nothing is said of swap.
        if host.resources.memory_swap != 0 && host.resources.memory_swap != host.resources.memory * 2 {
            self.put(&["memswap_limit"], host.resources.memory_swap.to_string());
        }
        self.text(&["logging", "driver"], &host.log_config.driver);
        for (name, value) in &host.log_config.options {
            self.put(&["logging", "options", name], value);
        }
        if matches!(host.network_mode.as_str(), "host" | "none") || host.network_mode.starts_with("container:") {
            self.put(&["network_mode"], &host.network_mode);
        }
        self.ports(host);
        self.mounts(host);
    }

    fn ports(&mut self, host: &HostConfig) {
        for (port, bindings) in &host.port_bindings {
            let shown = bindings.iter().flatten().map(|binding| match binding.host_ip.as_str() {
                "" => binding.host_port.clone(),
                ip => format!("{ip}:{}", binding.host_port),
            });
            let mut shown: Vec<_> = shown.collect();
            shown.sort();
            if !shown.is_empty() {
                self.put(&["ports", port], shown.join(","));
            }
        }
    }

    fn mounts(&mut self, host: &HostConfig) {
        for bind in host.binds.iter().flatten() {
            let mut parts = bind.split(':');
            let (source, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let modes = parts.next().unwrap_or_default().split(',');
            let mut modes: Vec<_> = modes.filter(|mode| !matches!(*mode, "" | "rw")).collect();
            modes.sort_unstable();
            self.put(&["volumes", target], [&[source], &modes[..]].concat().join(" "));
        }
        for mount in host.mounts.iter().flatten() {
            let mut value = serde_json::to_value(mount).unwrap_or_default();
            let anonymous = mount.kind == "volume" && is_generated(&mount.source);
            if let Some(map) = value.as_object_mut() {
                map.remove("Target");
                map.retain(|_, value| !is_nothing(value));
                if anonymous {
                    map.remove("Source");
                }
            }
            let text = if anonymous {
                ANONYMOUS.to_owned()
            } else {
                value.to_string()
            };
            self.put(&["volumes", &mount.target], text);
        }
    }

    fn networks(&mut self, all: &BTreeMap<String, EndpointSettings>, keys: &BTreeMap<&str, &str>, own: &[&str]) {
        for (name, endpoint) in all {
            if matches!(name.as_str(), "host" | "none") {
                continue;
            }
            let key = keys.get(name.as_str()).copied().unwrap_or(name);
            self.put(&["networks", key], "connected");
            let aliases = endpoint.aliases.iter().flatten().map(String::as_str);
            let mut aliases: Vec<_> = aliases.filter(|alias| !own.contains(alias)).collect();
            aliases.sort_unstable();
            if !aliases.is_empty() {
                self.put(&["networks", key, "aliases"], json(&aliases));
            }
            if let Some(ipam) = &endpoint.ipam_config {
                self.text(&["networks", key, "ipv4_address"], &ipam.ipv4_address);
                self.text(&["networks", key, "ipv6_address"], &ipam.ipv6_address);
            }
            for (name, value) in endpoint.driver_opts.iter().flatten() {
                self.put(&["networks", key, "driver_opts", name], value);
            }
            if endpoint.gw_priority != 0 {
                self.put(&["networks", key, "gw_priority"], endpoint.gw_priority.to_string());
            }
        }
    }
}

const ANONYMOUS: &str = "an anonymous volume";

/// What differs; what engines fill in by themselves does not.
pub(super) fn differences(is: Facts, wanted: Facts) -> Vec<Difference> {
    let mut found = Vec::new();
    for (path, value) in &is.0 {
        let is_wanted = wanted.0.get(path);
        let filled_in = FILLED_IN.contains(&path[0].as_str()) || value == ANONYMOUS;
        if is_wanted != Some(value) && !(is_wanted.is_none() && filled_in) {
            found.push(Difference {
                path: path.clone(),
                is: Some(value.clone()),
                wanted: is_wanted.cloned(),
            });
        }
    }
    for (path, value) in wanted.0 {
        if !is.0.contains_key(&path) {
            found.push(Difference {
                path,
                is: None,
                wanted: Some(value),
            });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// A request's configuration with what comes from the image, as engines put it together.
fn over_image(config: &Config, image: &image::Config) -> Config {
    let mut all = config.clone();
    let name = |line: &String| line.split('=').next().unwrap_or_default().to_owned();
    let own: Vec<_> = config.env.iter().flatten().map(name).collect();
    let inherited = image.env.iter().flatten().filter(|line| !own.contains(&name(line)));
    let env = inherited.chain(config.env.iter().flatten()).cloned();
    all.env = Some(env.collect());
    if all.entrypoint.is_none() {
        if all.cmd.as_ref().is_none_or(Vec::is_empty) {
            all.cmd.clone_from(&image.cmd);
        }
        all.entrypoint.clone_from(&image.entrypoint);
    }
    for (own, inherited) in [
        (&mut all.user, &image.user),
        (&mut all.working_dir, &image.working_dir),
        (&mut all.stop_signal, &image.stop_signal),
    ] {
        if own.is_empty() {
            own.clone_from(inherited);
        }
    }
    let mut ports = all.exposed_ports.unwrap_or_default();
    for port in image.exposed_ports.iter().flatten().map(|(port, _)| port) {
        ports.entry(port.clone()).or_default();
    }
    all.exposed_ports = Some(ports);
    if let Some(theirs) = &image.healthcheck {
        let own = all.healthcheck.get_or_insert_default();
        if own.test.is_empty() {
            own.test.clone_from(&theirs.test);
        }
        for (own, theirs) in [
            (&mut own.interval, theirs.interval),
            (&mut own.timeout, theirs.timeout),
            (&mut own.start_period, theirs.start_period),
            (&mut own.start_interval, theirs.start_interval),
            (&mut own.retries, theirs.retries),
        ] {
            if *own == 0 {
                *own = theirs;
            }
        }
    }
    all
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_i64() == Some(0) || number.as_i64() == Some(-1),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Capabilities as files name them.
fn capabilities(list: &[Value]) -> String {
    let names = list.iter().filter_map(Value::as_str).map(str::to_uppercase);
    let names: BTreeSet<_> = names.map(|name| name.trim_start_matches("CAP_").to_owned()).collect();
    Value::from_iter(names).to_string()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn json(words: &[impl AsRef<str>]) -> String {
    Value::from_iter(words.iter().map(AsRef::as_ref)).to_string()
}

/// Whether a volume has a name that an engine gave it.
fn is_generated(name: &str) -> bool {
    name.is_empty() || (name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(text: &str) -> Facts {
        let config: Config = serde_json::from_str(text).expect("a configuration");
        let mut facts = Facts::default();
        facts.config(&config, &image::Config::default());
        facts
    }

    #[test]
    fn what_differs_is_told_by_path() {
        let is =
            facts(r#"{"Env": ["A=1", "B=2"], "Cmd": ["a"], "Labels": {"com.docker.compose.project": "x", "l": "1"}}"#);
        let wanted = facts(r#"{"Env": ["A=1", "B=3", "C=4"], "Cmd": ["a"], "User": "me"}"#);
        let told: Vec<_> = differences(is, wanted)
            .into_iter()
            .map(|one| {
                (
                    one.attribute(),
                    one.is.unwrap_or_default(),
                    one.wanted.unwrap_or_default(),
                )
            })
            .collect();
        let expected = [
            ("environment.B", "2", "3"),
            ("environment.C", "", "4"),
            ("labels.l", "1", ""),
            ("user", "", "me"),
        ];
        assert_eq!(
            told,
            expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()))
        );
    }

    #[test]
    fn the_image_fills_in() {
        let image: image::Config =
            serde_json::from_str(r#"{"Env": ["PATH=/bin", "A=0"], "Cmd": ["x"], "Entrypoint": ["y"], "User": "me"}"#)
                .expect("a configuration");
        let config: Config = serde_json::from_str(r#"{"Env": ["A=1"]}"#).expect("a configuration");
        let all = over_image(&config, &image);
        assert_eq!(all.env.expect("some"), ["PATH=/bin", "A=1"]);
        assert_eq!(
            (all.cmd.expect("some"), all.user.as_str()),
            (vec!["x".to_owned()], "me")
        );
    }

    #[test]
    fn defaults_are_no_difference() {
        let mut is = Facts::default();
        let host = r#"{"IpcMode": "private", "ShmSize": 67108864, "Memory": 100, "MemorySwap": 200, "PidsLimit": null,
            "LogConfig": {"Type": "json-file", "Config": {}}, "RestartPolicy": {"Name": "no"}, "NetworkMode": "shop_default"}"#;
        is.host(&serde_json::from_str(host).expect("a configuration"));
        let mut wanted = Facts::default();
        wanted.host(&serde_json::from_str(r#"{"Memory": 100}"#).expect("a configuration"));
        assert_eq!(differences(is, wanted), []);
    }
}
