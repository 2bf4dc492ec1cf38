//! Links on the default bridge, which has no names.

use corten_tests::engine::{Engine, Options};

use crate::{names::sleeper, serve};

#[test]
fn links_give_names_and_variables() {
    let engine = Engine::start();
    sleeper(
        &engine,
        "db",
        &[
            "--expose",
            "5432",
            "--expose",
            "53/udp",
            "-e",
            "PASSWORD=x",
            "-h",
            "dbhost",
        ],
    );
    sleeper(&engine, "web", &["--link", "db:my-store"]);
    let address = engine.inspect("db", "{{.NetworkSettings.IPAddress}}");
    let variables = engine.corten(["exec", "web", "cat", "/proc/1/environ"]).ok();
    let found: Vec<&str> = variables
        .split('\0')
        .filter(|variable| variable.starts_with("MY_STORE_"))
        .collect();
    let expected = [
        format!("MY_STORE_PORT=tcp://{address}:5432"),
        format!("MY_STORE_PORT_5432_TCP=tcp://{address}:5432"),
        format!("MY_STORE_PORT_5432_TCP_ADDR={address}"),
        "MY_STORE_PORT_5432_TCP_PORT=5432".to_owned(),
        "MY_STORE_PORT_5432_TCP_PROTO=tcp".to_owned(),
        format!("MY_STORE_PORT_53_UDP=udp://{address}:53"),
        format!("MY_STORE_PORT_53_UDP_ADDR={address}"),
        "MY_STORE_PORT_53_UDP_PORT=53".to_owned(),
        "MY_STORE_PORT_53_UDP_PROTO=udp".to_owned(),
        "MY_STORE_NAME=/web/my-store".to_owned(),
        "MY_STORE_ENV_PASSWORD=x".to_owned(),
    ];
    assert_eq!(found, expected);
    // A further process has them too.
    let further = engine.corten(["exec", "web", "env"]).ok();
    for variable in &expected {
        assert!(further.lines().any(|line| line == variable), "{variable}: {further}");
    }
    let hosts = || engine.corten(["exec", "web", "cat", "/etc/hosts"]).ok();
    assert!(
        hosts().contains(&format!("{address}\tmy-store dbhost db\n")),
        "{}",
        hosts()
    );
    assert_eq!(engine.inspect("web", "{{.HostConfig.Links}}"), "[/db:/web/my-store]");
    // The other comes back elsewhere, and is found.
    engine.corten(["stop", "-t", "0", "db"]).ok();
    sleeper(&engine, "squatter", &[]);
    engine.corten(["start", "db"]).ok();
    let moved = engine.inspect("db", "{{.NetworkSettings.IPAddress}}");
    assert_ne!(moved, address);
    assert!(
        hosts().contains(&format!("{moved}\tmy-store dbhost db\n")),
        "{}",
        hosts()
    );
    engine.corten(["stop", "-t", "0", "db", "web"]).ok();
    let refusal = engine.corten(["start", "web"]).fails(1);
    assert!(
        refusal.contains("Cannot link to a non running container: /db AS /web/my-store"),
        "{refusal}"
    );
    engine.corten(["rm", "--link", "/web/my-store"]).ok();
    engine.corten(["start", "web"]).ok();
    assert!(!hosts().contains("my-store"), "{}", hosts());
}

#[test]
fn links_open_ports_where_neighbours_are_kept_apart() {
    let engine = Engine::start_with(Options::with_flags(&["--icc=false"]));
    serve(&engine, "db", &["--expose", "80"]);
    sleeper(&engine, "other", &[]);
    sleeper(&engine, "web", &["--link", "db:store"]);
    let fetch = |from: &str, port: u16| {
        let address = engine.inspect("db", "{{.NetworkSettings.IPAddress}}");
        let url = format!("http://{address}:{port}/");
        let call = engine.corten(["exec", from, "timeout", "2", "wget", "-q", "-O", "-", &url]);
        call.run().stdout
    };
    let filtered = engine
        .sh("cat /proc/sys/net/bridge/bridge-nf-call-iptables || true")
        .ok();
    if filtered.trim() != "1" {
        // Without the kernel's br_netfilter, bridges keep their ports apart by themselves.
        assert_eq!(fetch("other", 80), "");
        return;
    }
    corten_tests::until::is("the link leads there", || fetch("web", 80) == "db\n");
    assert_eq!(fetch("other", 80), "");
    // Only what is exposed.
    engine.corten(["exec", "db", "httpd", "-p", "81", "-h", "/www"]).ok();
    assert_eq!(fetch("web", 81), "");
    // An engine that was killed, and a firewall that was flushed, change nothing.
    engine.kill();
    engine.launch();
    corten_tests::until::is("the link still leads there", || fetch("web", 80) == "db\n");
    assert_eq!(fetch("other", 80), "");
    // It follows the other to where it is now, and ends with the link.
    engine.corten(["stop", "-t", "0", "db"]).ok();
    sleeper(&engine, "squatter", &[]);
    assert!(!engine.sh("nft list ruleset").ok().contains("dport 80 accept"));
    engine.corten(["start", "db"]).ok();
    corten_tests::until::is("the link leads there again", || fetch("web", 80) == "db\n");
    engine.corten(["rm", "--link", "/web/store"]).ok();
    assert_eq!(fetch("web", 80), "");
}
