//! Flags, file, merging and checks, against what dockerd says.

use super::*;

fn flags(args: &[&str]) -> Result<Request, ConfigError> {
    parse_flags(args.iter().map(OsString::from))
}

fn values(args: &[&str]) -> Values {
    match flags(args) {
        Ok(Request::Run(values) | Request::Validate(values)) => values,
        other => panic!("{other:?}"),
    }
}

/// Loads with a file of this text.
fn load(args: &[&str], file: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daemon.json");
    corten_sys::fs::write(&path, file).unwrap();
    let path_text = path.to_str().unwrap();
    let args: Vec<_> = args.iter().copied().chain(["--config-file", path_text]).collect();
    Config::load(values(&args), Environment::new()).map_err(|error| error.message.replace(path_text, "F"))
}

#[test]
fn flags_have_go_s_grammar() {
    let config = Config::load(
        values(&[
            "-D",
            "--icc=false",
            "-H",
            "unix:///a",
            "-Htcp://127.0.0.1:1",
            "--label=a=b",
            "--label",
            "c=d",
            "--debug=false",
            "--mtu=1400",
            "-l",
            "warn",
            "--config-file",
            "/nonexistent-default",
        ]),
        Environment::new(),
    );
    assert_eq!(
        config.unwrap_err().message,
        "unable to configure the Docker daemon with file /nonexistent-default: \
         open /nonexistent-default: no such file or directory"
    );
    let config = load(
        &[
            "-D",
            "--icc=false",
            "-H",
            "unix:///a",
            "-Htcp://127.0.0.1:1",
            "--debug=false",
            "--mtu=1400",
        ],
        "{}",
    );
    let config = config.unwrap();
    assert!(!config.switch("debug", true) && !config.switch("icc", true));
    assert_eq!(config.hosts(), ["unix:///a", "tcp://127.0.0.1:1"]);
    assert_eq!(config.number("mtu"), Some(1400));
    assert_eq!(flags(&["--help"]), Ok(Request::Help));
    assert_eq!(flags(&["-v", "-D"]), Ok(Request::Version));
    assert!(matches!(flags(&["--validate"]), Ok(Request::Validate(_))));
}

#[test]
fn bad_flags_are_refused_in_dockerd_s_words() {
    let case = |args: &[&str], message: &str, code: u8| {
        let error = flags(args).unwrap_err();
        let message = if code == 125 {
            format!("{message}\nSee 'corten daemon --help'.")
        } else {
            message.to_owned()
        };
        assert_eq!((error.message, error.code), (message, code), "{args:?}");
    };
    case(&["--nosuch"], "unknown flag: --nosuch", 125);
    case(&["--nosuch=1"], "unknown flag: --nosuch", 125);
    case(&["-x"], "unknown shorthand flag: 'x' in -x", 125);
    case(&["--mtu"], "flag needs an argument: --mtu", 125);
    case(
        &["--mtu=x"],
        "invalid argument \"x\" for \"--mtu\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
        125,
    );
    case(
        &["--debug=x"],
        "invalid argument \"x\" for \"-D, --debug\" flag: strconv.ParseBool: parsing \"x\": invalid syntax",
        125,
    );
    case(
        &["extra"],
        "\"corten daemon\" accepts no arguments.\nSee 'corten daemon --help'.",
        1,
    );
}

#[test]
fn the_file_is_checked_in_dockerd_s_words() {
    let case = |args: &[&str], file: &str, message: &str| {
        let expected = format!("unable to configure the Docker daemon with file F: {message}");
        assert_eq!(load(args, file).unwrap_err(), expected);
    };
    case(
        &[],
        r#"{"nosuch":1,"debug":true,"alsonot":{}}"#,
        "the following directives don't match any configuration option: alsonot, nosuch",
    );
    case(
        &["--debug"],
        r#"{"debug":false}"#,
        "the following directives are specified both as a flag and in the configuration file: \
         debug: (from flag: true, from file: false)",
    );
    case(
        &["--label", "a=b"],
        r#"{"labels":["c=d"]}"#,
        "the following directives are specified both as a flag and in the configuration file: \
         labels: (from flag: [a=b], from file: [c=d])",
    );
    assert!(
        load(&[], "{")
            .unwrap_err()
            .starts_with("unable to configure the Docker daemon with file F: ")
    );
    assert!(load(&[], "").is_ok() && load(&[], "\u{feff}{}").is_ok());
    assert!(load(&[], "[]").is_err());
}

