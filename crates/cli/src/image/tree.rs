//! `images --tree`: each image once, under all its names, and whether a container uses it.

use std::collections::BTreeSet;

use corten_api::{
    filters::Filters,
    image::{ManifestSummary, Summary},
};
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
        manifests: true,
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
        .flat_map(|image| {
            let mut rows = rows(image, used.contains(&image.id));
            rows.extend(platforms(image));
            rows
        })
        .collect();
    cli.print("Info ->  U In Use\n\n");
    cli.print(&Format::new("table", TABLE).render(&HEADINGS, &rows)?);
    Ok(())
}

/// A line for each platform, if there are several.
fn platforms(image: &Summary) -> Vec<Value> {
    let manifests = image.manifests.as_deref().unwrap_or_default();
    let line = |(index, manifest): (usize, &ManifestSummary)| {
        let branch = if index + 1 == manifests.len() {
            "└─"
        } else {
            "├─"
        };
        let in_use = !manifest.image_data.containers.is_empty();
        row(
            &format!("{branch} {}", manifest.image_data.platform),
            &manifest.id,
            manifest.size.total,
            in_use,
        )
    };
    manifests.iter().enumerate().map(line).collect()
}

fn row(name: &str, id: &str, size: i64, in_use: bool) -> Value {
    Value::record(
        "tree",
        vec![
            ("Image", name.into()),
            ("ID", shown_id(id, true).into()),
            ("Usage", human_digits(float(size), 3).as_str().into()),
            // Layers are kept unpacked: there is no second, compressed copy.
            ("Content", "0B".into()),
            ("Extra", if in_use { IN_USE } else { "" }.into()),
        ],
    )
}

/// A line for each name; the last has what there is to say.
fn rows(image: &Summary, in_use: bool) -> Vec<Value> {
    let untagged = ["<untagged>".to_owned()];
    let names = if image.repo_tags.is_empty() {
        &untagged[..]
    } else {
        &image.repo_tags
    };
    let last = names.len().saturating_sub(1);
    let empty = |name: &str| {
        let told = ["ID", "Usage", "Content", "Extra"].map(|field| (field, Value::from("")));
        Value::record("tree", [("Image", name.into())].into_iter().chain(told).collect())
    };
    let lines = names.iter().enumerate().map(|(index, name)| match index == last {
        true => row(name, &image.id, image.size, in_use),
        false => empty(name),
    });
    lines.collect()
}
