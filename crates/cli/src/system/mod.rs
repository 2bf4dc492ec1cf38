//! The engine itself: `system …`, `info`, `version`, `events`.

pub(crate) mod df;
mod dial;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod version;

use crate::{
    command::{Command, Entry},
    prune,
};

/// `system`.
pub(crate) static GROUP: Command = Command::group(
    "Manage the engine",
    &[
        Entry::new(&["df"], &df::COMMAND),
        Entry::new(&["dial-stdio"], &dial::COMMAND).section(""),
        Entry::new(&["events"], &events::COMMAND),
        Entry::new(&["info"], &info::COMMAND),
        Entry::new(&["prune"], &prune::SYSTEM),
    ],
);
