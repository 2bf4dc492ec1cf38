//! The Container Device Interface: documents that say what a container needs to use a device of a
//! vendor's (CNCF, `container-device-interface`, SPEC.md 1.0.0).
//!
//! A [`Spec`] is read and checked whole; [`Edits`] change a runtime configuration. Which folders
//! documents lie in, and which of them counts, is the reader's business.

mod edits;
mod names;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

pub use edits::{HostDevice, HostDeviceKind};
pub use names::{Kind, is_qualified};

/// The versions that there are, oldest first.
const VERSIONS: [&str; 9] = [
    "0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0",
];
/// How large a document may be, in bytes.
const MOST: usize = 4 << 20;

/// A document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// The version of the specification that it follows.
    #[serde(rename = "cdiVersion")]
    pub version: String,
    /// Vendor and class of its devices.
    pub kind: String,
    /// Free words.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Its devices.
    pub devices: Vec<Device>,
    /// What each of its devices needs besides.
    #[serde(default)]
    pub container_edits: Edits,
}

/// A device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// Its name within the kind.
    pub name: String,
    /// Free words.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// What it needs.
    pub container_edits: Edits,
}

/// Changes to a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Edits {
    /// Variables, `NAME=value`.
    pub env: Vec<String>,
    /// Device nodes.
    pub device_nodes: Vec<Node>,
    /// Programs that the runtime runs.
    pub hooks: Vec<Hook>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Intel's resource director (0.7.0).
    pub intel_rdt: Option<serde_json::Value>,
    /// Further groups of the process (0.7.0).
    pub additional_gids: Vec<u32>,
}

/// A device node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Node {
    /// Its path in the container.
    pub path: String,
    /// Its path on the host, when that is another one (0.5.0).
    pub host_path: String,
    /// `b`, `c`, `u`, `p`; that of the host when empty.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its major number; the host's when 0.
    pub major: i64,
    /// Its minor number.
    pub minor: i64,
    /// Its permissions.
    pub file_mode: Option<u32>,
    /// What the container may do with it: of `r`, `w`, `m`.
    pub permissions: String,
    /// Its owner.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
}

/// A mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Mount {
    /// What is mounted.
    pub host_path: String,
    /// Where.
    pub container_path: String,
    /// Options.
    pub options: Vec<String>,
    /// The file system's type (0.4.0).
    #[serde(rename = "type")]
    pub kind: String,
}

/// A program that the runtime runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Hook {
    /// When: `createContainer`, …
    pub hook_name: String,
    /// The program.
    pub path: String,
    /// Its arguments, its name first.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<String>,
    /// Seconds that it may take.
    pub timeout: Option<i64>,
}

impl Spec {
    /// Reads and checks a document in JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MOST {
            return Err("it has more than 4 MiB".to_owned());
        }
        serde_json::from_slice(bytes)
            .map_err(unreadable)
            .and_then(Self::checked)
    }

    /// Reads and checks a document in YAML.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_yaml(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MOST {
            return Err("it has more than 4 MiB".to_owned());
        }
        let text = std::str::from_utf8(bytes).map_err(unreadable)?;
        let value = yaml::read(text).map_err(unreadable)?;
        serde_json::from_value(value)
            .map_err(unreadable)
            .and_then(Self::checked)
    }

    fn checked(spec: Self) -> Result<Self, String> {
        spec.check().map_err(|why| format!("invalid CDI Spec: {why}"))?;
        Ok(spec)
    }

    /// Vendor and class of its devices.
    ///
    /// # Errors
    /// When it names none.
    pub fn vendor_and_class(&self) -> Result<Kind<'_>, String> {
        Kind::parse(&self.kind)
    }

    /// Its devices by their full names.
    pub fn named(&self) -> impl Iterator<Item = (String, &Device)> {
        self.devices
            .iter()
            .map(|device| (format!("{}={}", self.kind, device.name), device))
    }

    fn check(&self) -> Result<(), String> {
        let version = self.version.strip_prefix('v').unwrap_or(&self.version);
        let position = |version: &str| VERSIONS.iter().position(|known| *known == version);
        let given = position(version).ok_or_else(|| format!("invalid version \"{}\"", self.version))?;
        let least = self.least_version();
        if position(least).is_some_and(|least| least > given) {
            return Err(format!("the spec version must be at least v{least}"));
        }
        self.vendor_and_class()?;
        self.container_edits.check()?;
        let mut seen = BTreeSet::new();
        for device in &self.devices {
            device
                .check()
                .map_err(|why| format!("failed add device \"{}\": {why}", device.name))?;
            if !seen.insert(&device.name) {
                return Err(format!("invalid spec, multiple device \"{}\"", device.name));
            }
        }
        if self.devices.is_empty() {
            return Err("invalid spec, no devices".to_owned());
        }
        Ok(())
    }

    /// The version that the fields in use came with.
    fn least_version(&self) -> &'static str {
        let edits = || {
            self.devices
                .iter()
                .map(|d| &d.container_edits)
                .chain([&self.container_edits])
        };
        let annotated = !self.annotations.is_empty() || self.devices.iter().any(|d| !d.annotations.is_empty());
        let dotted = self.kind.split_once('/').is_some_and(|(_, class)| class.contains('.'));
        let digit = |name: &str| name.starts_with(|c: char| c.is_ascii_digit());
        match () {
            () if edits().any(|e| e.intel_rdt.is_some() || !e.additional_gids.is_empty()) => "0.7.0",
            () if annotated || dotted => "0.6.0",
            () if self.devices.iter().any(|d| digit(&d.name)) => "0.5.0",
            () if edits().any(|e| e.device_nodes.iter().any(|node| !node.host_path.is_empty())) => "0.5.0",
            () if edits().any(|e| e.mounts.iter().any(|mount| !mount.kind.is_empty())) => "0.4.0",
            () => "0.3.0",
        }
    }
}

