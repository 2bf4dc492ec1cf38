//! Images: names, ids, removal in Docker's words and order, collection.

use corten_oci::digest::Digest;
use corten_oci::image::{ImageConfig, RootFs, media_type};
use corten_oci::reference::Reference;
use corten_store::{
    Force, GcOptions, ImageId, ImageUser, Kind, NewImage, PruneParents, Removed, Store, StoredDocument,
};
use corten_sys::fs;

use super::{add, python, reopen, store};

fn layer(store: &Store, content: &str) -> Digest {
    add(
        store,
        &python(&format!("t = tar()\nentry(t, 'f', b'{content}')\nt.close()")),
    )
    .diff_id()
    .clone()
}

/// An image of layers; `what` makes it different from others.
fn image(store: &Store, what: &str, layers: &[&Digest], parent: Option<&ImageId>) -> ImageId {
    let config = ImageConfig {
        architecture: "amd64".into(),
        os: "linux".into(),
        author: what.into(),
        rootfs: RootFs {
            diff_ids: layers.iter().map(|layer| (*layer).clone()).collect(),
            ..RootFs::default()
        },
        ..ImageConfig::default()
    };
    let bytes = serde_json::to_vec(&config).expect("json");
    store
        .images()
        .put(NewImage {
            config: &bytes,
            documents: &[],
            parent: parent.cloned(),
        })
        .expect("put")
}

fn name(text: &str) -> Reference {
    text.parse().expect("a reference")
}

fn nobody(_: &ImageId) -> Vec<ImageUser> {
    Vec::new()
}

/// What a removal told, as `docker rmi` prints it, ids shortened.
fn told(removed: &[Removed]) -> Vec<String> {
    let line = |removed: &Removed| match removed {
        Removed::Untagged { name, .. } => format!("Untagged: {name}"),
        Removed::Image(id) => format!("Image: {}", id.short()),
        Removed::Layer(chain) => format!("Layer: {}", chain.short()),
    };
    removed.iter().map(line).collect()
}

#[test]
fn names_lead_to_images_and_move() {
    let (folder, store) = store();
    let base = layer(&store, "base");
    let (one, two) = (image(&store, "1", &[&base], None), image(&store, "2", &[&base], None));
    store.images().tag(&name("app"), &one).expect("tagged");
    store.images().tag(&name("app:1"), &one).expect("tagged");
    store.images().tag(&name("app"), &two).expect("tagged");
    let digest = Digest::sha256(b"manifest");
    store
        .images()
        .add_digest(name("app").repository(), &digest, &two)
        .expect("added");
    let check = |store: &Store| {
        let images = store.images();
        assert_eq!(*images.resolve("app").expect("there").id(), two);
        assert_eq!(*images.resolve("docker.io/library/app:1").expect("there").id(), one);
        assert_eq!(*images.resolve(&format!("app:9@{digest}")).expect("there").id(), two);
        assert_eq!(*images.resolve(one.as_str()).expect("there").id(), one);
        assert_eq!(*images.resolve(one.hex()).expect("there").id(), one);
        assert_eq!(*images.resolve(&one.hex()[..10]).expect("there").id(), one);
        assert_eq!(images.get(&one).expect("there").names(), [name("app:1")]);
        assert_eq!(images.get(&two).expect("there").digests().len(), 1);
        assert!(images.get(&two).expect("there").last_tagged().is_some());
        let missing = images.resolve("gp-nosuch").expect_err("not there");
        assert_eq!(
            (missing.kind(), missing.to_string()),
            (Kind::NotFound, "No such image: gp-nosuch:latest".into())
        );
    };
    check(&store);
    check(&reopen(&folder, store));
}

