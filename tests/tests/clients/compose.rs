//! Docker's own Compose, as a plugin of nobody: the program is run by itself.

use corten_sys::fs;
use corten_tests::engine::{Engine, Options};
use corten_tests::programs;

const PROJECT: &str = r#"
name: shop
services:
  web:
    image: busybox
    command: ["httpd", "-f", "-p", "80", "-h", "/site"]
    ports: ["127.0.0.1:8125:80"]
    volumes: ["site:/site"]
    labels: {tier: front}
    depends_on:
      fill: {condition: service_completed_successfully}
  fill:
    image: busybox
    command: ["sh", "-c", "echo $$TEXT > /site/index.html"]
    environment: {TEXT: "from compose"}
    volumes: ["site:/site"]
  worker:
    image: busybox
    command: ["sh", "-c", "echo at work; exec sleep 300"]
    stop_grace_period: 0s

volumes:
  site: {}


"#;

#[test]
fn a_project_comes_up_and_goes() {
    let Some(compose) = programs::compose() else { return };
    let engine = Engine::start_with(Options::default());
    fs::write(engine.work().join("compose.yaml"), PROJECT).expect("a file");
    let run = |arguments: &[&str]| engine.program(&compose, arguments.iter().copied());

    run(&["config", "--quiet"]).ok();
    run(&["up", "-d", "--quiet-pull"]).ok();
    assert_eq!(engine.curl("http://127.0.0.1:8125/").trim(), "from compose");
    let services = run(&["ps", "--services", "--status", "running"]).ok();
    let mut services: Vec<&str> = services.lines().collect();
    services.sort_unstable();
    assert_eq!(services, ["web", "worker"]);
    let log = run(&["logs", "--no-log-prefix", "worker"]).ok();
    assert_eq!(log.trim(), "at work");
    assert_eq!(
        run(&["run", "--rm", "-T", "fill", "cat", "/site/index.html"])
            .ok()
            .trim(),
        "from compose"
    );

    // Nothing has changed, so nothing is made anew.
    let before = run(&["ps", "-q"]).ok();
    run(&["up", "-d"]).ok();
    assert_eq!(run(&["ps", "-q"]).ok(), before);
    run(&["up", "-d", "--scale", "worker=2"]).ok();
    assert_eq!(run(&["ps", "-q", "worker"]).ok().lines().count(), 2);
    run(&["restart", "-t", "0", "web"]).ok();
    run(&["stop", "-t", "0"]).ok();
    run(&["start"]).ok();

    run(&["down", "-v", "-t", "0"]).ok();
    assert_eq!(engine.get("/containers/json?all=1"), serde_json::json!([]));
    assert_eq!(engine.corten(["volume", "ls", "-q"]).ok(), "");
    let networks = engine.corten(["network", "ls", "--format", "{{.Name}}"]).ok();
    assert_eq!(networks.lines().count(), 3, "{networks}");
}
