//! `compose …`: many containers as one application.

mod attached;
mod bake;
mod board;
mod builds;
mod config;
mod copy;
mod diff;
mod digests;
mod down;
mod elsewhere;
mod events;
mod follow;
pub(crate) mod globals;
mod images;
mod list;
mod logs;
mod menu;
mod models;
mod open;
mod parallel;
mod printer;
mod programs;
mod progress;
mod providers;
mod publish;
mod questions;
mod rolling;
mod run;
mod socket;
mod up;
mod variables;
mod watch;
mod within;

use crate::command::{Command, Entry, Flag};

/// `compose`.
pub(crate) static GROUP: Command = Command::group(
    "Run many containers as one application",
    &[
        Entry::new(&["alpha"], &crate::refused::COMPOSE_ALPHA).section(""),
        Entry::new(&["attach"], &within::ATTACH),
        Entry::new(&["bridge"], &crate::refused::COMPOSE_BRIDGE).section(""),
        Entry::new(&["build"], &within::BUILD),
        Entry::new(&["commit"], &within::COMMIT),
        Entry::new(&["config", "convert"], &config::COMMAND),
        Entry::new(&["cp"], &copy::COMMAND),
        Entry::new(&["create"], &up::CREATE),
        Entry::new(&["diff"], &diff::COMMAND),
        Entry::new(&["down"], &down::DOWN),
        Entry::new(&["events"], &events::COMMAND),
        Entry::new(&["exec"], &within::EXEC),
        Entry::new(&["export"], &within::EXPORT),
        Entry::new(&["images"], &list::IMAGES),
        Entry::new(&["kill"], &down::KILL),
        Entry::new(&["logs"], &logs::COMMAND),
        Entry::new(&["ls"], &list::LS),
        Entry::new(&["pause"], &down::PAUSE),
        Entry::new(&["plan"], &up::PLAN),
        Entry::new(&["port"], &list::PORT),
        Entry::new(&["ps"], &list::PS),
        Entry::new(&["publish"], &publish::COMMAND),
        Entry::new(&["pull"], &within::PULL),
        Entry::new(&["push"], &within::PUSH),
        Entry::new(&["restart"], &down::RESTART),
        Entry::new(&["rm"], &down::REMOVE),
        Entry::new(&["run"], &run::COMMAND),
        Entry::new(&["scale"], &up::SCALE),
        Entry::new(&["start"], &down::START),
        Entry::new(&["stats"], &within::STATS),
        Entry::new(&["stop"], &down::STOP),
        Entry::new(&["top"], &list::TOP),
        Entry::new(&["unpause"], &down::UNPAUSE),
        Entry::new(&["up"], &up::UP),
        Entry::new(&["version"], &list::VERSION),
        Entry::new(&["volumes"], &list::VOLUMES),
        Entry::new(&["wait"], &within::WAIT),
        Entry::new(&["watch"], &watch::COMMAND),
    ],
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
    Flag::switch("verbose", "Show which files are read, and the steps with their causes").hidden(),
    Flag::string("workdir", "Old name of --project-directory").hidden(),
]]);

/// Takes any value: each stands for itself, with its commas.
fn any(_: &str) -> Result<(), String> {
    Ok(())
}
