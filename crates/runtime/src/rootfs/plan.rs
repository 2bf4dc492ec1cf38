//! What is to be mounted where, decided from the configuration before anything is done.

use std::path::{Path, PathBuf};

use corten_oci::runtime::{Device, IdMapping, Linux, Mount, Spec};
use corten_sys::mount::{MountPropagationFlags, Reach};

use super::options::{Options, Parameter, propagation};
use super::place::inside;
use crate::context::invalid;
use crate::error::Result;
use crate::lsm::mount_context;

/// The root file system and all that is in it.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What becomes the root, in order, the first at `/`.
    pub(crate) root: Vec<Entry>,
    /// What is mounted in it, in order.
    pub(crate) mounts: Vec<Entry>,
    /// Whether the root is made read-only in the end.
    pub(crate) read_only: bool,
    /// How the root propagates mounts.
    pub(crate) propagation: (MountPropagationFlags, Reach),
    /// Device nodes; none when `/dev` is the user's own.
    pub(crate) devices: Option<Vec<Device>>,
    /// Paths that cannot be read.
    pub(crate) masked: Vec<String>,
    /// Paths that cannot be written.
    pub(crate) read_only_paths: Vec<String>,
    /// The folder that the program starts in, made when it is missing.
    pub(crate) working_directory: Option<String>,
}

/// A mount.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Where, from the root, without a slash before it.
    pub(crate) destination: PathBuf,
    /// What.
    pub(crate) what: What,
    /// How.
    pub(crate) options: Options,
    /// The id map, when [`Options::id_map`] asks for one.
    pub(crate) ids: (Vec<IdMapping>, Vec<IdMapping>),
}

/// What is mounted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A part of the host's tree.
    Bind(PathBuf),
    /// The container's cgroups.
    Cgroup,
    /// A new instance of a file system.
    New {
        /// Its type.
        kind: String,
        /// What it is made of.
        source: String,
    },
}

impl Plan {
    /// Plans what a configuration asks for. An empty `rootfs` is the configuration's own root.
    pub(crate) fn new(spec: &Spec, bundle: &Path, rootfs: &[Mount]) -> Result<Self> {
        let none = Linux::default();
        let linux = spec.linux.as_ref().unwrap_or(&none);
        let mounts: Vec<_> = spec
            .mounts
            .iter()
            .map(|mount| entry(mount, bundle, linux))
            .collect::<Result<_>>()?;
        Ok(Self {
            root: root(spec, bundle, rootfs, linux)?,
            read_only: spec.root.as_ref().is_some_and(|root| root.readonly),
            propagation: root_propagation(linux)?,
            devices: needs_devices(&mounts).then(|| devices(&linux.devices)),
            masked: linux.masked_paths.clone(),
            read_only_paths: linux.readonly_paths.clone(),
            working_directory: spec.process.as_ref().map(|process| process.cwd.clone()),
            mounts,
        })
    }

    /// Whether a mount maps ids, for which the runtime itself has to prepare.
    pub(crate) fn maps_ids(&self) -> bool {
        self.root
            .iter()
            .chain(&self.mounts)
            .any(|entry| entry.options.id_map.is_some())
    }
}

fn root(spec: &Spec, bundle: &Path, rootfs: &[Mount], linux: &Linux) -> Result<Vec<Entry>> {
    if !rootfs.is_empty() {
        return rootfs.iter().map(|mount| entry(mount, bundle, linux)).collect();
    }
    let Some(root) = &spec.root else {
        return Err(invalid("invalid configuration: \"root\" is missing"));
    };
    Ok(vec![Entry {
        destination: inside(Path::new("/")),
        what: What::Bind(bundle.join(&root.path)),
        options: Options::parse(&["rbind"]),
        ids: Default::default(),
    }])
}

/// Plans a root alone.
pub(super) fn root_entries(rootfs: &[Mount]) -> Result<Vec<Entry>> {
    let none = Linux::default();
    let bundle = Path::new("/");
    rootfs.iter().map(|mount| entry(mount, bundle, &none)).collect()
}

fn root_propagation(linux: &Linux) -> Result<(MountPropagationFlags, Reach)> {
    match linux.rootfs_propagation.as_deref() {
        None | Some("") => Ok((MountPropagationFlags::DOWNSTREAM, Reach::Tree)),
        Some(word) => propagation(word).ok_or_else(|| invalid(format!("rootfsPropagation={word} is not supported"))),
    }
}

