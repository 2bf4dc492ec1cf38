//! Groups of Docker's commands that are there to say why they do nothing: managed plugins, content trust,
//! checkpoints.

use crate::command::{Command, Entry};

const NO_PLUGINS: &str = "there are no managed plugins; volumes, networks, logs and authorization have drivers of their \
                          own, and authorization plugins are named by \"authorization-plugins\" in daemon.json";
const NO_TRUST: &str = "Docker's content trust (Notary v1) has ended; sign digests with other tools, and pull images by \
                        their digest";
const NO_CHECKPOINTS: &str = "it takes an experimental Docker with CRIU";

static MAKE: Command = Command::refused("Make a plugin of a folder", NO_PLUGINS);
static DISABLE: Command = Command::refused("Stop a plugin", NO_PLUGINS);
static ENABLE: Command = Command::refused("Start a plugin", NO_PLUGINS);
static LOOK_AT: Command = Command::refused("Show all of plugins", NO_PLUGINS);
static INSTALL: Command = Command::refused("Fetch a plugin", NO_PLUGINS);
static PUSH: Command = Command::refused("Send a plugin to a registry", NO_PLUGINS);
static REMOVE: Command = Command::refused("Remove plugins", NO_PLUGINS);
static SET: Command = Command::refused("Change a plugin's settings", NO_PLUGINS);
static UPGRADE: Command = Command::refused("Fetch a plugin anew", NO_PLUGINS);

/// `plugin`.
pub(crate) static PLUGIN: Command = Command::group(
    "Manage plugins: there are none",
    &[
        Entry::new(&["create"], &MAKE),
        Entry::new(&["disable"], &DISABLE),
        Entry::new(&["enable"], &ENABLE),
        Entry::new(&["inspect"], &LOOK_AT),
        Entry::new(&["install"], &INSTALL),
        Entry::new(&["ls", "list"], &crate::plugin::LIST),
        Entry::new(&["push"], &PUSH),
        Entry::new(&["rm", "remove"], &REMOVE),
        Entry::new(&["set"], &SET),
        Entry::new(&["upgrade"], &UPGRADE),
    ],
);

static SHOW_TRUST: Command = Command::refused("Show who signed an image", NO_TRUST);
static REVOKE: Command = Command::refused("Take signatures back", NO_TRUST);
static SIGN: Command = Command::refused("Sign an image", NO_TRUST);
static GENERATE: Command = Command::refused("Make a key", NO_TRUST);
static LOAD: Command = Command::refused("Take in a key", NO_TRUST);
static ADD_SIGNER: Command = Command::refused("Add somebody who signs", NO_TRUST);
static REMOVE_SIGNER: Command = Command::refused("Remove somebody who signs", NO_TRUST);
static KEY: Command = Command::group(
    "Keys that images are signed with",
    &[Entry::new(&["generate"], &GENERATE), Entry::new(&["load"], &LOAD)],
);
static SIGNER: Command = Command::group(
    "Who signs images",
    &[
        Entry::new(&["add"], &ADD_SIGNER),
        Entry::new(&["remove"], &REMOVE_SIGNER),
    ],
);

/// `trust`.
pub(crate) static TRUST: Command = Command::group(
    "Sign images: not supported",
    &[
        Entry::new(&["inspect"], &SHOW_TRUST),
        Entry::new(&["key"], &KEY),
        Entry::new(&["revoke"], &REVOKE),
        Entry::new(&["sign"], &SIGN),
        Entry::new(&["signer"], &SIGNER),
    ],
);

static CREATE: Command = Command::refused("Write a running container's memory down", NO_CHECKPOINTS);
static LIST: Command = Command::refused("List a container's checkpoints", NO_CHECKPOINTS);
static DROP: Command = Command::refused("Remove a checkpoint", NO_CHECKPOINTS);

/// `checkpoint`.
pub(crate) static CHECKPOINT: Command = Command::group(
    "Checkpoints of containers: not supported",
    &[
        Entry::new(&["create"], &CREATE),
        Entry::new(&["ls", "list"], &LIST),
        Entry::new(&["rm", "remove"], &DROP),
    ],
);
