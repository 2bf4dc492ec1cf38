//! Images built from Dockerfiles: `corten build`, and Docker's own command line with its classic builder.

mod api;
mod buildx;
mod cache;
mod caches;
mod checks;
mod devices;
mod ends;
mod escapes;
mod files;
mod flags;
mod gaps;
mod given;
mod hostile;
mod language;
mod platforms;
mod ssh;
mod stated;
mod walk;

use corten_sys::fs;
use corten_tests::engine::Engine;

/// An engine that has busybox.
#[track_caller]
pub(crate) fn engine() -> Engine {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    engine
}

/// A context below the engine's own folder: its files, by path.
#[track_caller]
pub(crate) fn context(engine: &Engine, name: &str, files: &[(&str, &str)]) -> String {
    let folder = engine.work().join(name);
    fs::create_dir_all(&folder).expect("a folder");
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder.to_string_lossy().into_owned()
}

/// Builds a Dockerfile without other files and runs the image; gives what that says.
#[track_caller]
pub(crate) fn built_and_run(engine: &Engine, dockerfile: &str) -> String {
    let folder = context(engine, "plain", &[("Dockerfile", dockerfile)]);
    engine.corten(["build", "-q", "-t", "built", &folder]).ok();
    engine.corten(["run", "--rm", "built"]).ok()
}
