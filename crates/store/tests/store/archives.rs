//! Images leave and come back: save, load, import, and the one that is built in.

use std::process::Command;

use corten_oci::image::ContainerConfig;
use corten_store::{ImportRequest, Kind, LoadEvent, Loaded, Store};
use corten_sys::fs;

use super::{python, shell, store};

fn import(store: &Store, name: &str, content: &str) -> corten_store::ImageId {
    let tar = python(&format!("t = tar()\nentry(t, 'f.txt', b'{content}')\nt.close()"));
    let request = ImportRequest {
        message: "msg".into(),
        config: ContainerConfig {
            cmd: Some(vec!["cat".into()]),
            ..ContainerConfig::default()
        },
        reference: Some(name.parse().expect("a reference")),
        ..ImportRequest::default()
    };
    store.import(&mut &*tar, request).expect("imported")
}

fn save(store: &Store, names: &[&str]) -> Vec<u8> {
    let mut tar = Vec::new();
    store.save(names, &[], &mut tar).expect("saved");
    tar
}

fn load(store: &Store, tar: &[u8]) -> Result<Vec<Loaded>, corten_store::Error> {
    store.load(&mut &*tar, None, &mut |_| ())
}

#[test]
fn imported_images_have_dockers_fields() {
    let (_folder, store) = store();
    let id = import(&store, "gp-imp:1", "x");
    let image = store.images().resolve("gp-imp:1").expect("there");
    assert_eq!(*image.id(), id);
    let config = image.config();
    assert_eq!((config.os.as_str(), config.comment.as_str()), ("linux", "msg"));
    assert_eq!(config.config.cmd.as_deref(), Some(&["cat".to_owned()][..]));
    assert_eq!((config.history.len(), config.rootfs.diff_ids.len()), (1, 1));
}

#[test]
fn a_saved_archive_has_dockers_layout() {
    let (folder, store) = store();
    import(&store, "gp-imp:1", "sl");
    fs::write(folder.path().join("s.tar"), save(&store, &["gp-imp:1"])).expect("written");
    let list = shell(
        folder.path(),
        "tar -tf s.tar | sed 's/[0-9a-f]\\{64\\}/<ID>/' | LC_ALL=C sort -u",
    );
    assert_eq!(
        String::from_utf8(list).expect("text"),
        "blobs/\nblobs/sha256/\nblobs/sha256/<ID>\nindex.json\nmanifest.json\noci-layout\nrepositories\n"
    );
}

#[test]
fn save_and_load_keep_ids_names_and_shared_layers() {
    let (_folder, one) = store();
    let (_other, two) = store();
    let ids = [import(&one, "app:1", "first"), import(&one, "app:2", "second")];
    one.images()
        .tag(&"other".parse().expect("a reference"), &ids[0])
        .expect("tagged");
    let tar = save(&one, &["app", "other:latest", ids[1].short()]);
    let mut events = Vec::new();
    let loaded = two
        .load(&mut &*tar, None, &mut |event| events.push(event))
        .expect("loaded");
    let mut told: Vec<(String, Vec<String>)> = loaded
        .iter()
        .map(|image| {
            (
                image.id.to_string(),
                image.names.iter().map(|name| name.familiar()).collect(),
            )
        })
        .collect();
    told.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(
        told[0],
        (ids[0].to_string(), vec!["app:1".into(), "other:latest".into()])
    );
    assert_eq!(told[1], (ids[1].to_string(), vec!["app:2".into()]));
    assert!(matches!(&events[0], LoadEvent::Layer { name, .. } if name.len() == 12));
    assert!(
        save(&two, &["app", "other:latest"]) == save(&one, &["app", "other:latest"]),
        "a second save differs"
    );
    assert_eq!(
        load(&two, &tar).expect("again").len(),
        2,
        "what is there is no obstacle"
    );
    let by_id = save(&one, &[ids[0].short()]);
    assert_eq!(load(&two, &by_id).expect("loaded")[0].names, []);
}

