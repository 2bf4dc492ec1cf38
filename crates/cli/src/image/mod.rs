//! Images: `image …` and its short forms.

pub(crate) mod archive;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod remove;
pub(crate) mod search;
pub(crate) mod tag;
mod tree;

use crate::{
    command::{Command, Entry},
    inspect, prune,
};

/// `image`.
pub(crate) static GROUP: Command = Command::group(
    "Manage images",
    &[
        Entry::new(&["build"], &crate::build::COMMAND),
        Entry::new(&["history"], &history::COMMAND),
        Entry::new(&["import"], &archive::IMPORT),
        Entry::new(&["inspect"], &inspect::IMAGE),
        Entry::new(&["load"], &archive::LOAD),
        Entry::new(&["ls", "list"], &list::COMMAND),
        Entry::new(&["prune"], &prune::IMAGES),
        Entry::new(&["pull"], &pull::COMMAND),
        Entry::new(&["push"], &push::COMMAND),
        Entry::new(&["rm", "remove"], &remove::COMMAND),
        Entry::new(&["save"], &archive::SAVE),
        Entry::new(&["tag"], &tag::COMMAND),
    ],
);

/// A platform as the API takes it: JSON; empty for none.
pub(crate) fn platform_json(text: &str) -> crate::error::Result<String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let platform: corten_oci::platform::Platform = text
        .parse()
        .map_err(|e| crate::error::Error::new(format!("invalid platform: {e}")))?;
    Ok(serde_json::to_string(&platform).unwrap_or_default())
}
