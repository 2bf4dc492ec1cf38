//! `search`: images at a registry, by a word.

use corten_api::image::SearchResult;
use corten_oci::reference::Reference;
use corten_template::Value;

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    credentials,
    error::Result,
    flags::Matches,
    formatter::{Format, ellipsis},
    opts::filter,
};

/// `search`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS] TERM", "Look for images at Docker Hub", search)
    .arity(Arity::Exactly(1))
    .flags(&[&[
        Flag::filter("Show only what fits the condition").short('f'),
        Flag::string("format", "How to write it, by a Go template"),
        Flag::int("limit", "The most images to show"),
        Flag::switch("no-trunc", "Show descriptions in full"),
    ]]);

/// Width of a shortened description.
const DESCRIPTION: usize = 45;

const TABLE: &str = "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}";

const HEADINGS: [(&str, &str); 5] = [
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
    ("IsAutomated", "AUTOMATED"),
];

fn search(cli: &Cli, m: &Matches) -> Result<()> {
    let term = m.arg(0);
    let filters = filter::parse(&m.all("filter"));
    // A word may hold a registry's name, as images' names do.
    let domain = term
        .parse::<Reference>()
        .map_or_else(|_| "docker.io".to_owned(), |name| name.domain().to_owned());
    let auth = credentials::find(cli.config(), &domain)?;
    let mut found = cli.wait(async {
        let client = cli.client()?;
        Ok(client.search(term, m.get("limit"), &filters, auth.as_ref()).await?)
    })?;
    found.sort_by_key(|image| std::cmp::Reverse(image.star_count));
    let rows: Vec<_> = found.iter().map(|image| row(image, m.on("no-trunc"))).collect();
    let format = match m.get("format") {
        "" => TABLE,
        given => given,
    };
    cli.print(&Format::new(format, TABLE).render(&HEADINGS, &rows)?);
    Ok(())
}

fn row(image: &SearchResult, whole: bool) -> Value {
    let description = image.description.replace(['\n', '\r'], " ");
    let description = if whole {
        description
    } else {
        ellipsis(&description, DESCRIPTION)
    };
    let mark = |on: bool| if on { "[OK]" } else { "" };
    Value::record(
        "*formatter.searchContext",
        vec![
            ("Description", description.into()),
            ("IsAutomated", mark(image.is_automated).into()),
            ("IsOfficial", mark(image.is_official).into()),
            ("Name", image.name.as_str().into()),
            ("StarCount", image.star_count.to_string().into()),
        ],
    )
}
