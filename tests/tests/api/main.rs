//! The API as HTTP: heads, status codes, versions, shapes.

mod attach;
mod case;
mod endpoints;
mod exec;
mod heads;
mod images;
mod refusals;
mod shapes;
mod trees;
mod waiting;
mod websocket;

use corten_tests::engine::Engine;

/// What was there when dockerd's answers were taken: `c1` runs, `c2` was never started, `c3` has ended.
#[track_caller]
fn scene() -> Engine {
    let engine = Engine::start();
    let published = "8080:80";
    let one = ["--name", "c1", "-p", published, "-v", "vol1:/data", "-l", "a=b"];
    let sleep = ["busybox", "sleep", "10000"];
    engine.corten(["run", "-d"].iter().chain(&one).chain(&sleep)).ok();
    engine.corten(["create", "--name", "c2", "busybox", "true"]).ok();
    engine
        .corten(["run", "--name", "c3", "busybox", "sh", "-c", "echo hi; exit 3"])
        .fails(3);
    engine
}
