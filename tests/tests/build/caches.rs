//! Caches that come from elsewhere and go elsewhere.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use corten_sys::fs;
use corten_tests::engine::Engine;
use serde_json::Value;

use crate::{context, engine, given::manifest};

/// Two stages; what a step gives is something else each time it is done.
const DOCKERFILE: &str = "FROM busybox AS tool\nRUN head -c 9 /dev/urandom | sha256sum > /tool\n\
                          FROM busybox\nCOPY f /f\nENV A=b\nRUN head -c 9 /dev/urandom | sha256sum > /r\n\
                          COPY --from=tool /tool /t\nCMD cat /r /t\n";

#[track_caller]
fn folder(engine: &Engine) -> String {
    context(engine, "cached", &[("Dockerfile", DOCKERFILE), ("f", "f\n")])
}

/// Builds; gives what the image says and what the build said.
#[track_caller]
fn build(engine: &Engine, folder: &str, flags: &[&str]) -> (String, String) {
    let all = [&["build", "--progress=plain", "-t", "cached"], flags, &[folder]].concat();
    let built = engine.corten(all).run();
    assert_eq!(built.code, 0, "{built}");
    (engine.corten(["run", "--rm", "cached"]).ok(), built.stderr)
}

/// Forgets all that was built.
fn forget(engine: &Engine) {
    engine.corten(["rmi", "cached"]).ok();
    engine.corten(["builder", "prune", "-a", "-f"]).ok();
}

#[test]
fn another_engine_finds_steps_in_a_folder() {
    let (one, two) = (engine(), engine());
    let cache = one.work().join("cache");
    let to = format!("type=local,dest={},mode=max", cache.display());
    let (first, _) = build(&one, &folder(&one), &["--cache-to", &to]);
    let index = fs::read_to_string(cache.join("index.json")).expect("a file");
    assert!(
        index.contains("\"org.opencontainers.image.ref.name\":\"latest\""),
        "{index}"
    );
    let from = format!("type=local,src={}", cache.display());
    let (second, told) = build(&two, &folder(&two), &["--cache-from", &from]);
    assert_eq!(second, first, "{told}");
    assert!(told.contains("importing cache manifest from local:"), "{told}");
    // Without it both differ.
    forget(&two);
    assert_ne!(build(&two, &folder(&two), &[]).0, first);

    // Another tag goes beside the first; a tag or digest says which is meant.
    let small = format!("type=local,dest={},tag=small,compression=zstd", cache.display());
    build(&one, &folder(&one), &["--cache-to", &small]);
    let index = fs::read_to_string(cache.join("index.json")).expect("a file");
    let index: Value = serde_json::from_str(&index).expect("JSON");
    let manifests = index["manifests"].as_array().expect("manifests");
    assert_eq!(manifests.len(), 2, "{index}");
    forget(&two);
    let from = format!("type=local,src={},tag=small", cache.display());
    let (third, _) = build(&two, &folder(&two), &["--cache-from", &from]);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&third)[0], lines(&first)[0], "the result's own step");
    assert_ne!(lines(&third)[1], lines(&first)[1], "mode=min has no other stage");
    forget(&two);
    let digest = manifests[0]["digest"].as_str().expect("a digest");
    let from = format!("type=local,src={},digest={digest}", cache.display());
    assert_eq!(build(&two, &folder(&two), &["--cache-from", &from]).0, first);
    let none = build(&two, &folder(&two), &["--cache-from", "type=local,src=/nosuch"]);
    assert_eq!(none.0, first, "a cache that is not there yet is none");
}

#[test]
fn registries_keep_caches() {
    let engine = engine();
    let folder = folder(&engine);
    let host = engine.registry().host();
    for (number, options) in ["", ",image-manifest=false", ",compression=zstd,force-compression=true"]
        .iter()
        .enumerate()
    {
        let name = format!("{host}/cache:{number}");
        let to = format!("type=registry,ref={name},mode=max{options}");
        let (first, told) = build(&engine, &folder, &["--cache-to", &to]);
        assert!(told.contains("exporting cache to registry"), "{told}");
        let kept = manifest(&engine, "cache", &number.to_string());
        assert!(
            kept.to_string().contains("application/vnd.buildkit.cacheconfig.v0"),
            "{kept}"
        );
        forget(&engine);
        let from = format!("type=registry,ref={name}");
        let (second, told) = build(&engine, &folder, &["--cache-from", &from]);
        assert_eq!(second, first, "{options}: {told}");
        forget(&engine);
        assert_ne!(build(&engine, &folder, &[]).0, first);
        forget(&engine);
    }
}

#[test]
fn images_have_their_caches_with_them() {
    let engine = engine();
    let folder = folder(&engine);
    let name = format!("{}/inlined:1", engine.registry().host());
    let (first, _) = build(&engine, &folder, &["--cache-to", "type=inline"]);
    engine.corten(["tag", "cached", &name]).ok();
    engine.corten(["push", "-q", &name]).ok();
    engine.corten(["rmi", &name]).ok();
    forget(&engine);
    let (second, told) = build(&engine, &folder, &["--cache-from", &name]);
    let own = |text: &str| text.lines().next().map(str::to_owned);
    assert_eq!(own(&second), own(&first), "{told}");
}

