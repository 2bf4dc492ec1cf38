//! Volumes, mounts and the container's own files.

use corten_tests::engine::Engine;

#[test]
fn what_a_container_writes_stays_with_it() {
    let engine = Engine::start();
    engine
        .corten(["run", "--name", "first", "busybox", "sh", "-c", "echo mine > /f"])
        .ok();
    assert!(engine.corten(["run", "--rm", "busybox", "cat", "/f"]).run().code != 0);
    let script = "cat /f 2>/dev/null; echo more >> /f";
    engine
        .corten(["create", "--name", "other", "busybox", "sh", "-c", script])
        .ok();
    assert_eq!(engine.corten(["start", "-a", "other"]).ok(), "");
    assert_eq!(engine.corten(["start", "-a", "other"]).ok(), "more\n");
}

#[test]
fn anonymous_volumes_go_with_rm_v_and_named_ones_stay() {
    let engine = Engine::start();
    engine
        .corten([
            "run",
            "--name",
            "uses",
            "-v",
            "/anon",
            "-v",
            "named:/named",
            "busybox",
            "true",
        ])
        .ok();
    assert_eq!(engine.corten(["volume", "ls", "-q"]).ok().lines().count(), 2);
    let refusal = engine.corten(["volume", "rm", "named"]).fails(1);
    assert!(refusal.contains("volume is in use"), "{refusal}");
    engine.corten(["rm", "-v", "uses"]).ok();
    assert_eq!(engine.corten(["volume", "ls", "-q"]).ok(), "named\n");
    engine
        .corten(["run", "--name", "keeps", "-v", "/anon", "busybox", "true"])
        .ok();
    engine.corten(["rm", "keeps"]).ok();
    assert_eq!(engine.corten(["volume", "ls", "-q"]).ok().lines().count(), 2);
    engine.corten(["run", "--rm", "-v", "/anon", "busybox", "true"]).ok();
    assert_eq!(engine.corten(["volume", "ls", "-q"]).ok().lines().count(), 2);
}

#[test]
fn volumes_are_filled_once() {
    let engine = Engine::start();
    let seen = engine.corten([
        "run",
        "--rm",
        "-v",
        "etc:/etc",
        "busybox",
        "sh",
        "-c",
        "rm /etc/group; ls /etc/passwd",
    ]);
    assert_eq!(seen.ok(), "/etc/passwd\n");
    engine
        .corten(["run", "--rm", "-v", "etc:/etc", "busybox", "test", "-e", "/etc/group"])
        .fails(1);
    // Not when it is asked to be left empty.
    let empty = [
        "run",
        "--rm",
        "--mount",
        "type=volume,src=bare,dst=/etc,volume-nocopy",
        "busybox",
        "sh",
        "-c",
        "[ ! -e /etc/passwd ]",
    ];
    engine.corten(empty).ok();
}

#[test]
fn binds_are_what_the_host_has() {
    let engine = Engine::start();
    let folder = engine.work().join("shared");
    corten_sys::fs::create_dir(&folder).unwrap();
    corten_sys::fs::write(folder.join("from-host"), "hello\n").unwrap();
    let mount = format!("{}:/in", folder.display());
    let script = "cat /in/from-host; echo back > /in/from-container";
    assert_eq!(
        engine
            .corten(["run", "--rm", "-v", &mount, "busybox", "sh", "-c", script])
            .ok(),
        "hello\n"
    );
    assert_eq!(
        corten_sys::fs::read_to_string(folder.join("from-container")).unwrap(),
        "back\n"
    );
    let read_only = format!("{mount}:ro");
    let refusal = engine
        .corten(["run", "--rm", "-v", &read_only, "busybox", "touch", "/in/more"])
        .fails(1);
    assert!(refusal.contains("Read-only file system"), "{refusal}");
}

#[test]
fn a_missing_source_is_made_for_v_and_refused_for_mount() {
    let engine = Engine::start();
    let made = engine.work().join("made");
    engine
        .corten([
            "run",
            "--rm",
            "-v",
            &format!("{}:/in", made.display()),
            "busybox",
            "true",
        ])
        .ok();
    assert!(made.is_dir());
    let missing = format!("type=bind,src={}/missing,dst=/in", engine.work().display());
    let refusal = engine
        .corten(["run", "--rm", "--mount", &missing, "busybox", "true"])
        .fails(125);
    assert!(refusal.contains("bind source path does not exist"), "{refusal}");
}

#[test]
fn tmpfs_and_shm_have_their_sizes() {
    let engine = Engine::start();
    let script = "df -k /tmp/mem /dev/shm | awk 'NR > 1 {print $2}'";
    let sizes = engine.corten([
        "run",
        "--rm",
        "--tmpfs",
        "/tmp/mem:size=3m",
        "--shm-size",
        "5m",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(sizes.ok(), "3072\n5120\n");
}

#[test]
fn a_read_only_root_has_writable_mounts() {
    let engine = Engine::start();
    let script = "touch /run/x /data/x && ! touch /x 2>/dev/null && echo right";
    let arguments = [
        "run",
        "--rm",
        "--read-only",
        "--tmpfs",
        "/run",
        "-v",
        "/data",
        "busybox",
        "sh",
        "-c",
        script,
    ];
    assert_eq!(engine.corten(arguments).ok(), "right\n");
}

#[test]
fn a_removed_container_leaves_no_file() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    let count = || {
        engine
            .sh(&format!("find {} | wc -l", engine.data_root().display()))
            .line()
    };
    engine.corten(["run", "--rm", "busybox", "touch", "/made"]).ok();
    let before = count();
    for _ in 0..3 {
        engine
            .corten(["run", "--rm", "-v", "/anon", "busybox", "touch", "/made", "/anon/made"])
            .ok();
    }
    corten_tests::until::is("everything is deleted", || count() == before);
}
