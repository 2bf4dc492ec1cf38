//! A host on which not all cgroup controllers are there.

use std::path::Path;

use corten_tests::engine::{Engine, Options};
use corten_tests::until;

#[test]
fn what_a_missing_controller_would_limit_is_said() {
    let engine = Engine::prepared(Options::default());
    if !Path::new("/sys/fs/cgroup/pids/cgroup.procs").exists() {
        // With cgroup v2 controllers are one file system: none can be taken away from this engine alone.
        assert!(Path::new("/sys/fs/cgroup/cgroup.controllers").exists());
        return;
    }
    let daemon = engine.daemon();
    let script = "umount -l /sys/fs/cgroup/pids && umount -l /sys/fs/cgroup/memory && exec \"$@\"";
    let head = ["--mount", "--propagation", "private", "sh", "-c", script, "sh"].map(std::ffi::OsStr::new);
    let arguments = head.into_iter().chain([daemon.get_program()]).chain(daemon.get_args());
    let running = engine.program(Path::new("unshare"), arguments).spawn();
    until::is("the engine listens", || {
        std::os::unix::net::UnixStream::connect(engine.socket()).is_ok()
    });
    assert_eq!(
        engine.corten(["run", "--rm", "busybox", "echo", "works"]).ok(),
        "works\n"
    );
    for (option, word) in [(["--pids-limit", "5"], "pids"), (["-m", "64m"], "memory")] {
        let finished = engine
            .corten(
                ["run", "--rm"]
                    .into_iter()
                    .chain(option)
                    .chain(["busybox", "echo", "works"]),
            )
            .run();
        let said = finished.stderr.to_lowercase();
        // As a refusal or as a warning, but never silently.
        assert!(said.contains(word), "{option:?}: {finished}");
        assert!(
            finished.code == 125 || finished.stdout == "works\n",
            "{option:?}: {finished}"
        );
    }
    assert_eq!(engine.corten(["ps", "-aq"]).ok(), "");
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.wait().code, 0);
}
