//! The engine itself: what changed between API 1.24 and the newest.

use serde_json::{Value, json};

use super::{each, images, members, remove, version::ApiVersion};

/// `GET /info`.
pub(crate) fn info(version: ApiVersion, info: &mut Value) {
    if version.before(49) {
        remove(members(info), &["FirewallBackend"]);
    }
    let Some(members) = members(info) else {
        return;
    };
    if version.before(50) {
        members.entry("BridgeNfIptables").or_insert_with(|| true.into());
        members.entry("BridgeNfIp6tables").or_insert_with(|| true.into());
        for key in ["ContainerdCommit", "RuncCommit", "InitCommit"] {
            if let Some(commit) = members.get_mut(key).and_then(Value::as_object_mut) {
                let id = commit.get("ID").cloned().unwrap_or_default();
                commit.entry("Expected").or_insert(id);
            }
        }
    }
    if version.before(49)
        && let Some(registries) = members.get_mut("RegistryConfig").and_then(Value::as_object_mut)
    {
        registries
            .entry("AllowNondistributableArtifactsCIDRs")
            .or_insert_with(|| json!([]));
        registries
            .entry("AllowNondistributableArtifactsHostnames")
            .or_insert_with(|| json!([]));
    }
    if version.before(46) {
        members.remove("CDISpecDirs");
    }
    if version.before(42) {
        members.entry("KernelMemory").or_insert_with(|| false.into());
        members.entry("KernelMemoryTCP").or_insert_with(|| false.into());
    }
    if version.before(39) {
        // A swarm's manager would have it; the engine has none.
        members.entry("ClusterStore").or_insert_with(|| "".into());
        members.entry("ClusterAdvertise").or_insert_with(|| "".into());
    }
}

/// `GET /system/df`.
pub(crate) fn disk_usage(version: ApiVersion, usage: &mut Value) {
    if let Some(list) = usage.get_mut("Images") {
        each(version, list, images::virtual_size);
    }
    if version.before(42)
        && let Some(members) = members(usage)
    {
        members.entry("BuilderSize").or_insert_with(|| 0.into());
    }
}

#[cfg(test)]
mod tests {
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
        assert!(old.get("FirewallBackend").is_none() && old.get("CDISpecDirs").is_none());
        assert_eq!(old["RuncCommit"], json!({"ID": "x", "Expected": "x"}));
        assert_eq!(
            (&old["KernelMemory"], &old["BridgeNfIptables"]),
            (&json!(false), &json!(true))
        );
    }

    #[test]
    fn usage_is_converted_down() {
        let mut value = json!({"Images": [{"Size": 5}]});
        disk_usage(ApiVersion::new(41), &mut value);
        assert_eq!(
            value,
            json!({"Images": [{"Size": 5, "VirtualSize": 5}], "BuilderSize": 0})
        );
    }
}
