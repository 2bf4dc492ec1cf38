//! Where a build's files come from, and the order for the builder.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use corten_api::build::{self, Extended, LocalFolder, NamedContext};
use corten_build::{
    Agents, Allowed, Archive, ArchiveOutput, Attest, Blobs, CacheOptions, CacheTarget, CacheTo, Context, FolderTarget,
    Fresh, GitSource, Given, ImageOptions, ImageOutput, LayoutBlobs, Local, Named, Output, Request, Secret, StepsFrom,
    Unpacked,
};
use corten_oci::{platform::Platform, reference::Reference};
use corten_store::Scratch;

use super::{BuildRequest, Builds, converted, executor::EngineExecutor};
use crate::error::{Error, Kind, Result};

/// The most bytes of what is said before a context.
const MOST_SAID: usize = 64 << 20;
/// The most bytes of a Dockerfile from a web server.
const MOST_TEXT: u64 = 16 << 20;

/// What finds the files of a request.
pub(super) struct Sources<'a> {
    pub(super) builds: &'a Builds,
    pub(super) request: &'a BuildRequest,
    pub(super) executor: &'a EngineExecutor,
}

/// What was found.
pub(super) struct Taken {
    extended: Extended,
    /// The archive that was sent, when named contexts are in it.
    archive: Option<Arc<Scratch>>,
}

