//! Where a build's files come from: a folder, standard input, an address.

use std::{
    io::{self, Read, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use corten_api::build::{Extended, LocalFolder, NamedContext};
use corten_client::Body;
use corten_dockerfile::Ignore;
use corten_sys::fs;

use super::{order::Named, tar};
use crate::error::{Error, Result};

/// The folder of the archive that is the context, when there are others beside it.
const CONTEXT: &str = "context";

/// A context.
#[derive(Debug)]
pub(super) enum Source {
    /// A folder.
    Folder {
        /// Where it is.
        folder: PathBuf,
        /// Where its Dockerfile is.
        dockerfile: Dockerfile,
    },
    /// An archive that begins with these bytes and goes on at standard input.
    Archive { start: Vec<u8>, dockerfile: String },
    /// Only a Dockerfile.
    Text(String),
    /// An address that the engine fetches.
    Remote { url: String, dockerfile: String },
}

/// The Dockerfile of a folder.
#[derive(Debug, Clone)]
pub(super) enum Dockerfile {
    /// In it.
    Inside(String),
    /// Somewhere else, or from standard input.
    Elsewhere { name: String, text: String, ignore: String },
}

/// How files reach the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It reads them where they are.
    InPlace,
    /// They are sent.
    Sent,
}

/// What of a request the context decides.
#[derive(Debug)]
pub(super) struct Sending {
    /// Path of the Dockerfile in the context.
    pub(super) dockerfile: String,
    /// Where the engine gets the context from, instead of the request.
    pub(super) remote: String,
    /// The files.
    pub(super) body: Body,
}

impl Source {
    pub(super) fn find(context: &str, file: &str) -> Result<Self> {
        if context == "-" {
            if file == "-" {
                return Err(Error::new(
                    "invalid argument: can't use stdin for both build context and dockerfile",
                ));
            }
            return stdin(file);
        }
        if is_address(context) && !Path::new(context).exists() {
            return Ok(Self::Remote {
                url: context.to_owned(),
                dockerfile: file.to_owned(),
            });
        }
        let folder = PathBuf::from(context);
        if !folder.is_dir() {
            return Err(Error::new(format!(
                "unable to prepare context: path {context:?} not found"
            )));
        }
        let dockerfile = dockerfile(&folder, file)?;
        Ok(Self::Folder { folder, dockerfile })
    }

    /// The Dockerfile's name, for people.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Folder {
                dockerfile: Dockerfile::Inside(name) | Dockerfile::Elsewhere { name, .. },
                ..
            } => name,
            Self::Archive { dockerfile, .. } | Self::Remote { dockerfile, .. } if !dockerfile.is_empty() => dockerfile,
            _ => "Dockerfile",
        }
    }

    /// The Dockerfile's text; empty where it is not known yet.
    pub(super) fn dockerfile(&self) -> Result<String> {
        match self {
            Self::Folder {
                folder,
                dockerfile: Dockerfile::Inside(name),
            } => {
                let bytes = fs::read(folder.join(name)).map_err(|_| no_dockerfile(name))?;
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            Self::Folder {
                dockerfile: Dockerfile::Elsewhere { text, .. },
                ..
            }
            | Self::Text(text) => Ok(text.clone()),
            Self::Archive { .. } | Self::Remote { .. } => Ok(String::new()),
        }
    }

    /// What `.dockerignore` leaves out of a folder.
    pub(super) fn ignore(&self) -> Ignore {
        match self {
            Self::Folder { folder, dockerfile } => ignore(folder, dockerfile),
            _ => Ignore::default(),
        }
    }

    /// Whether it can be read where it is, if the engine is on this machine.
    pub(super) fn is_folder(&self) -> bool {
        matches!(self, Self::Folder { .. })
    }

    /// Makes ready what is sent; says what goes with it.
    pub(super) fn send(&mut self, way: Way, named: &[(String, Named)], extended: &mut Extended) -> Result<Sending> {
        let sent = name_contexts(way, named, extended)?;
        let below = if sent.is_empty() { "" } else { CONTEXT };
        below.clone_into(&mut extended.below);
        let sending = |dockerfile: &str, body: Body| Sending {
            dockerfile: dockerfile.to_owned(),
            remote: String::new(),
            body,
        };
        match self {
            Self::Remote { url, dockerfile } => Ok(Sending {
                dockerfile: dockerfile.clone(),
                remote: url.clone(),
                body: Body::Empty,
            }),
            Self::Archive { .. } | Self::Text(_) if !sent.is_empty() => Err(Error::new(
                "--build-context with a folder needs a folder as context when the engine is elsewhere",
            )),
            Self::Archive { start, dockerfile } => {
                let start = std::mem::take(start);
                let body = Body::written(move |out| {
                    out.write_all(&start)?;
                    io::copy(&mut io::stdin().lock(), out).map(drop)
                });
                Ok(sending(dockerfile, body))
            }
            Self::Text(text) => {
                let text = text.clone();
                let body = Body::written(move |out| {
                    let mut archive = tar::Writer::new(out);
                    archive.file("Dockerfile", text.as_bytes())?;
                    archive.finish()
                });
                Ok(sending("", body))
            }
            Self::Folder { folder, dockerfile } => {
                let name = match &*dockerfile {
                    Dockerfile::Inside(name) => name.clone(),
                    Dockerfile::Elsewhere { name, text, ignore } => {
                        extended.dockerfile = Some(text.clone());
                        extended.ignore = Some(ignore.clone()).filter(|ignore| !ignore.is_empty());
                        name.clone()
                    }
                };
                if way == Way::InPlace {
                    extended.folder = Some(local(folder)?);
                    return Ok(sending(&name, Body::Empty));
                }
                let mut folders = vec![(
                    below.to_owned(),
                    folder.clone(),
                    ignore(folder, dockerfile),
                    always(dockerfile),
                )];
                folders.extend(sent.into_iter().map(|(below, folder)| {
                    let ignore = own_ignore(&folder);
                    (below, folder, ignore, Vec::new())
                }));
                let body = Body::written(move |out| {
                    let mut archive = tar::Writer::new(out);
                    for (below, folder, ignore, always) in &folders {
                        let tree = Tree {
                            folder,
                            prefix: below,
                            ignore,
                            always,
                        };
                        tree.write("", &mut archive)?;
                    }
                    archive.finish()
                });
                Ok(sending(&name, body))
            }
        }
    }
}

