//! Changing a runtime configuration.

use super::{Edits, Hook, Mount, Node};
use crate::runtime::{self, DeviceCgroup, Hooks, Spec};

/// What a device of the host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostDevice {
    /// What sort.
    pub kind: HostDeviceKind,
    /// Its major number.
    pub major: i64,
    /// Its minor number.
    pub minor: i64,
}

/// The sort of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostDeviceKind {
    /// A block device.
    Block,
    /// A character device.
    Character,
    /// A FIFO.
    Fifo,
}

impl HostDeviceKind {
    fn letter(self) -> &'static str {
        match self {
            Self::Block => "b",
            Self::Character => "c",
            Self::Fifo => "p",
        }
    }
}

impl Edits {
    pub(super) fn check(&self) -> Result<(), String> {
        check_variables(&self.env).map_err(|why| format!("invalid container edits: {why}"))?;
        self.device_nodes.iter().try_for_each(Node::check)?;
        self.hooks.iter().try_for_each(Hook::check)?;
        self.mounts.iter().try_for_each(Mount::check)
    }

    /// Puts others behind these.
    pub fn append(&mut self, other: &Self) {
        self.env.extend_from_slice(&other.env);
        self.device_nodes.extend_from_slice(&other.device_nodes);
        self.hooks.extend_from_slice(&other.hooks);
        self.mounts.extend_from_slice(&other.mounts);
        self.additional_gids.extend_from_slice(&other.additional_gids);
        if other.intel_rdt.is_some() {
            self.intel_rdt.clone_from(&other.intel_rdt);
        }
    }

    /// Makes the changes. `find` looks at a device of the host, when the document leaves something open.
    ///
    /// # Errors
    /// When a device of the host is not there, or is not what the document says.
    pub fn apply(&self, spec: &mut Spec, find: impl Fn(&str) -> Result<HostDevice, String>) -> Result<(), String> {
        if self.intel_rdt.is_some() {
            return Err("intelRdt is not supported".to_owned());
        }
        if let Some(process) = &mut spec.process {
            for variable in &self.env {
                set_variable(&mut process.env, variable);
            }
            for gid in self.additional_gids.iter().filter(|gid| **gid != 0) {
                if !process.user.additional_gids.contains(gid) {
                    process.user.additional_gids.push(*gid);
                }
            }
        }
        for node in &self.device_nodes {
            node.add(spec, &find)?;
        }
        for mount in &self.mounts {
            spec.mounts.retain(|other| other.destination != mount.container_path);
            spec.mounts.push(mount.to_runtime());
        }
        if !self.mounts.is_empty() {
            spec.mounts
                .sort_by_key(|mount| mount.destination.split('/').filter(|part| !part.is_empty()).count());
        }
        for hook in &self.hooks {
            hook.add(spec.hooks.get_or_insert_default());
        }
        Ok(())
    }
}

/// Sets `NAME=value`, in the place of one of the same name.
fn set_variable(all: &mut Vec<String>, variable: &str) {
    let name = |text: &str| text.split_once('=').map_or(text.len(), |(name, _)| name.len());
    let new = &variable[..name(variable)];
    match all.iter_mut().find(|old| old[..name(old)] == *new) {
        Some(old) => variable.clone_into(old),
        None => all.push(variable.to_owned()),
    }
}

fn check_variables(all: &[String]) -> Result<(), String> {
    match all
        .iter()
        .find(|variable| variable.split_once('=').is_none_or(|(name, _)| name.is_empty()))
    {
        Some(bad) => Err(format!("invalid environment variable {bad:?}")),
        None => Ok(()),
    }
}

