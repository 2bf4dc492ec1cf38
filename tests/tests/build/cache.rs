//! The cache of steps: what it holds, what goes first when there is too much, and who may tell.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;

use corten_sys::fs;
use corten_tests::engine::{Engine, Options};
use rustix::fs::inotify;

use crate::{context, engine};

/// Builds steps that each write so many bytes, after a wait; forgets the image, so that the cache alone has them.
#[track_caller]
fn steps(engine: &Engine, name: &str, steps: &[(&str, &str)]) {
    let mut dockerfile = String::new();
    for (stage, command) in steps {
        dockerfile.push_str(&format!("FROM busybox AS {stage}\nRUN {command}\n"));
    }
    dockerfile.push_str("FROM busybox\n");
    for (stage, _) in steps {
        dockerfile.push_str(&format!("RUN --mount=from={stage},target=/m true {stage}\n"));
    }
    let folder = context(engine, name, &[("Dockerfile", &dockerfile)]);
    engine.corten(["build", "-q", "-t", name, &folder]).ok();
    engine.corten(["rmi", name]).ok();
}

/// Descriptions of what the cache holds.
#[track_caller]
fn held(engine: &Engine, more: &[&str]) -> String {
    let command = ["buildx", "du", "--format", "{{.Type}} {{.Description}}"];
    engine.corten(command.iter().chain(more)).ok()
}

#[test]
fn the_usage_is_told_and_filtered() {
    let engine = engine();
    let dockerfile = "FROM busybox\nRUN --mount=type=cache,target=/c head -c 50000 /dev/urandom > /c/f\nRUN head -c 70000 /dev/urandom > /f\n";
    let folder = context(&engine, "usage", &[("Dockerfile", dockerfile)]);
    engine.corten(["build", "-q", "-t", "usage", &folder]).ok();
    let kinds = held(&engine, &[]);
    assert_eq!(kinds.matches("regular ").count(), 2, "{kinds}");
    assert_eq!(kinds.matches("exec.cachemount ").count(), 1, "{kinds}");
    assert_eq!(held(&engine, &["--filter", "type=exec.cachemount"]).lines().count(), 1);
    assert_eq!(
        held(&engine, &["--filter", "shared=true"]).lines().count(),
        2,
        "the image has them"
    );
    let refused = engine.corten(["buildx", "du", "--filter", "nosuch=1"]).fails(1);
    assert!(refused.contains("invalid filter \"nosuch\""), "{refused}");
    let whole = engine.corten(["buildx", "du", "--verbose"]).ok();
    assert!(
        whole.contains("Description:\tRUN head -c 70000")
            && whole.contains("Type:\t\texec.cachemount\n")
            && whole.contains("Total:\t\t120kB\n"),
        "{whole}"
    );
    // Only the mount is private, and only it is asked for.
    let pruned = engine
        .corten(["buildx", "prune", "-f", "--verbose", "--filter", "type=exec.cachemount"])
        .ok();
    assert!(
        pruned.contains("Type:\t\texec.cachemount") && pruned.contains("Total reclaimed space: 50kB"),
        "{pruned}"
    );
    let young = engine.corten(["buildx", "prune", "-af", "--filter", "until=24h"]).ok();
    assert!(young.contains("Total reclaimed space: 0B"), "{young}");
    let refused = engine
        .corten(["builder", "prune", "-f", "--filter", "nosuch=1"])
        .fails(1);
    assert!(refused.contains("nosuch"), "{refused}");
    assert_eq!(held(&engine, &[]).lines().count(), 2);
}

