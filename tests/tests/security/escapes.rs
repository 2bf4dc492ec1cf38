//! Links and names that would lead out of the container.

use corten_tests::engine::{Engine, Options};
use corten_tests::until;

/// An image whose tar has links to the host's places, imported as `trap`.
fn trap(engine: &Engine, links: &[(&str, &str)]) {
    let root = engine.work().join("root");
    engine.corten(["pull", "-q", "busybox"]).ok();
    let mut script = format!(
        "mkdir -p {0}/bin {0}/dev {0}/proc {0}/sys {0}/etc && cp $(command -v busybox) {0}/bin/busybox && ln -s busybox {0}/bin/sh && \
         for a in cat echo ls touch id pwd sleep; do ln -s busybox {0}/bin/$a; done\n",
        root.display()
    );
    for (at, to) in links {
        script += &format!("rm -rf {0}/{at}; ln -s {to} {0}/{at}\n", root.display());
    }
    script += &format!("tar -C {} -cf trap.tar .", root.display());
    engine.sh(&script).ok();
    engine.corten(["import", "trap.tar", "trap"]).ok();
}

/// A folder of the host that nobody may touch.
fn outside(engine: &Engine) -> String {
    let outside = engine.work().join("outside");
    corten_sys::fs::create_dir_all(&outside).expect("a folder");
    corten_sys::fs::write(outside.join("secret"), "secret\n").expect("a file");
    outside.display().to_string()
}

#[test]
fn mounts_on_links_stay_inside() {
    let engine = Engine::start();
    let outside = outside(&engine);
    trap(&engine, &[("data", &outside), ("up", "../../../../../../..")]);
    // The volume lands inside, where the link points to from the container's root.
    let said = engine
        .corten([
            "run",
            "--rm",
            "-v",
            "vol:/data",
            "trap",
            "sh",
            "-c",
            "echo in > /data/f; cat /data/f",
        ])
        .ok();
    assert_eq!(said, "in\n");
    assert_eq!(engine.sh(&format!("ls {outside}")).ok(), "secret\n");
    let mount = format!("vol:/up{outside}");
    engine
        .corten(["run", "--rm", "-v", &mount, "trap", "sh", "-c", "true"])
        .ok();
    assert_eq!(engine.sh(&format!("ls {outside}")).ok(), "secret\n");
}

#[test]
fn working_directories_do_not_lead_out() {
    let engine = Engine::start();
    let outside = outside(&engine);
    trap(&engine, &[("work", &outside)]);
    // It is made inside, or refused; never the host's.
    let finished = engine
        .corten(["run", "--rm", "-w", "/work", "trap", "sh", "-c", "ls; touch made"])
        .run();
    assert!(!finished.stdout.contains("secret"), "{finished}");
    assert_eq!(engine.sh(&format!("ls {outside}")).ok(), "secret\n");
    for number in 3..12 {
        let folder = format!("/proc/self/fd/{number}");
        let finished = engine
            .corten([
                "run",
                "--rm",
                "-w",
                &folder,
                "trap",
                "sh",
                "-c",
                "ls ../../.. | head -3",
            ])
            .run();
        assert_ne!(finished.code, 0, "{folder}: {finished}");
    }
}

#[test]
fn linked_system_folders_are_not_followed() {
    let engine = Engine::start();
    let outside = outside(&engine);
    for place in ["proc", "sys", "dev", "etc"] {
        trap(&engine, &[(place, &outside)]);
        engine.corten(["run", "--rm", "trap", "echo", "ran"]).run();
        assert_eq!(engine.sh(&format!("ls {outside}")).ok(), "secret\n", "{place}");
        engine.corten(["rmi", "-f", "trap"]).ok();
    }
}

