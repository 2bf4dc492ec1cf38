//! `images`.

use std::collections::BTreeMap;

use corten_api::image::Summary;
use corten_oci::reference::Reference;

use super::{ago, local_time, shown_id};
use corten_template::Value;

use crate::opts::size::{float, human, human_digits};

/// The default table.
pub(crate) const TABLE: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
/// The default table with digests.
pub(crate) const TABLE_WITH_DIGESTS: &str =
    "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

/// `raw`.
pub(crate) const RAW: &str = "repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";
/// `raw` with digests.
pub(crate) const RAW_WITH_DIGESTS: &str = "repository: {{.Repository}}\ntag: {{.Tag}}\ndigest: {{.Digest}}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";

/// The headings.
pub(crate) const HEADINGS: [(&str, &str); 11] = [
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

const NONE: &str = "<none>";

/// One name of an image.
struct Name {
    repository: String,
    tag: String,
    digest: String,
}

/// The rows of an image: one a tag, or one a digest if asked for.
pub(crate) fn rows(image: &Summary, truncate: bool, digests: bool) -> Vec<Value> {
    names(image, digests)
        .iter()
        .map(|name| row(image, name, truncate))
        .collect()
}

fn name(repository: &str, tag: &str, digest: &str) -> Name {
    Name {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: digest.to_owned(),
    }
}

fn names(image: &Summary, with_digests: bool) -> Vec<Name> {
    let nameless = |list: &[String]| list.iter().all(|n| n.starts_with(NONE));
    if nameless(&image.repo_tags) && nameless(&image.repo_digests) {
        return vec![name(NONE, NONE, NONE)];
    }
    let mut digests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for reference in image.repo_digests.iter().filter_map(|d| d.parse::<Reference>().ok()) {
        if let Some(digest) = reference.digest() {
            let repository = reference.repository().familiar().into_owned();
            digests.entry(repository).or_default().push(digest.to_string());
        }
    }
    let mut names = Vec::new();
    let mut tagged = Vec::new();
    for reference in image.repo_tags.iter().filter_map(|t| t.parse::<Reference>().ok()) {
        let repository = reference.repository().familiar().into_owned();
        let tag = reference.tag().unwrap_or_default();
        match digests.get(&repository) {
            Some(list) if with_digests => names.extend(list.iter().map(|d| name(&repository, tag, d))),
            _ => names.push(name(&repository, tag, NONE)),
        }
        tagged.push(repository);
    }
    for (repository, list) in digests.iter().filter(|(r, _)| !tagged.contains(r)) {
        if with_digests {
            names.extend(list.iter().map(|d| name(repository, NONE, d)));
        } else {
            names.push(name(repository, NONE, ""));
        }
    }
    names
}

fn row(image: &Summary, name: &Name, truncate: bool) -> Value {
    let unknown = || "N/A".to_owned();
    let count = |n: i64| if n == -1 { unknown() } else { n.to_string() };
    let size = |n: i64| if n == -1 { unknown() } else { human(float(n)) };
    let unique = if image.shared_size == -1 || image.size == -1 {
        unknown()
    } else {
        human(float(image.size - image.shared_size))
    };
    Value::record(
        "*formatter.imageContext",
        vec![
            ("Containers", count(image.containers).into()),
            ("CreatedAt", local_time(image.created).into()),
            ("CreatedSince", ago(image.created).into()),
            ("Digest", name.digest.as_str().into()),
            ("ID", shown_id(&image.id, truncate).into()),
            ("Repository", name.repository.as_str().into()),
            ("SharedSize", size(image.shared_size).into()),
            ("Size", human_digits(float(image.size), 3).into()),
            ("Tag", name.tag.as_str().into()),
            ("UniqueSize", unique.into()),
            ("VirtualSize", human(float(image.size)).into()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_images() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let image = Summary {
            repo_tags: vec!["busybox:1".into(), "reg:5000/b:2".into()],
            repo_digests: vec![format!("busybox@{digest}"), format!("c@{digest}")],
            ..Summary::default()
        };
        let check = |image: &Summary, digests, expected: &[(&str, &str, &str)]| {
            let names = names(image, digests);
            let names: Vec<_> = names.iter().map(|n| (&*n.repository, &*n.tag, &*n.digest)).collect();
            assert_eq!(names, expected);
        };
        check(
            &image,
            false,
            &[("busybox", "1", NONE), ("reg:5000/b", "2", NONE), ("c", NONE, "")],
        );
        check(
            &image,
            true,
            &[
                ("busybox", "1", &digest),
                ("reg:5000/b", "2", NONE),
                ("c", NONE, &digest),
            ],
        );
        check(&Summary::default(), false, &[(NONE, NONE, NONE)]);
    }
}
