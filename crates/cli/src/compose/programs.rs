//! Programs that Compose hands work to: plugins of the command line, and others on the path.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use corten_compose::Project;
use corten_sys::program;

use crate::cli::Cli;

/// Where plugins are installed for everybody.
const FOLDERS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The plugin `docker-<name>`: the user's own before those of everybody.
pub(super) fn plugin(cli: &Cli, name: &str) -> Option<PathBuf> {
    let own = cli.folder().join("cli-plugins");
    let folders = std::iter::once(own).chain(FOLDERS.map(PathBuf::from));
    program::find_in(folders, &format!("docker-{name}"))
}

/// A call of a program with the project's variables and our engine.
pub(super) fn command(cli: &Cli, project: &Project, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(&project.environment).stdin(Stdio::null());
    if cli.context_name() == "default" {
        command.env("DOCKER_HOST", cli.default_host());
    } else {
        command.env("DOCKER_CONTEXT", cli.context_name());
    }
    command
}
