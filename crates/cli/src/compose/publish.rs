//! `compose publish`: a project at a registry, for `-f oci://…`.

use std::collections::BTreeMap;

use bytes::Bytes;
use corten_compose::{
    Format, Project,
    execute::Phase,
    publish::{self, Content, Layer},
};
use corten_distribution::{Documents, Purpose};
use corten_oci::{
    digest::Digest,
    image::{Descriptor, Document, Index, Manifest, media_type},
    reference::Reference,
};

use super::{
    digests::{self, Digests},
    elsewhere::artifact,
    open::{Keep, Open, call},
};
use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    image,
    remote::{Remote, named, selector, take, wrong},
};

/// `compose publish`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] REPOSITORY[:TAG]",
    "Put the project's files into a registry",
    run,
)
.paths(&["compose publish"])
.arity(Arity::Exactly(1))
.flags(&[&[
    Flag::switch("app", "Put the images of services there, too"),
    Flag::switch("dry-run", "Only show what would be done"),
    Flag::string(
        "oci-version",
        "Version of OCI's documents: \"1.0\" or \"1.1\" (default: what the registry takes)",
    ),
    Flag::switch("resolve-image-digests", "Say which images tags mean now"),
    Flag::switch("with-env", "Send variables and their files, too"),
    Flag::switch("yes", "Answer every question with yes").short('y'),
]]);

/// The configuration of an artifact, which has none.
const EMPTY: &[u8] = b"{}";
/// The annotation with the version that publishes.
const VERSION: &str = "com.docker.compose.version";

/// The form of the manifest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// With a type of the artifact.
    Typed,
    /// With a type of the configuration, for registries that know no other.
    Plain,
}

fn run(cli: &Cli, m: &Matches) -> Result<()> {
    let forms: &[Form] = match m.get("oci-version") {
        "" => &[Form::Typed, Form::Plain],
        "1.1" => &[Form::Typed],
        "1.0" => &[Form::Plain],
        other => return Err(Error::new(format!("unsupported OCI version: {other}"))),
    };
    let reference = named(m.arg(0))?;
    let mut open = Open::new(cli, m, Keep::All)?;
    let everything = std::mem::take(&mut open.project.disabled);
    open.project.services.extend(everything);
    let mut layers = publish::layers(&open.project)?;
    if !m.on("yes") && !agreed(&open, m.on("with-env"))? {
        return Ok(());
    }
    refuse_only_built(&open.project)?;
    push_images(&open)?;
    if !m.on("with-env") {
        layers.retain(|layer| layer.content != Content::Environment);
    }
    if m.on("resolve-image-digests") || m.on("app") {
        layers.push(pinned(cli, &open.project)?);
    }
    let shown = m.arg(0);
    open.progress.tell(shown, "publishing", Phase::Working);
    if !open.is_dry() {
        let remote = Remote::new(cli, &[])?;
        let app = m.on("app").then_some(&open.project);
        cli.wait(send(&remote, &reference, &layers, forms, app))?;
    }
    open.progress.tell(shown, "published", Phase::Done);
    Ok(())
}

/// Asks about everything that its author may not want to give away.
fn agreed(open: &Open<'_>, with_variables: bool) -> Result<bool> {
    refuse_only_built(&open.project)?;
    let mut binds = String::new();
    for (name, service) in &open.project.services {
        let mounts: Vec<_> = service.volumes.iter().filter(|mount| mount.kind == "bind").collect();
        if !mounts.is_empty() {
            binds.push_str(name);
        }
        for mount in mounts {
            let mode = if mount.read_only { "ro" } else { "rw" };
            binds.push_str(&format!("{}:{}:{mode}\n", mount.source, mount.target));
        }
    }
    if !binds.is_empty()
        && !asked(
            open,
            &format!(
                "you are about to publish bind mounts declaration within your OCI artifact.\n\
                 only the bind mount declarations will be added to the OCI artifact (not content)\n\
                 please double check that you are not mounting potential user's sensitive directories or data\n\
                 {binds}Are you ok to publish these bind mount declarations?"
            ),
        )
    {
        return Ok(false);
    }
    let found = publish::secrets(&open.project)?;
    let listed = found
        .iter()
        .map(|found| format!("{}\n{:?}: {}\n", found.kind, found.key, found.value));
    let listed: String = listed.collect();
    if !listed.is_empty()
        && !asked(
            open,
            &format!(
                "you are about to publish sensitive data within your OCI artifact.\n\
                 please double check that you are not leaking sensitive data\n\
                 {listed}Are you ok to publish these sensitive data?"
            ),
        )
    {
        return Ok(false);
    }
    agreed_on_variables(open, with_variables)
}

