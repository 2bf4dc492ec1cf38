//! Containers: what changed between API 1.24 and the newest (moby `docs/api/version-history.md`).

use corten_api::container::CreateRequest;
use serde_json::Value;

use super::{Conversion, below, each, remove, version::ApiVersion};

/// `GET /containers/json`.
pub(crate) const LIST: Conversion = Conversion {
    since: 46,
    convert: list,
};

fn list(version: ApiVersion, list: &mut Value) {
    each(version, list, |version, container| {
        if version.before(46) {
            remove(below(container, &["HostConfig"]), &["Annotations"]);
        }
    });
}

/// `GET /containers/{id}/json`.
pub(crate) const ONE: Conversion = Conversion {
    since: 45,
    convert: one,
};

fn one(version: ApiVersion, container: &mut Value) {
    let id = container.get("Id").and_then(Value::as_str).unwrap_or_default();
    let short = id.get(..12).unwrap_or_default().to_owned();
    if version.before(45) {
        add_short_id(below(container, &["NetworkSettings", "Networks"]), &short);
    }
    if version.before(43) {
        remove(below(container, &["HostConfig"]), &["Annotations"]);
    }
    if version.before(44) {
        remove(below(container, &["Config", "Healthcheck"]), &["StartInterval"]);
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
                "NetworkSettings": {"Networks": {
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
        assert_eq!(
            at(44)["NetworkSettings"]["Networks"]["mine"]["Aliases"],
            json!(["0123456789ab"])
        );
        assert_eq!(at(44)["NetworkSettings"]["Networks"]["bridge"]["Aliases"], Value::Null);
        let old = at(41);
        assert_eq!(old["HostConfig"], json!({"DeviceRequests": null}));
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
