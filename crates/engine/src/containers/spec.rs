//! The runtime configuration of a container (OCI runtime-spec, config.md): decided here as a value, applied by the shim.

use std::path::{Path, PathBuf};

use corten_api::container::HostConfig;
use corten_oci::{
    capability::{self, Privilege},
    runtime::{
        Capabilities, Linux, Mount, Namespace, NamespaceKind, Process, Resources, Root, Seccomp as Filter, Spec,
    },
    seccomp::{Target, default_profile, parse_profile},
};
use corten_store::MountPoints;

use super::{
    modes::{self, Ipc, Network, Share},
    record::{MountRecord, Record},
    resources,
    security::{self, Seccomp, Security},
    users::Identity,
};
use crate::{
    apparmor::AppArmor,
    error::{Error, Result},
    settings::{Reloadable, Seccomp as Defaults, SecurityDefaults},
};

/// This machine, as Go names it.
pub(crate) const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
/// The first kernel that makes mounts below another read-only with it (`mount_setattr(2)`).
const RECURSIVE_READ_ONLY: (u32, u32) = (5, 12);
/// The version of the runtime specification that is written.
const OCI_VERSION: &str = "1.2.0";
/// The path of the init program inside a container; the name that users of `--init` know.
const INIT_PATH: &str = "/sbin/docker-init";
/// The search path when neither image nor user gives one.
pub(crate) const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Files of `/proc` and `/sys` that tell of the host or reach into it.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// Files of `/proc` through which the host is configured.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The paths that are hidden unless the user says otherwise.
pub(crate) fn masked_paths() -> Vec<String> {
    MASKED.map(str::to_owned).to_vec()
}

/// The paths that are read-only unless the user says otherwise.
pub(crate) fn readonly_paths() -> Vec<String> {
    READ_ONLY.map(str::to_owned).to_vec()
}

/// Where something of the engine's own is mounted in every container, whether the image has the place or not.
pub(crate) fn mount_points() -> MountPoints {
    [
        "/proc",
        "/dev",
        "/dev/pts",
        "/dev/shm",
        "/dev/mqueue",
        "/dev/console",
        "/sys",
        "/sys/fs/cgroup",
        "/etc/resolv.conf",
        "/etc/hostname",
        "/etc/hosts",
        INIT_PATH,
    ]
    .into_iter()
    .collect()
}

/// What the specification depends on beside the record.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// Who the process is.
    pub(crate) identity: &'a Identity,
    /// The engine's defaults.
    pub(crate) defaults: &'a Reloadable,
    /// Those about what keeps containers in.
    pub(crate) security: &'a SecurityDefaults,
    /// The container's folder on the host, with `hostname`, `hosts` and `resolv.conf`.
    pub(crate) folder: &'a Path,
    /// The cgroup below which the container's is made.
    pub(crate) cgroup_parent: &'a str,
    /// The init program on the host; none not to use it.
    pub(crate) init: Option<&'a Path>,
    /// What AppArmor does for containers.
    pub(crate) apparmor: &'a AppArmor,
    /// The kernel's version and patch level.
    pub(crate) kernel: (u32, u32),
    /// First processes of containers whose namespaces are joined.
    pub(crate) joined: Joined,
    /// Where a `/dev/shm` that others may join is mounted on the host.
    pub(crate) shared_memory: Option<PathBuf>,
    /// Variables about linked containers.
    pub(crate) linked: &'a [String],
    /// Whether the host's `hosts`, `hostname` and `resolv.conf` files are mounted.
    pub(crate) files: bool,
}

/// First processes of containers whose namespaces are joined, as the host counts.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Joined {
    /// `--network container:`
    pub(crate) network: Option<i32>,
    /// `--pid container:`
    pub(crate) pid: Option<i32>,
    /// `--ipc container:`
    pub(crate) ipc: Option<i32>,
}

/// Makes the configuration.
///
/// # Errors
/// `Invalid` for devices and options that make no sense.
pub(crate) fn spec(record: &Record, around: &Surroundings<'_>) -> Result<Spec> {
    let host = &record.host_config;
    let security = security::parse(host)?;
    let capabilities = capability_list(host)?;
    Ok(Spec {
        oci_version: OCI_VERSION.to_owned(),
        process: Some(process(record, around, &security, &capabilities)),
        root: Some(Root {
            path: "rootfs".into(),
            readonly: host.readonly_rootfs,
        }),
        hostname: (host.uts_mode != "host").then(|| record.config.hostname.clone()),
        domainname: (host.uts_mode != "host" && !record.config.domainname.is_empty())
            .then(|| record.config.domainname.clone()),
        mounts: mounts(record, around, &security)?,
        annotations: host.annotations.clone().unwrap_or_default(),
        linux: Some(linux(record, around, &security, &capabilities)?),
        ..Spec::default()
    })
}