#[test]
fn what_is_big_and_quickly_made_goes_before_what_took_long() {
    let engine = engine();
    let begun = std::time::Instant::now();
    steps(
        &engine,
        "quickly",
        &[
            ("quick", "head -c 100000 /dev/urandom > /quick"),
            ("big", "head -c 9000000 /dev/urandom > /big"),
        ],
    );
    // However busy the machine is, this step takes longer than those did.
    let wait = format!(
        "sleep {}; head -c 100000 /dev/urandom > /slow",
        begun.elapsed().as_secs() + 1
    );
    steps(&engine, "order", &[("slow", &wait)]);
    let prune = |flag: &str, size: &str| engine.corten(["buildx", "prune", "-af", flag, size]).ok();
    assert!(held(&engine, &[]).contains("/big"));
    prune("--max-used-space", "250kB");
    let left = held(&engine, &[]);
    assert!(
        !left.contains("> /big") && left.contains("> /slow") && left.contains("> /quick"),
        "{left}"
    );
    prune("--reserved-space", "150kB");
    let left = held(&engine, &[]);
    assert!(!left.contains("> /quick") && left.contains("> /slow"), "{left}");
    // There is more free than that.
    prune("--min-free-space", "1");
    assert_eq!(held(&engine, &[]), left);
    engine.corten(["builder", "prune", "-af", "--keep-storage", "1MB"]).ok();
    assert_eq!(held(&engine, &[]), left);
    // As much as there can never be.
    prune("--min-free-space", "8192g");
    assert!(!held(&engine, &[]).contains("> /slow"));
}

