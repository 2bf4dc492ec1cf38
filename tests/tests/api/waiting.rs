//! `POST /containers/{id}/wait`.

use corten_tests::engine::Engine;

#[test]
fn an_end_counts_though_the_container_begins_anew() {
    let engine = Engine::start();
    let script = "sleep 0.5; exit 3";
    engine
        .corten([
            "run",
            "-d",
            "--name",
            "again",
            "--restart",
            "always",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
    let ended = engine.http("POST", "/containers/again/wait", None).json();
    assert_eq!(ended["StatusCode"], 3);
    engine.corten(["rm", "-f", "again"]).ok();
}
