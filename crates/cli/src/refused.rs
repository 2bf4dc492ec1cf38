//! Groups of Docker's commands that are there to say why they do nothing: managed plugins, content trust,
//! checkpoints, experiments of Compose.

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

const NO_GRAPHS: &str = "write the graph of `compose config --format json` with a tool of your own";
const NO_GENERATE: &str = "it is an experiment of Docker's Compose; `compose config` writes files in full";
const NO_ALPHA_PUBLISH: &str = "its name is `compose publish` now";
const NO_BRIDGE: &str = "it runs Docker's own images that turn projects into other formats; give what `compose config` \
                         writes to a converter of your choice";

static GENERATE_FILE: Command = Command::refused("Write a file for containers that run", NO_GENERATE);
static ALPHA_PUBLISH: Command = Command::refused("Old name of publish", NO_ALPHA_PUBLISH);
static GRAPH: Command = Command::refused("Draw a project", NO_GRAPHS);

/// `compose alpha`.
pub(crate) static COMPOSE_ALPHA: Command = Command::group(
    "Experiments: not supported",
    &[
        Entry::new(&["generate"], &GENERATE_FILE),
        Entry::new(&["publish"], &ALPHA_PUBLISH),
        Entry::new(&["viz"], &GRAPH),
    ],
);

static CONVERT: Command = Command::refused("Turn a project into another format", NO_BRIDGE);
static MAKE_TRANSFORMATION: Command = Command::refused("Make a transformation", NO_BRIDGE);
static LIST_TRANSFORMATIONS: Command = Command::refused("List transformations", NO_BRIDGE);
static TRANSFORMATIONS: Command = Command::group(
    "What projects can be turned into",
    &[
        Entry::new(&["create"], &MAKE_TRANSFORMATION),
        Entry::new(&["ls", "list"], &LIST_TRANSFORMATIONS),
    ],
);

/// `compose bridge`.
pub(crate) static COMPOSE_BRIDGE: Command = Command::group(
    "Turn projects into other formats: not supported",
    &[
        Entry::new(&["convert"], &CONVERT),
        Entry::new(&["transformations"], &TRANSFORMATIONS),
    ],
);
