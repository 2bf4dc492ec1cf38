//! The list as registries have it: an OCI index, or Docker's manifest list.

use corten_oci::{
    image::{Descriptor, media_type},
    platform::Platform,
    reference::Reference,
};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::entry::Entry;
use crate::error::{Error, Result};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    schema_version: u32,
    media_type: &'a str,
    manifests: Vec<Item<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    media_type: &'a str,
    size: u64,
    digest: &'a str,
    platform: Platform,
}

/// The media type of a list of such manifests: what the first one's dialect has.
pub(super) fn kind(manifests: &[Descriptor]) -> &'static str {
    match manifests.first() {
        Some(first) if first.media_type == media_type::OCI_MANIFEST => media_type::OCI_INDEX,
        _ => media_type::DOCKER_LIST,
    }
}

/// The list's bytes, as Docker's command line writes them.
pub(super) fn write(kind: &str, manifests: &[Descriptor]) -> Result<Vec<u8>> {
    let list = List {
        schema_version: 2,
        media_type: kind,
        manifests: manifests.iter().map(item).collect(),
    };
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"   "));
    list.serialize(&mut serializer)
        .map_err(|error| Error::new(error.to_string()))?;
    Ok(bytes)
}

fn item(manifest: &Descriptor) -> Item<'_> {
    Item {
        media_type: &manifest.media_type,
        size: manifest.size,
        digest: manifest.digest.as_str(),
        platform: manifest.platform.clone().unwrap_or_default(),
    }
}

/// What a list for `target` says of its images.
///
/// # Errors
/// When an image is at another registry.
pub(super) fn descriptors(target: &Reference, entries: &[Entry]) -> Result<Vec<Descriptor>> {
    let described = entries.iter().map(|entry| {
        let domain = entry.name()?.domain().to_owned();
        if domain != target.domain() {
            return Err(Error::new(format!(
                "cannot use source images from a different registry than the target image: {domain} != {}",
                target.domain()
            )));
        }
        Ok(entry.descriptor.clone())
    });
    described.collect()
}

/// Whether there are programs for such a platform (Go's systems and architectures).
pub(super) fn is_known(os: &str, architecture: &str) -> bool {
    const KNOWN: [(&str, &[&str]); 9] = [
        ("darwin", &["386", "amd64", "arm", "arm64"]),
        ("dragonfly", &["amd64"]),
        ("freebsd", &["386", "amd64", "arm"]),
        (
            "linux",
            &[
                "386", "amd64", "arm", "arm64", "loong64", "mips64", "mips64le", "ppc64le", "riscv64", "s390x",
            ],
        ),
        ("netbsd", &["386", "amd64", "arm"]),
        ("openbsd", &["386", "amd64", "arm"]),
        ("plan9", &["386", "amd64"]),
        ("solaris", &["amd64"]),
        ("windows", &["386", "amd64", "arm", "arm64"]),
    ];
    let of = KNOWN.iter().find(|(known, _)| *known == os);
    of.is_some_and(|(_, architectures)| architectures.contains(&architecture))
}
