//! Containers' roots, with real overlay mounts that nobody else sees.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use corten_store::{Access, ChangeKind, CommitRequest, Kind, MountPoints, Store, Sync};
use corten_sys::fs;
use rustix::fs::{Mode, OFlags};

use super::{add, python, reopen, shell, store};

fn root(store: &Store, id: &str) {
    let lower = add(
        store,
        &python(
            "t = tar()\n\
             entry(t, 'etc/passwd', b'root')\n\
             entry(t, 'bin/wget', b'wget')\n\
             entry(t, 'bin/sh', b'sh')\n\
             entry(t, 'data/a', b'a')\n\
             entry(t, 'data/b', b'b')\n\
             t.close()",
        ),
    );
    let upper = add(
        store,
        &python("t = tar()\nentry(t, 'bin/.wh.sh', b'')\nentry(t, 'opt/x', b'x')\nt.close()"),
    );
    let layers = [lower.diff_id().clone(), upper.diff_id().clone()];
    store.snapshots().prepare_layers(id, &layers).expect("prepared");
}

/// Changes a root through a detached mount, as a container would.
fn change(store: &Store, id: &str) {
    let root = store.snapshots().open_root(id, Access::ReadWrite).expect("mounted");
    let make = |path: &str, bytes: &[u8]| {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&root, path, flags, Mode::from_raw_mode(0o644)).expect(path);
        std::fs::File::from(fd).write_all(bytes).expect(path);
    };
    make("etc/new", b"x");
    make("etc/passwd", b"root and more");
    rustix::fs::unlinkat(&root, "bin/wget", rustix::fs::AtFlags::empty()).expect("deleted");
    for name in ["data/a", "data/b"] {
        rustix::fs::unlinkat(&root, name, rustix::fs::AtFlags::empty()).expect("deleted");
    }
    rustix::fs::unlinkat(&root, "data", rustix::fs::AtFlags::REMOVEDIR).expect("deleted");
    rustix::fs::mkdirat(&root, "data", Mode::from_raw_mode(0o755)).expect("made");
    make("data/b", b"new b");
    rustix::fs::linkat(&root, "etc/new", &root, "etc/again", rustix::fs::AtFlags::empty()).expect("linked");
}

#[test]
fn mounts_are_described_for_the_runtime() {
    let (folder, store) = store();
    root(&store, "c1");
    let mounts = store.snapshots().mounts("c1", Sync::Volatile).expect("described");
    let options = &mounts[0].options;
    assert_eq!(
        (mounts.len(), mounts[0].destination.as_str(), mounts[0].kind.as_deref()),
        (1, "/", Some("overlay"))
    );
    let lower: Vec<&String> = options
        .iter()
        .filter(|option| option.starts_with("lowerdir+="))
        .collect();
    assert_eq!(lower.len(), 2);
    assert!(
        fs::exists(PathBuf::from(&lower[0][10..]).join("opt/x")).expect("looked"),
        "the top layer comes first"
    );
    let upper = format!("upperdir={}", folder.path().join("data/overlay2/c1/diff").display());
    assert!(options.contains(&upper) && options.contains(&"volatile".to_owned()));
    let again = store.snapshots().prepare_layers("c1", &[]).expect_err("there already");
    assert_eq!(again.kind(), Kind::Conflict);
    for bad in ["", "..", "a/b", "."] {
        assert_eq!(
            store.snapshots().prepare_layers(bad, &[]).expect_err(bad).kind(),
            Kind::Invalid
        );
    }
}

#[test]
fn changes_are_told_as_docker_diff_does() {
    let (_folder, store) = store();
    root(&store, "c1");
    assert!(
        store
            .snapshots()
            .diff("c1", &MountPoints::default())
            .expect("told")
            .is_empty()
    );
    change(&store, "c1");
    let changes = store.snapshots().diff("c1", &MountPoints::default()).expect("told");
    let line = |kind: ChangeKind| ["C", "A", "D"][kind as usize];
    let lines: Vec<String> = changes
        .iter()
        .map(|c| format!("{} {}", line(c.kind), c.path.display()))
        .collect();
    let expected = [
        "C /bin",
        "D /bin/wget",
        "C /data",
        "D /data/a",
        "C /data/b",
        "C /etc",
        "A /etc/again",
        "A /etc/new",
        "C /etc/passwd",
    ];
    assert_eq!(lines[..1], expected[..1]);
    assert!(lines.contains(&"D /data/a".to_owned()), "{lines:?}");
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    assert_eq!(store.snapshots().usage("c1").expect("measured").bytes, 1 + 13 + 5);
}

