//! `imagetools create`: an index over images that are at registries.

use std::collections::BTreeMap;

use bytes::Bytes;
use corten_distribution::{Documents, Purpose};
use corten_oci::{
    digest::Digest,
    image::{Descriptor, Document, Index, MediaKind, media_type},
    platform::Platform,
    reference::Reference,
};

use super::{
    check_builder, failed,
    progress::Progress,
    source::{Source, write},
};
use crate::{
    cli::Cli,
    error::{Error, Result},
    flags::Matches,
    remote::{Remote, named, take, wrong},
};

/// What is made: its bytes and what they are.
struct Made {
    media_type: String,
    bytes: Bytes,
}

/// An annotation, and what it is for.
struct Annotation {
    on: On,
    key: String,
    value: String,
}

enum On {
    Index,
    /// The entry of a platform, or of all.
    Entry(Option<String>),
}

pub(super) fn run(cli: &Cli, m: &Matches) -> Result<()> {
    create(cli, m).map_err(failed)
}

fn create(cli: &Cli, m: &Matches) -> Result<()> {
    check_builder(m)?;
    let mut given = Vec::new();
    for path in m.all("file") {
        let text = corten_sys::fs::read_to_string(path).map_err(|error| Error::new(error.to_string()))?;
        given.push(text);
    }
    given.extend(m.args.iter().cloned());
    if given.is_empty() {
        return Err(Error::new("no sources specified"));
    }
    let tags = m.all("tag").into_iter().map(named).collect::<Result<Vec<_>>>()?;
    if tags.is_empty() && !m.on("dry-run") {
        return Err(Error::new(
            "can't push with no tags specified, please set --tag or --dry-run",
        ));
    }
    if let (true, Some(first)) = (m.on("append"), tags.first()) {
        given.insert(0, first.to_string());
    }
    let annotations = m
        .all("annotation")
        .into_iter()
        .map(annotation)
        .collect::<Result<Vec<_>>>()?;
    let platforms = m
        .all("platform")
        .into_iter()
        .map(platform)
        .collect::<Result<Vec<_>>>()?;
    let progress = Progress::new(cli, m.get("progress"))?;
    let remote = Remote::new(cli, &[])?;
    cli.wait(async {
        let mut sources = Source::find(&remote, &given, &tags).await?;
        for source in &mut sources {
            if m.on("debug") {
                cli.err(&format!("DEBUG {}: {}", source.name, source.descriptor.digest));
            }
            if !platforms.is_empty() {
                source.keep(&platforms)?;
            }
        }
        let made = combine(&sources, &annotations, m.on("prefer-index"))?;
        if m.on("dry-run") {
            cli.out(&String::from_utf8_lossy(&made.bytes));
            return Ok(());
        }
        for tag in &tags {
            push(&remote, &progress, &sources, &made, tag).await?;
        }
        Ok(())
    })
}

fn platform(text: &str) -> Result<Platform> {
    text.parse::<Platform>()
        .map(Platform::normalized)
        .map_err(|error| Error::new(error.to_string()))
}

