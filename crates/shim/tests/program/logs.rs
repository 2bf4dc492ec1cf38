//! The log as the shim leaves it.

use std::path::Path;

use corten_shim::protocol::Event;
use corten_sys::fs;

use crate::harness::{Setup, outputs};

/// Stream and text of each line.
fn lines(path: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    let parse = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| line[name].as_str().unwrap().to_owned();
        assert!(field("time").ends_with('Z'));
        (field("stream"), field("log"))
    };
    text.lines().map(parse).collect()
}

#[test]
fn both_outputs_are_logged_to_the_last_byte() {
    let setup = Setup::script("echo one; sleep 0.1; echo two >&2; sleep 0.1; printf 'a\\377<b>'").log();
    let path = setup.path().join("c-json.log");
    let shim = setup.start();
    let path = keep(shim, &path);
    let wanted = [("stdout", "one\n"), ("stderr", "two\n"), ("stdout", "a\u{fffd}<b>")];
    assert_eq!(
        lines(path.path()),
        wanted.map(|(stream, text)| (stream.to_owned(), text.to_owned()))
    );
}

/// Waits for the end and keeps the log beyond the bundle.
fn keep(shim: crate::harness::Shim, path: &Path) -> tempfile::NamedTempFile {
    let kept = tempfile::NamedTempFile::new().unwrap();
    let file = fs::open(path).unwrap();
    assert_eq!(shim.exited().code, 0);
    std::io::copy(&mut &file, &mut kept.as_file()).unwrap();
    kept
}

#[test]
fn many_lines_are_logged_with_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c-json.log");
    let setup = Setup::command(&["seq", "1", "100000"]).log_to(path.clone(), Some(1 << 20), 100, false);
    assert_eq!(setup.start().exited().code, 0);
    let old = (1..100)
        .rev()
        .map(|number| folder.path().join(format!("c-json.log.{number}")));
    let files = old.filter(|path| fs::exists(path).unwrap()).chain([path]);
    let texts: Vec<String> = files.flat_map(|path| lines(&path)).map(|(_, text)| text).collect();
    assert_eq!(texts.len(), 100_000);
    assert!(
        texts
            .iter()
            .enumerate()
            .all(|(index, text)| *text == format!("{}\n", index + 1))
    );
}

#[test]
fn a_full_disk_is_told_once_and_clients_get_all() {
    let disk = Disk::new("64k");
    let path = disk.0.path().join("c-json.log");
    let mut setup =
        Setup::script("seq 1 5000; echo full; read x; echo again").stdin(corten_shim::protocol::Stdin::Open);
    setup = setup.log_to(path.clone(), None, 1, false);
    let mut client = setup.client(crate::harness::whole());
    let mut shim = setup.start();
    client.until("full\n");
    let message = shim.engine().wait_for(|event| match event {
        Event::LogFailed { message } => Some(message.clone()),
        _ => None,
    });
    assert!(message.contains("c-json.log"), "{message}");
    let before = lines(&path);
    assert!(before.len() > 100);
    // Room again.
    fs::write(&path, b"").unwrap();
    client.type_in(b"\n");
    client.until("again\n");
    client.rest();
    let failures = |event: &&Event| matches!(event, Event::LogFailed { .. });
    let count = shim.engine().events.iter().filter(failures).count();
    assert_eq!(count, 1);
    assert_eq!(shim.exited().code, 0);
    assert_eq!(lines(&path), [("stdout".to_owned(), "again\n".to_owned())]);
}

/// A small disk in memory.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = std::ffi::CString::new(format!("size={size}")).unwrap();
        rustix::mount::mount(
            "tmpfs",
            folder.path(),
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            data.as_c_str(),
        )
        .unwrap();
        Self(folder)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_terminal_s_output_is_logged_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c-json.log");
    let mut setup = Setup::script("echo one; echo two >&2")
        .tty(24, 80)
        .log_to(path.clone(), None, 1, false);
    let mut client = setup.client(outputs());
    let shim = setup.start();
    assert_eq!(client.rest(), b"one\r\ntwo\r\n");
    assert_eq!(shim.exited().code, 0);
    let texts: Vec<_> = lines(&path).into_iter().collect();
    assert_eq!(
        texts,
        [
            ("stdout".to_owned(), "one\r\n".to_owned()),
            ("stdout".to_owned(), "two\r\n".to_owned())
        ]
    );
}
