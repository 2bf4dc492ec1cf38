//! `system df`.

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    container::list::FORMAT_HELP,
    error::{Error, Result},
    flags::Matches,
    formatter::{Format, disk},
};

/// `system df`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS]", "Show what takes space on the disk", df)
    .arity(Arity::None)
    .flags(&[&[
        Flag::string("format", FORMAT_HELP),
        Flag::switch("verbose", "Show every object").short('v'),
    ]]);

fn df(cli: &Cli, m: &Matches) -> Result<()> {
    if m.on("verbose") && !m.get("format").is_empty() {
        return Err(Error::new("the verbose and format options conflict"));
    }
    let usage = cli.wait(async { Ok(cli.client()?.disk_usage().await?) })?;
    if m.on("verbose") {
        cli.print(&disk::verbose(&usage)?);
        return Ok(());
    }
    let format = Format::new(m.get("format"), disk::TABLE);
    cli.print(&format.render(&disk::HEADINGS, &disk::rows(&usage))?);
    Ok(())
}
