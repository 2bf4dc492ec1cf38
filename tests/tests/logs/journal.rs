//! systemd's journal, as its daemon takes it: in a mount namespace, so that neither the machine's own
//! journal nor its folders are touched.

use std::path::{Path, PathBuf};

use corten_tests::engine::{Engine, Options};
use corten_tests::until;
use serde_json::Value;

use crate::run;

/// Puts folders of the test in the place of the journal's; the rest of the arguments is the program.
const PLACE: &str = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal /run/log && \
    mount --bind \"$1/sockets\" /run/systemd/journal && mount --bind \"$1/log\" /run/log && \
    mkdir -p /run/etc && echo '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0' > /run/etc/conf && \
    { [ ! -e /etc/systemd/journald.conf ] || mount --bind /run/etc/conf /etc/systemd/journald.conf; } && \
    shift && exec \"$@\"";

fn wrapper(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    let words = ["unshare", "-m", "sh", "-c", PLACE, "sh", &folder];
    words.iter().map(ToString::to_string).collect()
}

/// Entries of a journal, by a field.
fn entries(engine: &Engine, folder: &Path, filter: &str) -> Vec<Value> {
    let script = format!("journalctl -D {}/log/journal/* -o json {filter}", folder.display());
    let text = engine.sh(&script).run().stdout;
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[test]
fn the_journal_takes_entries_with_docker_s_fields() {
    let mut engine = Engine::prepared(Options::default());
    let folder: PathBuf = engine.work().join("journal");
    for part in ["sockets", "log"] {
        corten_sys::fs::create_dir_all(folder.join(part)).unwrap();
    }
    let words = wrapper(&folder);
    let arguments = words[1..]
        .iter()
        .map(String::as_str)
        .chain(["/lib/systemd/systemd-journald"]);
    let _journald = engine.program(Path::new(&words[0]), arguments).spawn();
    until::is("the journal listens", || folder.join("sockets/socket").exists());
    engine.set_wrapper(words);
    engine.launch();
    let options = ["tag={{.Name}}/x", "labels=a-b"];
    let flags = ["--name", "web", "--label", "a-b=v"];
    let script = "seq 200; head -c 20000 /dev/zero | tr '\\0' y; echo; echo wrong >&2";
    run(&engine, &flags, "journald", &options, script).ok();
    let all = || entries(&engine, &folder, "CONTAINER_NAME=web");
    until::is("all lines are in the journal", || all().len() == 203);
    let all = all();
    let text = |index: usize, name: &str| all[index][name].as_str().unwrap_or_default().to_owned();
    let id = engine.inspect("web", "{{.Id}}");
    assert_eq!((text(0, "MESSAGE"), text(0, "PRIORITY")), ("1".into(), "6".into()));
    assert_eq!(
        (text(0, "CONTAINER_ID"), text(0, "CONTAINER_ID_FULL")),
        (id[..12].into(), id.clone())
    );
    assert_eq!(
        (text(0, "CONTAINER_TAG"), text(0, "SYSLOG_IDENTIFIER")),
        ("web/x".into(), "web/x".into())
    );
    assert_eq!((text(0, "IMAGE_NAME"), text(0, "A_B")), ("busybox".into(), "v".into()));
    assert_eq!(text(0, "CONTAINER_LOG_ORDINAL"), "1");
    let find = |name: &str, value: &str| all.iter().any(|entry| entry[name] == value);
    assert!(find("PRIORITY", "3") && find("CONTAINER_PARTIAL_MESSAGE", "true"));
    assert_eq!(engine.corten(["logs", "--tail", "1", "web"]).run().code, 0);
}
