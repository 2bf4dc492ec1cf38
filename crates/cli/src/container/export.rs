//! `export`.

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::Result,
    flags::Matches,
    output_file,
};

/// `export`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] CONTAINER",
    "Write a container's files as a tar archive",
    export,
)
.paths(&["container export", "export"])
.arity(Arity::Exactly(1))
.flags(&[&[Flag::string("output", "File to write to, instead of standard output").short('o')]]);

fn export(cli: &Cli, m: &Matches) -> Result<()> {
    let file = output_file::Target::open(cli, m.get("output"), "export")?;
    cli.wait(async {
        let stream = cli.client()?.export_container(m.arg(0)).await?;
        file.fill(stream).await
    })
}