#[test]
fn changes_become_a_layer_that_shows_the_same_root() {
    let (folder, store) = store();
    root(&store, "c1");
    change(&store, "c1");
    let lease = store.lease();
    let layer = store
        .layers()
        .from_snapshot(&lease, "c1", &MountPoints::default())
        .expect("a layer");
    layer.verify().expect("exact");
    let mut layers = store.snapshots().layers("c1").expect("there");
    layers.push(layer.diff_id().clone());
    store.snapshots().prepare_layers("c2", &layers).expect("prepared");
    let export = |id: &str| {
        let root = store.snapshots().open_root(id, Access::ReadOnly).expect("mounted");
        let mut tar = Vec::new();
        corten_store::export(root.as_fd(), &mut tar).expect("exported");
        fs::write(folder.path().join("t"), &tar).expect("written");
        String::from_utf8(shell(folder.path(), "tar -tvf t | awk '{print $1,$2,$3,$6,$7,$8}'")).expect("text")
    };
    let (first, second) = (export("c1"), export("c2"));
    assert_eq!(first, second);
    assert!(
        first.contains("etc/again") && first.contains("etc/new link to"),
        "{first}"
    );
    assert!(
        !first.contains("wget") && !first.contains("data/a") && first.contains("opt/x"),
        "{first}"
    );
}

#[test]
fn roots_survive_a_restart_and_go_when_removed() {
    let (folder, store) = store();
    root(&store, "c1");
    store.snapshots().prepare_layers("empty", &[]).expect("prepared");
    drop(
        store
            .snapshots()
            .open_root("empty", Access::ReadWrite)
            .expect("mounted"),
    );
    change(&store, "c1");
    let store = reopen(&folder, store);
    assert_eq!(store.snapshots().list().len(), 2);
    assert!(
        !store
            .snapshots()
            .diff("c1", &MountPoints::default())
            .expect("told")
            .is_empty()
    );
    store.snapshots().remove("c1").expect("removed");
    store.snapshots().remove("c1").expect("removing again is fine");
    assert_eq!(
        store.snapshots().mounts("c1", Sync::Normal).expect_err("gone").kind(),
        Kind::NotFound
    );
    assert!(!fs::exists(folder.path().join("data/overlay2/c1")).expect("looked"));
    let store = reopen(&folder, store);
    assert_eq!(store.snapshots().list(), ["empty"]);
}

#[test]
fn what_a_volatile_mount_left_does_not_matter() {
    let (folder, store) = store();
    root(&store, "c1");
    let left = folder.path().join("data/overlay2/c1/work/work/incompat/volatile");
    fs::create_dir_all(&left).expect("made");
    store.snapshots().mounts("c1", Sync::Volatile).expect("described");
    drop(store.snapshots().open_root("c1", Access::ReadWrite).expect("mounted"));
}

#[test]
fn what_a_runtime_makes_for_its_mounts_is_no_change() {
    let (folder, store) = store();
    root(&store, "c1");
    let upper = folder.path().join("data/overlay2/c1/diff");
    shell(
        &upper,
        "mkdir -p proc dev/pts etc data run/lock && chmod 755 etc && touch etc/hosts etc/resolv.conf && echo x > run/hosts",
    );
    let made: MountPoints = [
        "/proc",
        "/dev",
        "/dev/pts",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/run/hosts",
    ]
    .into_iter()
    .collect();
    let paths = |made: &MountPoints| -> Vec<String> {
        let changes = store.snapshots().diff("c1", made).expect("told");
        changes.iter().map(|change| change.path.display().to_string()).collect()
    };
    assert!(paths(&MountPoints::default()).contains(&"/dev/pts".to_owned()));
    let told = paths(&made);
    for own in ["/run", "/run/lock", "/run/hosts"] {
        assert!(told.contains(&own.to_owned()), "{own} of {told:?}");
    }
    for others in ["/proc", "/dev", "/dev/pts", "/etc", "/etc/hosts"] {
        assert!(!told.contains(&others.to_owned()), "{others} of {told:?}");
    }
    let lease = store.lease();
    let layer = store.layers().from_snapshot(&lease, "c1", &made).expect("a layer");
    assert!(layer.path().join("run/hosts").is_file());
    assert!(!layer.path().join("proc").exists() && !layer.path().join("etc").exists());
}

#[test]
fn a_commit_adds_a_layer_and_a_line_to_the_history() {
    let (_folder, store) = store();
    root(&store, "c1");
    let request = |comment: &str| CommitRequest {
        snapshot: "c1".to_owned(),
        comment: comment.to_owned(),
        created_by: "sh".to_owned(),
        ..CommitRequest::default()
    };
    let unchanged = store.commit(request("nothing")).expect("an image");
    let unchanged = store.images().get(&unchanged).expect("there");
    let below = store.snapshots().layers("c1").expect("there");
    assert_eq!(unchanged.layers(), below);
    assert!(unchanged.config().history.last().expect("a line").empty_layer);
    change(&store, "c1");
    let changed = store.commit(request("something")).expect("an image");
    let changed = store.images().get(&changed).expect("there");
    assert_eq!(changed.layers().len(), below.len() + 1);
    let last = changed.config().history.last().expect("a line").clone();
    assert_eq!((last.comment.as_str(), last.empty_layer), ("something", false));
}
