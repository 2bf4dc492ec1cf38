//! Copies out of and into containers that try to be led astray.

use corten_sys::fs;
use corten_tests::{engine::Engine, programs};

/// How often each copy is tried against a container that changes links as fast as it can.
const TRIES: u32 = 25;

#[test]
fn a_container_that_swaps_links_leads_no_copy_outside() {
    let engine = Engine::start();
    let host = engine.work().join("outside");
    fs::create_dir_all(&host).unwrap();
    fs::write(host.join("secret"), "the host's").unwrap();
    fs::write(engine.work().join("file"), "harmless").unwrap();
    let up = "/..".repeat(20);
    let path = host.display();
    // In its root, and in a volume that the host shows at another place.
    let script = format!(
        "for at in /root /data; do while :; do \
         rm -rf $at/x; mkdir $at/x; rm -rf $at/x; ln -s {path} $at/x; \
         rm -rf $at/x; ln -s {up}{path} $at/x; rm -rf $at/x; ln -s /proc/1/root{path} $at/x; \
         rm -rf $at/x; ln -s /proc/self/cwd/outside $at/x; done & done; wait"
    );
    engine
        .corten([
            "run",
            "-d",
            "--name",
            "hostile",
            "-v",
            "vol:/data",
            "busybox",
            "sh",
            "-c",
            &script,
        ])
        .ok();
    engine
        .corten(["create", "--name", "idle", "-v", "vol:/data", "busybox"])
        .ok();
    let corten = programs::corten().display().to_string();
    for _ in 0..TRIES {
        for place in ["hostile:/root/x", "hostile:/data/x", "idle:/data/x"] {
            // Most of these fail, each for one of many reasons.
            engine.corten(["cp", "file", &format!("{place}/planted")]).run();
            engine.sh(&format!("tar -c file | {corten} cp - {place}/")).run();
            let read = engine
                .sh(&format!("{corten} cp {place}/secret - ; {corten} cp -L {place} -"))
                .run();
            assert!(!read.stdout.contains("the host's"), "{place}");
        }
    }
    let left: Vec<_> = fs::read_dir(&host)
        .unwrap()
        .map(|item| item.unwrap().file_name())
        .collect();
    assert_eq!(left, ["secret"]);
    assert_eq!(fs::read_to_string(host.join("secret")).unwrap(), "the host's");
    assert!(engine.is_running());
}

#[test]
fn an_archive_that_makes_links_stays_in_the_container() {
    let engine = Engine::start();
    let host = engine.work().join("outside");
    fs::create_dir_all(&host).unwrap();
    fs::write(host.join("kept"), "kept").unwrap();
    engine
        .corten(["run", "-d", "--name", "runs", "busybox", "sleep", "1000"])
        .ok();
    engine.corten(["create", "--name", "made", "busybox"]).ok();
    let corten = programs::corten().display().to_string();
    let path = host.display();
    for container in ["runs", "made"] {
        // First a link, then a file through it; and a hard link to a file of the host.
        let script = format!(
            "rm -rf t && mkdir t && cd t && ln -s {path} x && tar -cf ../a.tar x && rm x && mkdir x && echo bad > x/planted && tar -rf ../a.tar x/planted && cd .. && {corten} cp - {container}:/root < a.tar"
        );
        engine.sh(&script).run();
        let script = format!(
            "tar -c --transform 's,^file,../../../../../..{path}/planted,' -P file | {corten} cp - {container}:/root"
        );
        engine.sh(&format!("echo bad > file; {script}")).run();
        let left: Vec<_> = fs::read_dir(&host)
            .unwrap()
            .map(|item| item.unwrap().file_name())
            .collect();
        assert_eq!(left, ["kept"], "{container}");
    }
}
