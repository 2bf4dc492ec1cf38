//! Keys of requests in whatever case: Go's decoder (`encoding/json`, "Unmarshal") takes `detachKeys` and
//! `DETACHKEYS` for `DetachKeys`, and there are clients that rely on it.
//!
//! Keys of structures are brought to the spelling of our types before these read a document. Keys that are
//! data, such as those of labels, stay as they are.

use serde_json::Value;

/// Members whose own members are data; their values may be structures again.
const MAPS: [&str; 13] = [
    "Annotations",
    "AuxiliaryAddresses",
    "Config",
    "DriverOpts",
    "EndpointsConfig",
    "ExposedPorts",
    "Labels",
    "Options",
    "PortBindings",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// All keys of requests, in the order of their lower case.
const KEYS: &[&str] = &[
    "Aliases",
    "Annotations",
    "architecture",
    "ArgsEscaped",
    "Attachable",
    "AttachStderr",
    "AttachStdin",
    "AttachStdout",
    "auth",
    "AutoRemove",
    "AuxiliaryAddresses",
    "BindOptions",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeight",
    "BlkioWeightDevice",
    "Capabilities",
    "CapAdd",
    "CapDrop",
    "Cgroup",
    "CgroupnsMode",
    "CgroupParent",
    "CgroupPermissions",
    "ClusterVolumeSpec",
    "Cmd",
    "Config",
    "ConfigFrom",
    "ConfigOnly",
    "Consistency",
    "ConsoleSize",
    "Container",
    "ContainerIDFile",
    "Count",
    "CpuCount",
    "CpuPercent",
    "CpuPeriod",
    "CpuQuota",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    "CpusetCpus",
    "CpusetMems",
    "CpuShares",
    "CreateMountpoint",
    "Detach",
    "DetachKeys",
    "DeviceCgroupRules",
    "DeviceIDs",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DNSNames",
    "DnsOptions",
    "DnsSearch",
    "Domainname",
    "Driver",
    "DriverConfig",
    "DriverOpts",
    "EnableIPv4",
    "EnableIPv6",
    "EndpointConfig",
    "EndpointID",
    "EndpointsConfig",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "ExtraHosts",
    "Force",
    "Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "GroupAdd",
    "GwPriority",
    "Hard",
    "Healthcheck",
    "HostConfig",
    "HostIp",
    "Hostname",
    "HostPort",
    "identitytoken",
    "Image",
    "ImageOptions",
    "Ingress",
    "Init",
    "Internal",
    "Interval",
    "IOMaximumBandwidth",
    "IOMaximumIOps",
    "IPAddress",
    "IPAM",
    "IPAMConfig",
    "IpcMode",
    "IPPrefixLen",
    "IPRange",
    "IPv4Address",
    "IPv6Address",
    "IPv6Gateway",
    "Isolation",
    "Labels",
    "LinkLocalIPs",
    "Links",
    "LogConfig",
    "MacAddress",
    "MaskedPaths",
    "MaximumRetryCount",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "MemorySwappiness",
    "Mode",
    "Mounts",
    "Name",
    "NanoCpus",
    "Network",
    "NetworkDisabled",
    "NetworkID",
    "NetworkingConfig",
    "NetworkMode",
    "NoCopy",
    "NonRecursive",
    "OnBuild",
    "OomKillDisable",
    "OomScoreAdj",
    "OpenStdin",
    "Options",
    "os",
    "os.features",
    "os.version",
    "password",
    "Path",
    "PathInContainer",
    "PathOnHost",
    "PidMode",
    "PidsLimit",
    "PortBindings",
    "Privileged",
    "Propagation",
    "PublishAllPorts",
    "Rate",
    "ReadOnly",
    "ReadOnlyForceRecursive",
    "ReadOnlyNonRecursive",
    "ReadonlyPaths",
    "ReadonlyRootfs",
    "registrytoken",
    "RestartPolicy",
    "Retries",
    "Runtime",
    "Scope",
    "SecurityOpt",
    "serveraddress",
    "Shell",
    "ShmSize",
    "SizeBytes",
    "Soft",
    "Source",
    "StartInterval",
    "StartPeriod",
    "StdinOnce",
    "StopSignal",
    "StopTimeout",
    "StorageOpt",
    "Subnet",
    "Subpath",
    "Sysctls",
    "Target",
    "Test",
    "Timeout",
    "Tmpfs",
    "TmpfsOptions",
    "Tty",
    "Type",
    "Ulimits",
    "User",
    "username",
    "UsernsMode",
    "UTSMode",
    "variant",
    "VolumeDriver",
    "VolumeOptions",
    "Volumes",
    "VolumesFrom",
    "Weight",
    "WorkingDir",
];

/// Brings the keys of a request's structures to the case that our types have. A key that already has it wins
/// over one that has not.
pub fn fold(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(fold),
        Value::Object(map) => {
            let other: Vec<_> = map
                .keys()
                .filter_map(|key| Some((key.clone(), canonical(key).filter(|found| found != key)?)))
                .collect();
            for (key, canonical) in other {
                if let Some(value) = map.remove(&key) {
                    map.entry(canonical).or_insert(value);
                }
            }
            for (key, value) in map {
                match value {
                    Value::Object(data) if MAPS.contains(&key.as_str()) => data.values_mut().for_each(fold),
                    _ => fold(value),
                }
            }
        }
        _ => {}
    }
}