fn unreadable(error: impl std::fmt::Display) -> String {
    format!("failed to unmarshal CDI Spec: {error}")
}

impl Device {
    fn check(&self) -> Result<(), String> {
        names::check_device(&self.name)?;
        if self.container_edits == Edits::default() {
            return Err("invalid device, empty device edits".to_owned());
        }
        self.container_edits
            .check()
            .map_err(|why| format!("invalid device \"{}\": {why}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Spec::parse(text.as_bytes()).map_or_else(|why| why, |_| "fine".to_owned())
    }

    #[test]
    fn documents_are_checked() {
        let with = |version: &str, kind: &str, edits: &str| {
            format!(
                r#"{{"cdiVersion":"{version}","kind":"{kind}","devices":[{{"name":"one","containerEdits":{edits}}}]}}"#
            )
        };
        let check = |version: &str, edits: &str, expected: &str| {
            let said = refusal(&with(version, "acme.com/toy", edits));
            assert!(said.contains(expected), "{version} {edits}: {said}");
        };
        check("0.3.0", r#"{"env":["A=b"]}"#, "fine");
        check(
            "9.9.9",
            r#"{"env":["A=b"]}"#,
            "invalid CDI Spec: invalid version \"9.9.9\"",
        );
        check("0.3.0", r#"{"env":["=b"]}"#, "invalid environment variable \"=b\"");
        check(
            "0.3.0",
            "{}",
            "failed add device \"one\": invalid device, empty device edits",
        );
        check("0.3.0", r#"{"nope":1}"#, "unknown field `nope`");
        check(
            "0.3.0",
            r#"{"additionalGids":[5]}"#,
            "the spec version must be at least v0.7.0",
        );
        check(
            "0.3.0",
            r#"{"mounts":[{"hostPath":"/x","containerPath":"/y","type":"z"}]}"#,
            "at least v0.4.0",
        );
        check(
            "0.3.0",
            r#"{"deviceNodes":[{"path":"/x","hostPath":"/y"}]}"#,
            "at least v0.5.0",
        );
        check(
            "0.5.0",
            r#"{"deviceNodes":[{"path":"/x","type":"q"}]}"#,
            "device \"/x\": invalid type \"q\"",
        );
        check(
            "0.5.0",
            r#"{"deviceNodes":[{"path":"/x","permissions":"rx"}]}"#,
            "invalid permissions \"rx\"",
        );
        check(
            "0.5.0",
            r#"{"hooks":[{"hookName":"never","path":"/x"}]}"#,
            "invalid hook name \"never\"",
        );
        check(
            "0.5.0",
            r#"{"mounts":[{"hostPath":"/x"}]}"#,
            "invalid mount, empty container path",
        );
        let kind = refusal(&with("0.5.0", "toy", r#"{"env":["A=b"]}"#));
        assert!(kind.contains("invalid vendor. empty name"), "{kind}");
        let none = refusal(r#"{"cdiVersion":"0.5.0","kind":"a.com/b","devices":[]}"#);
        assert_eq!(none, "invalid CDI Spec: invalid spec, no devices");
        let device = r#"{"name":"a","containerEdits":{"env":["A=b"]}}"#;
        let twice = refusal(&format!(
            r#"{{"cdiVersion":"0.5.0","kind":"a.com/b","devices":[{device},{device}]}}"#
        ));
        assert!(twice.ends_with("invalid spec, multiple device \"a\""), "{twice}");
    }
}
