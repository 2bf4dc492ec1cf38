//! `ps`.

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::Result,
    flags::Matches,
    formatter::{BuiltIn, Format, container as rows},
    opts::filter,
};

/// What help says about `--format` of lists.
pub(crate) const FORMAT_HELP: &str = "How to write the list:\n'table':            As a table with headings (default)\n'table TEMPLATE':   As a table of a Go template's columns\n'json':             As one JSON document a line\n'TEMPLATE':         By a Go template";

/// `ps`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS]", "List containers", list)
    .paths(&["container ls", "container list", "container ps", "ps"])
    .arity(Arity::None)
    .flags(&[&[
        Flag::switch("all", "Show every container (without it, only running ones)").short('a'),
        Flag::filter("Show only what fits the condition").short('f'),
        Flag::string("format", FORMAT_HELP),
        Flag::int("last", "Show the last n containers made, whatever their state")
            .short('n')
            .default("-1"),
        Flag::switch("latest", "Show the last container made, whatever its state").short('l'),
        Flag::switch("no-trunc", "Show IDs and commands in full"),
        Flag::switch("quiet", "Show only IDs").short('q'),
        Flag::switch("size", "Show the size of files").short('s'),
    ]]);

fn list(cli: &Cli, m: &Matches) -> Result<()> {
    let given = match m.get("format") {
        "" if !m.on("quiet") => cli.config().ps_format.as_str(),
        given => given,
    };
    let table = if m.on("size") {
        rows::TABLE_WITH_SIZE
    } else {
        rows::TABLE
    };
    let raw = if m.on("size") { rows::RAW_WITH_SIZE } else { rows::RAW };
    let custom = !matches!(given, "" | "table" | "raw");
    let given = if m.on("quiet") && custom {
        cli.err("WARNING: Ignoring custom format, because both --format and --quiet are set.");
        ""
    } else {
        given
    };
    let format = Format::choose(
        given,
        m.on("quiet"),
        &BuiltIn {
            table,
            quiet: "{{.ID}}",
            raw_id: "container_id",
            raw,
        },
    );
    let mut size = m.on("size");
    if !m.get("format").is_empty() {
        // A template that makes no sense is refused before the engine is asked.
        format.render(
            &rows::HEADINGS,
            &[rows::row(&corten_api::container::Summary::default(), true)],
        )?;
        size |= !m.given("size") && m.get("format") != "json" && format.uses("Size");
    }
    let limit = if m.on("latest") && m.int("last") == -1 {
        1
    } else {
        m.int("last")
    };
    let filters = filter::parse(&m.all("filter"));
    let containers = cli.wait(async { Ok(cli.client()?.containers(m.on("all"), limit, size, &filters).await?) })?;
    let list: Vec<_> = containers.iter().map(|c| rows::row(c, !m.on("no-trunc"))).collect();
    cli.print(&format.render(&rows::HEADINGS, &list)?);
    Ok(())
}
