//! `history`.

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    container::list::FORMAT_HELP,
    error::Result,
    flags::Matches,
    formatter::{Format, history as rows},
};

/// `history`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS] IMAGE", "Show how an image was made", history)
    .paths(&["image history", "history"])
    .arity(Arity::Exactly(1))
    .flags(&[&[
        Flag::string("format", FORMAT_HELP),
        Flag::switch_on("human", "Show sizes and dates for people").short('H'),
        Flag::switch("no-trunc", "Show IDs and instructions in full"),
        Flag::string("platform", "Show the image of this platform"),
        Flag::switch("quiet", "Show only IDs").short('q'),
    ]]);

fn history(cli: &Cli, m: &Matches) -> Result<()> {
    let human = m.on("human");
    let table = if human { rows::TABLE } else { rows::TABLE_PLAIN };
    let format = match (m.on("quiet"), m.get("format")) {
        (true, "" | "table") => Format::plain("{{.ID}}"),
        (_, given) => Format::new(given, table),
    };
    let platform = super::platform_json(m.get("platform"))?;
    let steps = cli.wait(async { Ok(cli.client()?.image_history(m.arg(0), &platform).await?) })?;
    let list: Vec<_> = steps.iter().map(|s| rows::row(s, !m.on("no-trunc"), human)).collect();
    cli.print(&format.render(&rows::HEADINGS, &list)?);
    Ok(())
}
