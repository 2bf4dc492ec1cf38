//! Containers: what changed between API 1.24 and the newest (moby `docs/api/version-history.md`).

use corten_api::container::CreateRequest;
use serde_json::Value;

use super::{below, each, members, remove, version::ApiVersion};

/// `GET /containers/json`.
pub(crate) fn list(version: ApiVersion, list: &mut Value) {
    each(version, list, |version, container| {
        endpoints(version, below(container, &["NetworkSettings", "Networks"]));
        if version.before(46) {
            remove(below(container, &["HostConfig"]), &["Annotations"]);
        }
    });
}

/// `GET /containers/{id}/json`.
pub(crate) fn one(version: ApiVersion, container: &mut Value) {
    let id = container.get("Id").and_then(Value::as_str).unwrap_or_default();
    let short = id.get(..12).unwrap_or_default().to_owned();
    endpoints(version, below(container, &["NetworkSettings", "Networks"]));
    if version.before(45) {
        add_short_id(below(container, &["NetworkSettings", "Networks"]), &short);
    }
    if version.before(43) {
        remove(below(container, &["HostConfig"]), &["Annotations"]);
    }
    if version.before(44) {
        remove(below(container, &["Config", "Healthcheck"]), &["StartInterval"]);
        let mac = below(container, &["NetworkSettings"]).and_then(|settings| settings.get("MacAddress").cloned());
        if let (Some(config), Some(mac)) = (below(container, &["Config"]), mac) {
            config.entry("MacAddress").or_insert(mac);
        }
    }
    if version.before(42)
        && let Some(host) = below(container, &["HostConfig"])
    {
        host.entry("KernelMemory").or_insert_with(|| 0.into());
        host.entry("KernelMemoryTCP").or_insert_with(|| 0.into());
    }
    if version.before(40) {
        remove(below(container, &["HostConfig"]), &["DeviceRequests"]);
    }
}

/// Fields of endpoints that came later.
fn endpoints(version: ApiVersion, networks: Option<&mut serde_json::Map<String, Value>>) {
    let Some(networks) = networks else {
        return;
    };
    for endpoint in networks.values_mut() {
        if version.before(48) {
            remove(members(endpoint), &["GwPriority"]);
        }
        if version.before(44) {
            remove(members(endpoint), &["DNSNames"]);
        }
    }
}

/// Before 1.45 a container's short id was among its aliases in users' networks.
fn add_short_id(networks: Option<&mut serde_json::Map<String, Value>>, short: &str) {
    let Some(networks) = networks else {
        return;
    };
    for (name, endpoint) in networks {
        if matches!(name.as_str(), "bridge" | "host" | "none") {
            continue;
        }
        match endpoint.get_mut("Aliases") {
            Some(Value::Array(aliases)) if aliases.iter().all(|alias| alias != short) => aliases.push(short.into()),
            Some(other @ Value::Null) => *other = vec![Value::from(short)].into(),
            _ => {}
        }
    }
}

/// `POST /containers/create`: defaults that were others, and fields that did not exist.
pub(crate) fn create(version: ApiVersion, request: &mut CreateRequest) {
    let host = &mut request.host_config;
    if version.before(40) {
        if host.ipc_mode.is_empty() {
            "shareable".clone_into(&mut host.ipc_mode);
        }
        for options in host
            .mounts
            .iter_mut()
            .flatten()
            .filter_map(|mount| mount.bind_options.as_mut())
        {
            options.non_recursive = false;
        }
    }
    if version.before(41) && host.cgroupns_mode.is_empty() {
        "host".clone_into(&mut host.cgroupns_mode);
    }
    if version.before(43) {
        host.annotations = None;
    }
    if version.before(44) {
        if let Some(check) = &mut request.config.healthcheck {
            check.start_interval = 0;
        }
        for options in host
            .mounts
            .iter_mut()
            .flatten()
            .filter_map(|mount| mount.bind_options.as_mut())
        {
            options.read_only_non_recursive = false;
            options.read_only_force_recursive = false;
        }
    }
    if version.before(45) {
        for options in host
            .mounts
            .iter_mut()
            .flatten()
            .filter_map(|mount| mount.volume_options.as_mut())
        {
            options.subpath.clear();
        }
    }
    if version.before(48) {
        request
            .networking_config
            .endpoints_config
            .values_mut()
            .for_each(|endpoint| endpoint.gw_priority = 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inspection_is_converted_down() {
        let newest = || {
            json!({
                "Id": "0123456789abcdef",
                "Config": {"Healthcheck": {"StartInterval": 1}},
                "HostConfig": {"Annotations": {}, "DeviceRequests": null},
                "NetworkSettings": {"MacAddress": "02:42:00:00:00:01", "Networks": {
                    "bridge": {"Aliases": null, "DNSNames": null, "GwPriority": 0},
                    "mine": {"Aliases": null, "DNSNames": ["a"], "GwPriority": 0},
                }},
            })
        };
        let at = |minor| {
            let mut value = newest();
            one(ApiVersion::new(minor), &mut value);
            value
        };
        assert_eq!(at(50), newest());
        assert!(
            at(47)["NetworkSettings"]["Networks"]["mine"]
                .get("GwPriority")
                .is_none()
        );
        assert_eq!(
            at(44)["NetworkSettings"]["Networks"]["mine"]["Aliases"],
            json!(["0123456789ab"])
        );
        assert_eq!(at(44)["NetworkSettings"]["Networks"]["bridge"]["Aliases"], Value::Null);
        let old = at(41);
        assert!(old["NetworkSettings"]["Networks"]["mine"].get("DNSNames").is_none());
        assert_eq!(
            old["HostConfig"],
            json!({"DeviceRequests": null, "KernelMemory": 0, "KernelMemoryTCP": 0})
        );
        assert_eq!(old["Config"]["MacAddress"], "02:42:00:00:00:01");
        assert_eq!(old["Config"]["Healthcheck"], json!({}));
    }

    #[test]
    fn requests_are_converted_up() {
        let at = |minor| {
            let mut request = CreateRequest::default();
            create(ApiVersion::new(minor), &mut request);
            (request.host_config.ipc_mode, request.host_config.cgroupns_mode)
        };
        assert_eq!(at(51), (String::new(), String::new()));
        assert_eq!(at(40), (String::new(), "host".to_owned()));
        assert_eq!(at(39), ("shareable".to_owned(), "host".to_owned()));
    }
}