pub(crate) fn capability_list(host: &HostConfig) -> Result<Vec<String>> {
    let privilege = if host.privileged {
        Privilege::Privileged
    } else {
        Privilege::Ordinary
    };
    let list = capability::resolve(
        host.cap_add.as_deref().unwrap_or_default(),
        host.cap_drop.as_deref().unwrap_or_default(),
        privilege,
    )
    .map_err(|unknown| Error::invalid(format!("unknown capability: \"{}\"", unknown.0)))?;
    Ok(list.into_iter().map(str::to_owned).collect())
}

/// The sets for a process: root has them all, others only the bound they cannot exceed.
pub(crate) fn capability_sets(names: &[String], uid: u32) -> Capabilities {
    let usable = if uid == 0 { names.to_vec() } else { Vec::new() };
    Capabilities {
        bounding: names.to_vec(),
        effective: usable.clone(),
        permitted: usable,
        inheritable: Vec::new(),
        ambient: Vec::new(),
    }
}

fn process(record: &Record, around: &Surroundings<'_>, security: &Security<'_>, capabilities: &[String]) -> Process {
    let config = &record.config;
    let mut args = record.command.clone();
    if around.init.is_some() {
        args.splice(0..0, [INIT_PATH.to_owned(), "--".to_owned()]);
    }
    Process {
        terminal: config.tty,
        user: around.identity.user.clone(),
        args,
        env: environment(record, around.identity, around.linked),
        cwd: if config.working_dir.is_empty() {
            "/".to_owned()
        } else {
            config.working_dir.clone()
        },
        capabilities: Some(capability_sets(capabilities, around.identity.user.uid)),
        rlimits: resources::rlimits(
            record.host_config.resources.ulimits.as_deref().unwrap_or_default(),
            around.defaults.ulimits.values(),
        ),
        no_new_privileges: security.no_new_privileges.unwrap_or(around.security.no_new_privileges),
        apparmor_profile: around
            .apparmor
            .profile(security.apparmor, record.host_config.privileged)
            .map(str::to_owned),
        oom_score_adj: Some(record.host_config.oom_score_adj),
        ..Process::default()
    }
}

/// The environment: the engine's variables, then the image's and the user's, each name once.
fn environment(record: &Record, identity: &Identity, linked: &[String]) -> Vec<String> {
    let config = &record.config;
    let mut all = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={}", config.hostname)];
    if config.tty {
        all.push("TERM=xterm".to_owned());
    }
    override_variables(&mut all, linked.iter().chain(config.env.iter().flatten()));
    if !all.iter().any(|variable| variable.starts_with("HOME=")) {
        all.push(format!("HOME={}", identity.home));
    }
    all
}

/// Puts variables over those of the same name; a bare name takes the variable away.
pub(crate) fn override_variables<'a>(all: &mut Vec<String>, over: impl Iterator<Item = &'a String>) {
    for variable in over {
        let name = variable.split_once('=').map_or(variable.as_str(), |(name, _)| name);
        let position = all
            .iter()
            .position(|other| other.split_once('=').is_some_and(|(n, _)| n == name));
        match (variable.contains('='), position) {
            (true, Some(position)) => all[position].clone_from(variable),
            (true, None) => all.push(variable.clone()),
            (false, Some(position)) => {
                all.remove(position);
            }
            (false, None) => {}
        }
    }
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        ..Mount::default()
    }
}

fn mounts(record: &Record, around: &Surroundings<'_>, security: &Security<'_>) -> Result<Vec<Mount>> {
    let host = &record.host_config;
    let access = if host.privileged { "rw" } else { "ro" };
    let cgroup_access = if host.privileged || security.writable_cgroups {
        "rw"
    } else {
        "ro"
    };
    let mut all = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access]),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &[cgroup_access, "nosuid", "noexec", "nodev"],
        ),
    ];
    ipc_mounts(host, around, &mut all)?;
    let own = |path: &str| record.mounts.iter().any(|m| m.point.destination == path);
    if around.files {
        for name in ["resolv.conf", "hostname", "hosts"] {
            let destination = format!("/etc/{name}");
            if !own(&destination) {
                let source = around.folder.join(name);
                all.push(mount(
                    &destination,
                    "bind",
                    &source.to_string_lossy(),
                    &["rbind", "rprivate"],
                ));
            }
        }
    }
    if let Some(init) = around.init {
        all.push(mount(
            INIT_PATH,
            "bind",
            &init.to_string_lossy(),
            &["bind", "ro", "nosuid", "nodev"],
        ));
    }
    // The user's mounts take the place of the engine's.
    all.retain(|m| !own(&m.destination));
    all.extend(record.mounts.iter().map(|mount| user_mount(mount, around.kernel)));
    Ok(all)
}

