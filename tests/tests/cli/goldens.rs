//! The transcripts of `tests/goldens`, played with both command lines.
//!
//! `GOLDEN=name` in the environment picks those whose name holds the text.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use corten_sys::fs;
use corten_tests::command::{Call, Finished};
use corten_tests::engine::{Engine, Options};
use corten_tests::programs;
use corten_tests::transcript::{self, Compare, Outcome, Transcript, read_json};
use corten_tests::until;
use serde_json::Value;

/// Where the registry of some transcripts was.
const REGISTRY: &str = "127.0.0.1:5999";

#[test]
fn ours_answers_as_docker_does() {
    play("ours", &programs::corten());
}

#[test]
fn the_real_docker_finds_a_docker_engine() {
    if let Some(docker) = programs::docker() {
        play("docker", &docker);
    }
}

#[track_caller]
fn play(who: &'static str, program: &Path) {
    let differences = read_json(&folder().join("differences.json"));
    let all = transcripts();
    let known: Vec<&str> = all.iter().map(|transcript| transcript.name.as_str()).collect();
    for name in differences.as_object().expect("an object").keys() {
        assert!(
            known.contains(&name.as_str()),
            "differences.json has {name}, which is no transcript"
        );
    }
    let wanted = std::env::var("GOLDEN").unwrap_or_default();
    let plays = |transcript: &Transcript| transcript.name.contains(&wanted) && (who == "ours" || !transcript.is_local);
    let queue: VecDeque<_> = all.into_iter().filter(plays).collect();
    let (count, queue) = (queue.len(), Mutex::new(queue));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4.min(count) {
            scope.spawn(|| {
                let stage = Stage::new(program);
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some(transcript) = next() {
                    let difference = difference(&differences, &transcript.name, who);
                    if let Err(failure) = stage.check(&transcript, difference) {
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort();
    let failed = failures.len();
    assert!(
        failures.is_empty(),
        "{failed} of {count} transcripts differ ({who}):\n{}",
        failures.join("\n")
    );
}

/// What is listed for a transcript and a command line.
fn difference<'a>(differences: &'a Value, name: &str, who: &str) -> Option<&'a Value> {
    let difference = differences.get(name)?;
    let for_whom = difference["for"].as_str().expect("differences name whom they are for");
    (for_whom == "both" || for_whom == who).then_some(difference)
}

/// Whole seconds since the epoch.
fn seconds() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("a clock after 1970").as_secs()
}

fn folder() -> PathBuf {
    programs::root().join("tests/goldens")
}

fn transcripts() -> Vec<Transcript> {
    let entries = fs::read_dir(folder())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    files.retain(|path| !path.ends_with("differences.json"));
    files.sort();
    files.iter().map(|path| Transcript::read(path)).collect()
}

/// An engine as the transcripts want it, and a `docker` on the path.
struct Stage {
    engine: Engine,
    /// busybox's files, to import.
    layer: PathBuf,
    /// Whether the command line's own texts are those of the transcripts.
    is_new: bool,
    _registry: corten_tests::registry::Registry,
    path: String,
}

impl Stage {
    fn new(program: &Path) -> Self {
        let engine = Engine::start_with(Options::default());
        let registry = engine.start_registry(REGISTRY);
        fill(&registry);
        let bin = engine.work().join("bin");
        fs::create_dir_all(&bin).expect("a folder");
        fs::symlink(program, bin.join("docker")).expect("a link");
        let layer = engine.work().join("busybox.tar");
        fs::write(&layer, busybox_tar()).expect("a file");
        // As the transcripts' own was: with neither a digest nor an environment.
        engine
            .corten(["import", "-c", "CMD [\"sh\"]", &layer.to_string_lossy(), "busybox"])
            .ok();
        let path = format!(
            "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            bin.display()
        );
        let version = engine.program(program, ["--version"]).line();
        Self {
            engine,
            _registry: registry,
            layer,
            is_new: major(&version) >= 28 || program == programs::corten(),
            path,
        }
    }

    fn check(&self, transcript: &Transcript, difference: Option<&Value>) -> Result<(), String> {
        let folder = self.engine.work().join(&transcript.name);
        fs::create_dir_all(&folder).expect("a folder");
        fs::set_mode(&folder, 0o777).expect("a folder");
        for (name, contents) in &transcript.files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
            fs::write(&path, contents).expect("a file");
        }
        let mut said = String::new();
        if transcript.setup.iter().any(|script| script.contains("date +%s")) {
            // It asks for events since this very second, in which another transcript may have ended.
            let now = seconds();
            until::is("the next second", || seconds() != now);
        }
        for script in &transcript.setup {
            let finished = self.sh(transcript, &folder, script).run();
            if finished.code != 0 {
                said += &format!("  setup {script:?}: {finished}\n");
            }
        }
        let finished = self
            .sh(transcript, &folder, &transcript.cmd)
            .stdin(transcript.stdin.clone())
            .run();
        for script in &transcript.teardown {
            self.sh(transcript, &folder, script).run();
        }
        self.clear();
        if !self.is_new {
            return judge_engine(transcript, difference, &finished);
        }
        judge(transcript, difference, &finished, &folder).map_err(|why| format!("{}: {why}{said}", transcript.name))
    }

    fn sh(&self, transcript: &Transcript, folder: &Path, script: &str) -> Call {
        let mut call = self
            .engine
            .sh(script)
            .current_dir(folder)
            .env("PATH", &self.path)
            .env("LAYER", &self.layer);
        for (name, value) in &transcript.env {
            call = call.env(name, value);
        }
        call
    }

    /// Removes what a transcript has left, so that the next one finds what it expects.
    fn clear(&self) {
        for container in self.engine.get("/containers/json?all=1").as_array().expect("a list") {
            let id = container["Id"].as_str().expect("an id");
            self.engine
                .http("DELETE", &format!("/containers/{id}?force=1&v=1"), None);
        }
        for volume in self.engine.get("/volumes")["Volumes"].as_array().into_iter().flatten() {
            let name = volume["Name"].as_str().expect("a name");
            self.engine.http("DELETE", &format!("/volumes/{name}?force=1"), None);
        }
    }
}

/// The major version in `Docker version 20.10.24+dfsg1, build 297e128`.
fn major(version: &str) -> u32 {
    let number = version.split("version ").nth(1).and_then(|rest| rest.split('.').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// An older command line words its own part otherwise: only what the engine says counts.
fn judge_engine(transcript: &Transcript, difference: Option<&Value>, finished: &Finished) -> Result<(), String> {
    let expected = difference.map_or_else(|| transcript.expected.clone(), Outcome::from_json);
    let said = expected
        .stderr
        .split("Error response from daemon: ")
        .nth(1)
        .and_then(|said| said.lines().next());
    let fits = said.is_none_or(|said| {
        let lines = finished
            .stderr
            .lines()
            .filter_map(|line| line.split("Error response from daemon: ").nth(1));
        lines
            .into_iter()
            .any(|line| transcript::fits(said, line.trim_end_matches('.'), Compare::Spaces, ""))
    });
    match fits && (expected.exit == 0) == (finished.code == 0) {
        true => Ok(()),
        false => Err(format!("{}: {}\n{finished}\n", transcript.name, transcript.cmd)),
    }
}

/// busybox's files as a tar.
fn busybox_tar() -> Vec<u8> {
    use std::io::Read as _;
    let (_, manifest, blob) = busybox();
    let mut tar = Vec::new();
    let packed = blob(&manifest["layers"][0]["digest"]);
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_end(&mut tar)
        .expect("gzip");
    tar
}

/// busybox in the layout: its entry in the index, its manifest, and the way to its blobs.
fn busybox() -> (Value, Value, impl Fn(&Value) -> Vec<u8>) {
    let layout = corten_tests::images::real(&["busybox:latest"]);
    let index = read_json(&layout.join("index.json"));
    let blob = move |digest: &Value| {
        let hex = digest
            .as_str()
            .and_then(|digest| digest.split_once(':'))
            .expect("a digest")
            .1;
        fs::read(layout.join("blobs/sha256").join(hex)).expect("a blob")
    };
    let entries = index["manifests"].as_array().expect("manifests");
    let is_busybox = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == "busybox:latest";
    let entry = entries.iter().find(is_busybox).expect("busybox").clone();
    let manifest = serde_json::from_slice(&blob(&entry["digest"])).expect("a manifest");
    (entry, manifest, blob)
}

/// The images that the transcripts pull: one file, and busybox.
fn fill(registry: &corten_tests::registry::Registry) {
    use corten_tests::images::{TestImage, TestLayer};
    registry.add_image("gp/fresh", "1", &TestImage::new(&[TestLayer::file("f.txt", "fresh\n")]));
    let (entry, manifest, blob) = busybox();
    registry.add_blob("gp/bb", &blob(&manifest["config"]["digest"]));
    for layer in manifest["layers"].as_array().expect("layers") {
        registry.add_blob("gp/bb", &blob(&layer["digest"]));
    }
    registry.add_manifest(
        "gp/bb",
        Some("1"),
        entry["mediaType"].as_str().expect("a type"),
        &blob(&entry["digest"]),
    );
}

fn judge(
    transcript: &Transcript,
    difference: Option<&Value>,
    finished: &Finished,
    folder: &Path,
) -> Result<(), String> {
    let seen = Outcome {
        stdout: finished.stdout.clone(),
        stderr: finished.stderr.clone(),
        exit: finished.code,
    };
    let folder = folder.to_string_lossy();
    let fits = |expected: &Outcome, compare| expected.fits(&seen, compare, &folder);
    match difference {
        None if fits(&transcript.expected, transcript.compare) => Ok(()),
        None => Err(format!("{}\n{}", transcript.cmd, transcript.expected.difference(&seen))),
        Some(_) if fits(&transcript.expected, transcript.compare) => {
            Err("it answers as Docker does now: take it off differences.json\n".to_owned())
        }
        Some(difference) => {
            let ours = Outcome::from_json(difference);
            match fits(&ours, Compare::Spaces) {
                true => Ok(()),
                false => Err(format!(
                    "differs, and otherwise than listed\n{}",
                    ours.difference(&seen)
                )),
            }
        }
    }
}

#[test]
fn differences_have_reasons() {
    let differences = read_json(&folder().join("differences.json"));
    for (name, difference) in differences.as_object().expect("an object") {
        let reason = difference["reason"].as_str().unwrap_or_default();
        assert!(reason.len() > 10, "{name}: no reason");
    }
}