fn canonical(key: &str) -> Option<&'static str> {
    let lower = |text: &str| text.bytes().map(|byte| byte.to_ascii_lowercase()).collect::<Vec<_>>();
    let wanted = lower(key);
    let found = KEYS.binary_search_by(|key| {
        key.bytes()
            .map(|byte| byte.to_ascii_lowercase())
            .cmp(wanted.iter().copied())
    });
    found.ok().and_then(|at| KEYS.get(at)).copied()
}

#[cfg(test)]
mod tests {
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::json;

    use super::*;
    use crate::{container, decode_request, exec, image, network, volume};

    #[test]
    fn keys_are_in_order() {
        assert!(KEYS.is_sorted_by_key(|key| key.to_ascii_lowercase()));
    }

    #[test]
    fn structures_are_folded_and_data_is_not() {
        let mut value = json!({
            "IMAGE": "a", "labels": {"image": "x", "LABELS": "y"}, "Tty": true, "tty": false, "nosuch": {"CMD": 1},
            "hostconfig": {"MEMORY": 5, "logconfig": {"type": "local", "config": {"name": "v", "TAG": "t"}},
                "portbindings": {"80/tcp": [{"hostport": "1"}]}, "MOUNTS": [{"type": "bind", "volumeoptions": {"labels": {"user": ""}}}]},
            "networkingConfig": {"endpointsconfig": {"driver": {"ipamconfig": {"ipv4address": "1.2.3.4"}}}},
        });
        fold(&mut value);
        let expected = json!({
            "Image": "a", "Labels": {"image": "x", "LABELS": "y"}, "Tty": true, "nosuch": {"Cmd": 1},
            "HostConfig": {"Memory": 5, "LogConfig": {"Type": "local", "Config": {"name": "v", "TAG": "t"}},
                "PortBindings": {"80/tcp": [{"HostPort": "1"}]}, "Mounts": [{"Type": "bind", "VolumeOptions": {"Labels": {"user": ""}}}]},
            "NetworkingConfig": {"EndpointsConfig": {"driver": {"IPAMConfig": {"IPv4Address": "1.2.3.4"}}}},
        });
        assert_eq!(value, expected);
    }

    /// The keys that a type writes, at any depth.
    fn keys(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                found.push(key.clone());
                keys(value, found);
            }),
            Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
            _ => {}
        }
    }

    /// A request of this type has no key that the table does not know.
    #[track_caller]
    fn knows<T: Serialize + DeserializeOwned + Default>(full: Value) {
        let mut found = Vec::new();
        keys(&serde_json::to_value(T::default()).unwrap(), &mut found);
        let read: T = decode_request(full.to_string().as_bytes()).unwrap();
        keys(&serde_json::to_value(read).unwrap(), &mut found);
        let unknown: Vec<_> = found
            .iter()
            .filter(|key| canonical(key) != Some(key.as_str()))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn every_key_of_requests_is_known() {
        knows::<container::CreateRequest>(json!({
            "Healthcheck": {"Test": ["NONE"], "Interval": 1, "Timeout": 1, "StartPeriod": 1, "StartInterval": 1, "Retries": 1},
            "MacAddress": "m", "OnBuild": [], "StopTimeout": 1, "Shell": [], "ArgsEscaped": true, "NetworkDisabled": true,
            "HostConfig": {"Mounts": [{"Type": "bind", "BindOptions": {}, "VolumeOptions": {"DriverConfig": {}},
                "TmpfsOptions": {}, "ImageOptions": {}}], "Devices": [{}], "DeviceRequests": [{}], "Ulimits": [{}],
                "BlkioWeightDevice": [{}], "BlkioDeviceReadBps": [{}]},
        }));
        knows::<container::UpdateRequest>(json!({}));
        knows::<exec::ExecConfig>(json!({"ConsoleSize": [1, 2]}));
        knows::<exec::ExecStart>(json!({"ConsoleSize": [1, 2]}));
        knows::<network::CreateRequest>(
            json!({"IPAM": {"Config": [{"Subnet": "a", "IPRange": "b", "Gateway": "c"}]},
            "ConfigFrom": {}, "EnableIPv4": true, "EnableIPv6": true}),
        );
        knows::<network::ConnectRequest>(
            json!({"EndpointConfig": {"IPAMConfig": {"IPv4Address": "a", "IPv6Address": "b", "LinkLocalIPs": ["c"]}}}),
        );
        knows::<network::DisconnectRequest>(json!({}));
        knows::<volume::CreateRequest>(json!({}));
        knows::<image::AuthConfig>(json!({}));
    }
}
