//! The first Dockerfiles of every beginner and the first push of the result, as guides have them: with
//! `corten`, with the real `docker` and its classic builder, and with `docker` and buildx.
//!
//! The images have the names that guides use and are made from Debian's packages. Python's packages come
//! from an index in the engine's own network namespace.

#![forbid(unsafe_code)]

mod apps;
mod compose;
mod hub;
mod images;
mod sharing;
mod words;

use std::path::Path;

use corten_sys::fs;
use corten_tests::command::{Call, Finished};
use corten_tests::engine::{Engine, Options};
use corten_tests::programs;

/// Whose command line is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// Our own.
    Corten,
    /// Docker's, with `DOCKER_BUILDKIT=0`.
    Classic,
    /// Docker's, with its plugin buildx.
    Buildx,
}

/// An engine, and the command line that the user sits at.
pub(crate) struct Desk<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) client: Client,
}

/// An engine that has pulled images.
#[track_caller]
pub(crate) fn engine(images: &[&'static str]) -> Engine {
    let engine = Engine::start_with(Options::with_images(images));
    for image in images {
        engine.corten(["pull", "-q", image]).ok();
    }
    engine
}

/// Does the same with every command line, each time from the same beginning.
#[track_caller]
pub(crate) fn with_each(images: &[&'static str], walk: impl Fn(&Desk<'_>)) {
    let engine = engine(images);
    let before = engine.corten(["images", "-aq", "--no-trunc"]).ok();
    for client in [Client::Corten, Client::Classic, Client::Buildx] {
        let desk = Desk {
            engine: &engine,
            client,
        };
        if !desk.is_there() {
            continue;
        }
        walk(&desk);
        desk.clear(&before);
    }
}

impl Desk<'_> {
    /// Whether the command line is on this machine.
    pub(crate) fn is_there(&self) -> bool {
        match self.client {
            Client::Corten => true,
            Client::Classic => programs::docker().is_some(),
            Client::Buildx => programs::docker().is_some() && programs::buildx().is_some(),
        }
    }

    /// The command line with arguments, in the engine's working folder.
    #[track_caller]
    pub(crate) fn call(&self, arguments: &[&str]) -> Call {
        if self.client == Client::Corten {
            return self.engine.corten(arguments);
        }
        let config = self.engine.work().join(format!("{:?}", self.client));
        fs::create_dir_all(config.join("cli-plugins")).expect("a folder");
        let call = self.engine.docker(arguments).expect("it was there before");
        let call = call.env("DOCKER_CONFIG", &config);
        if self.client == Client::Classic {
            return call.env("DOCKER_BUILDKIT", "0");
        }
        let plugin = config.join("cli-plugins/docker-buildx");
        if !plugin.exists() {
            let buildx = programs::buildx().expect("it was there before");
            fs::symlink(buildx, plugin).expect("a link");
        }
        call.env("DOCKER_BUILDKIT", "1")
    }

    /// What a command prints.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.call(arguments).ok()
    }

    /// `build -t <name> .` in a folder; gives all that is said.
    #[track_caller]
    pub(crate) fn build(&self, name: &str, folder: &str) -> String {
        let Finished { code, stdout, stderr } = self.call(&["build", "-t", name, "."]).current_dir(folder).run();
        assert_eq!(code, 0, "{:?}: {stdout}{stderr}", self.client);
        stdout + &stderr
    }

    /// Writes a folder for a build.
    #[track_caller]
    pub(crate) fn folder(&self, name: &str, files: &[(&str, &str)]) -> String {
        let folder = self.engine.work().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        files
            .iter()
            .for_each(|(path, text)| write(&folder.join(path), text.as_bytes()));
        folder.to_string_lossy().into_owned()
    }

    /// Removes what the walk made.
    #[track_caller]
    fn clear(&self, before: &str) {
        let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let containers = lines(self.engine.corten(["ps", "-aq"]).ok());
        if !containers.is_empty() {
            let command = ["rm", "-f", "-v"].map(str::to_owned);
            self.engine.corten(command.iter().chain(&containers)).ok();
        }
        let mut images = lines(self.engine.corten(["images", "-aq", "--no-trunc"]).ok());
        images.retain(|id| !before.contains(id.as_str()));
        images.dedup();
        for id in images {
            // One that is gone with its last name is no failure.
            self.engine.corten(["rmi", "-f", &id]).run();
        }
        self.engine.corten(["builder", "prune", "-af"]).ok();
    }
}

/// Writes a file and the folders above.
#[track_caller]
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("below a folder")).expect("a folder");
    fs::write(path, bytes).expect("a file");
}
