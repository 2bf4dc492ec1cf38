//! `imagetools inspect`: what a registry has under a name.

use std::{fmt::Write as _, rc::Rc};

use corten_oci::{
    image::{Descriptor, Document, ImageConfig, Index},
    platform::Platform,
    reference::Reference,
};
use corten_template::{Json, Missing, Mode, Struct, Template, Value};

use super::{
    attestations::{self, Said},
    check_builder, failed,
    source::Source,
};
use crate::{
    cli::Cli,
    error::{Error, Result},
    flags::Matches,
    formatter::align,
    remote::{Remote, named, wrong},
    schema,
};

pub(super) fn run(cli: &Cli, m: &Matches) -> Result<()> {
    inspect(cli, m).map_err(failed)
}

fn inspect(cli: &Cli, m: &Matches) -> Result<()> {
    check_builder(m)?;
    let format = m.get("format");
    if m.on("raw") && !format.is_empty() {
        return Err(Error::new("format and raw cannot be used together"));
    }
    let name = named(m.arg(0))?;
    let remote = Remote::new(cli, &[])?;
    let text = cli.wait(async {
        let source = Source::fetch(&remote, name).await?;
        if m.on("debug") {
            cli.err(&format!("DEBUG {}: {}", source.name, source.descriptor.digest));
        }
        if m.on("raw") {
            return Ok(String::from_utf8_lossy(&source.bytes).into_owned());
        }
        match format {
            "" => Ok(shown(&source)),
            format => filled(&source, format).await,
        }
    })?;
    cli.print(&text);
    Ok(())
}

/// A summary, for people.
fn shown(source: &Source) -> String {
    let head = format!(
        "Name:\t{}\nMediaType:\t{}\nDigest:\t{}\n",
        source.name, source.descriptor.media_type, source.descriptor.digest
    );
    match &source.content {
        Document::Manifest(_) => align(&head, 0, 1),
        Document::Index(index) => {
            let listed: Vec<_> = index
                .manifests
                .iter()
                .map(|entry| listed(&source.name, entry))
                .collect();
            align(&format!("{head}\t\nManifests:\t\n"), 0, 1) + &align(&listed.join("\t\n"), 0, 1)
        }
    }
}

/// An entry of an index, for people.
fn listed(name: &Reference, entry: &Descriptor) -> String {
    let mut text = format!("  Name:\t{name}@{}\n  MediaType:\t{}\n", entry.digest, entry.media_type);
    let mut line = |what: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a text does not fail.
            let _ = writeln!(text, "  {what}:\t{value}");
        }
    };
    if let Some(platform) = &entry.platform {
        line("Platform", &platform.to_string());
        line("OSVersion", &platform.os_version);
        line("OSFeatures", &platform.os_features.join(", "));
        line("URLs", &entry.urls.join(", "));
        if !entry.annotations.is_empty() {
            text.push_str("  Annotations:\t\n");
            let pairs = entry
                .annotations
                .iter()
                .map(|(name, value)| format!("    {name}:\t{value}\n"));
            text.push_str(&align(&pairs.collect::<String>(), 0, 1));
        }
    }
    text
}

/// The template filled in.
async fn filled(source: &Source, format: &str) -> Result<String> {
    let template = Template::parse(format).map_err(Error::new)?;
    let data = data(source).await?;
    template
        .execute(&data, Missing::NoValue, Mode::Indented)
        .map_err(Error::new)
}

