//! A container's life: restarts, limits, stopping, logs, volumes, removal.

mod cgroups;
mod devices;
mod endings;
mod flags;
mod health;
mod limits;
mod logs;
mod restarts;
mod runtimes;
mod storage;
mod update;

use corten_tests::engine::Engine;
use corten_tests::until;

/// Waits until a container's first process has a handler for `SIGUSR1`, without which it would ignore it.
#[track_caller]
fn catches_usr1(engine: &Engine, name: &str) {
    until::is("its signal is caught", || {
        let status = ["exec", name, "grep", "-q", "SigCgt:.*[2367abef]..$", "/proc/1/status"];
        engine.corten(status).run().code == 0
    });
}