/// An engine with rules for its cache.
#[track_caller]
fn with_rules(gc: &str) -> Engine {
    let engine = Engine::start_with(Options {
        config: Some(format!(r#"{{"builder": {{"gc": {gc}}}}}"#)),
        ..Options::default()
    });
    engine.corten(["pull", "-q", "busybox"]).ok();
    engine
}

#[test]
fn the_cache_stays_under_its_limit_by_itself() {
    for gc in [
        r#"{"enabled": true, "defaultKeepStorage": "150kB"}"#,
        r#"{"defaultReservedSpace": "1kB", "defaultMaxUsedSpace": "150kB", "defaultMinFreeSpace": "1kB"}"#,
        r#"{"policy": [{"keepStorage": "150kB", "all": true}]}"#,
        r#"{"policy": [{"maxUsedSpace": "1kB", "filter": ["unused-for=24h"]}, {"maxUsedSpace": "150kB", "filter": ["type=regular"]}]}"#,
    ] {
        let engine = with_rules(gc);
        for number in 0..4 {
            steps(
                &engine,
                &format!("s{number}"),
                &[("a", &format!("head -c 100000 /dev/urandom > /{number}"))],
            );
        }
        // Trimming happens at the end of a build, before its image is forgotten.
        steps(&engine, "last", &[("a", "true last")]);
        let sizes = engine.get("/system/df")["BuildCache"]
            .as_array()
            .expect("a list")
            .clone();
        let total: i64 = sizes
            .iter()
            .map(|record| record["Size"].as_i64().expect("a size"))
            .sum();
        assert!((1..=150_000).contains(&total), "{gc}: {total} in {sizes:?}");
    }
}

#[test]
fn a_cache_without_rules_grows() {
    let engine = with_rules(r#"{"enabled": false, "defaultKeepStorage": "1kB"}"#);
    steps(
        &engine,
        "grows",
        &[
            ("a", "head -c 100000 /dev/urandom > /a"),
            ("b", "head -c 100000 /dev/urandom > /b"),
        ],
    );
    steps(&engine, "last", &[("a", "true")]);
    let held = held(&engine, &[]);
    assert!(held.contains("> /a") && held.contains("> /b"), "{held}");
}

#[test]
fn bad_rules_are_refused_at_the_start() {
    let engine = Engine::prepared(Options::default());
    for (config, words) in [
        (r#"{"builder": {"gc": {"nosuch": 1}}}"#, "unknown field `nosuch`"),
        (
            r#"{"builder": {"gc": {"defaultKeepStorage": "much"}}}"#,
            "invalid size: 'much'",
        ),
        (
            r#"{"builder": {"gc": {"policy": [{"filter": ["nosuch=1"]}]}}}"#,
            "nosuch",
        ),
        (
            r#"{"builder": {"entitlements": {"network": true}}}"#,
            "builder.entitlements: unknown field `network`",
        ),
        (
            r#"{"builder": {"history": {"maxAge": "soon"}}}"#,
            "builder.history: maxAge",
        ),
        (r#"{"builder": {"nosuch": {}}}"#, "builder.nosuch is not supported"),
    ] {
        fs::write(engine.config(), config).expect("a file");
        let refused = engine
            .corten([
                "daemon",
                "--validate",
                "--config-file",
                &engine.config().to_string_lossy(),
            ])
            .run();
        assert!(
            refused.code != 0 && refused.stderr.contains(words),
            "{config}: {refused}"
        );
    }
}

/// The files below folders that are read while something is done, as the kernel tells (inotify(7)).
#[track_caller]
fn read_during(folders: &[String], work: impl FnOnce()) -> BTreeSet<String> {
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).expect("inotify");
    let mut places = BTreeMap::new();
    for folder in folders {
        let flags = inotify::WatchFlags::ACCESS | inotify::WatchFlags::ONLYDIR;
        places.insert(
            inotify::add_watch(&watch, folder.as_str(), flags).expect("a watch"),
            folder,
        );
    }
    work();
    let mut read = BTreeSet::new();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    loop {
        match events.next() {
            Ok(event) => {
                let flags = event.events();
                assert!(
                    !flags.contains(inotify::ReadFlags::QUEUE_OVERFLOW),
                    "too many files were read"
                );
                if !flags.contains(inotify::ReadFlags::ISDIR)
                    && let Some(name) = event.file_name()
                {
                    read.insert(format!("{}/{}", places[&event.wd()], name.to_string_lossy()));
                }
            }
            Err(rustix::io::Errno::AGAIN) => return read,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn of_a_large_context_only_the_changed_file_is_read() {
    let engine = engine();
    let dockerfile = "FROM busybox\nCOPY library /library\nCOPY app /app\nCMD cat /app/main /library/d7/f3\n";
    let folder = context(
        &engine,
        "large",
        &[("Dockerfile", dockerfile), ("app/main", "one\n"), ("unused/f", "")],
    );
    engine
        .sh(&format!(
            "cd {folder} && mkdir library && for d in $(seq 0 199); do mkdir library/d$d; \
             for f in $(seq 0 99); do echo $d $f > library/d$d/f$f; done; done"
        ))
        .ok();
    let mut folders: Vec<String> = (0..200).map(|number| format!("{folder}/library/d{number}")).collect();
    folders.extend([format!("{folder}/app"), format!("{folder}/unused"), folder.clone()]);
    let build = || drop(engine.corten(["build", "-q", "-t", "large", &folder]).ok());
    let first = read_during(&folders[200..], build);
    assert!(
        first.contains(&format!("{folder}/app/main")) && !first.contains(&format!("{folder}/unused/f")),
        "what no instruction asks for is not read: {first:?}"
    );
    // Digests of files that were written a moment ago are not trusted: this reads what is left of them.
    build();
    fs::write(format!("{folder}/app/main"), "two\n").expect("a file");
    let read = read_during(&folders, build);
    let expected = ["app/main", "Dockerfile"].map(|name| format!("{folder}/{name}"));
    assert_eq!(read, BTreeSet::from(expected), "of 20,000 files");
    assert_eq!(engine.corten(["run", "--rm", "large"]).ok(), "two\n7 3\n");
}

#[test]
fn the_engine_grants_what_its_file_says() {
    let config = r#"{"builder": {"entitlements": {"security-insecure": false, "network-host": true, "device": false},
        "history": {"maxEntries": 2}}}"#;
    let engine = Engine::start_with(Options {
        config: Some(config.to_owned()),
        ..Options::default()
    });
    engine.corten(["pull", "-q", "busybox"]).ok();
    let text = "FROM busybox\nRUN --network=host true\n";
    let folder = context(&engine, "granted", &[("Dockerfile", text)]);
    engine.corten(["build", "-q", "--allow", "network.host", &folder]).ok();
    for name in ["security.insecure", "device", "device=acme.com/toy"] {
        let refused = engine.corten(["build", "--allow", name, &folder]).fails(1);
        let plain = name.split('=').next().unwrap_or_default();
        let words = format!("granting entitlement {plain} is not allowed by build daemon configuration");
        assert!(refused.contains(&words), "{name}: {refused}");
    }
    for number in 0..4 {
        let text = format!("FROM busybox\nLABEL n={number}\n");
        let folder = context(&engine, &format!("past{number}"), &[("Dockerfile", &text)]);
        engine.corten(["build", "-q", &folder]).ok();
    }
    let past = engine.corten(["buildx", "history", "ls", "--format", "{{.Ref}}"]).ok();
    assert_eq!(past.lines().count(), 2, "{past}");
}