/// Reads `[what[platform]:]key=value`.
fn annotation(text: &str) -> Result<Annotation> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| Error::new(format!("invalid annotation {text:?}, expected key=value")))?;
    let (what, key) = key.split_once(':').unwrap_or(("", key));
    let (what, platform) = match what.split_once('[') {
        Some((what, platform)) => (what, Some(platform.trim_end_matches(']').to_owned())),
        None => (what, None),
    };
    let on = match what {
        "index" => On::Index,
        "manifest-descriptor" => On::Entry(platform),
        "" | "manifest" => return Err(Error::new(format!("{what:?} annotations are not supported yet"))),
        "index-descriptor" => {
            return Err(Error::new(format!(
                "{what:?} annotations are invalid while creating an image"
            )));
        }
        other => return Err(Error::new(format!("unknown annotation type {other:?} in {text:?}"))),
    };
    Ok(Annotation {
        on,
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

/// Puts the sources together.
fn combine(sources: &[Source], annotations: &[Annotation], prefer_index: bool) -> Result<Made> {
    if let [only] = sources
        && annotations.is_empty()
        && (!prefer_index || matches!(only.content, Document::Index(_)))
    {
        return Ok(Made {
            media_type: only.descriptor.media_type.clone(),
            bytes: only.bytes.clone(),
        });
    }
    let mut manifests: Vec<Descriptor> = Vec::new();
    for listed in sources.iter().flat_map(Source::listed) {
        match manifests.iter_mut().find(|known| known.digest == listed.digest) {
            Some(known) => {
                known.annotations.extend(listed.annotations);
                known.platform = listed.platform.or(known.platform.take());
            }
            None => manifests.push(listed),
        }
    }
    let is_docker = manifests.iter().all(|m| m.media_type == media_type::DOCKER_MANIFEST);
    let own = if is_docker {
        media_type::DOCKER_LIST
    } else {
        media_type::OCI_INDEX
    };
    if is_docker && !annotations.is_empty() {
        return Err(Error::new("annotations are only allowed on OCI indexes"));
    }
    let mut of_index = BTreeMap::new();
    for Annotation { on, key, value } in annotations {
        match on {
            On::Index => drop(of_index.insert(key.clone(), value.clone())),
            On::Entry(platform) => {
                for manifest in manifests
                    .iter_mut()
                    .filter(|manifest| is_for(manifest, platform.as_deref()))
                {
                    manifest.annotations.insert(key.clone(), value.clone());
                }
            }
        }
    }
    let index = Index {
        schema_version: 2,
        media_type: own.to_owned(),
        artifact_type: String::new(),
        manifests,
        subject: None,
        annotations: of_index,
    };
    Ok(Made {
        media_type: own.to_owned(),
        bytes: write(&index)?.into(),
    })
}

fn is_for(manifest: &Descriptor, platform: Option<&str>) -> bool {
    let own = manifest.platform.as_ref().map(|platform| platform.clone().normalized());
    match platform {
        None => true,
        Some(wanted) => own.is_some_and(|own| own.to_string() == wanted),
    }
}

/// Brings everything into a name's repository and names it.
async fn push(
    remote: &Remote<'_>,
    progress: &Progress<'_>,
    sources: &[Source],
    made: &Made,
    tag: &Reference,
) -> Result<()> {
    let mut vertex = progress.begin(&format!("[internal] pushing {tag}"));
    let into = remote.open(tag, Purpose::Push).await?;
    for source in sources {
        for listed in source.listed() {
            vertex.say(&format!("copying {} from {} to {tag}", listed.digest, source.name));
            if source.name.repository() != tag.repository() {
                bring(&into, &source.documents, &listed.digest).await?;
            }
        }
    }
    let digest = Digest::sha256(&made.bytes);
    vertex.say(&format!("pushing {digest} to {tag}"));
    let name = crate::remote::selector(tag);
    into.put_manifest(&name, &made.media_type, made.bytes.clone())
        .await
        .map_err(wrong)?;
    vertex.done();
    Ok(())
}

/// Brings an image, or an index with all its images, from another repository.
async fn bring(into: &Documents, from: &Documents, digest: &Digest) -> Result<()> {
    let mut waiting = vec![digest.clone()];
    // What refers to others is put after them.
    let mut documents = Vec::new();
    while let Some(digest) = waiting.pop() {
        let fetched = from.manifest(digest.as_str()).await.map_err(wrong)?;
        let declared = Some(fetched.media_type.as_str()).filter(|text| !text.is_empty());
        match Document::parse(&fetched.bytes, declared).map_err(|error| Error::new(error.to_string()))? {
            Document::Index(index) => waiting.extend(index.manifests.into_iter().map(|manifest| manifest.digest)),
            Document::Manifest(manifest) => {
                let mut blobs = manifest.layers;
                blobs.push(manifest.config);
                take(into, from, &blobs).await?;
            }
        }
        documents.push(fetched);
        if documents.len() > corten_oci::image::limits::MANIFESTS {
            return Err(Error::new(format!("{digest} has too many manifests")));
        }
    }
    for fetched in documents.into_iter().rev() {
        let kind = match MediaKind::of(&fetched.media_type) {
            MediaKind::Manifest | MediaKind::Index => fetched.media_type.as_str(),
            _ => media_type::OCI_MANIFEST,
        };
        into.put_manifest(fetched.digest.as_str(), kind, fetched.bytes.clone())
            .await
            .map_err(wrong)?;
    }
    Ok(())
}