fn agreed_on_variables(open: &Open<'_>, with_variables: bool) -> Result<bool> {
    let mut declared = String::new();
    let mut variables = String::new();
    for (name, service) in &open.project.services {
        if open.project.is_written(&["services", name, "env_file"]) {
            declared.push_str(&format!("service {name:?} has env_file declared.\n"));
        }
        if !service.environment.0.is_empty() {
            declared.push_str(&format!("service {name:?} has environment variable(s) declared.\n"));
            variables.push_str(&format!("Service/Config  {name}\n"));
        }
        for (key, value) in &service.environment.0 {
            variables.push_str(&format!("{key}={}\n", value.as_deref().unwrap_or_default()));
        }
    }
    for (name, config) in open.project.configs.iter().filter(|(_, c)| !c.environment.is_empty()) {
        declared.push_str(&format!("config {name:?} is declare as an environment variable.\n"));
        variables.push_str(&format!("Service/Config  {name}\n{}\n", config.environment));
    }
    if !with_variables && !declared.is_empty() {
        return Err(Error::new(format!(
            "{declared}To avoid leaking sensitive data, you must either explicitly allow the sending of environment \
             variables by using the --with-env flag,\nor remove sensitive data from your Compose configuration"
        )));
    }
    let question = format!(
        "you are about to publish environment variables within your OCI artifact.\n\
         please double check that you are not leaking sensitive data\n\
         {variables}Are you ok to publish these environment variables?"
    );
    Ok(variables.is_empty() || asked(open, &question))
}

/// Asks the user; no answer is a no.
fn asked(open: &Open<'_>, question: &str) -> bool {
    use std::io::BufRead as _;
    open.cli.print(question);
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// Others cannot build what is only built here.
fn refuse_only_built(project: &Project) -> Result<()> {
    let built = project.services.iter();
    let built = built.filter(|(_, service)| service.image.is_empty() && service.build.is_some());
    let names: String = built.map(|(name, _)| format!("- {name:?}\n")).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!(
        "your Compose stack cannot be published as it only contains a build section for service(s):\n{names}"
    )))
}

/// Sends the images that are built here, as far as they are there.
fn push_images(open: &Open<'_>) -> Result<()> {
    for (name, service) in &open.project.services {
        if service.build.is_none() {
            open.progress.tell(name, "Skipped", Phase::Working);
            continue;
        }
        open.progress.tell(name, "Pushing", Phase::Working);
        if open.is_dry() {
            continue;
        }
        match call(
            open.cli,
            &image::push::COMMAND,
            vec!["--quiet".to_owned(), service.image.clone()],
        ) {
            Ok(()) => open.progress.tell(name, "Pushed", Phase::Done),
            Err(error) => open.cli.err(&error.message),
        }
    }
    Ok(())
}

/// The file that says which images tags mean.
fn pinned(cli: &Cli, project: &Project) -> Result<Layer> {
    let mut project = project.clone();
    Digests::new(cli)?.pin(&mut project)?;
    Ok(Layer {
        content: Content::File,
        name: "image-digests.yaml".to_owned(),
        bytes: digests::lock(&project).render(Format::Yaml).into_bytes(),
    })
}

async fn send(
    remote: &Remote<'_>,
    reference: &Reference,
    layers: &[Layer],
    forms: &[Form],
    app: Option<&Project>,
) -> Result<()> {
    let documents = remote.open(reference, Purpose::Push).await?;
    let mut described = Vec::new();
    for layer in layers {
        let bytes = Bytes::from(layer.bytes.clone());
        let descriptor = describe(layer);
        documents.put_blob(&descriptor.digest, bytes).await.map_err(wrong)?;
        described.push(descriptor);
    }
    let empty = Digest::sha256(EMPTY);
    documents
        .put_blob(&empty, Bytes::from_static(EMPTY))
        .await
        .map_err(wrong)?;
    let mut last = None;
    for form in forms {
        let manifest = manifest(*form, described.clone(), &empty);
        let bytes = serde_json::to_vec(&manifest).map_err(|error| Error::new(error.to_string()))?;
        let put = documents
            .put_manifest(&selector(reference), media_type::OCI_MANIFEST, bytes.clone().into())
            .await;
        match put {
            Ok(()) => {
                let mut descriptor =
                    Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(&bytes), bytes.len() as u64);
                descriptor.artifact_type.clone_from(&manifest.artifact_type);
                return match app {
                    Some(project) => send_images(remote, &documents, project, descriptor).await,
                    None => Ok(()),
                };
            }
            // A registry that does not know the newer form says that it is wrong.
            Err(error) => last = Some(wrong(error)),
        }
    }
    Err(last.unwrap_or_else(|| Error::new("nothing was published")))
}

