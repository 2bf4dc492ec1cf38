//! `images --tree`: each image once, under all its names, and whether a container uses it.

use std::collections::BTreeSet;

use corten_api::{filters::Filters, image::Summary};
use corten_client::ListOptions;
use corten_template::Value;

use crate::{
    cli::Cli,
    error::{Error, Result},
    flags::Matches,
    formatter::{Format, shown_id},
    opts::size::{float, human_digits},
};

const TABLE: &str = "{{.Image}}\t{{.ID}}\t{{.Usage}}\t{{.Content}}\t{{.Extra}}";
const HEADINGS: [(&str, &str); 5] = [
    ("Image", "IMAGE"),
    ("ID", "ID"),
    ("Usage", "DISK USAGE"),
    ("Content", "CONTENT SIZE"),
    ("Extra", "EXTRA"),
];
/// What is said of an image that a container uses.
const IN_USE: &str = "U";

/// Flags that say how the list looks otherwise, and what their refusal calls them.
const CONTRARY: [(&str, &str); 4] = [
    ("quiet", "--quiet"),
    ("no-trunc", "--no-trunc"),
    ("digests", "--show-digest"),
    ("format", "--format"),
];

pub(super) fn show(cli: &Cli, m: &Matches, filters: &Filters) -> Result<()> {
    if let Some((_, name)) = CONTRARY.iter().find(|(flag, _)| m.given(flag)) {
        return Err(Error::new(format!("{name} is not yet supported with --tree")));
    }
    let options = ListOptions {
        all: m.on("all"),
        shared_size: false,
    };
    let (images, containers) = cli.wait(async {
        let client = cli.client()?;
        let images = client.images(options, filters).await?;
        let containers = client.containers(true, 0, false, &Filters::default()).await?;
        Ok((images, containers))
    })?;
    let used: BTreeSet<_> = containers.into_iter().map(|container| container.image_id).collect();
    let rows: Vec<_> = images
        .iter()
        .flat_map(|image| rows(image, used.contains(&image.id)))
        .collect();
    cli.print("Info ->  U In Use\n\n");
    cli.print(&Format::new("table", TABLE).render(&HEADINGS, &rows)?);
    Ok(())
}

/// A line for each name; the last has what there is to say.
fn rows(image: &Summary, in_use: bool) -> Vec<Value> {
    let untagged = ["<untagged>".to_owned()];
    let names = if image.repo_tags.is_empty() {
        &untagged[..]
    } else {
        &image.repo_tags
    };
    let size = human_digits(float(image.size), 3);
    names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let is_last = index + 1 == names.len();
            let told = |text: &str| Value::from(if is_last { text } else { "" });
            Value::record(
                "tree",
                vec![
                    ("Image", name.as_str().into()),
                    ("ID", told(shown_id(&image.id, true))),
                    ("Usage", told(&size)),
                    // Layers are kept unpacked: there is no second, compressed copy.
                    ("Content", told("0B")),
                    ("Extra", told(if in_use { IN_USE } else { "" })),
                ],
            )
        })
        .collect()
}
