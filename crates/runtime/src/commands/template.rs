//! `spec`: a configuration to begin with.

use std::path::Path;

use corten_oci::runtime::{
    Capabilities, DeviceCgroup, IdMapping, Linux, Mount, Namespace, NamespaceKind, Process, Resources, Rlimit, Root,
    Spec, VERSION,
};
use corten_sys::fs;

use super::arguments::{Order, Parsed, switch, value};
use super::{Command, Context};
use crate::error::{Error, Kind, Result};

pub(super) const SPEC: Command = Command {
    name: "spec",
    usage: "write a config.json to begin with",
    flags: &[
        value("bundle", "b", "folder for it; the current one by default"),
        switch("rootless", "", "for a user without privileges"),
    ],
    order: Order::Mixed,
    run,
};

fn run(_: &Context, args: Parsed) -> Result<i32> {
    let path = Path::new(args.value("bundle").unwrap_or(".")).join("config.json");
    if fs::exists(&path).unwrap_or(false) {
        let message = format!("File {} exists. Remove it first", path.display());
        return Err(Error::new(Kind::Conflict, message));
    }
    let mut spec = default_spec();
    if args.has("rootless") {
        make_rootless(&mut spec);
    }
    let internal = |message: &str| Error::new(Kind::Internal, message);
    let text = serde_json::to_vec_pretty(&spec)
        .map_err(|error| internal("cannot write the configuration").with_source(error))?;
    fs::write(&path, text).map_err(|error| internal("cannot write the configuration").with_source(error))?;
    Ok(0)
}

fn default_spec() -> Spec {
    let names = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
        .map(String::from)
        .to_vec();
    Spec {
        oci_version: VERSION.into(),
        process: Some(Process {
            terminal: true,
            args: vec!["sh".into()],
            env: vec![
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
                "TERM=xterm".into(),
            ],
            cwd: "/".into(),
            capabilities: Some(Capabilities {
                bounding: names.clone(),
                effective: names.clone(),
                permitted: names,
                ..Capabilities::default()
            }),
            rlimits: vec![Rlimit {
                kind: "RLIMIT_NOFILE".into(),
                hard: 1024,
                soft: 1024,
            }],
            no_new_privileges: true,
            ..Process::default()
        }),
        root: Some(Root {
            path: "rootfs".into(),
            readonly: true,
        }),
        hostname: Some("corten".into()),
        mounts: default_mounts(),
        linux: Some(default_linux()),
        ..Spec::default()
    }
}

/// Destination, type, source, options.
const MOUNTS: [(&str, &str, &str, &str); 7] = [
    ("/proc", "proc", "proc", ""),
    ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
    ),
    ("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
];

fn default_mounts() -> Vec<Mount> {
    let mount = |&(destination, kind, source, options): &(&str, &str, &str, &str)| Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(source.into()),
        options: options
            .split(',')
            .filter(|word| !word.is_empty())
            .map(Into::into)
            .collect(),
        ..Mount::default()
    };
    MOUNTS.iter().map(mount).collect()
}

fn default_linux() -> Linux {
    use NamespaceKind::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    const MASKED: [&str; 9] = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/sys/firmware",
    ];
    const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
    let deny = DeviceCgroup {
        access: Some("rwm".into()),
        ..DeviceCgroup::default()
    };
    Linux {
        namespaces: [Pid, Network, Ipc, Uts, Mount, Cgroup]
            .map(|kind| Namespace { kind, path: None })
            .into(),
        resources: Some(Resources {
            devices: vec![deny],
            ..Resources::default()
        }),
        masked_paths: MASKED.map(Into::into).into(),
        readonly_paths: READ_ONLY.map(Into::into).into(),
        ..Linux::default()
    }
}

/// Takes out what takes privileges: the network namespace's sysfs, cgroups, groups of the host.
fn make_rootless(spec: &mut Spec) {
    spec.mounts
        .retain(|mount| mount.destination != "/sys" && mount.destination != "/sys/fs/cgroup");
    spec.mounts.push(Mount {
        destination: "/sys".into(),
        kind: Some("none".into()),
        source: Some("/sys".into()),
        options: ["rbind", "nosuid", "noexec", "nodev", "ro"].map(Into::into).into(),
        ..Mount::default()
    });
    for mount in &mut spec.mounts {
        mount
            .options
            .retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
    }
    let Some(linux) = &mut spec.linux else { return };
    linux.resources = None;
    linux
        .namespaces
        .retain(|namespace| namespace.kind != NamespaceKind::Network);
    linux.namespaces.push(Namespace {
        kind: NamespaceKind::User,
        path: None,
    });
    let map = |id: u32| {
        vec![IdMapping {
            container_id: 0,
            host_id: id,
            size: 1,
        }]
    };
    linux.uid_mappings = map(rustix::process::geteuid().as_raw());
    linux.gid_mappings = map(rustix::process::getegid().as_raw());
}
