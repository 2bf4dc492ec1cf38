//! Programs that Compose hands work to: plugins of the command line, and others on the path.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use corten_compose::Project;

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
    let mut files = folders.map(|folder| folder.join(format!("docker-{name}")));
    files.find(|file| is_program(file))
}

/// A program on the path.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join(name));
    found
        .into_iter()
        .find(|file| !name.is_empty() && !name.contains('/') && is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    corten_sys::fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
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