#[test]
fn documents_are_kept_byte_for_byte() {
    let (folder, store) = store();
    let base = layer(&store, "base");
    let config = format!("{{ \"os\" : \"linux\",\n \"unknown\":[1], \"rootfs\":{{\"diff_ids\":[\"{base}\"]}} }}\n");
    let manifest = b"{ \"schemaVersion\":2 , \"spaced\" : true}";
    let document = StoredDocument {
        media_type: media_type::OCI_MANIFEST,
        bytes: manifest,
    };
    let new = NewImage {
        config: config.as_bytes(),
        documents: &[document],
        parent: None,
    };
    let id = store.images().put(new).expect("put");
    let store = reopen(&folder, store);
    let image = store.images().get(&id).expect("there");
    assert_eq!(image.config_bytes(), config.as_bytes());
    let (digest, kind, bytes) = store.images().manifest(&image).expect("read").expect("there");
    assert_eq!(
        (digest, kind.as_str(), &bytes[..]),
        (Digest::sha256(manifest), media_type::OCI_MANIFEST, &manifest[..])
    );
}

#[test]
fn an_image_without_its_layers_is_refused() {
    let (_folder, store) = store();
    let config = format!("{{\"rootfs\":{{\"diff_ids\":[\"{}\"]}}}}", Digest::sha256(b"nowhere"));
    let new = NewImage {
        config: config.as_bytes(),
        documents: &[],
        parent: None,
    };
    assert_eq!(store.images().put(new).expect_err("no layer").kind(), Kind::NotFound);
}

#[test]
fn removing_tells_names_then_the_image_then_its_layers() {
    let (folder, store) = store();
    let (base, top) = (layer(&store, "base"), layer(&store, "top"));
    let chain = Digest::sha256(format!("{base} {top}").as_bytes());
    let one = image(&store, "1", &[&base, &top], None);
    let two = image(&store, "2", &[&base], None);
    store.images().tag(&name("gp-img:1"), &one).expect("tagged");
    store.images().tag(&name("gp-base:1"), &two).expect("tagged");
    let digest = Digest::sha256(b"manifest");
    store
        .images()
        .add_digest(name("gp-img").repository(), &digest, &one)
        .expect("added");
    let removed = store
        .images()
        .remove("gp-img:1", Force::No, PruneParents::Yes, &nobody)
        .expect("removed");
    let expected = [
        "Untagged: gp-img:1".to_owned(),
        format!("Untagged: gp-img@{digest}"),
        format!("Image: {}", one.short()),
        format!("Layer: {}", chain.short()),
    ];
    assert_eq!(told(&removed), expected);
    assert!(store.layers().contains(&base) && !store.layers().contains(&top));
    let removed = store
        .images()
        .remove(&two.hex()[..12], Force::No, PruneParents::Yes, &nobody)
        .expect("removed");
    let expected = [
        "Untagged: gp-base:1".to_owned(),
        format!("Image: {}", two.short()),
        format!("Layer: {}", base.short()),
    ];
    assert_eq!(told(&removed), expected);
    let store = reopen(&folder, store);
    assert!(store.layers().list().is_empty() && store.images().list().is_empty());
    for left in ["image/documents", "image/images", "overlay2"] {
        let left = fs::read_dir(folder.path().join("data").join(left)).expect("there");
        let mut names = left.map(|e| e.expect("entry").file_name().into_string().expect("text"));
        assert!(names.all(|name| name.starts_with(".trash")));
    }
}