fn entry(mount: &Mount, bundle: &Path, linux: &Linux) -> Result<Entry> {
    let mut options = Options::parse(&mount.options);
    let kind = mount.kind.as_deref().unwrap_or_default();
    let source = mount.source.clone().unwrap_or_default();
    if options.remount {
        let place = &mount.destination;
        return Err(invalid(format!("mount {place:?}: option \"remount\" is not supported")));
    }
    if kind == "bind" && options.bind.is_none() {
        options.bind = Some(Reach::Tree);
    }
    let what = if options.bind.is_some() {
        if source.is_empty() {
            return Err(invalid(format!(
                "mount {:?}: a bind mount needs a source",
                mount.destination
            )));
        }
        What::Bind(bundle.join(source))
    } else if kind == "cgroup" || kind == "cgroup2" {
        What::Cgroup
    } else if kind.is_empty() || kind == "none" {
        return Err(invalid(format!("mount {:?}: its type is missing", mount.destination)));
    } else {
        label(&mut options, kind, linux);
        What::New {
            kind: kind.into(),
            source,
        }
    };
    let ids = if mount.uid_mappings.is_empty() && mount.gid_mappings.is_empty() {
        (linux.uid_mappings.clone(), linux.gid_mappings.clone())
    } else {
        options.id_map = options.id_map.or(Some(Reach::Mount));
        (mount.uid_mappings.clone(), mount.gid_mappings.clone())
    };
    if options.id_map.is_some() && (ids.0.is_empty() || ids.1.is_empty()) {
        return Err(invalid(format!(
            "mount {:?}: \"idmap\" needs id mappings",
            mount.destination
        )));
    }
    let destination = inside(Path::new(&mount.destination));
    Ok(Entry {
        destination,
        what,
        options,
        ids,
    })
}

/// Adds the SELinux label to the file systems whose inodes are the container's own.
fn label(options: &mut Options, kind: &str, linux: &Linux) {
    let Some((key, label)) = mount_context(linux.mount_label.as_deref()) else {
        return;
    };
    if !matches!(kind, "proc" | "sysfs" | "overlay") {
        options.parameters.push(Parameter {
            key: key.into(),
            value: Some(label.into()),
        });
    }
}

/// The nodes and links in `/dev` are ours unless the user has mounted a `/dev` of the host.
fn needs_devices(mounts: &[Entry]) -> bool {
    let dev = Path::new("dev");
    !mounts
        .iter()
        .any(|mount| mount.destination == dev && matches!(mount.what, What::Bind(_)))
}

/// The devices every container has (config-linux.md "Default Devices"): name, major, minor.
pub(crate) const DEFAULT_DEVICES: [(&str, i64, i64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// The configuration's devices, after the default ones that it doesn't name itself.
fn devices(own: &[Device]) -> Vec<Device> {
    let default = DEFAULT_DEVICES.iter().map(|&(name, major, minor)| Device {
        kind: "c".into(),
        path: format!("/dev/{name}"),
        major: Some(major),
        minor: Some(minor),
        file_mode: Some(0o666),
        uid: None,
        gid: None,
    });
    let named = |device: &Device| {
        own.iter()
            .any(|other| inside(Path::new(&other.path)) == inside(Path::new(&device.path)))
    };
    default
        .filter(|device| !named(device))
        .chain(own.iter().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan> {
        let spec: Spec = serde_json::from_str(text).unwrap();
        Plan::new(&spec, Path::new("/bundle"), &[])
    }

    #[test]
    fn paths_are_relative_to_the_bundle() {
        let plan = plan(
            r#"{"root":{"path":"rootfs"},"mounts":[
                {"destination":"/a/../b","type":"bind","source":"x"},
                {"destination":"/c","source":"/y","options":["rbind","ro"]}]}"#,
        )
        .unwrap();
        assert_eq!(plan.root[0].what, What::Bind("/bundle/rootfs".into()));
        assert_eq!(plan.mounts[0].what, What::Bind("/bundle/x".into()));
        assert_eq!(plan.mounts[0].destination, Path::new("b"));
        assert_eq!(plan.mounts[0].options.bind, Some(Reach::Tree));
        assert_eq!(plan.mounts[1].what, What::Bind("/y".into()));
    }

    #[test]
    fn a_hosts_dev_is_left_alone() {
        let with = |mounts: &str| {
            plan(&format!(r#"{{"root":{{"path":"/r"}},"mounts":[{mounts}]}}"#))
                .unwrap()
                .devices
        };
        assert!(with(r#"{"destination":"/dev","source":"/dev","options":["rbind"]}"#).is_none());
        let made = with(r#"{"destination":"/dev","type":"tmpfs","source":"tmpfs"}"#).unwrap();
        assert_eq!(made.len(), 6);
    }

    #[test]
    fn own_devices_replace_default_ones() {
        let own = Device {
            path: "/dev//null".into(),
            ..Device::default()
        };
        let all = devices(&[own]);
        assert_eq!(all.len(), 6);
        assert_eq!(all[5].path, "/dev//null");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for mount in [
            r#"{"destination":"/a","type":"bind"}"#,
            r#"{"destination":"/a","source":"b"}"#,
            r#"{"destination":"/a","type":"bind","source":"b","options":["idmap"]}"#,
            r#"{"destination":"/a","type":"tmpfs","options":["remount"]}"#,
        ] {
            assert!(
                plan(&format!(r#"{{"root":{{"path":"/r"}},"mounts":[{mount}]}}"#)).is_err(),
                "{mount}"
            );
        }
        assert!(plan("{}").is_err());
        assert!(plan(r#"{"root":{"path":"/r"},"linux":{"rootfsPropagation":"x"}}"#).is_err());
    }
}