#[test]
fn caches_that_cannot_be_had_are_told_of() {
    let engine = engine();
    let folder = folder(&engine);
    let gone = format!("{}/nosuch:1", engine.registry().host());
    let (_, told) = build(&engine, &folder, &["--cache-from", &gone]);
    assert!(
        told.contains(&format!("importing cache manifest from {gone}")),
        "{told}"
    );
    let closed = "type=registry,ref=127.0.0.1:1/closed:1";
    let failed = engine.corten(["build", "--cache-to", closed, &folder]).fails(1);
    assert!(failed.contains("failed to export cache"), "{failed}");
    build(
        &engine,
        &folder,
        &["--cache-to", &format!("{closed},ignore-error=true")],
    );
    for (flag, value, said) in [
        ("--cache-to", "type=gha", "type=gha is not supported"),
        ("--cache-from", "type=s3,bucket=b", "type=s3 is not supported"),
        ("--cache-to", "type=azblob", "type=azblob is not supported"),
        ("--cache-to", "type=local", "local cache exporter requires dest"),
        ("--cache-to", "type=inline,mode=all", "unsupported cache mode \"all\""),
        (
            "--cache-to",
            "type=registry,ref=x,nosuch=1",
            "cache option nosuch is not supported",
        ),
    ] {
        let refused = engine.corten(["build", flag, value, &folder]).fails(1);
        assert!(refused.contains(said), "{value}: {refused}");
    }
}

#[test]
fn layouts_stand_for_images() {
    let engine = engine();
    let base = context(
        &engine,
        "base",
        &[("Dockerfile", "FROM busybox\nRUN echo laid out > /out\nENV A=b\n")],
    );
    let layout = engine.work().join("layout");
    fs::create_dir_all(&layout).expect("a folder");
    let archive = format!("type=oci,dest={}/layout.tar", engine.work().display());
    engine
        .corten(["build", "-q", "-t", "base:one", "-o", &archive, &base])
        .ok();
    engine.sh("tar xf layout.tar -C layout").ok();
    let dockerfile = "FROM laid\nCOPY --from=other /out /again\nCMD echo $A; cat /out /again\n";
    let folder = context(&engine, "above", &[("Dockerfile", dockerfile)]);
    let contexts = [
        format!("laid=oci-layout://{}:one", layout.display()),
        format!("other=oci-layout://{}", layout.display()),
    ];
    engine
        .corten([
            "build",
            "-q",
            "-t",
            "above",
            "--build-context",
            &contexts[0],
            "--build-context",
            &contexts[1],
        ])
        .arg(&folder)
        .ok();
    assert_eq!(engine.corten(["run", "--rm", "above"]).ok(), "b\nlaid out\nlaid out\n");
    let missing = format!("laid=oci-layout://{}:two", layout.display());
    let failed = engine.corten(["build", "--build-context", &missing, &folder]).fails(1);
    assert!(
        failed.contains("index.json has no manifest with the tag two"),
        "{failed}"
    );
    let none = engine
        .corten(["build", "--build-context", "laid=oci-layout:///nosuch", &folder])
        .fails(1);
    assert!(none.contains("/nosuch is no OCI layout"), "{none}");
}

/// Where one engine reaches the registry of another.
const ELSEWHERE: &str = "127.0.0.1:5077";

/// What carries connections from one engine's network to the registry in another's, until it is dropped.
struct Road<'a> {
    from: &'a Engine,
    ends: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<'a> Road<'a> {
    fn build(from: &'a Engine, to: &Engine) -> Self {
        let listener = from.inside(|| TcpListener::bind(ELSEWHERE)).expect("a port");
        let (host, ends) = (to.registry().host(), Arc::new(AtomicBool::new(false)));
        let ended = Arc::clone(&ends);
        // A thread is in the network of the one that begins it, and so are those that it begins.
        let thread = to.inside(move || {
            thread::spawn(move || {
                while let Ok((near, _)) = listener.accept() {
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let far = TcpStream::connect(&host).expect("the registry");
                    let (near_too, far_too) = (near.try_clone().expect("a socket"), far.try_clone().expect("a socket"));
                    thread::spawn(move || carry(near, far));
                    thread::spawn(move || carry(far_too, near_too));
                }
            })
        });
        Self {
            from,
            ends,
            thread: Some(thread),
        }
    }
}

impl Drop for Road<'_> {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        drop(self.from.inside(|| TcpStream::connect(ELSEWHERE)));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a road");
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    // Whoever is cut off hears of it.
    drop(io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Write));
}

#[test]
fn another_engine_finds_steps_at_a_registry() {
    let (one, two) = (engine(), engine());
    let host = one.registry().host();
    let to = format!("type=registry,ref={host}/cache:both,mode=max");
    let (first, _) = build(&one, &folder(&one), &["--cache-to", &to]);
    let road = Road::build(&two, &one);
    let from = format!("type=registry,ref={ELSEWHERE}/cache:both");
    let (second, told) = build(&two, &folder(&two), &["--cache-from", &from]);
    assert_eq!(second, first, "{told}");
    for step in [
        "[tool 2/2] RUN",
        "[stage-1 2/4] COPY",
        "[stage-1 3/4] RUN",
        "[stage-1 4/4] COPY",
    ] {
        let line = told.lines().find(|line| line.contains(step));
        let number = line.and_then(|line| line.split_whitespace().next());
        let cached = number.map(|number| format!("{number} CACHED"));
        assert!(
            cached.is_some_and(|cached| told.lines().any(|line| line == cached)),
            "{step}: {told}"
        );
    }
    // Without it both differ.
    drop(road);
    forget(&two);
    assert_ne!(build(&two, &folder(&two), &[]).0, first);
}
