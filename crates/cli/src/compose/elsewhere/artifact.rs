//! Artifacts at registries: a manifest whose layers are Compose files and files with variables.

use std::path::Path;

use corten_compose::{Error, Result, remote::Local};
use corten_distribution::{Documents, Purpose};
use corten_oci::image::{Descriptor, Document, Manifest};

use super::kept;
use crate::{
    cli::Cli,
    remote::{Remote, named, selector},
};

/// What an artifact with a project says that it is (`internal/oci` of Docker's Compose).
pub(in crate::compose) const PROJECT: &str = "application/vnd.docker.compose.project";
/// A Compose file.
pub(in crate::compose) const FILE: &str = "application/vnd.docker.compose.file+yaml";
/// A file with variables.
pub(in crate::compose) const ENVIRONMENT: &str = "application/vnd.docker.compose.envfile";
/// The configuration by which registries without artifact types tell a project.
pub(in crate::compose) const EMPTY_CONFIG: &str = "application/vnd.docker.compose.config.empty.v1+json";
/// The annotation with the name of a Compose file.
pub(in crate::compose) const FILE_NAME: &str = "com.docker.compose.file";
/// The annotation of a Compose file that others extend.
pub(in crate::compose) const EXTENDS: &str = "com.docker.compose.extends";
/// The annotation with the name of a file with variables.
pub(in crate::compose) const ENVIRONMENT_NAME: &str = "com.docker.compose.envfile";

/// What all files together may have: they are texts.
const MOST: u64 = 64 << 20;

pub(super) fn fetch(cli: &Cli, cache: &Path, reference: &str) -> Result<Local> {
    let outer = |error: crate::error::Error| {
        let message = format!("failed to pull OCI resource {reference:?}: {}", error.message);
        match error.not_found {
            true => Error::not_found(message),
            false => Error::unavailable(message),
        }
    };
    let wanted = named(reference).map_err(outer)?;
    let remote = Remote::new(cli, &[]).map_err(outer)?;
    let failed = |error: corten_distribution::Error| outer(crate::remote::wrong(error));
    let brought = cli.wait(async {
        let documents = remote.open(&wanted, Purpose::Pull).await?;
        let fetched = documents.manifest(&selector(&wanted)).await;
        Ok(match fetched {
            Ok(fetched) => project(&documents, &fetched.bytes, reference)
                .await
                .map(|manifest| (documents, fetched.digest, manifest)),
            Err(error) => Err(failed(error)),
        })
    });
    let (documents, digest, manifest) = brought.map_err(outer)??;
    let root = cache.join(digest.hex());
    kept(&root, |folder| {
        check(&manifest, reference)?;
        for (index, layer) in manifest.layers.iter().enumerate() {
            let bytes = cli
                .wait(async { documents.blob(&layer.digest).await.map_err(crate::remote::wrong) })
                .map_err(outer)?;
            write(folder, index, layer, &bytes)?;
        }
        Ok(())
    })?;
    let file = root.join("compose.yaml");
    Ok(Local { file, root })
}

/// The manifest with the project: that of the reference, or the one that its index has beside images.
async fn project(documents: &Documents, bytes: &[u8], reference: &str) -> Result<Manifest> {
    let invalid = |error: corten_oci::image::DocumentError| Error::invalid(error.to_string());
    let index = match Document::parse(bytes, None).map_err(invalid)? {
        Document::Manifest(manifest) => return Ok(manifest),
        Document::Index(index) => index,
    };
    let found = index
        .manifests
        .iter()
        .find(|manifest| manifest.artifact_type == PROJECT);
    let found =
        found.ok_or_else(|| Error::invalid(format!("OCI index {reference} doesn't refer to compose artifacts")))?;
    let fetched = documents.manifest(found.digest.as_str()).await;
    let fetched = fetched.map_err(|error| Error::unavailable(error.to_string()))?;
    Manifest::parse(&fetched.bytes).map_err(invalid)
}

/// Refuses what is no project, and what is too large to be one.
fn check(manifest: &Manifest, reference: &str) -> Result<()> {
    let is_project = match manifest.artifact_type.as_str() {
        "" => manifest.config.media_type == EMPTY_CONFIG,
        kind => kind == PROJECT,
    };
    if !is_project {
        let kind = match manifest.artifact_type.as_str() {
            "" => &manifest.config.media_type,
            kind => kind,
        };
        return Err(Error::invalid(format!(
            "{reference} is not a compose project OCI artifact, but {kind}"
        )));
    }
    let size: u64 = manifest
        .layers
        .iter()
        .fold(0, |size, layer| size.saturating_add(layer.size));
    if size > MOST {
        return Err(Error::invalid(format!(
            "{reference} has more than {MOST} bytes of files"
        )));
    }
    Ok(())
}

/// Writes a layer into the folder: Compose files behind each other, others under their names.
fn write(folder: &Path, index: usize, layer: &Descriptor, bytes: &[u8]) -> Result<()> {
    let annotation = |name: &str| layer.annotations.get(name).map(String::as_str);
    let name = match layer.media_type.as_str() {
        FILE if annotation(EXTENDS).is_some() => annotation(FILE_NAME).unwrap_or_default(),
        FILE => "compose.yaml",
        ENVIRONMENT => annotation(ENVIRONMENT_NAME).ok_or_else(|| {
            let digest = &layer.digest;
            Error::invalid(format!("missing annotation {ENVIRONMENT_NAME} in layer \"{digest}\""))
        })?,
        _ => return Ok(()),
    };
    if matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0']) {
        return Err(Error::invalid(format!(
            "invalid OCI artifact: a file of it is called {name:?}, which is no name in its own folder"
        )));
    }
    let path = folder.join(name);
    let failed = |error: std::io::Error| Error::unavailable(error.to_string());
    let mut whole = corten_sys::fs::if_there(corten_sys::fs::read(&path))
        .map_err(failed)?
        .unwrap_or_default();
    if layer.media_type != FILE {
        whole.clear();
    } else if index > 0 && annotation(FILE_NAME).is_some() {
        whole.extend(b"\n---\n");
    }
    whole.extend(bytes);
    corten_sys::fs::write(&path, whole).map_err(failed)
}
