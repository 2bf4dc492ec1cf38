//! A registry of ours on places of its own, and a client that shares none of its code.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use corten_oci::digest::Digest;
use corten_oci::image::media_type;
use corten_tests::http::{Response, parse};
use corten_tests::{programs, until};
use serde_json::{Value, json};

/// A registry that runs. It ends, and its folder goes, when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    child: Child,
    said: Arc<Mutex<String>>,
    pub(crate) address: String,
}

impl Server {
    /// Starts one with further arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::prepared(arguments, |_| {})
    }

    /// As [`Self::start`], with files put into its folder before. `{}` in an argument stands for the folder.
    pub(crate) fn prepared(arguments: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("corten-reg.")
            .tempdir()
            .expect("a folder");
        prepare(folder.path());
        let place = folder.path().display().to_string();
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| argument.replace("{}", &place))
            .collect();
        let (child, said, address) = spawn(folder.path(), &arguments);
        Self {
            folder,
            arguments,
            child,
            said,
            address,
        }
    }

    /// With a configuration file. `{}` in it stands for the folder.
    pub(crate) fn configured(config: &Value, prepare: impl FnOnce(&Path)) -> Self {
        let text = config.to_string();
        Self::prepared(&["--config-file", "{}/config.json"], |folder| {
            prepare(folder);
            let text = text.replace("{}", &folder.display().to_string());
            corten_sys::fs::write(folder.join("config.json"), text).expect("a file");
        })
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it keeps content.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// What it has logged.
    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("text").clone()
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a process");
        self.child.wait().expect("an end");
    }

    /// Starts it again on the same places, at another port.
    pub(crate) fn restart(&mut self) {
        (self.child, self.said, self.address) = spawn(self.folder.path(), &self.arguments);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a process");
    }

    /// Its peak of resident memory, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        let status = corten_sys::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().split(' ').next());
        kilobytes.and_then(|text| text.parse::<u64>().ok()).expect("a number") * 1024
    }

    /// `corten registry gc` on its places.
    pub(crate) fn collect(&self, arguments: &[&str]) -> String {
        let output = Command::new(programs::corten())
            .args(["registry", "gc", "--data-root"])
            .arg(self.root())
            .args(arguments)
            .output()
            .expect("corten runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Sends a request and reads the answer.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.address
        );
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").expect("text");
        }
        write!(head, "Content-Length: {}\r\n\r\n", body.len()).expect("text");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.raw(&bytes)
    }

    /// Sends bytes and reads the answer.
    #[track_caller]
    pub(crate) fn raw(&self, bytes: &[u8]) -> Response {
        let mut stream = self.connect();
        // A registry that refuses what it has read may close before it has all.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert!(!answer.is_empty(), "no answer: {error}");
        }
        parse(&answer)
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the registry listens");
        stream.set_read_timeout(Some(until::PATIENCE)).expect("a socket");
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.call("GET", path, &[], &[])
    }

    pub(crate) fn head(&self, path: &str) -> Response {
        self.call("HEAD", path, &[], &[])
    }

    /// Uploads a blob in one go.
    #[track_caller]
    pub(crate) fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let answer = self.call(
            "POST",
            &format!("/v2/{repository}/blobs/uploads/?digest={digest}"),
            &[],
            bytes,
        );
        assert_eq!(answer.status, 201, "{}", answer.text());
        digest
    }

    /// Begins an upload; tells where it goes on.
    #[track_caller]
    pub(crate) fn begin(&self, repository: &str) -> String {
        let answer = self.call("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], &[]);
        assert_eq!(answer.status, 202, "{}", answer.text());
        location(&answer)
    }

    /// Puts a manifest.
    #[track_caller]
    pub(crate) fn put(&self, repository: &str, reference: &str, media_type: &str, bytes: &[u8]) -> Response {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.call("PUT", &path, &[("Content-Type", media_type)], bytes)
    }

    /// Pushes an image of one layer; gives the manifest's digest.
    #[track_caller]
    pub(crate) fn push_image(&self, repository: &str, tag: &str, layer: &[u8]) -> Digest {
        let config = json!({"architecture": "amd64", "os": "linux", "layer": Digest::sha256(layer)}).to_string();
        self.push_blob(repository, layer);
        self.push_blob(repository, config.as_bytes());
        let bytes = manifest(config.as_bytes(), &[layer]).to_string();
        let answer = self.put(repository, tag, media_type::OCI_MANIFEST, bytes.as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
        Digest::sha256(bytes.as_bytes())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a test that fails shows the log")]
            {
                eprintln!("{}", self.said());
            }
        }
    }
}

fn spawn(folder: &Path, arguments: &[String]) -> (Child, Arc<Mutex<String>>, String) {
    let mut child = Command::new(programs::corten())
        .args(["registry", "serve", "--listen", "127.0.0.1:0", "--data-root"])
        .arg(folder.join("root"))
        .args(arguments)
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("corten runs");
    let said = Arc::new(Mutex::new(String::new()));
    let (log, stderr) = (said.clone(), child.stderr.take().expect("a pipe"));
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            *log.lock().expect("text") += &format!("{line}\n");
        }
    });
    let address = until::some("the registry listens", || {
        if let Ok(Some(status)) = child.try_wait() {
            panic!("the registry ended ({status}): {}", said.lock().expect("text"));
        }
        let text = said.lock().expect("text").clone();
        let after = text.split("listening on ").nth(1)?;
        let line = after.split_once('\n')?.0;
        line.split_once("://").map(|(_, address)| address.trim().to_owned())
    });
    (child, said, address)
}

/// Where an answer points to.
#[track_caller]
pub(crate) fn location(answer: &Response) -> String {
    answer.header("location").expect("a location").to_owned()
}

/// The code of a refusal's first error.
#[track_caller]
pub(crate) fn code(answer: &Response) -> String {
    answer.json()["errors"][0]["code"].as_str().expect("a code").to_owned()
}

/// A descriptor of some bytes.
pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::sha256(bytes), "size": bytes.len()})
}

/// A manifest of a configuration and layers.
pub(crate) fn manifest(config: &[u8], layers: &[&[u8]]) -> Value {
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| descriptor(media_type::OCI_LAYER, layer))
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(media_type::OCI_CONFIG, config),
        "layers": layers,
    })
}
