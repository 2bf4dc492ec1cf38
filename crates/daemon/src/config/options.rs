//! The table of options: dockerd's flags and `daemon.json` keys, which values they take, and how
//! far this engine follows them.
//!
//! Everything else is made from this table: the flags, their help, the keys of the file, the
//! checks for conflicts. An option that dockerd knows and this engine does not follow is refused
//! with a sentence, unless it asks for what happens anyway.

/// What an option's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// `true` or `false`; the flag alone means true.
    Bool,
    /// Text.
    Text,
    /// A whole number.
    Number,
    /// A number of bytes: `64m`.
    Bytes,
    /// Texts; the flag may be repeated.
    List,
    /// `name=value`; the flag may be repeated.
    Map,
    /// `group=name=value`; the flag may be repeated.
    Maps,
    /// `base=CIDR,size=BITS`; the flag may be repeated.
    Pools,
    /// `name=soft[:hard]`; the flag may be repeated.
    Ulimits,
}

/// How far the engine follows an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// It does what it says.
    Full,
    /// Only these values (as Go prints them) can be had.
    Only(&'static [&'static str], &'static str),
    /// It is accepted, and the reason why it changes nothing is logged.
    NoEffect(&'static str),
    /// dockerd had it once.
    Removed(&'static str),
    /// It cannot be had at all.
    None,
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OptionSpec {
    /// The flag's long name; empty for keys without one.
    pub(crate) flag: &'static str,
    /// The flag's letter.
    pub(crate) short: Option<char>,
    /// The key in `daemon.json`; empty for flags without one.
    pub(crate) key: &'static str,
    /// What its value is.
    pub(crate) kind: Type,
    /// Whether the engine follows it.
    pub(crate) support: Support,
    /// Whether `SIGHUP` applies a new value.
    pub(crate) reload: bool,
    /// What it is for.
    pub(crate) help: &'static str,
}

const fn option(
    flag: &'static str,
    short: Option<char>,
    key: &'static str,
    kind: Type,
    support: Support,
    help: &'static str,
) -> OptionSpec {
    OptionSpec {
        flag,
        short,
        key,
        kind,
        support,
        reload: false,
        help,
    }
}

/// An option of the same name as flag and key.
const fn same(name: &'static str, kind: Type, support: Support, help: &'static str) -> OptionSpec {
    option(name, None, name, kind, support, help)
}

const fn reloadable(spec: OptionSpec) -> OptionSpec {
    OptionSpec { reload: true, ..spec }
}

use Support::{Full, NoEffect, None as Unsupported, Only, Removed};
use Type::{Bool, Bytes, List, Map, Maps, Number, Pools, Text, Ulimits};

const NO_PROXY_PROCESS: &str = "there is no proxy program: what rules cannot do, containers' shims do";
const NO_CONTAINERD: &str = "the engine runs containers itself";
const NO_SWARM: &str = "this engine is no swarm node";

/// All options, in the order of dockerd's help.
pub(crate) const OPTIONS: &[OptionSpec] = &[
    reloadable(option(
        "add-runtime",
        None,
        "runtimes",
        Map,
        Full,
        "register an additional OCI runtime: name=path",
    )),
    same(
        "allow-direct-routing",
        Bool,
        Full,
        "let remote hosts reach published ports by container addresses",
    ),
    reloadable(option(
        "authorization-plugin",
        None,
        "authorization-plugins",
        List,
        Full,
        "authorization plugins to load",
    )),
    same("bip", Text, Full, "address and subnet of the default bridge, as CIDR"),
    same("bip6", Text, Full, "IPv6 address and subnet of the default bridge"),
    option(
        "bridge",
        Some('b'),
        "bridge",
        Text,
        Full,
        "link name of the default bridge, or \"none\"",
    ),
    option(
        "cdi-spec-dir",
        None,
        "cdi-spec-dirs",
        List,
        Full,
        "folders of CDI specifications",
    ),
    same("cgroup-parent", Text, Full, "parent of all containers' cgroups"),
    option(
        "config-file",
        None,
        "",
        Text,
        Full,
        "configuration file (default \"/etc/corten/daemon.json\")",
    ),
    same("containerd", Text, NoEffect(NO_CONTAINERD), "containerd's socket"),
    same(
        "containerd-namespace",
        Text,
        NoEffect(NO_CONTAINERD),
        "containerd's namespace",
    ),
    option(
        "containerd-plugins-namespace",
        None,
        "containerd-plugin-namespace",
        Text,
        NoEffect(NO_CONTAINERD),
        "containerd's namespace for plugins",
    ),
    same(
        "cpu-rt-period",
        Number,
        Full,
        "real-time CPU period of the parent cgroup in microseconds",
    ),
    same(
        "cpu-rt-runtime",
        Number,
        Full,
        "real-time CPU time of the parent cgroup in microseconds",
    ),
    same(
        "cri-containerd",
        Bool,
        NoEffect(NO_CONTAINERD),
        "start containerd with CRI",
    ),
    same(
        "data-root",
        Text,
        Full,
        "folder of images, containers and volumes (default \"/var/lib/corten\")",
    ),
    reloadable(option("debug", Some('D'), "debug", Bool, Full, "log details")),
    option(
        "default-address-pool",
        None,
        "default-address-pools",
        Pools,
        Full,
        "subnets for new networks: base=CIDR,size=BITS",
    ),
    reloadable(same(
        "default-cgroupns-mode",
        Text,
        Full,
        "cgroup namespaces of containers: \"private\" or \"host\"",
    )),
    same("default-gateway", Text, Full, "default gateway of the default bridge"),
    same(
        "default-gateway-v6",
        Text,
        Full,
        "IPv6 default gateway of the default bridge",
    ),
    reloadable(same(
        "default-ipc-mode",
        Text,
        Full,
        "IPC namespaces of containers: \"private\" or \"shareable\"",
    )),
    option(
        "default-network-opt",
        None,
        "default-network-opts",
        Maps,
        Full,
        "options of new networks that do not name them: driver=name=value",
    ),
    reloadable(same(
        "default-runtime",
        Text,
        Full,
        "OCI runtime of containers that name none",
    )),
    reloadable(same(
        "default-shm-size",
        Bytes,
        Full,
        "size of /dev/shm (default 64MiB)",
    )),
    reloadable(option(
        "default-ulimit",
        None,
        "default-ulimits",
        Ulimits,
        Full,
        "limits of containers' processes: name=soft[:hard]",
    )),
    reloadable(same("dns", List, Full, "name servers of containers")),
    option(
        "dns-opt",
        None,
        "dns-opts",
        List,
        Full,
        "resolver options of containers",
    ),
    reloadable(same("dns-search", List, Full, "search domains of containers")),
    option(
        "exec-opt",
        None,
        "exec-opts",
        List,
        Full,
        "runtime options: native.cgroupdriver=cgroupfs",
    ),
    same(
        "exec-root",
        Text,
        Full,
        "folder of sockets and of what runs (default \"/run/corten\")",
    ),
    same("experimental", Bool, Full, "offer experimental features to clients"),
    reloadable(option(
        "feature",
        None,
        "features",
        Map,
        Full,
        "switch features on or off: name=true",
    )),
    same(
        "fixed-cidr",
        Text,
        Full,
        "part of the default bridge's subnet that containers get",
    ),
    same(
        "fixed-cidr-v6",
        Text,
        Full,
        "IPv6 subnet, or part of it, that containers on the default bridge get",
    ),
    option(
        "group",
        Some('G'),
        "group",
        Text,
        Full,
        "group that may use the socket (default \"docker\", else \"corten\")",
    ),
    option("help", None, "", Bool, Full, "print this and exit"),
    option(
        "host",
        Some('H'),
        "hosts",
        List,
        Full,
        "where to listen: unix://PATH, tcp://ADDRESS:PORT, fd://",
    ),
    option(
        "host-gateway-ip",
        None,
        "host-gateway-ips",
        List,
        Full,
        "address that host-gateway stands for",
    ),
    option(
        "http-proxy",
        None,
        "http-proxy",
        Text,
        Full,
        "proxy on the way to registries, for HTTP",
    ),
    option(
        "https-proxy",
        None,
        "https-proxy",
        Text,
        Full,
        "proxy on the way to registries, for HTTPS",
    ),
    same(
        "icc",
        Bool,
        Full,
        "let containers on the default bridge talk to each other (default true)",
    ),
    same("init", Bool, Full, "run an init in containers"),
    same("init-path", Text, Full, "path of the init program (default: our own)"),
    reloadable(option(
        "insecure-registry",
        None,
        "insecure-registries",
        List,
        Full,
        "registries that may use plain HTTP or unknown certificates",
    )),
    same(
        "ip",
        Text,
        Full,
        "host address of published ports without one (default 0.0.0.0)",
    ),
    same(
        "ip-forward",
        Bool,
        Full,
        "switch forwarding on in the kernel (default true)",
    ),
    same(
        "ip-forward-no-drop",
        Bool,
        NoEffect("the engine never sets the policy of forwarded packets to drop"),
        "do not drop forwarded packets by policy",
    ),
    same(
        "ip-masq",
        Bool,
        Full,
        "give traffic that leaves the default bridge the host's address (default true)",
    ),
    same("ip6tables", Bool, Full, "manage rules for IPv6 (default true)"),
    same("iptables", Bool, Full, "manage rules (default true)"),
    same(
        "ipv6",
        Bool,
        Full,
        "give containers on the default bridge IPv6 addresses",
    ),
    reloadable(option(
        "label",
        None,
        "labels",
        List,
        Full,
        "labels of the engine: key=value",
    )),
    reloadable(same(
        "live-restore",
        Bool,
        Full,
        "keep containers running while the engine is down (default true)",
    )),
    same(
        "log-driver",
        Text,
        Full,
        "log driver of containers (default \"json-file\")",
    ),
    same(
        "log-format",
        Text,
        Full,
        "format of the engine's own log: \"text\" or \"json\"",
    ),
    option(
        "log-level",
        Some('l'),
        "log-level",
        Text,
        Full,
        "level of the engine's own log: debug, info, warn, error, fatal",
    ),
    option(
        "log-opt",
        None,
        "log-opts",
        Map,
        Full,
        "options of the log driver: name=value",
    ),
    reloadable(same(
        "max-concurrent-downloads",
        Number,
        Full,
        "layers fetched at once (default 3)",
    )),
    reloadable(same(
        "max-concurrent-uploads",
        Number,
        Full,
        "layers sent at once (default 5)",
    )),
    reloadable(same(
        "max-download-attempts",
        Number,
        Full,
        "how often a download is tried (default 5)",
    )),
    same("metrics-addr", Text, Full, "address at which Prometheus finds metrics"),
    same("mtu", Number, Full, "MTU of the default bridge (default 1500)"),
    same(
        "network-control-plane-mtu",
        Number,
        NoEffect(NO_SWARM),
        "MTU of overlay networks' control plane",
    ),
    same(
        "no-new-privileges",
        Bool,
        Full,
        "never let containers' processes gain privileges",
    ),
    option(
        "no-proxy",
        None,
        "no-proxy",
        Text,
        Full,
        "hosts that are reached without a proxy, separated by commas",
    ),
    option(
        "node-generic-resource",
        None,
        "node-generic-resources",
        List,
        NoEffect(NO_SWARM),
        "resources that a swarm may give away",
    ),
    option(
        "pidfile",
        Some('p'),
        "pidfile",
        Text,
        Full,
        "file for the engine's pid (default \"/run/corten.pid\")",
    ),
    same(
        "raw-logs",
        Bool,
        NoEffect("the engine's log has no colours"),
        "no colours in the engine's own log",
    ),
    reloadable(option(
        "registry-mirror",
        None,
        "registry-mirrors",
        List,
        Full,
        "mirrors of the default registry",
    )),
    same(
        "rootless",
        Bool,
        Only(&["false"], "the engine runs as root"),
        "rootless mode",
    ),
    same(
        "seccomp-profile",
        Text,
        Full,
        "seccomp profile of containers: \"builtin\", \"unconfined\" or a file",
    ),
    same(
        "selinux-enabled",
        Bool,
        Only(&["false"], "SELinux labels are set for each container"),
        "SELinux labels for containers",
    ),
    reloadable(same(
        "shutdown-timeout",
        Number,
        Full,
        "seconds that containers may take to stop with --live-restore=false (default 15)",
    )),
    option(
        "storage-driver",
        Some('s'),
        "storage-driver",
        Text,
        Only(&["overlay2"], "the engine has one storage driver"),
        "storage driver",
    ),
    option(
        "storage-opt",
        None,
        "storage-opts",
        List,
        Unsupported,
        "options of the storage driver",
    ),
    same(
        "swarm-default-advertise-addr",
        Text,
        NoEffect(NO_SWARM),
        "address shown to a swarm",
    ),
    same("tls", Bool, Full, "use TLS (implied by --tlsverify)"),
    same(
        "tlscacert",
        Text,
        Full,
        "certificates of authorities that clients' certificates are checked against",
    ),
    same("tlscert", Text, Full, "the engine's TLS certificate"),
    same("tlskey", Text, Full, "the engine's TLS key"),
    same(
        "tlsverify",
        Bool,
        Full,
        "use TLS and admit only clients with a certificate",
    ),
    same(
        "userland-proxy",
        Bool,
        Full,
        "pass on what comes to published ports from ::1, or by IPv6 to containers without it (default true)",
    ),
    same(
        "userland-proxy-path",
        Text,
        NoEffect(NO_PROXY_PROCESS),
        "path of the proxy program",
    ),
    same(
        "userns-remap",
        Text,
        Only(&[""], "user namespaces cannot be remapped for all containers"),
        "user and group of user namespaces",
    ),
    option("validate", None, "", Bool, Full, "check the configuration and exit"),
    option("version", Some('v'), "", Bool, Full, "print the version and exit"),
    // Keys without a flag.
    option(
        "",
        None,
        "allow-nondistributable-artifacts",
        List,
        NoEffect("registries decide this now"),
        "",
    ),
    option(
        "",
        None,
        "api-cors-header",
        Text,
        Removed("a proxy in front of the API can add headers"),
        "",
    ),
    option("", None, "builder", Map, Full, ""),
    option(
        "",
        None,
        "default-init",
        Bool,
        NoEffect("it never had one; set init"),
        "",
    ),
    option(
        "",
        None,
        "deprecated-key-path",
        Text,
        NoEffect("the engine has no such key"),
        "",
    ),
    option("", None, "host-gateway-ip", Text, Full, ""),
    option("", None, "network-diagnostic-port", Number, NoEffect(NO_SWARM), ""),
    option("", None, "resolv-conf", Text, Unsupported, ""),
    option("", None, "swarm-raft-election-tick", Number, NoEffect(NO_SWARM), ""),
    option("", None, "swarm-raft-heartbeat-tick", Number, NoEffect(NO_SWARM), ""),
];

/// The option with a key, by which values are kept.
pub(crate) fn by_key(key: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|option| option.key == key)
}

impl OptionSpec {
    /// The name that values are kept under: the key, or the flag for flags without one.
    pub(crate) fn name(&self) -> &'static str {
        if self.key.is_empty() { self.flag } else { self.key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let flags: Vec<_> = OPTIONS.iter().map(|o| o.flag).filter(|flag| !flag.is_empty()).collect();
        assert_eq!(flags.len(), flags.iter().collect::<BTreeSet<_>>().len());
        let keys: Vec<_> = OPTIONS.iter().map(|o| o.key).filter(|key| !key.is_empty()).collect();
        assert_eq!(keys.len(), keys.iter().collect::<BTreeSet<_>>().len());
        assert_eq!(flags.len(), 87, "dockerd 28.5.2 has 87 flags");
    }
}