#[test]
fn removal_is_refused_in_dockers_words() {
    let (_folder, store) = store();
    let base = layer(&store, "base");
    let id = image(&store, "1", &[&base], None);
    let short = id.short().to_owned();
    for tag in ["gp-img:1", "gp-img:2"] {
        store.images().tag(&name(tag), &id).expect("tagged");
    }
    let used = |running| {
        move |_: &ImageId| {
            vec![ImageUser {
                container: "cb570ec243b9aaaa".into(),
                running,
            }]
        }
    };
    let check = |text: &str, force, users: &dyn Fn(&ImageId) -> Vec<ImageUser>, expected: String| {
        let error = store
            .images()
            .remove(text, force, PruneParents::Yes, users)
            .expect_err(&expected);
        assert_eq!((error.kind(), error.to_string()), (Kind::Conflict, expected));
    };
    check(
        &short,
        Force::No,
        &nobody,
        format!("conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"),
    );
    check(
        &short,
        Force::Yes,
        &used(true),
        format!(
            "conflict: unable to delete {short} (cannot be forced) - image is being used by running container cb570ec243b9"
        ),
    );
    store.images().untag(&name("gp-img:2")).expect("untagged");
    check(
        "gp-img:1",
        Force::No,
        &used(false),
        format!(
            "conflict: unable to remove repository reference \"gp-img:1\" (must force) - container cb570ec243b9 is using its referenced image {short}"
        ),
    );
    check(
        &short,
        Force::No,
        &used(false),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container cb570ec243b9"
        ),
    );
    let child = image(&store, "child", &[&base], Some(&id));
    check(
        &short,
        Force::Yes,
        &nobody,
        format!("conflict: unable to delete {short} (cannot be forced) - image has dependent child images"),
    );
    store.images().untag(&name("gp-img:1")).expect("untagged");
    let removed = store
        .images()
        .remove(child.hex(), Force::No, PruneParents::Yes, &nobody)
        .expect("removed");
    let expected = [
        format!("Image: {}", child.short()),
        format!("Image: {short}"),
        format!("Layer: {}", base.short()),
    ];
    assert_eq!(told(&removed), expected, "the parent without a name goes too");
}

#[test]
fn leases_images_and_roots_keep_layers() {
    let (_folder, store) = store();
    let collect = || store.gc(GcOptions::default()).expect("collected").layers.len();
    let lease = store.lease();
    let held = store
        .layers()
        .from_tar(&lease, &mut &*python("t = tar()\nt.close()"))
        .expect("good");
    assert_eq!(collect(), 0);
    let id = image(&store, "1", &[held.diff_id()], None);
    drop(lease);
    assert_eq!(collect(), 0);
    store.snapshots().prepare("container", &id).expect("prepared");
    store
        .images()
        .remove(id.hex(), Force::Yes, PruneParents::No, &nobody)
        .expect("removed");
    assert_eq!(collect(), 0);
    store.snapshots().remove("container").expect("removed");
    assert!(store.layers().list().is_empty(), "the root was the last to need it");
}

#[test]
fn usage_counts_shared_layers_once() {
    let (folder, store) = store();
    let (base, top) = (layer(&store, "base"), layer(&store, "the top"));
    image(&store, "1", &[&base, &top], None);
    image(&store, "2", &[&base], None);
    store.flush();
    let usage = store.disk_usage().expect("measured");
    assert_eq!(usage.layers_size, 4 + 7);
    let mut shares: Vec<_> = usage.images.iter().map(|image| (image.size, image.shared)).collect();
    shares.sort_unstable();
    assert_eq!(shares, [(4, 4), (11, 4)]);
    let du = super::shell(
        &folder.path().join("data/overlay2"),
        "du -sk */ | awk '{s+=$1} END {print s*1024}'",
    );
    let du: u64 = String::from_utf8(du).expect("text").trim().parse().expect("a number");
    assert_eq!(usage.layers_disk, du);
}

#[test]
fn a_damaged_record_is_set_aside() {
    let (folder, store) = store();
    let base = layer(&store, "base");
    let (one, two) = (image(&store, "1", &[&base], None), image(&store, "2", &[&base], None));
    let records = folder.path().join("data/image/images");
    fs::write(records.join(format!("{}.json", one.hex())), b"{").expect("damaged");
    let store = reopen(&folder, store);
    assert!(store.images().get(&one).is_err());
    assert!(store.images().get(&two).is_ok());
    assert!(fs::exists(records.join(format!("{}.json.damaged", one.hex()))).expect("looked"));
}
