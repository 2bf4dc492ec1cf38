//! Makes the request for a container of the flags of `run` and `create`.
//!
//! What cannot be a container is refused here in Docker's words; what an engine cannot do is left for
//! it to refuse.

use std::collections::BTreeMap;

use corten_api::{
    container::{
        Config, CreateRequest, DeviceRequest, Healthcheck, HostConfig, LogConfig, NetworkingConfig, Resources, Ulimit,
    },
    image::Empty,
};

use crate::{
    error::{file_error, reason},
    flags::Matches,
    opts::{self, address, device, environment, gpu, limits, mount, network, port, volume},
};

type Result<T> = std::result::Result<T, String>;

/// What the request depends on besides the flags.
pub(crate) struct Surroundings<'a> {
    /// Looks a variable of the caller's environment up.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Variables that come before those of the flags.
    pub(crate) environment: Vec<(String, String)>,
}

/// The request for a container.
pub(crate) fn request(m: &Matches, around: &Surroundings<'_>) -> Result<CreateRequest> {
    let mac = m.get("mac-address");
    if !mac.is_empty() {
        address::check_mac(mac)?;
    }
    let swappiness = m.int("memory-swappiness");
    if swappiness != -1 && !(0..=100).contains(&swappiness) {
        return Err(format!(
            "invalid value: {swappiness}. Valid memory swappiness range is 0-100"
        ));
    }
    let (binds, volumes) = volumes(m)?;
    let (exposed, bindings) = port::parse(&m.all("publish"), &m.all("expose"))?;
    let devices = devices(m)?;
    let environment = environment(m, around)?;
    let labels = labels(m)?;
    check_namespaces(m)?;
    let networks = m.all("network");
    let attachments: Vec<_> = networks.iter().map(|n| network::parse(n)).collect::<Result<_>>()?;
    let mut host = HostConfig {
        binds: some(binds),
        port_bindings: bindings,
        network_mode: attachments
            .first()
            .map_or_else(|| "default".to_owned(), |a| a.target.clone()),
        ..host_config(m)?
    };
    host.resources = Resources {
        devices: Some(devices.0),
        device_requests: some(devices.1),
        ..resources(m)?
    };
    let mut config = config(m)?;
    config.exposed_ports = (!exposed.is_empty()).then_some(exposed);
    config.volumes = Some(volumes);
    config.env = some(environment);
    config.labels = labels;
    if host.auto_remove && !matches!(host.restart_policy.name.as_str(), "" | "no") {
        return Err("conflicting options: cannot specify both --restart and --rm".to_owned());
    }
    let endpoints = network::endpoints(&attachments, &common_network(m))?;
    Ok(CreateRequest {
        config,
        host_config: host,
        networking_config: NetworkingConfig {
            endpoints_config: endpoints,
        },
    })
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn owned(list: Vec<&str>) -> Vec<String> {
    list.into_iter().map(str::to_owned).collect()
}

fn some_list(m: &Matches, flag: &str) -> Option<Vec<String>> {
    some(owned(m.all(flag)))
}

/// Capabilities by their full names.
fn capabilities(m: &Matches, flag: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in m.all(flag) {
        let name = name.trim().to_uppercase();
        let name = if name == "ALL" || name.starts_with("CAP_") {
            name
        } else {
            format!("CAP_{name}")
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.sort();
    names
}

/// What `-v` asks for: binds, and paths of volumes without names.
fn volumes(m: &Matches) -> Result<(Vec<String>, BTreeMap<String, Empty>)> {
    let (mut binds, mut volumes) = (Vec::new(), BTreeMap::new());
    for spec in m.all("volume") {
        match volume::parse(spec)? {
            volume::Volume::Anonymous(path) => {
                volumes.insert(path, Empty {});
            }
            volume::Volume::Bind(bind) => binds.push(bind),
        }
    }
    Ok((binds, volumes))
}

/// What `--device` and `--gpus` ask for.
fn devices(m: &Matches) -> Result<(Vec<corten_api::container::DeviceMapping>, Vec<DeviceRequest>)> {
    let mut requests: Vec<_> = m.all("gpus").into_iter().map(gpu::parse).collect::<Result<_>>()?;
    let (cdi, plain): (Vec<_>, Vec<_>) = m
        .all("device")
        .into_iter()
        .partition(|d| corten_oci::cdi::is_qualified(d));
    if !cdi.is_empty() {
        requests.push(DeviceRequest {
            driver: "cdi".to_owned(),
            device_ids: Some(owned(cdi)),
            ..DeviceRequest::default()
        });
    }
    let devices = plain.into_iter().map(device::parse).collect::<Result<_>>()?;
    Ok((devices, requests))
}

/// Reads files of `name=value` lines.
fn files(paths: &[&str], lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for path in paths {
        let file = corten_sys::fs::open(path).map_err(|e| file_error("open", path, &e))?;
        let mut contents = Vec::new();
        std::io::Read::read_to_end(&mut std::io::BufReader::new(file), &mut contents)
            .map_err(|e| format!("invalid env file ({path}): read {path}: {}", reason(&e)))?;
        let parsed =
            environment::parse_file(&contents, &lookup).map_err(|e| format!("invalid env file ({path}): {e}"))?;
        lines.extend(parsed);
    }
    Ok(lines)
}

fn environment(m: &Matches, around: &Surroundings<'_>) -> Result<Vec<String>> {
    let mut variables: Vec<_> = around
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    variables.extend(files(&m.all("env-file"), around.variable)?);
    variables.extend(
        m.all("env")
            .into_iter()
            .map(|e| environment::resolve(e, around.variable)),
    );
    Ok(variables)
}

fn labels(m: &Matches) -> Result<BTreeMap<String, String>> {
    let mut labels = opts::pairs(&files(&m.all("label-file"), |_| None)?);
    labels.extend(opts::pairs(&m.all("label")));
    Ok(labels)
}

/// Refuses namespaces that there are not.
fn check_namespaces(m: &Matches) -> Result<()> {
    let host = |mode: &str| matches!(mode, "" | "host");
    let container = |mode: &str| mode.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    let pid = m.get("pid");
    if !host(pid) && !container(pid) {
        return Err("--pid: invalid PID mode".to_owned());
    }
    if !host(m.get("uts")) {
        return Err("--uts: invalid UTS mode".to_owned());
    }
    if !host(m.get("userns")) {
        return Err("--userns: invalid USER mode".to_owned());
    }
    if !matches!(m.get("cgroupns"), "" | "host" | "private") {
        return Err("--cgroupns: invalid CGROUP mode".to_owned());
    }
    Ok(())
}

fn config(m: &Matches) -> Result<Config> {
    let streams: Vec<_> = m.all("attach").iter().map(|s| s.to_lowercase()).collect();
    let attached = |name: &str| streams.iter().any(|s| s == name);
    let stdin = attached("stdin") || m.on("interactive");
    let (image, command) = m.args.split_first().ok_or("no image")?;
    let entrypoint = m.opt("entrypoint").map(|program| vec![program.to_owned()]);
    Ok(Config {
        hostname: m.get("hostname").to_owned(),
        domainname: m.get("domainname").to_owned(),
        user: m.get("user").to_owned(),
        tty: m.on("tty"),
        open_stdin: m.on("interactive"),
        attach_stdin: stdin,
        attach_stdout: streams.is_empty() || attached("stdout"),
        attach_stderr: streams.is_empty() || attached("stderr"),
        // Input is over when the client that was attached first goes away.
        stdin_once: m.on("interactive") && stdin,
        cmd: some(command.to_vec()),
        image: image.clone(),
        entrypoint,
        working_dir: m.get("workdir").to_owned(),
        stop_signal: m.get("stop-signal").to_owned(),
        stop_timeout: m.given("stop-timeout").then(|| m.int("stop-timeout")),
        healthcheck: healthcheck(m)?,
        ..Config::default()
    })
}

fn healthcheck(m: &Matches) -> Result<Option<Healthcheck>> {
    let command = m.get("health-cmd");
    let duration = |flag: &str| opts::duration::parse(if m.given(flag) { m.get(flag) } else { "0" });
    let check = Healthcheck {
        test: if command.is_empty() {
            Vec::new()
        } else {
            vec!["CMD-SHELL".to_owned(), command.to_owned()]
        },
        interval: duration("health-interval")?,
        timeout: duration("health-timeout")?,
        start_period: duration("health-start-period")?,
        start_interval: duration("health-start-interval")?,
        retries: m.int("health-retries"),
    };
    let given = check != Healthcheck::default();
    if m.on("no-healthcheck") {
        if given {
            return Err("--no-healthcheck conflicts with --health-* options".to_owned());
        }
        return Ok(Some(Healthcheck {
            test: vec!["NONE".to_owned()],
            ..Healthcheck::default()
        }));
    }
    let signed = [
        ("interval", check.interval),
        ("timeout", check.timeout),
        ("retries", check.retries),
        ("start-period", check.start_period),
        ("start-interval", check.start_interval),
    ];
    if let Some((name, _)) = signed.iter().find(|(_, value)| *value < 0) {
        return Err(format!("--health-{name} cannot be negative"));
    }
    Ok(given.then_some(check))
}

fn host_config(m: &Matches) -> Result<HostConfig> {
    let read = |path: &str| corten_sys::fs::read(path).map_err(|e| file_error("open", path, &e));
    let security = limits::parse_security(&m.all("security-opt"), read)?;
    let hidden = || security.all_paths.then(Vec::new);
    let log_driver = m.get("log-driver");
    let log_options = opts::pairs(&m.all("log-opt"));
    if log_driver == "none" && !log_options.is_empty() {
        return Err("invalid logging opts for driver none".to_owned());
    }
    let hosts: Vec<_> = m
        .all("add-host")
        .into_iter()
        .map(address::parse_host)
        .collect::<Result<_>>()?;
    let mounts: Vec<_> = m.all("mount").into_iter().map(mount::parse).collect::<Result<_>>()?;
    let annotations = opts::pairs(&m.all("annotation"));
    let sysctls = opts::pairs(&m.all("sysctl"));
    let tmpfs: BTreeMap<_, _> = m
        .all("tmpfs")
        .into_iter()
        .map(|t| t.split_once(':').unwrap_or((t, "")))
        .map(|(path, options)| (path.to_owned(), options.to_owned()))
        .collect();
    Ok(HostConfig {
        container_id_file: m.get("cidfile").to_owned(),
        log_config: LogConfig {
            driver: log_driver.to_owned(),
            options: log_options,
        },
        restart_policy: limits::parse_restart(m.get("restart"))?,
        auto_remove: m.on("rm"),
        volume_driver: m.get("volume-driver").to_owned(),
        volumes_from: some_list(m, "volumes-from"),
        annotations: (!annotations.is_empty()).then_some(annotations),
        cap_add: some(capabilities(m, "cap-add")),
        cap_drop: some(capabilities(m, "cap-drop")),
        cgroupns_mode: m.get("cgroupns").to_owned(),
        dns: Some(owned(m.all("dns"))),
        dns_options: Some(owned(m.all("dns-option"))),
        dns_search: Some(owned(m.all("dns-search"))),
        extra_hosts: some(hosts),
        group_add: some_list(m, "group-add"),
        ipc_mode: m.get("ipc").to_owned(),
        links: some_list(m, "link"),
        oom_score_adj: i32::try_from(m.int("oom-score-adj")).map_err(|e| e.to_string())?,
        pid_mode: m.get("pid").to_owned(),
        privileged: m.on("privileged"),
        publish_all_ports: m.on("publish-all"),
        readonly_rootfs: m.on("read-only"),
        security_opt: m.given("security-opt").then(|| security.options.clone()),
        storage_opt: limits::parse_storage(&m.all("storage-opt"))?,
        tmpfs: (!tmpfs.is_empty()).then_some(tmpfs),
        uts_mode: m.get("uts").to_owned(),
        userns_mode: m.get("userns").to_owned(),
        shm_size: m.bytes("shm-size"),
        sysctls: (!sysctls.is_empty()).then_some(sysctls),
        runtime: m.get("runtime").to_owned(),
        isolation: m.get("isolation").to_owned(),
        mounts: some(mounts),
        masked_paths: hidden(),
        readonly_paths: hidden(),
        init: m.given("init").then(|| m.on("init")),
        ..HostConfig::default()
    })
}

fn list<T>(m: &Matches, flag: &str, parse: fn(&str) -> Result<T>) -> Result<Option<Vec<T>>> {
    m.all(flag).into_iter().map(parse).collect::<Result<_>>().map(Some)
}

fn resources(m: &Matches) -> Result<Resources> {
    Ok(Resources {
        cgroup_parent: m.get("cgroup-parent").to_owned(),
        blkio_weight_device: list(m, "blkio-weight-device", device::parse_weight)?,
        blkio_device_read_bps: list(m, "device-read-bps", device::parse_bps)?,
        blkio_device_write_bps: list(m, "device-write-bps", device::parse_bps)?,
        blkio_device_read_iops: list(m, "device-read-iops", device::parse_iops)?,
        blkio_device_write_iops: list(m, "device-write-iops", device::parse_iops)?,
        device_cgroup_rules: some_list(m, "device-cgroup-rule"),
        memory_swappiness: Some(m.int("memory-swappiness")),
        oom_kill_disable: Some(m.on("oom-kill-disable")),
        pids_limit: Some(m.int("pids-limit")),
        ulimits: list(m, "ulimit", Ulimit::parse)?,
        ..super::limits::resources(m)?
    })
}

fn common_network(m: &Matches) -> network::Common {
    network::Common {
        aliases: owned(m.all("network-alias")),
        links: owned(m.all("link")),
        ipv4: m.get("ip").to_owned(),
        ipv6: m.get("ip6").to_owned(),
        mac: m.get("mac-address").to_owned(),
        link_local: owned(m.all("link-local-ip")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{command::Command, container::run};

    fn parse(line: &[&str]) -> Result<CreateRequest> {
        let args: Vec<_> = line.iter().map(|a| (*a).to_owned()).collect();
        let command: &Command = &run::COMMAND;
        let m = crate::flags::parse(command, "docker run".to_owned(), &args)?;
        let variable = |name: &str| (name == "FROMHOST").then(|| "h".to_owned());
        request(
            &m,
            &Surroundings {
                variable: &variable,
                environment: Vec::new(),
            },
        )
    }

    #[test]
    fn makes_requests() {
        let r = parse(&[
            "-it",
            "--rm",
            "-e",
            "A=1",
            "-e",
            "FROMHOST",
            "-e",
            "UNSET",
            "-p8080:80",
            "-v",
            "vol:/d",
            "-v",
            "/anon",
            "-m",
            "64m",
            "--cpus",
            "1.5",
            "--network",
            "net",
            "--ip",
            "10.0.0.2",
            "-l",
            "a=b",
            "--entrypoint",
            "",
            "img",
            "sh",
            "-c",
            "x",
        ])
        .unwrap();
        assert!(r.config.tty && r.config.open_stdin && r.config.stdin_once && r.config.attach_stdin);
        assert_eq!(r.config.env.unwrap(), ["A=1", "FROMHOST=h", "UNSET"]);
        assert_eq!(r.config.cmd.unwrap(), ["sh", "-c", "x"]);
        assert_eq!(r.config.entrypoint.unwrap(), [""]);
        assert_eq!(r.config.labels["a"], "b");
        assert!(r.config.volumes.unwrap().contains_key("/anon"));
        assert_eq!(r.host_config.binds.unwrap(), ["vol:/d"]);
        assert_eq!(
            (r.host_config.resources.memory, r.host_config.resources.nano_cpus),
            (64 << 20, 1_500_000_000)
        );
        assert_eq!(r.host_config.network_mode, "net");
        let endpoint = &r.networking_config.endpoints_config["net"];
        assert_eq!(endpoint.ipam_config.as_ref().unwrap().ipv4_address, "10.0.0.2");
    }

    #[test]
    fn refuses_in_dockers_words() {
        let check = |line: &[&str], expected: &str| assert_eq!(parse(line).unwrap_err(), expected, "{line:?}");
        check(
            &["--rm", "--restart", "always", "x"],
            "conflicting options: cannot specify both --restart and --rm",
        );
        check(
            &["--env-file", "nosuch.env", "x"],
            "open nosuch.env: no such file or directory",
        );
        check(
            &["--env-file", "/etc", "x"],
            "invalid env file (/etc): read /etc: is a directory",
        );
        check(&["--pid", "foo", "x"], "--pid: invalid PID mode");
        check(&["--uts", "foo", "x"], "--uts: invalid UTS mode");
        check(&["--security-opt", "nope", "x"], "Invalid --security-opt: \"nope\"");
        check(
            &["--memory-swappiness", "1000", "x"],
            "invalid value: 1000. Valid memory swappiness range is 0-100",
        );
        check(
            &["--no-healthcheck", "--health-cmd", "a", "x"],
            "--no-healthcheck conflicts with --health-* options",
        );
        check(&["--health-retries", "-1", "x"], "--health-retries cannot be negative");
        check(
            &["-m", "abc", "x"],
            "invalid argument \"abc\" for \"-m, --memory\" flag: invalid size: 'abc'",
        );
        check(
            &["--mount", "source=gp-v,", "target=/data", "x"],
            "invalid argument \"source=gp-v,\" for \"--mount\" flag: invalid field '' must be a key=value pair",
        );
    }
}