pub(super) fn is_address(text: &str) -> bool {
    ["http://", "https://", "git://", "git@", "ssh://", "github.com/"]
        .iter()
        .any(|start| text.starts_with(start))
        || is_scp(text)
}

/// Whether a context is a repository that is reached over SSH.
pub(super) fn is_ssh(text: &str) -> bool {
    (text.starts_with("ssh://") || is_scp(text)) && !Path::new(text).exists()
}

/// `user@host:path`
fn is_scp(text: &str) -> bool {
    let host = text.split_once(':').and_then(|(before, _)| before.split_once('@'));
    host.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !user.contains('/') && !host.contains('/'))
}

/// What of a Dockerfile's folder is sent whatever is left out.
fn always(dockerfile: &Dockerfile) -> Vec<String> {
    let mut names = vec![".dockerignore".to_owned()];
    if let Dockerfile::Inside(name) = dockerfile {
        names.extend([name.clone(), format!("{name}.dockerignore")]);
    }
    names
}

/// Says what named contexts are; gives the folders that are sent, by their place in the archive.
fn name_contexts(way: Way, named: &[(String, Named)], extended: &mut Extended) -> Result<Vec<(String, PathBuf)>> {
    let mut sent = Vec::new();
    for (name, context) in named {
        let context = match context {
            Named::Image(image) => NamedContext::Image(image.clone()),
            Named::Remote(address) => NamedContext::Remote(address.clone()),
            Named::Folder(folder) if way == Way::InPlace => NamedContext::Folder(local(folder)?),
            Named::Folder(folder) => {
                let below = format!("named-{}", sent.len());
                sent.push((below.clone(), folder.clone()));
                NamedContext::Sent(below)
            }
        };
        extended.contexts.insert(name.clone(), context);
    }
    Ok(sent)
}

/// A folder of this machine, and what proves it.
fn local(folder: &Path) -> Result<LocalFolder> {
    let failed = |error: io::Error| Error::new(error.to_string());
    let whole = fs::canonicalize(folder).map_err(failed)?;
    let about = fs::metadata(&whole).map_err(failed)?;
    Ok(LocalFolder {
        path: whole.to_string_lossy().into_owned(),
        device: about.dev(),
        inode: about.ino(),
    })
}

fn no_dockerfile(name: &str) -> Error {
    Error::new(format!(
        "failed to solve: failed to read dockerfile: open {name}: no such file or directory"
    ))
}

