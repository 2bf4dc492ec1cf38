//! `images`.

use corten_client::ListOptions;

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    container::list::FORMAT_HELP,
    error::Result,
    flags::Matches,
    formatter::{BuiltIn, Format, image as rows},
    opts::filter,
};

/// `images`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS] [REPOSITORY[:TAG]]", "List images", list)
    .paths(&["image ls", "image list", "images"])
    .arity(Arity::AtMost(1))
    .flags(&[&[
        Flag::switch("all", "Show intermediate images, too").short('a'),
        Flag::switch("digests", "Show digests"),
        Flag::filter("Show only what fits the condition").short('f'),
        Flag::string("format", FORMAT_HELP),
        Flag::switch("no-trunc", "Show IDs in full"),
        Flag::switch("quiet", "Show only IDs").short('q'),
        Flag::switch("tree", "Show each image once, with all its names"),
    ]]);

fn list(cli: &Cli, m: &Matches) -> Result<()> {
    let mut filters = filter::parse(&m.all("filter"));
    if let Some(name) = m.args.first() {
        filters.add("reference", name.as_str());
    }
    if m.on("tree") {
        return super::tree::show(cli, m, &filters);
    }
    let given = match m.get("format") {
        "" if !m.on("quiet") => cli.config().images_format.as_str(),
        given => given,
    };
    let digests = m.on("digests");
    let table = if digests { rows::TABLE_WITH_DIGESTS } else { rows::TABLE };
    let format = match (given, m.on("quiet")) {
        ("raw", false) if digests => Format::plain(rows::RAW_WITH_DIGESTS),
        ("raw", false) => Format::plain(rows::RAW),
        (given, quiet) => Format::choose(
            given,
            quiet,
            &BuiltIn {
                table,
                quiet: "{{.ID}}",
                raw_id: "image_id",
                raw: "",
            },
        ),
    };
    let options = ListOptions {
        all: m.on("all"),
        shared_size: false,
        manifests: false,
    };
    let images = cli.wait(async { Ok(cli.client()?.images(options, &filters).await?) })?;
    let with_digests = digests || format.uses("Digest");
    let list: Vec<_> = images
        .iter()
        .flat_map(|image| rows::rows(image, !m.on("no-trunc"), with_digests))
        .collect();
    cli.print(&format.render(&rows::HEADINGS, &list)?);
    Ok(())
}
