//! `plugin ls`: an engine without managed plugins has none to show.

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::Result,
    flags::Matches,
    formatter::Format,
    opts::filter,
};

/// `plugin ls`.
pub(crate) static LIST: Command = Command::new("[OPTIONS]", "List plugins: there are none", list)
    .paths(&["plugin ls", "plugin list"])
    .arity(Arity::None)
    .flags(&[&[
        Flag::filter("Show only what fits the condition (for example \"enabled=true\")").short('f'),
        Flag::string("format", "How to write the list, by a Go template, or \"json\""),
        Flag::switch("no-trunc", "Cut nothing off"),
        Flag::switch("quiet", "Ids only").short('q'),
    ]]);

const TABLE: &str = "{{.ID}}\t{{.Name}}\t{{.Description}}\t{{.Enabled}}";
const HEADINGS: [(&str, &str); 4] = [
    ("ID", "ID"),
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("Enabled", "ENABLED"),
];

fn list(cli: &Cli, m: &Matches) -> Result<()> {
    let filters = filter::parse(&m.all("filter"));
    // The engine is asked all the same: filters are its to refuse.
    cli.wait(async { Ok(cli.client()?.check_plugins(&filters).await?) })?;
    let format = match (m.on("quiet"), m.get("format")) {
        (true, "" | "table") => Format::plain("{{.ID}}"),
        (_, format) => Format::new(format, TABLE),
    };
    cli.print(&format.render(&HEADINGS, &[])?);
    Ok(())
}
