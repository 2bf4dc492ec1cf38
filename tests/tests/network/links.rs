//! Links on the default bridge, which has no names.

use corten_tests::engine::Engine;

use crate::names::sleeper;

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