#[test]
fn values_are_checked() {
    let case = |file: &str, message: &str| assert_eq!(load(&[], file).unwrap_err(), message);
    case(r#"{"log-level":"loud"}"#, "invalid logging level: loud");
    case(r#"{"log-format":"xml"}"#, "invalid log format: xml");
    case(
        r#"{"max-concurrent-downloads":-1}"#,
        "invalid max concurrent downloads: -1",
    );
    case(r#"{"max-download-attempts":0}"#, "invalid max download attempts: 0");
    case(r#"{"mtu":-1}"#, "invalid default MTU value: -1");
    case(r#"{"dns":["x"]}"#, "x is not an ip address");
    case(r#"{"bip":"172.17.0.1"}"#, "invalid CIDR address: 172.17.0.1");
    case(r#"{"labels":["a=b","a=c"]}"#, "conflict labels for a=c and a=b");
    case(
        r#"{"rootless":true}"#,
        "the option rootless cannot be \"true\", only \"false\": the engine runs as root",
    );
    case(
        r#"{"storage-driver":"btrfs"}"#,
        "the option storage-driver cannot be \"btrfs\", only \"overlay2\": the engine has one storage driver",
    );
    case(
        r#"{"userns-remap":"default"}"#,
        "the option userns-remap cannot be \"default\", only \"\": user namespaces cannot be remapped for all containers",
    );
    case(
        r#"{"default-ipc-mode":"host"}"#,
        "IPC mode \"host\" is not supported as default value for containers",
    );
    case(
        r#"{"api-cors-header":"*"}"#,
        "the option api-cors-header was removed: a proxy in front of the API can add headers",
    );
    case(r#"{"host-gateway-ips":["x"]}"#, "x is not an ip address");
    case(
        r#"{"host-gateway-ips":["1.1.1.1","2.2.2.2"]}"#,
        "only one IPv4 host gateway IP address can be specified",
    );
    case(
        r#"{"init-path":"no/such"}"#,
        "the init program no/such must be given as an absolute path",
    );
    case(
        r#"{"exec-opts":["native.cgroupdriver=systemd"]}"#,
        "the cgroup driver systemd is not supported: the engine uses cgroupfs",
    );
    case(
        r#"{"registry-mirrors":["mirror.example"]}"#,
        "invalid mirror: it must begin with http:// or https://: \"mirror.example\"",
    );
    for fine in [
        r#"{"live-restore":true,"storage-driver":"overlay2","userland-proxy":false,"metrics-addr":""}"#,
        r#"{"exec-opts":["native.cgroupdriver=cgroupfs"],"features":{"buildkit":true}}"#,
        r#"{"log-driver":"json-file","log-opts":{"max-size":"10m","max-file":"3"}}"#,
    ] {
        load(&[], fine).unwrap();
    }
}

#[test]
fn settings_have_docker_s_defaults() {
    let programs = || Programs {
        shim: "/shim".into(),
        init: "/init".into(),
    };
    let plain = load(&[], "{}").unwrap().settings(programs()).unwrap();
    assert_eq!(
        (plain.bridge.as_str(), plain.mtu, plain.now().shm_size),
        ("corten0", 1500, 64 << 20)
    );
    assert_eq!(
        (plain.table.as_str(), plain.exec_root.to_str()),
        ("corten", Some("/run/corten"))
    );
    assert_eq!(plain.now().log.driver, "json-file");
    assert_eq!(
        (plain.now().max_concurrent_downloads, plain.now().max_download_attempts),
        (3, 5)
    );
    let own = load(
        &["--data-root", "/x", "--bip", "10.0.0.1/24"],
        r#"{"default-shm-size":"1g"}"#,
    )
    .unwrap();
    let own = own.settings(programs()).unwrap();
    assert_ne!(own.table, "corten");
    assert_eq!((own.table.len(), own.now().shm_size), (15, 1 << 30));
    assert_eq!(own.bridge_address, Some("10.0.0.1/24".parse().unwrap()));
}

#[test]
fn proxies_come_from_file_flags_or_environment() {
    let file = r#"{"proxies":{"http-proxy":"http://a:1","no-proxy":"x,y"}}"#;
    let mut config = load(&["--https-proxy", "http://b:2"], file).unwrap();
    config.environment = BTreeMap::from([("http-proxy", "http://env".to_owned())]);
    let proxies = reloadable(&config).unwrap().proxies;
    assert_eq!(
        proxies.values().collect::<Vec<_>>(),
        ["http://a:1", "http://b:2", "x,y"]
    );
    assert!(
        load(&["--http-proxy", "http://b:2"], file)
            .unwrap_err()
            .contains("http-proxy: (from flag: http://b:2")
    );
}

#[test]
fn reloading_names_what_needs_a_restart() {
    let before = load(&[], r#"{"debug":false,"mtu":1400}"#).unwrap();
    let after = load(&[], r#"{"debug":true,"dns":["1.1.1.1"],"mtu":1300}"#).unwrap();
    assert_eq!(before.changed_in_vain(&after), ["mtu"]);
    let shown = load(&["--http-proxy", "http://me:secret@p:1"], "{}").unwrap().to_json();
    assert!(shown.contains(r#""http-proxy":"http://xxxxx:xxxxx@p:1""#), "{shown}");
    assert_eq!(
        load(&[], r#"{"userland-proxy-path":"/x"}"#)
            .unwrap()
            .without_effect()
            .len(),
        1
    );
}