/// Finds a folder's Dockerfile.
fn dockerfile(folder: &Path, file: &str) -> Result<Dockerfile> {
    if file == "-" {
        let mut bytes = Vec::new();
        io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .map_err(|error| Error::new(error.to_string()))?;
        return Ok(Dockerfile::Elsewhere {
            name: "Dockerfile".to_owned(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
            ignore: String::new(),
        });
    }
    if file.is_empty() {
        let is_there = |name: &str| folder.join(name).exists();
        let name = if !is_there("Dockerfile") && is_there("dockerfile") {
            "dockerfile"
        } else {
            "Dockerfile"
        };
        return Ok(Dockerfile::Inside(name.to_owned()));
    }
    // A path from here, as the shell means it.
    let given = Path::new(file);
    let whole = |path: &Path| fs::canonicalize(path).ok();
    let found = whole(given)
        .or_else(|| whole(&folder.join(file)))
        .ok_or_else(|| no_dockerfile(file))?;
    let inside = whole(folder).and_then(|folder| found.strip_prefix(folder).ok().map(Path::to_path_buf));
    match inside {
        Some(path) => Ok(Dockerfile::Inside(path.to_string_lossy().into_owned())),
        None => {
            let text = fs::read(&found).map_err(|error| Error::new(error.to_string()))?;
            let mut beside = found.clone().into_os_string();
            beside.push(".dockerignore");
            Ok(Dockerfile::Elsewhere {
                name: found.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                text: String::from_utf8_lossy(&text).into_owned(),
                // Its own comes first, wherever the Dockerfile is.
                ignore: fs::read_to_string(beside).unwrap_or_default(),
            })
        }
    }
}

/// An archive, or a Dockerfile.
fn stdin(file: &str) -> Result<Source> {
    let mut start = vec![0; 512];
    let mut filled = 0;
    let mut input = io::stdin().lock();
    while filled < start.len() {
        match input.read(&mut start[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::new(error.to_string())),
        }
    }
    start.truncate(filled);
    if is_archive(&start) {
        return Ok(Source::Archive {
            start,
            dockerfile: file.to_owned(),
        });
    }
    let read = input.read_to_end(&mut start);
    read.map_err(|error| Error::new(error.to_string()))?;
    if start.is_empty() {
        return Err(Error::new("the Dockerfile on standard input is empty"));
    }
    Ok(Source::Text(String::from_utf8_lossy(&start).into_owned()))
}

fn is_archive(start: &[u8]) -> bool {
    let magics: [&[u8]; 4] = [
        &[0x1f, 0x8b],
        &[0x28, 0xb5, 0x2f, 0xfd],
        b"BZh",
        &[0xfd, b'7', b'z', b'X', b'Z'],
    ];
    start.get(257..262) == Some(b"ustar") || magics.iter().any(|magic| start.starts_with(magic))
}

/// Puts bytes before a body.
pub(super) fn with_preface(preface: Vec<u8>, body: Body) -> Body {
    match body {
        Body::Empty => Body::Bytes(preface.into()),
        Body::Bytes(bytes) => Body::Bytes([preface, bytes.to_vec()].concat().into()),
        Body::Pieces(mut pieces) => Body::written(move |out| {
            out.write_all(&preface)?;
            while let Some(piece) = pieces.blocking_recv() {
                out.write_all(&piece?)?;
            }
            Ok(())
        }),
    }
}

/// `<Dockerfile>.dockerignore`, or the context's own.
fn ignore(folder: &Path, dockerfile: &Dockerfile) -> Ignore {
    match dockerfile {
        Dockerfile::Elsewhere { ignore, .. } if !ignore.is_empty() => Ignore::parse(ignore),
        Dockerfile::Elsewhere { .. } => own_ignore(folder),
        Dockerfile::Inside(name) => match fs::read(folder.join(format!("{name}.dockerignore"))) {
            Ok(bytes) => Ignore::parse(&String::from_utf8_lossy(&bytes)),
            Err(_) => own_ignore(folder),
        },
    }
}

fn own_ignore(folder: &Path) -> Ignore {
    let bytes = fs::read(folder.join(".dockerignore")).unwrap_or_default();
    Ignore::parse(&String::from_utf8_lossy(&bytes))
}

/// A folder on its way into an archive.
struct Tree<'a> {
    folder: &'a Path,
    /// Its place in the archive.
    prefix: &'a str,
    ignore: &'a Ignore,
    /// What the engine needs whatever is left out.
    always: &'a [String],
}

impl Tree<'_> {
    fn write(&self, below: &str, archive: &mut tar::Writer<'_>) -> io::Result<()> {
        let mut names: Vec<_> = fs::read_dir(self.folder.join(below))?
            .map(|entry| entry.map(|e| e.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort();
        for name in names {
            let path = joined(below, &name.to_string_lossy());
            let metadata = match fs::symlink_metadata(self.folder.join(&path)) {
                Ok(metadata) => metadata,
                // It vanished meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let excluded = self.ignore.excludes(&path) && !self.always.contains(&path);
            let place = joined(self.prefix, &path);
            if metadata.is_dir() {
                let start = format!("{path}/");
                let holds_wanted = self.always.iter().any(|wanted| wanted.starts_with(&start));
                if excluded && !self.ignore.may_keep_below() && !holds_wanted {
                    continue;
                }
                if !excluded {
                    archive.entry(&format!("{place}/"), &metadata, b"", &mut io::empty())?;
                }
                self.write(&path, archive)?;
            } else if !excluded {
                member(&self.folder.join(&path), &place, &metadata, archive)?;
            }
        }
        Ok(())
    }
}

fn joined(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

fn member(at: &Path, path: &str, metadata: &std::fs::Metadata, archive: &mut tar::Writer<'_>) -> io::Result<()> {
    if metadata.is_symlink() {
        let target = fs::read_link(at)?;
        return archive.entry(path, metadata, target.as_os_str().as_encoded_bytes(), &mut io::empty());
    }
    if metadata.is_file() {
        return archive.entry(path, metadata, b"", &mut fs::open(at)?);
    }
    // Sockets, pipes and devices are nothing to build with.
    Ok(())
}
