//! `compose …`: many containers as one application.

mod config;
pub(crate) mod globals;
mod variables;

use crate::command::{Command, Entry, Flag};

/// `compose`.
pub(crate) static GROUP: Command = Command::group(
    "Run many containers as one application",
    &[Entry::new(&["config", "convert"], &config::COMMAND)],
)
.flags(&[&[
    Flag::switch("all-resources", "Keep resources that no service uses"),
    Flag::string(
        "ansi",
        "When to write control characters (\"never\"|\"always\"|\"auto\")",
    )
    .default("auto"),
    Flag::switch("compatibility", "Name things as the first Compose did"),
    Flag::switch("dry-run", "Only show what would be done"),
    Flag::value(
        "env-file",
        "stringArray",
        any,
        "File with variables for the project's files",
    ),
    Flag::value("file", "stringArray", any, "File of the project").short('f'),
    Flag::switch("no-ansi", "Write no control characters").hidden(),
    Flag::int("parallel", "How much to do at once, -1 for no limit").default("-1"),
    Flag::value("profile", "stringArray", any, "Profile to enable"),
    Flag::string("progress", "How to show progress (auto, tty, plain, json, quiet)"),
    Flag::string(
        "project-directory",
        "Folder that relative paths begin at\n(default: that of the first file)",
    ),
    Flag::string("project-name", "Name of the project").short('p'),
    Flag::switch("verbose", "Show more of what happens").hidden(),
    Flag::string("workdir", "Old name of --project-directory").hidden(),
]]);

/// Takes any value: each stands for itself, with its commas.
fn any(_: &str) -> Result<(), String> {
    Ok(())
}
