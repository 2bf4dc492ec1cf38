//! `commit`.

use corten_client::CommitOptions;

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::Result,
    flags::Matches,
    image::tag::split,
};

/// `commit`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Make an image of a container",
    commit,
)
.paths(&["container commit", "commit"])
.arity(Arity::Between(1, 2))
.flags(&[&[
    Flag::string(
        "author",
        "Who made it (for example \"John Hannibal Smith <hannibal@a-team.com>\")",
    )
    .short('a'),
    Flag::list("change", "Dockerfile instruction to apply").short('c'),
    Flag::string("message", "Message to keep with it").short('m'),
    Flag::switch_on("pause", "Freeze the container meanwhile").short('p'),
]]);

fn commit(cli: &Cli, m: &Matches) -> Result<()> {
    let (repository, tag) = split(m.arg(1))?;
    let options = CommitOptions {
        container: m.arg(0).to_owned(),
        repository,
        tag,
        comment: m.get("message").to_owned(),
        author: m.get("author").to_owned(),
        changes: m.all("change").into_iter().map(str::to_owned).collect(),
        pause: m.on("pause"),
    };
    let id = cli.wait(async { Ok(cli.client()?.commit(&options).await?) })?;
    cli.out(&id);
    Ok(())
}