fn describe(layer: &Layer) -> Descriptor {
    let (kind, annotation) = match layer.content {
        Content::File | Content::Extended => (artifact::FILE, artifact::FILE_NAME),
        Content::Environment => (artifact::ENVIRONMENT, artifact::ENVIRONMENT_NAME),
    };
    let mut descriptor = Descriptor::new(kind, Digest::sha256(&layer.bytes), layer.bytes.len() as u64);
    descriptor.annotations = BTreeMap::from([
        (annotation.to_owned(), layer.name.clone()),
        (VERSION.to_owned(), corten_compose::labels::VERSION_VALUE.to_owned()),
    ]);
    if layer.content == Content::Extended {
        descriptor
            .annotations
            .insert(artifact::EXTENDS.to_owned(), "true".to_owned());
    }
    descriptor
}

fn manifest(form: Form, layers: Vec<Descriptor>, empty: &Digest) -> Manifest {
    let (artifact_type, config) = match form {
        Form::Typed => (artifact::PROJECT, media_type::OCI_EMPTY),
        Form::Plain => ("", artifact::EMPTY_CONFIG),
    };
    let created = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.to_owned(),
        artifact_type: artifact_type.to_owned(),
        config: Descriptor::new(config, empty.clone(), EMPTY.len() as u64),
        layers,
        subject: None,
        annotations: BTreeMap::from([("org.opencontainers.image.created".to_owned(), created)]),
    }
}

/// Puts the images of services beside the project, and an index of them that is about it.
async fn send_images(remote: &Remote<'_>, into: &Documents, project: &Project, about: Descriptor) -> Result<()> {
    let mut manifests: Vec<Descriptor> = Vec::new();
    for service in project.services.values() {
        let reference = named(&service.image)?;
        let from = remote.open(&reference, Purpose::Pull).await?;
        let fetched = from.manifest(&selector(&reference)).await.map_err(wrong)?;
        copy(into, &from, &fetched.bytes, &fetched.media_type).await?;
        let descriptor = Descriptor::new(&fetched.media_type, fetched.digest, fetched.bytes.len() as u64);
        if !manifests.iter().any(|known| known.digest == descriptor.digest) {
            manifests.push(descriptor);
        }
    }
    let index = Index {
        schema_version: 2,
        media_type: media_type::OCI_INDEX.to_owned(),
        manifests,
        subject: Some(about),
        annotations: BTreeMap::from([(VERSION.to_owned(), corten_compose::labels::VERSION_VALUE.to_owned())]),
        artifact_type: String::new(),
    };
    let bytes = serde_json::to_vec(&index).map_err(|error| Error::new(error.to_string()))?;
    let digest = Digest::sha256(&bytes);
    into.put_manifest(digest.as_str(), media_type::OCI_INDEX, bytes.into())
        .await
        .map_err(wrong)
}

/// Sees to it that a repository has an image, or all images of an index, and what they refer to.
async fn copy(into: &Documents, from: &Documents, bytes: &Bytes, media_type: &str) -> Result<()> {
    let document = Document::parse(bytes, None).map_err(|error| Error::new(error.to_string()))?;
    match &document {
        Document::Manifest(manifest) => {
            take(into, from, std::slice::from_ref(&manifest.config)).await?;
            take(into, from, &manifest.layers).await?;
        }
        Document::Index(index) => {
            for entry in &index.manifests {
                let fetched = from.manifest(entry.digest.as_str()).await.map_err(wrong)?;
                Box::pin(copy(into, from, &fetched.bytes, &fetched.media_type)).await?;
            }
        }
    }
    let digest = Digest::sha256(bytes);
    into.put_manifest(digest.as_str(), media_type, bytes.clone())
        .await
        .map_err(wrong)
}
