//! Containers: `container …` and its short forms.

pub(crate) mod attach;
pub(crate) mod commit;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod diff;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod lifecycle;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod port;
pub(crate) mod run;
pub(crate) mod run_flags;
pub(crate) mod spec;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod top;
pub(crate) mod update;
pub(crate) mod wait;

use corten_template::Json;

use crate::{
    command::{Command, Entry},
    error::{Error, Result},
    inspect, prune,
};

/// `container`.
pub(crate) static GROUP: Command = Command::group(
    "Manage containers",
    &[
        Entry::new(&["attach"], &attach::COMMAND),
        Entry::new(&["commit"], &commit::COMMAND),
        Entry::new(&["cp"], &cp::COMMAND),
        Entry::new(&["create"], &create::COMMAND),
        Entry::new(&["diff"], &diff::COMMAND),
        Entry::new(&["exec"], &exec::COMMAND),
        Entry::new(&["export"], &export::COMMAND),
        Entry::new(&["inspect"], &inspect::CONTAINER),
        Entry::new(&["kill"], &lifecycle::KILL),
        Entry::new(&["logs"], &logs::COMMAND),
        Entry::new(&["ls", "list", "ps"], &list::COMMAND),
        Entry::new(&["pause"], &lifecycle::PAUSE),
        Entry::new(&["port"], &port::COMMAND),
        Entry::new(&["prune"], &prune::CONTAINERS),
        Entry::new(&["rename"], &lifecycle::RENAME),
        Entry::new(&["restart"], &lifecycle::RESTART),
        Entry::new(&["rm", "remove"], &lifecycle::REMOVE),
        Entry::new(&["run"], &run::COMMAND),
        Entry::new(&["start"], &start::COMMAND),
        Entry::new(&["stats"], &stats::COMMAND),
        Entry::new(&["stop"], &lifecycle::STOP),
        Entry::new(&["top"], &top::COMMAND),
        Entry::new(&["unpause"], &lifecycle::UNPAUSE),
        Entry::new(&["update"], &update::COMMAND),
        Entry::new(&["wait"], &wait::COMMAND),
    ],
);

/// A container as the engine describes it.
pub(crate) async fn inspect(client: &corten_client::Client, id: &str) -> Result<Json> {
    let bytes = client.inspect_container(id, false).await?;
    Json::parse(&bytes).map_err(Error::new)
}
