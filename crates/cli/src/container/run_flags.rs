//! The flags that `run` and `create` share.

use crate::{
    command::Flag,
    opts::{address, device, duration, environment, gpu, limits, mount, network, size},
};

/// Checks `--attach`.
fn check_stream(text: &str) -> Result<(), String> {
    match text.to_lowercase().as_str() {
        "stdin" | "stdout" | "stderr" => Ok(()),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}

/// The flags that `run` and `create` share.
pub(crate) static FLAGS: &[Flag] = &[
    Flag::list("add-host", "Extra line for the hosts file (name:address)").checked(address::check_host),
    Flag::map("annotation", "Metadata that is handed to the OCI runtime"),
    Flag::list("attach", "Stream to attach: STDIN, STDOUT or STDERR")
        .short('a')
        .checked(check_stream),
    Flag::list("blkio-weight-device", "Block I/O weight for one device")
        .checked(device::check_weight)
        .shown("[]"),
    Flag::list("cap-add", "Capability to give"),
    Flag::list("cap-drop", "Capability to take away"),
    Flag::string("cgroup-parent", "Cgroup to put the container's own one in"),
    Flag::string(
        "cgroupns",
        "Cgroup namespace (host|private)\n'host':    See the host's cgroups\n'private': See only its own\n'':        As the daemon is configured (default)",
    ),
    Flag::string("cidfile", "File to write the container's ID to"),
    Flag::int("cpu-count", "Number of CPUs (Windows only)").windows(),
    Flag::int("cpu-percent", "Share of the CPUs in percent (Windows only)").windows(),
    Flag::list("device", "Device of the host to add"),
    Flag::list("device-cgroup-rule", "Rule for the devices it may use").checked(device::check_cgroup_rule),
    Flag::list("device-read-bps", "Bytes a second to read from a device")
        .checked(device::check_bps)
        .shown("[]"),
    Flag::list("device-read-iops", "Reads a second from a device")
        .checked(device::check_iops)
        .shown("[]"),
    Flag::list("device-write-bps", "Bytes a second to write to a device")
        .checked(device::check_bps)
        .shown("[]"),
    Flag::list("device-write-iops", "Writes a second to a device")
        .checked(device::check_iops)
        .shown("[]"),
    Flag::switch_on("disable-content-trust", "Do not verify signatures of images"),
    Flag::list("dns", "Name server to use").checked(address::check_ip),
    Flag::list("dns-opt", "").same_as("dns-option"),
    Flag::list("dns-option", "Option for the resolver"),
    Flag::list("dns-search", "Domain to search names in").checked(address::check_domain),
    Flag::string("domainname", "NIS domain name"),
    Flag::string("entrypoint", "Program to run instead of the image's ENTRYPOINT"),
    Flag::list("env", "Environment variable to set")
        .short('e')
        .checked(environment::check),
    Flag::list("env-file", "File of environment variables"),
    Flag::list("expose", "Port or range that the container listens on"),
    Flag::value("gpus", "gpu-request", gpu::check, "GPUs to add ('all' for every one)"),
    Flag::list("group-add", "Further group to run in"),
    Flag::string("health-cmd", "Command that tells whether it is healthy"),
    Flag::value(
        "health-interval",
        "duration",
        duration::check,
        "Time between checks (ms|s|m|h)",
    )
    .shown("0s"),
    Flag::int("health-retries", "Failed checks in a row that make it unhealthy"),
    Flag::value(
        "health-start-interval",
        "duration",
        duration::check,
        "Time between checks while it starts (ms|s|m|h)",
    )
    .shown("0s"),
    Flag::value(
        "health-start-period",
        "duration",
        duration::check,
        "Time to start in before failed checks count (ms|s|m|h)",
    )
    .shown("0s"),
    Flag::value(
        "health-timeout",
        "duration",
        duration::check,
        "Longest time for one check (ms|s|m|h)",
    )
    .shown("0s"),
    Flag::switch("help", "Print usage"),
    Flag::string("hostname", "Host name of the container").short('h'),
    Flag::switch("init", "Run a small init that passes signals on and reaps processes"),
    Flag::switch("interactive", "Keep standard input open").short('i'),
    Flag::value(
        "io-maxbandwidth",
        "bytes",
        size::check,
        "Most bytes a second (Windows only)",
    )
    .windows(),
    Flag::int("io-maxiops", "Most operations a second (Windows only)").windows(),
    Flag::string("ip", "IPv4 address (for example 172.30.100.104)"),
    Flag::string("ip6", "IPv6 address (for example 2001:db8::33)"),
    Flag::string("ipc", "IPC namespace to use"),
    Flag::string("isolation", "Isolation technology"),
    Flag::value(
        "kernel-memory",
        "bytes",
        size::check,
        "No effect: kernel memory counts as memory",
    ),
    Flag::list("label", "Metadata to set")
        .short('l')
        .checked(environment::check_label),
    Flag::list("label-file", "File of labels, one a line"),
    Flag::list("link", "Container to make known under a name").checked(address::check_link),
    Flag::list("link-local-ip", "Link-local address"),
    Flag::string("log-driver", "What keeps the container's output"),
    Flag::list("log-opt", "Option for the log driver"),
    Flag::string("mac-address", "Hardware address (for example 92:d0:c6:0a:29:33)"),
    Flag::int("memory-swappiness", "How readily memory is swapped out (0 to 100)").default("-1"),
    Flag::value("mount", "mount", mount::check, "Volume, folder or tmpfs to mount"),
    Flag::string("name", "Name for the container"),
    Flag::value("net", "network", network::check, "").same_as("network"),
    Flag::list("net-alias", "").same_as("network-alias"),
    Flag::value("network", "network", network::check, "Network to connect to"),
    Flag::list("network-alias", "Further name in the network"),
    Flag::switch("no-healthcheck", "Ignore the image's health check"),
    Flag::switch("oom-kill-disable", "Never kill it when memory runs out"),
    Flag::int(
        "oom-score-adj",
        "How readily it is killed when memory runs out (-1000 to 1000)",
    ),
    Flag::string("pid", "PID namespace to use"),
    Flag::string("platform", "Platform of the image, if there are several"),
    Flag::switch("privileged", "Give it every right on the host"),
    Flag::list("publish", "Port to publish on the host").short('p'),
    Flag::switch("publish-all", "Publish every exposed port on a random one").short('P'),
    Flag::string("pull", "When to pull the image (\"always\", \"missing\", \"never\")").default("missing"),
    Flag::switch("quiet", "Say nothing while pulling").short('q'),
    Flag::switch("read-only", "Mount its root file system read-only"),
    Flag::string("restart", "What to do when it exits").default("no"),
    Flag::switch("rm", "Remove it and its anonymous volumes when it exits"),
    Flag::string("runtime", "OCI runtime to use"),
    Flag::list("security-opt", "Security option"),
    Flag::value("shm-size", "bytes", size::check, "Size of /dev/shm"),
    Flag::string("stop-signal", "Signal that stops it"),
    Flag::int("stop-timeout", "Seconds it gets to stop"),
    Flag::list("storage-opt", "Option for the storage driver"),
    Flag::map("sysctl", "Kernel parameter").checked(limits::check_sysctl),
    Flag::list("tmpfs", "Folder to mount a tmpfs on"),
    Flag::switch("tty", "Give it a terminal").short('t'),
    Flag::value("ulimit", "ulimit", limits::check_ulimit, "Limit of its processes").shown("[]"),
    Flag::switch("use-api-socket", "Mount the engine's socket and credentials"),
    Flag::string("user", "User, and optionally group (name|uid[:group|gid])").short('u'),
    Flag::string("userns", "User namespace to use"),
    Flag::string("uts", "UTS namespace to use"),
    Flag::list("volume", "Volume or folder to mount").short('v'),
    Flag::string("volume-driver", "Driver for its volumes"),
    Flag::list("volumes-from", "Container whose volumes it gets"),
    Flag::string("workdir", "Folder to start in").short('w'),
];
