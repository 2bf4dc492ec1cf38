//! The engine itself: what changed between API 1.24 and the newest.

use serde_json::Value;

use super::{Conversion, each, images, members, remove, version::ApiVersion};

/// `GET /info`.
pub(crate) const INFO: Conversion = Conversion {
    since: 50,
    convert: info,
};

fn info(version: ApiVersion, info: &mut Value) {
    if version.before(49) {
        remove(members(info), &["FirewallBackend"]);
    }
    let Some(members) = members(info) else {
        return;
    };
    if version.before(50) {
        members.remove("DiscoveredDevices");
        members.entry("BridgeNfIptables").or_insert_with(|| true.into());
        members.entry("BridgeNfIp6tables").or_insert_with(|| true.into());
    }
    if version.before(49) {
        for key in ["ContainerdCommit", "RuncCommit", "InitCommit"] {
            if let Some(commit) = members.get_mut(key).and_then(Value::as_object_mut)
                && let Some(id) = commit.get("ID").filter(|id| id.as_str() != Some("")).cloned()
            {
                commit.entry("Expected").or_insert(id);
            }
        }
    }
    if version.before(47)
        && let Some(registries) = members.get_mut("RegistryConfig").and_then(Value::as_object_mut)
    {
        registries
            .entry("AllowNondistributableArtifactsCIDRs")
            .or_insert(Value::Null);
        registries
            .entry("AllowNondistributableArtifactsHostnames")
            .or_insert(Value::Null);
    }
    if version.before(42) {
        members.entry("KernelMemory").or_insert_with(|| false.into());
        members.entry("KernelMemoryTCP").or_insert_with(|| false.into());
    }
}

/// `GET /system/df`.
pub(crate) const DISK_USAGE: Conversion = Conversion {
    since: 44,
    convert: disk_usage,
};

fn disk_usage(version: ApiVersion, usage: &mut Value) {
    if let Some(list) = usage.get_mut("Images") {
        each(version, list, images::virtual_size);
    }
    if version.before(42)
        && let Some(members) = members(usage)
    {
        let records = members.get("BuildCache").and_then(Value::as_array);
        let sizes = records
            .into_iter()
            .flatten()
            .filter_map(|record| record["Size"].as_i64());
        let size: i64 = sizes.sum();
        if size > 0 {
            members.insert("BuilderSize".to_owned(), size.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn info_is_converted_down() {
        let newest =
            || json!({"FirewallBackend": {}, "RuncCommit": {"ID": "x"}, "RegistryConfig": {}, "CDISpecDirs": []});
        let at = |minor| {
            let mut value = newest();
            info(ApiVersion::new(minor), &mut value);
            value
        };
        assert_eq!(at(50), newest());
        let old = at(41);
        assert!(old.get("FirewallBackend").is_none());
        assert_eq!(old["RuncCommit"], json!({"ID": "x", "Expected": "x"}));
        assert_eq!(
            (&old["KernelMemory"], &old["BridgeNfIptables"]),
            (&json!(false), &json!(true))
        );
    }

    #[test]
    fn usage_is_converted_down() {
        let mut value = json!({"Images": [{"Size": 5}], "BuildCache": [{"Size": 3}, {"Size": 4}]});
        disk_usage(ApiVersion::new(41), &mut value);
        assert_eq!(
            value,
            json!({
                "Images": [{"Size": 5, "VirtualSize": 5}], "BuildCache": [{"Size": 3}, {"Size": 4}], "BuilderSize": 7,
            })
        );
    }
}
