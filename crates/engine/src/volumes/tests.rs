//! Volumes on a temporary data root.

use super::*;

fn volumes() -> (tempfile::TempDir, Arc<Settings>, Volumes, Events) {
    let root = tempfile::tempdir().unwrap();
    let settings = Arc::new(crate::settings::tests::below(root.path()));
    let events = Events::new();
    let volumes = Volumes::open(&settings, events.clone()).unwrap();
    (root, settings, volumes, events)
}

fn named(name: &str) -> CreateRequest {
    CreateRequest {
        name: name.to_owned(),
        ..CreateRequest::default()
    }
}

#[test]
fn are_made_found_again_and_removed() {
    let (_root, settings, volumes, events) = volumes();
    let labels = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    let made = volumes
        .create(CreateRequest {
            labels,
            ..named("data")
        })
        .unwrap();
    assert!(made.mountpoint.ends_with("/volumes/data/_data"));
    assert_eq!(
        volumes.create(named("data")).unwrap(),
        made,
        "creating twice returns the first"
    );
    let again = Volumes::open(&settings, events).unwrap();
    assert_eq!(again.get("data").unwrap(), made);
    again.remove("data", false).unwrap();
    assert!(!std::path::Path::new(&made.mountpoint).exists());
    assert_eq!(again.get("data").unwrap_err().message(), "get data: no such volume");
    assert_eq!(again.remove("data", false).unwrap_err().kind(), Kind::NotFound);
    again.remove("data", true).unwrap();
}

#[test]
fn in_use_are_kept() {
    let (_root, _settings, volumes, _events) = volumes();
    volumes.create(named("data")).unwrap();
    let anonymous = volumes.create(named("")).unwrap().name;
    assert!(volumes.is_anonymous(&anonymous) && !volumes.is_anonymous("data"));
    volumes.acquire("data", "c1").unwrap();
    volumes.acquire("data", "c1").unwrap();
    let error = volumes.remove("data", true).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::Conflict, "remove data: volume is in use - [c1]")
    );
    assert_eq!(
        volumes
            .list(&Filters::parse(r#"{"dangling":["true"]}"#).unwrap())
            .unwrap()
            .len(),
        1
    );
    let pruned = volumes.prune(&Filters::default(), Scope::All).unwrap();
    assert_eq!(pruned.volumes_deleted, Some(vec![anonymous]));
    volumes.release("data", "c1");
    assert_eq!(
        volumes
            .prune(&Filters::default(), Scope::Anonymous)
            .unwrap()
            .volumes_deleted,
        Some(vec![])
    );
    assert_eq!(
        volumes.prune(&Filters::default(), Scope::All).unwrap().volumes_deleted,
        Some(vec!["data".to_owned()])
    );
}

#[test]
fn speak_docker_s_words() {
    let (_root, _settings, volumes, _events) = volumes();
    let check = |request: CreateRequest, expected: &str| {
        assert_eq!(volumes.create(request).unwrap_err().message(), expected);
    };
    check(
        named("a b"),
        "create a b: \"a b\" includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path",
    );
    let driver = "nosuch".to_owned();
    check(
        CreateRequest {
            driver,
            ..named("gp-v")
        },
        "create gp-v: error looking up volume plugin nosuch: plugin \"nosuch\" not found",
    );
    let driver_opts = BTreeMap::from([("nosuch".to_owned(), "1".to_owned())]);
    check(
        CreateRequest {
            driver_opts,
            ..named("gp-v")
        },
        "create gp-v: invalid option: \"nosuch\"",
    );
    let error = volumes
        .list(&Filters::parse(r#"{"nosuch":["1"]}"#).unwrap())
        .unwrap_err();
    assert_eq!(error.message(), "invalid filter 'nosuch'");
}

#[test]
fn sizes_count_a_file_once() {
    let (_root, _settings, volumes, _events) = volumes();
    let folder = PathBuf::from(volumes.create(named("data")).unwrap().mountpoint);
    fs::create_dir_all(folder.join("a/b")).unwrap();
    fs::write(folder.join("a/b/c"), [0; 1000]).unwrap();
    fs::hard_link(folder.join("a/b/c"), folder.join("d")).unwrap();
    let usage = volumes.usage().remove(0).usage_data.unwrap();
    assert_eq!((usage.size, usage.ref_count), (1000, 0));
}

#[test]
fn options_are_mounted_while_in_use() {
    let (_root, _settings, volumes, _events) = volumes();
    let driver_opts = BTreeMap::from(
        [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")].map(|(k, v)| (k.to_owned(), v.to_owned())),
    );
    volumes
        .create(CreateRequest {
            driver_opts,
            ..named("mem")
        })
        .unwrap();
    assert!(!options::is_mounted(&volumes.acquire("mem", "c1").unwrap()));
    let folder = volumes.mount("mem", "c1").unwrap();
    let held = volumes.hold("mem").unwrap();
    assert!(options::is_mounted(&folder));
    assert!(volumes.unmount("mem", "c1") && !volumes.unmount("mem", "c1"));
    assert!(options::is_mounted(&folder));
    drop(held);
    assert!(!options::is_mounted(&folder));
}