#[test]
fn compressed_archives_and_plain_layouts_are_loaded() {
    let (folder, one) = store();
    let (_other, two) = store();
    let id = import(&one, "app:1", "x");
    fs::write(folder.path().join("s.tar"), save(&one, &["app:1"])).expect("written");
    let gzip = shell(folder.path(), "gzip -c s.tar");
    assert_eq!(load(&two, &gzip).expect("loaded")[0].id, id);
    let (_third, three) = store();
    // Without Docker's own file it is an OCI layout; with blobs last, and the layer compressed.
    let layout = "mkdir x; tar -xf s.tar -C x; cd x; rm manifest.json repositories; \
        tar -cf - oci-layout index.json blobs";
    let loaded = load(&three, &shell(folder.path(), layout)).expect("loaded");
    assert_eq!(
        (loaded[0].id.clone(), loaded[0].names[0].familiar()),
        (id, "app:1".into())
    );
    assert!(
        three
            .images()
            .manifest(&three.images().get(&loaded[0].id).expect("there"))
            .expect("read")
            .is_some()
    );
}

#[test]
fn archives_of_old_docker_versions_are_loaded() {
    let (folder, store) = store();
    let script = "echo x > f; tar --sort=name -cf l f; d=$(sha256sum l | cut -c1-64); mkdir -p aa bb; mv l aa/layer.tar; \
        ln -s ../aa/layer.tar bb/layer.tar; \
        printf '{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\",\"sha256:%s\"]}}' $d $d > c.json; \
        echo '[{\"Config\":\"c.json\",\"RepoTags\":[\"old:1\"],\"Layers\":[\"aa/layer.tar\",\"bb/layer.tar\"]}]' > manifest.json; \
        tar -cf - aa bb c.json manifest.json";
    let loaded = load(&store, &shell(folder.path(), script)).expect("loaded");
    assert_eq!(loaded[0].names[0].familiar(), "old:1");
}

#[test]
fn bad_archives_are_refused() {
    let (_folder, store) = store();
    let check = |tar: &[u8], expected: &str| {
        let error = load(&store, tar).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), Kind::Invalid);
    };
    check(b"not a tar", "unexpected EOF");
    check(&python("t = tar()\nt.close()"), "holds no images");
    check(
        &python("t = tar()\nentry(t, 'manifest.json', b'[{')\nt.close()"),
        "invalid manifest.json",
    );
    let evil = "t = tar()\nentry(t, 'manifest.json', b'[{\"Config\":\"../../etc/passwd\",\"Layers\":[]}]')\nt.close()";
    check(&python(evil), "leads outside");
    check(
        &python(&evil.replace("../../etc/passwd", "/etc/passwd")),
        "the archive lacks \"etc/passwd\"",
    );
    let circle = "t = tar()\nentry(t, 'c', type=tarfile.SYMTYPE, linkname='c')\n\
        entry(t, 'manifest.json', b'[{\"Config\":\"c\",\"Layers\":[]}]')\nt.close()";
    check(&python(circle), "circles");
    let mismatch = "t = tar()\nentry(t, 'c', b'{\"rootfs\":{\"diff_ids\":[]}}')\nentry(t, 'l.tar', b'\\0' * 1024)\n\
        entry(t, 'manifest.json', b'[{\"Config\":\"c\",\"Layers\":[\"l.tar\"]}]')\nt.close()";
    check(&python(mismatch), "layers length mismatch: expected 0, got 1");
    assert_eq!(
        store
            .save(&["gp-nosuch"], &[], &mut Vec::new())
            .expect_err("missing")
            .to_string(),
        "No such image: gp-nosuch"
    );
}

#[test]
fn hello_world_needs_no_registry() {
    let (_folder, store) = store();
    assert_eq!(store.builtin("busybox").expect("asked"), None);
    assert_eq!(store.builtin("quay.io/hello-world").expect("asked"), None);
    let id = store.builtin("hello-world").expect("made").expect("built in");
    assert_eq!(store.builtin("hello-world:latest").expect("made"), Some(id.clone()));
    let image = store.images().resolve("hello-world").expect("there");
    assert_eq!(*image.id(), id);
    let layer = store.layers().get(&image.layers()[0]).expect("there");
    let output = Command::new(layer.path().join("hello")).output().expect("it runs here");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text.trim_start().lines().next(), Some("Hello from Corten!"));
}
