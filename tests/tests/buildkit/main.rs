//! Docker's buildx and Compose, unchanged, building by BuildKit's protocol on the engine's socket.
//!
//! `./x test` gets the programs; without them a test says that it is skipped, and in CI it fails.

mod builds;
mod compose;
mod ends;
mod exchange;
mod outputs;

use std::path::PathBuf;

use corten_sys::fs;
use corten_tests::{
    command::Call,
    engine::{Engine, Options},
    programs,
};

/// An engine with busybox, and buildx.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    program: PathBuf,
}

impl Bench {
    /// Starts an engine; none without buildx.
    #[track_caller]
    pub(crate) fn start() -> Option<Self> {
        Self::with_images(&[])
    }

    /// The same, with more images at hand.
    #[track_caller]
    pub(crate) fn with_images(images: &[&'static str]) -> Option<Self> {
        let program = programs::buildx()?;
        let engine = Engine::start_with(Options::with_images(images));
        engine.corten(["pull", "-q", "busybox"]).ok();
        Some(Self { engine, program })
    }

    /// A call of buildx.
    pub(crate) fn buildx(&self, arguments: &[&str]) -> Call {
        let call = self.engine.program(&self.program, arguments.iter().copied());
        let config = self.engine.work().join("docker-config");
        call.env("DOCKER_CONFIG", config)
            .env("BUILDX_METADATA_PROVENANCE", "min")
    }

    /// Builds with plain progress; gives that.
    #[track_caller]
    pub(crate) fn build(&self, arguments: &[&str]) -> String {
        let all = [&["build", "--progress=plain"], arguments].concat();
        let finished = self.buildx(&all).run();
        assert_eq!(finished.code, 0, "{finished}");
        finished.stderr
    }

    /// A folder with files.
    #[track_caller]
    pub(crate) fn folder(&self, name: &str, files: &[(&str, &str)]) -> String {
        let folder = self.engine.work().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        folder.to_string_lossy().into_owned()
    }
}