/// What templates see.
async fn data(source: &Source) -> Result<Value> {
    let manifest = manifest(source)?;
    let mut images = Vec::new();
    match &source.content {
        Document::Manifest(_) => images.push((None, configuration(source, None).await?, Said::default())),
        Document::Index(index) => {
            for entry in index.manifests.iter().filter(|entry| !entry.is_attestation()) {
                let Some(platform) = &entry.platform else { continue };
                let config = configuration(source, Some(entry)).await?;
                let said = attestations::about(&source.documents, index, entry).await?;
                images.push((Some(platform.clone()), config, said));
            }
        }
    }
    let image = by_platform(&images, |(_, config, _)| config.clone());
    let provenance = by_platform(&images, |(_, _, said)| Json::Object(said.provenance.clone()));
    let sbom = by_platform(&images, |(_, _, said)| Json::Object(said.sbom.clone()));
    let name = source.name.to_string();
    let mut members = vec![("name", Json::String(name.clone())), ("manifest", manifest.clone())];
    members.extend((image != Json::Null).then(|| ("image", image.clone())));
    let whole = members.into_iter().map(|(name, value)| (name.to_owned(), value));
    let image = match &images[..] {
        [(None, config, _)] => schema::OCI_IMAGE.value(config),
        _ => Value::map(match &image {
            Json::Object(members) => members
                .iter()
                .map(|(k, v)| (k.as_str(), schema::OCI_IMAGE.value(v)))
                .collect(),
            _ => Vec::new(),
        }),
    };
    Ok(Value::Struct(Rc::new(Struct {
        kind: "imagetools.tplInput",
        fields: vec![
            ("Name", name.into()),
            ("Manifest", schema::OCI_MANIFEST.value(&manifest)),
            ("Image", image),
            ("Provenance", provenance.to_value()),
            ("SBOM", sbom.to_value()),
        ],
        json: Some(Json::Object(whole.collect())),
        ..Struct::default()
    })))
}

type Described = (Option<Platform>, Json, Said);

/// A value of one image, or of each by its platform.
fn by_platform(images: &[Described], value: impl Fn(&Described) -> Json) -> Json {
    match images {
        [] => Json::Null,
        [one @ (None, ..)] => value(one),
        several => {
            let named = several.iter().map(|image| {
                let platform = image.0.clone().unwrap_or_default().normalized();
                (platform.to_string(), value(image))
            });
            Json::Object(named.collect())
        }
    }
}

/// The document with its digest and size, in the order that the builder's commands write.
fn manifest(source: &Source) -> Result<Json> {
    let index = match &source.content {
        Document::Index(index) => Some(index),
        Document::Manifest(_) => None,
    };
    let mut members = vec![
        ("schemaVersion".to_owned(), Json::Int(2)),
        (
            "mediaType".to_owned(),
            Json::String(source.descriptor.media_type.clone()),
        ),
        ("digest".to_owned(), Json::String(source.descriptor.digest.to_string())),
        (
            "size".to_owned(),
            Json::Int(i64::try_from(source.descriptor.size).unwrap_or(i64::MAX)),
        ),
    ];
    if let Some(Index {
        manifests, annotations, ..
    }) = index
    {
        members.push(("manifests".to_owned(), json(manifests)?));
        members.extend((!annotations.is_empty()).then_some(("annotations".to_owned(), json(annotations)?)));
    }
    Ok(Json::Object(members))
}

/// An image's configuration.
async fn configuration(source: &Source, entry: Option<&Descriptor>) -> Result<Json> {
    let manifest = match (entry, &source.content) {
        (None, Document::Manifest(manifest)) => manifest.clone(),
        (Some(entry), _) => {
            let fetched = source.documents.manifest(entry.digest.as_str()).await.map_err(wrong)?;
            match Document::parse(&fetched.bytes, None).map_err(|error| Error::new(error.to_string()))? {
                Document::Manifest(manifest) => manifest,
                Document::Index(_) => return Ok(Json::Null),
            }
        }
        (None, Document::Index(_)) => return Ok(Json::Null),
    };
    let bytes = source.documents.blob(&manifest.config.digest).await.map_err(wrong)?;
    match ImageConfig::parse(&bytes) {
        Ok(config) => json(&config),
        Err(_) => Json::parse(&bytes).map_err(Error::new),
    }
}

fn json(value: &impl serde::Serialize) -> Result<Json> {
    let bytes = serde_json::to_vec(value).map_err(|error| Error::new(error.to_string()))?;
    Json::parse(&bytes).map_err(Error::new)
}