impl Sources<'_> {
    /// Reads what is said before the context, and the context.
    pub(super) fn take(&self, body: &mut dyn Read) -> Result<(Given, Taken)> {
        let extended = self.said(body)?;
        let mut archive = None;
        let mut given = self
            .context(&extended, body, &mut archive)
            .map_err(|error| converted(&error))?;
        if let Some(text) = &extended.dockerfile {
            given.dockerfile = text.clone().into_bytes();
        }
        Ok((given, Taken { extended, archive }))
    }

    fn said(&self, body: &mut dyn Read) -> Result<Extended> {
        let length = self.request.preface;
        if length == 0 {
            return Ok(Extended::default());
        }
        if length > MOST_SAID {
            return Err(Error::invalid(format!(
                "more than {MOST_SAID} bytes are said before the context"
            )));
        }
        let mut bytes = vec![0; length];
        body.read_exact(&mut bytes)?;
        corten_api::decode(&bytes).map_err(|error| Error::invalid(format!("what is said before the context: {error}")))
    }

    fn context(
        &self,
        extended: &Extended,
        body: &mut dyn Read,
        archive: &mut Option<Arc<Scratch>>,
    ) -> corten_build::Result<Given> {
        let store = &self.builds.0.store;
        let request = self.request;
        if let Some(folder) = &extended.folder {
            let path = here(folder)?;
            if extended
                .contexts
                .values()
                .any(|named| matches!(named, NamedContext::Sent(_)))
            {
                *archive = Some(Arc::new(store.scratch_from_tar(body)?));
            }
            return match &extended.dockerfile {
                None => corten_build::take_local_context(&path, &request.dockerfile),
                Some(_) => Ok(Given {
                    dockerfile: Vec::new(),
                    name: request.dockerfile.clone(),
                    context: Some(Arc::new(match &extended.ignore {
                        Some(text) => Local::with_ignore(&path, corten_build::ignore_patterns(text, ".dockerignore")?),
                        None => Local::new(&path, &request.dockerfile)?,
                    })),
                }),
            };
        }
        match request.remote.as_str() {
            "" if extended.below.is_empty() && extended.dockerfile.is_none() => {
                corten_build::take_context(store, body, &request.dockerfile)
            }
            "" => {
                let tree = Arc::new(store.scratch_from_tar(body)?);
                *archive = Some(Arc::clone(&tree));
                if extended.dockerfile.is_none() {
                    return corten_build::take_context_of(tree, &extended.below, &request.dockerfile);
                }
                Ok(Given {
                    dockerfile: Vec::new(),
                    name: request.dockerfile.clone(),
                    context: Some(Arc::new(Unpacked::new(tree, &extended.below)?)),
                })
            }
            "client-session" => Err(unsupported("not supported: contexts from a session without a session")),
            address => self.remote(address, &agents(extended)),
        }
    }

    /// A repository, a tar or a Dockerfile from elsewhere.
    pub(super) fn remote(&self, address: &str, agents: &Arc<dyn Agents>) -> corten_build::Result<Given> {
        use corten_build::Executor as _;
        let store = &self.builds.0.store;
        if let Some(source) = GitSource::parse(address) {
            let tree = self.cloned(&source, agents)?;
            return corten_build::take_context_of(tree, "", &self.request.dockerfile);
        }
        if !address.starts_with("http://") && !address.starts_with("https://") {
            let message =
                format!("unable to prepare context: {address:?} is no address that files can be fetched from");
            return Err(corten_build::Error::new(Kind::Invalid, message));
        }
        let (mut body, _) = self.executor.fetch(address)?;
        let start = beginning(&mut body)?;
        let is_text = !start.contains(&0) && std::str::from_utf8(&start).is_ok();
        let mut whole = std::io::Cursor::new(start).chain(body);
        if !is_text {
            return corten_build::take_context(store, &mut whole, &self.request.dockerfile);
        }
        let mut dockerfile = Vec::new();
        whole.take(MOST_TEXT).read_to_end(&mut dockerfile)?;
        Ok(Given {
            dockerfile,
            name: "Dockerfile".into(),
            context: None,
        })
    }

    fn cloned(&self, source: &GitSource, agents: &Arc<dyn Agents>) -> corten_build::Result<Arc<Scratch>> {
        use corten_build::Executor as _;
        let tree = self.builds.0.store.scratch()?;
        self.executor.git(source, agents, &tree.path())?;
        Ok(Arc::new(tree))
    }

    /// The order for the builder.
    pub(super) fn order(&self, given: &Given, taken: &Taken) -> Result<Request> {
        let (request, extended) = (self.request, &taken.extended);
        let platforms = platforms(&request.platform)?;
        let attest = Attest::read(&extended.attest).map_err(|error| converted(&error))?;
        Ok(Request {
            outputs: self.outputs(extended, &platforms, &attest)?,
            attest,
            dockerfile: given.dockerfile.clone(),
            name: given.name.clone(),
            context: given.context.clone(),
            contexts: self.contexts(taken).map_err(|error| converted(&error))?,
            target: request.target.clone(),
            arguments: request.arguments.clone(),
            labels: request.labels.clone(),
            fresh: fresh(request, extended),
            cache_from: request.cache_from.clone(),
            imports: self.imports(taken)?,
            exports: self.exports(extended)?,
            inline_cache: extended.cache_to.iter().any(|one| is_of(one, "inline")),
            // Classic clients that name images want no other steps.
            steps_from: match request.trace || request.cache_from.is_empty() {
                true => StepsFrom::Cache,
                false => StepsFrom::Images,
            },
            platforms,
            platform_given: !request.platform.is_empty(),
            secrets: Arc::new(secrets(extended)?),
            agents: agents(extended),
            allowed: self.granted(allowed(request, extended)?)?,
            network: request.steps.network.clone(),
            explain: extended.explain,
            squash: extended.squash,
        })
    }

    /// What is asked for, if the engine grants it. The host's network that a whole build is on is no entitlement.
    fn granted(&self, allowed: Allowed) -> Result<Allowed> {
        let host_network = self.request.steps.network != "host" && allowed.host_network;
        let asked = Allowed {
            host_network,
            ..allowed.clone()
        };
        let granted = self.builds.0.settings.granted;
        granted.check(&asked).map_err(|error| converted(&error))?;
        Ok(allowed)
    }

    /// Caches elsewhere: at registries, under names that are no images here; in folders.
    fn imports(&self, taken: &Taken) -> Result<Vec<Arc<dyn Blobs>>> {
        let EngineExecutor {
            settings,
            cancel,
            runtime,
            ..
        } = self.executor;
        let mut found: Vec<Arc<dyn Blobs>> = Vec::new();
        let absent = |name: &&String| self.builds.0.store.images().resolve(name).is_err();
        for name in self
            .request
            .cache_from
            .iter()
            .filter(absent)
            .filter(|_| self.request.trace)
        {
            let source = self.builds.cache_source(name, settings, cancel, runtime);
            found.push(source.map_err(|error| converted(&error))?);
        }
        for options in &taken.extended.cache_from {
            let text = |name: &str| options.get(name).map_or("", String::as_str);
            let context = taken.extended.contexts.get(text("context"));
            let context = context.ok_or_else(|| Error::invalid("a cache's folder was not sent"))?;
            let (folder, held) = folder_of(context, taken).map_err(|error| converted(&error))?;
            let which = match text("digest") {
                "" => text("tag"),
                digest => digest,
            };
            found.push(Arc::new(LayoutBlobs::new(&folder, which, held)));
        }
        Ok(found)
    }

    /// Where the cache goes.
    fn exports(&self, extended: &Extended) -> Result<Vec<CacheTo>> {
        let EngineExecutor {
            settings,
            cancel,
            runtime,
            ..
        } = self.executor;
        let export = |options: &BTreeMap<String, String>| -> corten_build::Result<CacheTo> {
            let text = |name: &str| options.get(name).map_or("", String::as_str);
            let places = ["type", "ref", "dest", "tag", "number", "index"];
            let read = CacheOptions::read(options, &places)?;
            let target: Arc<dyn CacheTarget> = match text("type") {
                "registry" => self.builds.cache_target(text("ref"), settings, cancel, runtime)?,
                "local" => Arc::new(FolderTarget {
                    number: text("number").parse().unwrap_or_default(),
                    tag: match text("tag") {
                        "" => "latest".to_owned(),
                        tag => tag.to_owned(),
                    },
                    index: options.get("index").cloned(),
                }),
                other => return Err(unsupported(&format!("cache exporter {other:?} is not supported"))),
            };
            Ok(CacheTo { options: read, target })
        };
        for options in extended.cache_to.iter().filter(|one| is_of(one, "inline")) {
            CacheOptions::read(options, &["type"]).map_err(|error| converted(&error))?;
        }
        let wanted = extended.cache_to.iter().filter(|one| !is_of(one, "inline"));
        let found: corten_build::Result<Vec<_>> = wanted.map(export).collect();
        found.map_err(|error| converted(&error))
    }

    fn contexts(&self, taken: &Taken) -> corten_build::Result<BTreeMap<String, Named>> {
        let mut found = BTreeMap::new();
        let is_cache = |name: &String| {
            let caches = taken.extended.cache_from.iter();
            caches.into_iter().any(|cache| cache.get("context") == Some(name))
        };
        for (name, context) in &taken.extended.contexts {
            if is_cache(name) {
                continue;
            }
            if let Some(which) = taken.extended.layouts.get(name) {
                let (folder, held) = folder_of(context, taken)?;
                let blobs = LayoutBlobs::new(&folder, which, held);
                found.insert(name.clone(), Named::Layout(Arc::new(blobs)));
                continue;
            }
            let files = |context: Arc<dyn Context>| Named::Files(context);
            let named = match context {
                NamedContext::Folder(folder) => files(Arc::new(Local::new(&here(folder)?, "")?)),
                NamedContext::Sent(below) => {
                    let tree = taken.archive.clone();
                    let tree = tree.ok_or_else(|| unsupported("a named context was not sent"))?;
                    files(Arc::new(Unpacked::new(tree, below)?))
                }
                NamedContext::Image(image) => Named::Image(image.clone()),
                NamedContext::Remote(address) => self.remote_files(address, &agents(&taken.extended))?,
            };
            found.insert(name.clone(), named);
        }
        Ok(found)
    }

    fn remote_files(&self, address: &str, agents: &Arc<dyn Agents>) -> corten_build::Result<Named> {
        use corten_build::Executor as _;
        let tree = match GitSource::parse(address) {
            Some(source) => self.cloned(&source, agents)?,
            None => {
                let (mut body, _) = self.executor.fetch(address)?;
                Arc::new(self.builds.0.store.scratch_from_tar(&mut body)?)
            }
        };
        Ok(Named::Files(Arc::new(Unpacked::new(tree, "")?)))
    }

    fn outputs(&self, extended: &Extended, platforms: &[Platform], attest: &Attest) -> Result<Vec<Arc<dyn Output>>> {
        let names = names(&self.request.tags)?;
        if extended.outputs.is_empty() {
            let options = ImageOptions::named(names);
            return Ok(vec![Arc::new(ImageOutput { options })]);
        }
        let read = |options: &BTreeMap<String, String>| -> Result<ImageOptions> {
            let mut options = options.clone();
            if !names.is_empty() {
                let names: Vec<String> = names.iter().map(ToString::to_string).collect();
                options.entry("name".to_owned()).or_insert_with(|| names.join(","));
            }
            let read = ImageOptions::read(&options).map_err(|error| converted(&error))?;
            read.check_for(platforms, attest).map_err(|error| converted(&error))?;
            Ok(read)
        };
        let output = |(number, output): (usize, &build::Output)| -> Result<Arc<dyn Output>> {
            Ok(match output {
                build::Output::Nothing => return Err(Error::internal("nothing has no output")),
                build::Output::Image(options) => {
                    let EngineExecutor {
                        settings,
                        cancel,
                        runtime,
                        ..
                    } = self.executor;
                    self.builds.image_output(read(options)?, settings, cancel, runtime)
                }
                build::Output::Files => Arc::new(ArchiveOutput {
                    number,
                    archive: Archive::Files,
                    title: "exporting to client directory".to_owned(),
                }),
                build::Output::Archive { options, oci } => Arc::new(ArchiveOutput {
                    number,
                    archive: Archive::Image(read(options)?),
                    title: match oci {
                        true => "exporting to oci image format".to_owned(),
                        false => "exporting to docker image format".to_owned(),
                    },
                }),
            })
        };
        let wanted = extended.outputs.iter().enumerate();
        wanted
            .filter(|(_, output)| **output != build::Output::Nothing)
            .map(output)
            .collect()
    }
}