#[test]
fn files_made_for_the_container_stay_in_it() {
    let engine = Engine::start();
    let outside = outside(&engine);
    trap(
        &engine,
        &[
            ("etc/hosts", &format!("{outside}/secret")),
            ("etc/passwd", &format!("{outside}/secret")),
        ],
    );
    engine
        .corten([
            "run",
            "--rm",
            "--add-host",
            "one.test:10.0.0.1",
            "trap",
            "cat",
            "/etc/hosts",
        ])
        .run();
    assert_eq!(engine.sh(&format!("cat {outside}/secret")).ok(), "secret\n");
    // Users are looked up in the container's files, as seen from there.
    let refusal = engine.corten(["run", "--rm", "-u", "secret", "trap", "id"]).run();
    assert_ne!(refusal.code, 0);
}

#[test]
fn seeding_a_volume_does_not_follow_links_out() {
    let engine = Engine::start();
    let outside = outside(&engine);
    trap(&engine, &[("seed", &outside)]);
    let said = engine
        .corten(["run", "--rm", "-v", "seeded:/seed", "trap", "ls", "/seed"])
        .run();
    assert!(!said.stdout.contains("secret"), "{said}");
}

#[test]
fn a_container_cannot_reach_the_engine_s_programs() {
    let engine = Engine::start();
    let said = engine
        .corten([
            "run",
            "--rm",
            "busybox",
            "sh",
            "-c",
            "readlink /proc/1/exe; cat /proc/1/maps | grep -c corten",
        ])
        .run();
    assert_eq!(said.stdout, "/bin/busybox\n0\n");
}

#[test]
fn exec_does_not_open_a_way_out() {
    let engine = Engine::start();
    engine
        .corten(["run", "-d", "--name", "host", "busybox", "sleep", "300"])
        .ok();
    let finished = engine.corten(["exec", "-w", "/proc/self/fd/7", "host", "ls"]).run();
    assert_ne!(finished.code, 0, "{finished}");
    let caps = engine
        .corten(["exec", "host", "sh", "-c", "grep CapEff /proc/self/status | cut -f2"])
        .line();
    assert_eq!(caps, "00000000a80425fb");
    let privileged = engine.corten([
        "exec",
        "--privileged",
        "host",
        "sh",
        "-c",
        "grep CapEff /proc/self/status | cut -f2",
    ]);
    assert_ne!(privileged.line(), caps);
}

#[test]
fn an_engine_in_a_chroot_keeps_its_containers_below_it() {
    let mut engine = Engine::prepared(Options::default());
    let root = engine.work().join("root");
    corten_sys::fs::create_dir_all(&root).unwrap();
    let place = "mount --rbind / \"$1\" && cd / && root=$1 && shift && exec chroot \"$root\" \"$@\"";
    let words = ["unshare", "-m", "sh", "-c", place, "sh", &root.to_string_lossy()];
    engine.set_wrapper(words.iter().map(ToString::to_string).collect());
    engine.launch();
    let run = ["run", "-d", "--name", "box", "busybox", "sh", "-c"];
    engine
        .corten(run.iter().chain(&["echo inside > /mark; exec sleep 1000"]))
        .ok();
    // Whoever enters the container's mount namespace starts at its top.
    let exec = |script: &str| engine.corten(["exec", "box", "sh", "-c", script]).ok();
    until::is("the program runs", || exec("cat /proc/1/comm") == "sleep\n");
    assert_eq!(exec("cat /mark"), "inside\n");
    let mounts = exec("cat /proc/self/mountinfo");
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let (below, outside): (Vec<_>, Vec<_>) = points.filter(|point| *point != "/").partition(|point| {
        ["/dev", "/etc", "/proc", "/sys"]
            .iter()
            .any(|own| point.starts_with(own))
    });
    assert!(!below.is_empty() && outside.is_empty(), "{outside:?}");
    let copied = engine.work().join("copied");
    engine.corten(["cp", "box:/mark", &copied.to_string_lossy()]).ok();
    assert_eq!(corten_sys::fs::read_to_string(copied).unwrap(), "inside\n");
}