fn ipc_mounts(host: &HostConfig, around: &Surroundings<'_>, all: &mut Vec<Mount>) -> Result<()> {
    let queue = mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]);
    let size = format!("size={}", host.shm_size);
    match (modes::ipc(&host.ipc_mode)?, &around.shared_memory) {
        (Ipc::None, _) => all.push(queue),
        (Ipc::Host, _) => {
            // In the host's IPC namespace these are its queues, wherever it has them mounted, or not.
            all.push(queue);
            all.push(mount("/dev/shm", "bind", "/dev/shm", &["rbind", "rprivate"]));
        }
        (Ipc::Shareable | Ipc::Container(_), Some(folder)) => {
            all.push(queue);
            all.push(mount(
                "/dev/shm",
                "bind",
                &folder.to_string_lossy(),
                &["rbind", "rprivate"],
            ));
        }
        (Ipc::Private | Ipc::Shareable | Ipc::Container(_), _) => {
            all.push(queue);
            all.push(mount(
                "/dev/shm",
                "tmpfs",
                "shm",
                &["nosuid", "noexec", "nodev", "mode=1777", &size],
            ));
        }
    }
    Ok(())
}

fn user_mount(record: &MountRecord, kernel: (u32, u32)) -> Mount {
    let point = &record.point;
    if point.kind == "tmpfs" {
        return tmpfs(record);
    }
    let recursion = if record.non_recursive { "bind" } else { "rbind" };
    let propagation = if point.propagation.is_empty() {
        "rprivate"
    } else {
        &point.propagation
    };
    let mut options = vec![recursion, propagation];
    if !point.rw {
        // Mounts below are read-only too, unless they were asked to stay writable.
        let deep = !record.shallow && !record.non_recursive && kernel >= RECURSIVE_READ_ONLY;
        options.push(if deep { "rro" } else { "ro" });
    }
    mount(&point.destination, "bind", &point.source, &options)
}

fn tmpfs(record: &MountRecord) -> Mount {
    let mut result = mount(
        &record.point.destination,
        "tmpfs",
        "tmpfs",
        &["nosuid", "nodev", "noexec"],
    );
    let mut add = |option: String| {
        // `exec` takes `noexec` away and so on.
        let opposite = option
            .strip_prefix("no")
            .map_or_else(|| format!("no{option}"), str::to_owned);
        result.options.retain(|other| *other != opposite && *other != option);
        result.options.push(option);
    };
    for option in record.point.mode.split(',').filter(|option| !option.is_empty()) {
        add(option.to_owned());
    }
    if let Some(options) = &record.tmpfs {
        if options.size_bytes != 0 {
            add(format!("size={}", options.size_bytes));
        }
        if options.mode != 0 {
            add(format!("mode={:o}", options.mode));
        }
        for option in &options.options {
            add(option.join("="));
        }
    }
    if !record.point.rw {
        add("ro".to_owned());
    }
    result
}

fn linux(
    record: &Record,
    around: &Surroundings<'_>,
    security: &Security<'_>,
    capabilities: &[String],
) -> Result<Linux> {
    let host = &record.host_config;
    let devices = resources::devices(host)?;
    let open = host.privileged || security.open_system_paths;
    let paths = |own: &Option<Vec<String>>, default: fn() -> Vec<String>| match own {
        Some(own) => own.clone(),
        None if open => Vec::new(),
        None => default(),
    };
    Ok(Linux {
        sysctl: sysctls(host),
        resources: Some(Resources {
            devices: devices.rules,
            ..resources::limits(&host.resources)?
        }),
        cgroups_path: Some(cgroup_path(record, around.cgroup_parent)),
        namespaces: namespaces(host, around)?,
        devices: devices.nodes,
        seccomp: filter(host, security, capabilities, around)?,
        masked_paths: paths(&host.masked_paths, masked_paths),
        readonly_paths: paths(&host.readonly_paths, readonly_paths),
        rootfs_propagation: propagation(record),
        ..Linux::default()
    })
}

/// The host's mounts reach into the container only as far as one of its mounts asks.
fn propagation(record: &Record) -> Option<String> {
    let any = |kinds: [&str; 2]| {
        record
            .mounts
            .iter()
            .any(|m| kinds.contains(&m.point.propagation.as_str()))
    };
    if any(["shared", "rshared"]) {
        Some("shared".to_owned())
    } else if any(["slave", "rslave"]) {
        Some("rslave".to_owned())
    } else {
        None
    }
}