/// The platforms to build for; this machine's when none is named.
fn platforms(text: &str) -> Result<Vec<Platform>> {
    let mut found = Vec::new();
    for text in text.split(',').filter(|text| !text.is_empty()) {
        let platform: Platform = text.parse().map_err(|error| Error::invalid(format!("{error}")))?;
        if !found.contains(&platform) {
            found.push(platform);
        }
    }
    match found.is_empty() {
        true => Ok(vec![Platform::host()]),
        false => Ok(found),
    }
}

/// The folder of a named context, and what keeps it there.
fn folder_of(context: &NamedContext, taken: &Taken) -> corten_build::Result<(PathBuf, Option<Arc<Scratch>>)> {
    match context {
        NamedContext::Folder(folder) => Ok((here(folder)?, None)),
        NamedContext::Sent(below) => {
            let tree = taken.archive.clone();
            let tree = tree.ok_or_else(|| unsupported("a named context was not sent"))?;
            Ok((tree.path().join(below), Some(tree)))
        }
        NamedContext::Image(_) | NamedContext::Remote(_) => Err(unsupported("a layout must be in a folder")),
    }
}

fn is_of(options: &BTreeMap<String, String>, kind: &str) -> bool {
    options.get("type").is_some_and(|one| one == kind)
}

fn unsupported(message: &str) -> corten_build::Error {
    corten_build::Error::new(Kind::Unsupported, message)
}

