//! A project on an engine of its own.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use corten_sys::fs;
use corten_tests::command::Call;
use corten_tests::engine::Engine;
use corten_tests::programs;

/// A project whose file lies in the engine's folder, where all programs run.
pub(crate) struct Project {
    pub(crate) engine: Engine,
}

impl Project {
    /// A project with this file.
    #[track_caller]
    pub(crate) fn new(file: &str) -> Self {
        let project = Self {
            engine: Engine::start(),
        };
        project.write("compose.yaml", file);
        project
    }

    /// A project with services that do nothing until they are stopped.
    #[track_caller]
    pub(crate) fn of_sleepers(names: &[&str]) -> Self {
        Self::new(&sleepers(names))
    }

    #[track_caller]
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.engine.work().join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(&path, text).expect("a file");
        if text.starts_with("#!") {
            fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a file");
        }
    }

    /// `corten` with these words: `compose up -d`.
    pub(crate) fn run(&self, words: &str) -> Call {
        self.engine.corten(words.split_whitespace())
    }

    /// Docker's Compose with the words behind `compose`.
    pub(crate) fn peer(&self, words: &str) -> Option<Call> {
        let words = words.strip_prefix("compose ").expect("a command of compose");
        Some(self.engine.program(&programs::compose()?, words.split_whitespace()))
    }

    /// The ids of all containers, by name.
    #[track_caller]
    pub(crate) fn ids(&self) -> BTreeMap<String, String> {
        self.listed("{{.Names}} {{.ID}}")
    }

    /// Since when each container runs, by name.
    #[track_caller]
    pub(crate) fn states(&self) -> BTreeMap<String, String> {
        self.listed("{{.Names}} {{.State}}")
    }

    fn listed(&self, template: &str) -> BTreeMap<String, String> {
        let list = self
            .engine
            .corten(["ps", "-a", "--no-trunc", "--format", template])
            .ok();
        let pairs = list.lines().filter_map(|line| line.split_once(' '));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// When a container was started.
    #[track_caller]
    pub(crate) fn started(&self, name: &str) -> String {
        self.engine.inspect(name, "{{.Id}} {{.State.StartedAt}}")
    }
}

/// A file of services that do nothing until they are stopped.
pub(crate) fn sleepers(names: &[&str]) -> String {
    let mut file = "name: shop\nservices:\n".to_owned();
    for name in names {
        file.push_str(&format!(
            "  {name}: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL}}\n"
        ));
    }
    file
}