/// The container's cgroup.
pub(crate) fn cgroup_path(record: &Record, default_parent: &str) -> String {
    let parent = match record.host_config.resources.cgroup_parent.as_str() {
        "" => default_parent,
        own => own,
    };
    format!("/{}/{}", parent.trim_matches('/'), record.id)
}

fn sysctls(host: &HostConfig) -> std::collections::BTreeMap<String, String> {
    let mut all = host.sysctls.clone().unwrap_or_default();
    if matches!(modes::network(&host.network_mode), Network::None | Network::Named(_)) {
        let mut default = |name: &str, value: &str| {
            all.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        };
        // Low ports and pings need no privilege in a namespace of one's own.
        default("net.ipv4.ip_unprivileged_port_start", "0");
        default("net.ipv4.ping_group_range", "0 2147483647");
    }
    all
}

fn namespaces(host: &HostConfig, around: &Surroundings<'_>) -> Result<Vec<Namespace>> {
    let own = |kind| Namespace { kind, path: None };
    let of = |kind, pid: Option<i32>, name: &str| Namespace {
        kind,
        path: pid.map(|pid| PathBuf::from(format!("/proc/{pid}/ns/{name}"))),
    };
    let mut all = vec![own(NamespaceKind::Mount)];
    match modes::network(&host.network_mode) {
        Network::Host => {}
        Network::None | Network::Named(_) => all.push(own(NamespaceKind::Network)),
        Network::Container(_) => all.push(of(NamespaceKind::Network, around.joined.network, "net")),
    }
    if host.uts_mode != "host" {
        all.push(own(NamespaceKind::Uts));
    }
    match modes::share(&host.pid_mode, "PID")? {
        Share::Own => all.push(own(NamespaceKind::Pid)),
        Share::Container(_) => all.push(of(NamespaceKind::Pid, around.joined.pid, "pid")),
        Share::Host => {}
    }
    match modes::ipc(&host.ipc_mode)? {
        Ipc::Host => {}
        Ipc::Container(_) => all.push(of(NamespaceKind::Ipc, around.joined.ipc, "ipc")),
        Ipc::Private | Ipc::Shareable | Ipc::None => all.push(own(NamespaceKind::Ipc)),
    }
    if host.cgroupns_mode == "private" {
        all.push(own(NamespaceKind::Cgroup));
    }
    Ok(all)
}

fn filter(
    host: &HostConfig,
    security: &Security<'_>,
    capabilities: &[String],
    around: &Surroundings<'_>,
) -> Result<Option<Filter>> {
    let names: Vec<&str> = capabilities.iter().map(String::as_str).collect();
    let target = Target {
        capabilities: &names,
        architecture: ARCHITECTURE,
        kernel: around.kernel,
    };
    let own = |json: &str| parse_profile(json.as_bytes(), &target).map_err(|e| Error::invalid(e.to_string()));
    match (security.seccomp, &around.security.seccomp) {
        (Seccomp::Default, _) if host.privileged => Ok(None),
        (Seccomp::Unconfined, _) | (Seccomp::Default, Defaults::Unconfined) => Ok(None),
        (Seccomp::Default, Defaults::Profile { text, .. }) => own(text),
        (Seccomp::Builtin, _) | (Seccomp::Default, Defaults::Builtin) => Ok(Some(default_profile(&target))),
        (Seccomp::Profile(json), _) => own(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_override_and_vanish() {
        let check = |base: &[&str], over: &[&str], expected: &[&str]| {
            let mut all: Vec<String> = base.iter().map(|&v| v.to_owned()).collect();
            let over: Vec<String> = over.iter().map(|&v| v.to_owned()).collect();
            override_variables(&mut all, over.iter());
            assert_eq!(all, expected);
        };
        check(&["A=1", "B=2"], &["A=3"], &["A=3", "B=2"]);
        check(&["A=1", "B=2"], &["A"], &["B=2"]);
        check(&["A=1"], &["C=", "D=x=y"], &["A=1", "C=", "D=x=y"]);
    }

    #[test]
    fn tmpfs_options_replace_defaults() {
        let record = MountRecord {
            point: corten_api::container::MountPoint {
                kind: "tmpfs".into(),
                destination: "/t".into(),
                mode: "exec,size=1m".into(),
                rw: true,
                ..Default::default()
            },
            fill: false,
            non_recursive: false,
            relabel: String::new(),
            named: false,
            shallow: false,
            subpath: String::new(),
            tmpfs: None,
        };
        assert_eq!(tmpfs(&record).options, ["nosuid", "nodev", "exec", "size=1m"]);
    }
}