impl Node {
    fn check(&self) -> Result<(), String> {
        let Self {
            path,
            kind,
            permissions,
            ..
        } = self;
        if path.is_empty() {
            return Err("invalid (empty) device path".to_owned());
        }
        if !matches!(kind.as_str(), "" | "b" | "c" | "u" | "p") {
            return Err(format!("device \"{path}\": invalid type \"{kind}\""));
        }
        if permissions.chars().any(|bit| !"rwm".contains(bit)) {
            return Err(format!("device \"{path}\": invalid permissions \"{permissions}\""));
        }
        Ok(())
    }

    fn add(&self, spec: &mut Spec, find: &impl Fn(&str) -> Result<HostDevice, String>) -> Result<(), String> {
        let device = self.to_runtime(spec, find)?;
        let linux = spec.linux.get_or_insert_default();
        linux.devices.retain(|other| other.path != device.path);
        if matches!(device.kind.as_str(), "b" | "c") {
            let access = if self.permissions.is_empty() {
                "rwm"
            } else {
                &self.permissions
            };
            linux.resources.get_or_insert_default().devices.push(DeviceCgroup {
                allow: true,
                kind: Some(device.kind.clone()),
                major: device.major,
                minor: device.minor,
                access: Some(access.to_owned()),
            });
        }
        linux.devices.push(device);
        Ok(())
    }

    /// The node, with what the document leaves open taken from the host.
    fn to_runtime(
        &self,
        spec: &Spec,
        find: &impl Fn(&str) -> Result<HostDevice, String>,
    ) -> Result<runtime::Device, String> {
        let on_host = if self.host_path.is_empty() {
            &self.path
        } else {
            &self.host_path
        };
        let (mut kind, mut numbers) = (self.kind.as_str(), (self.major, self.minor));
        let is_whole = !kind.is_empty() && (self.major != 0 || kind == "p");
        if !is_whole {
            let found = find(on_host).map_err(|why| format!("failed to stat CDI host device \"{on_host}\": {why}"))?;
            let letter = found.kind.letter();
            if !kind.is_empty() && kind != letter {
                return Err(format!(
                    "CDI device (\"{}\", \"{on_host}\"), host type mismatch ({kind}, {letter})",
                    self.path
                ));
            }
            kind = letter;
            if self.major == 0 {
                numbers = (found.major, found.minor);
            }
        }
        let user = spec.process.as_ref().map(|process| &process.user);
        let of_user = |id: fn(&runtime::User) -> u32| user.map(id).filter(|id| *id > 0);
        let numbered = kind != "p";
        Ok(runtime::Device {
            kind: kind.to_owned(),
            path: self.path.clone(),
            major: numbered.then_some(numbers.0),
            minor: numbered.then_some(numbers.1),
            file_mode: self.file_mode,
            uid: self.uid.or_else(|| of_user(|user| user.uid)),
            gid: self.gid.or_else(|| of_user(|user| user.gid)),
        })
    }
}

impl Mount {
    fn check(&self) -> Result<(), String> {
        let empty = |what: &str| Err(format!("invalid mount, empty {what} path"));
        match () {
            () if self.host_path.is_empty() => empty("host"),
            () if self.container_path.is_empty() => empty("container"),
            () => Ok(()),
        }
    }

    fn to_runtime(&self) -> runtime::Mount {
        let is_bind = |option: &String| option == "bind" || option == "rbind";
        let kind = match self.kind.as_str() {
            "" if self.options.iter().any(is_bind) => Some("bind".to_owned()),
            "" => None,
            kind => Some(kind.to_owned()),
        };
        runtime::Mount {
            destination: self.container_path.clone(),
            kind,
            source: Some(self.host_path.clone()),
            options: self.options.clone(),
            ..runtime::Mount::default()
        }
    }
}

impl Hook {
    fn check(&self) -> Result<(), String> {
        let name = &self.hook_name;
        if Self::list(&mut Hooks::default(), name).is_none() {
            return Err(format!("invalid hook name \"{name}\""));
        }
        if self.path.is_empty() {
            return Err(format!("invalid hook \"{name}\" with empty path"));
        }
        check_variables(&self.env).map_err(|why| format!("invalid hook \"{name}\": {why}"))
    }