/// The first bytes, by which a text is told from an archive.
fn beginning(body: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    body.take(512).read_to_end(&mut start)?;
    Ok(start)
}

/// A folder that client and engine both see. What they see must be the same one: a client may be in a
/// container.
fn here(folder: &LocalFolder) -> corten_build::Result<PathBuf> {
    let path = Path::new(&folder.path);
    let elsewhere = || {
        let message = format!("the folder {} of the client is not the engine's: send it", folder.path);
        corten_build::Error::new(Kind::Conflict, message)
    };
    let about = corten_sys::fs::metadata(path).map_err(|_| elsewhere())?;
    if !path.is_absolute() || !about.is_dir() || (about.dev(), about.ino()) != (folder.device, folder.inode) {
        return Err(elsewhere());
    }
    Ok(path.to_path_buf())
}

fn names(tags: &[String]) -> Result<Vec<Reference>> {
    let names = tags.iter().map(|tag| {
        let name = crate::images::parse_name(tag)?;
        match name.digest() {
            Some(_) => Err(Error::invalid("refusing to create a tag with a digest reference")),
            None => Ok(name),
        }
    });
    names.collect()
}

fn fresh(request: &BuildRequest, extended: &Extended) -> Fresh {
    if request.no_cache {
        return Fresh::Everything;
    }
    let stages: BTreeSet<String> = extended
        .no_cache_filter
        .iter()
        .map(|name| name.to_lowercase())
        .collect();
    match stages.is_empty() {
        true => Fresh::Nothing,
        false => Fresh::Stages(stages),
    }
}

fn secrets(extended: &Extended) -> Result<BTreeMap<String, Secret>> {
    let decoded = extended.secrets.iter().map(|(id, text)| {
        let bytes = STANDARD.decode(text);
        let bytes = bytes.map_err(|_| Error::invalid(format!("the secret {id} is not in base64")))?;
        Ok((id.clone(), Secret(bytes)))
    });
    decoded.collect()
}

fn agents(extended: &Extended) -> Arc<dyn Agents> {
    let sockets = extended.agents.iter();
    let sockets: BTreeMap<String, PathBuf> = sockets.map(|(id, path)| (id.clone(), PathBuf::from(path))).collect();
    Arc::new(sockets)
}

/// A build whose network is the host's may use it.
fn allowed(request: &BuildRequest, extended: &Extended) -> Result<Allowed> {
    let mut allowed = Allowed {
        host_network: request.steps.network == "host",
        ..Allowed::default()
    };
    for name in &extended.allow {
        allowed.add(name).map_err(|error| converted(&error))?;
    }
    Ok(allowed)
}