    /// Where hooks of that name are.
    fn list<'a>(hooks: &'a mut Hooks, name: &str) -> Option<&'a mut Vec<runtime::Hook>> {
        match name {
            "prestart" => Some(&mut hooks.prestart),
            "createRuntime" => Some(&mut hooks.create_runtime),
            "createContainer" => Some(&mut hooks.create_container),
            "startContainer" => Some(&mut hooks.start_container),
            "poststart" => Some(&mut hooks.poststart),
            "poststop" => Some(&mut hooks.poststop),
            _ => None,
        }
    }

    fn add(&self, hooks: &mut Hooks) {
        if let Some(list) = Self::list(hooks, &self.hook_name) {
            list.push(runtime::Hook {
                path: (&self.path).into(),
                args: self.args.clone(),
                env: self.env.clone(),
                timeout_seconds: self.timeout,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Linux, Process};

    fn applied(edits: &str) -> Result<Spec, String> {
        let edits: Edits = serde_json::from_str(edits).unwrap();
        let mut spec = Spec {
            process: Some(Process {
                env: vec!["A=1".into(), "B=2".into()],
                ..Process::default()
            }),
            linux: Some(Linux::default()),
            ..Spec::default()
        };
        edits.apply(&mut spec, |path| match path {
            "/dev/there" => Ok(HostDevice {
                kind: HostDeviceKind::Character,
                major: 7,
                minor: 8,
            }),
            _ => Err("no such file or directory".into()),
        })?;
        Ok(spec)
    }

    #[test]
    fn variables_and_groups() {
        let spec = applied(r#"{"env":["B=3","C=4"],"additionalGids":[0,5,5]}"#).unwrap();
        let process = spec.process.unwrap();
        assert_eq!(process.env, ["A=1", "B=3", "C=4"]);
        assert_eq!(process.user.additional_gids, [5]);
    }

    #[test]
    fn nodes() {
        let spec = applied(r#"{"deviceNodes":[{"path":"/dev/x","hostPath":"/dev/there","permissions":"r"}]}"#).unwrap();
        let linux = spec.linux.unwrap();
        let (device, rule) = (&linux.devices[0], &linux.resources.unwrap().devices[0]);
        assert_eq!(
            (device.path.as_str(), device.kind.as_str(), device.major, device.minor),
            ("/dev/x", "c", Some(7), Some(8))
        );
        assert_eq!(
            (rule.allow, rule.access.as_deref(), rule.minor),
            (true, Some("r"), Some(8))
        );
        assert_eq!(
            applied(r#"{"deviceNodes":[{"path":"/dev/gone"}]}"#).unwrap_err(),
            "failed to stat CDI host device \"/dev/gone\": no such file or directory"
        );
        assert_eq!(
            applied(r#"{"deviceNodes":[{"path":"/dev/there","type":"b"}]}"#).unwrap_err(),
            "CDI device (\"/dev/there\", \"/dev/there\"), host type mismatch (b, c)"
        );
        assert_eq!(applied(r#"{"intelRdt":{}}"#).unwrap_err(), "intelRdt is not supported");
    }

    #[test]
    fn mounts_and_hooks() {
        let spec = applied(
            r#"{"mounts":[{"hostPath":"/a","containerPath":"/x/y","options":["ro","bind"]},{"hostPath":"/b","containerPath":"/x"}],
                "hooks":[{"hookName":"createContainer","path":"/bin/h","args":["h","x"]}]}"#,
        )
        .unwrap();
        let places: Vec<_> = spec
            .mounts
            .iter()
            .map(|m| (m.destination.as_str(), m.kind.as_deref()))
            .collect();
        assert_eq!(places, [("/x", None), ("/x/y", Some("bind"))]);
        assert_eq!(spec.hooks.unwrap().create_container[0].args, ["h", "x"]);
    }
}
