//! Where a build's files come from: a folder, standard input, an address.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use corten_client::Body;
use corten_dockerfile::Ignore;
use corten_sys::fs;

use super::tar;
use crate::error::{Error, Result};

/// The name under which a Dockerfile travels that is not in the context.
const ELSEWHERE: &str = ".dockerfile.given";

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
#[derive(Debug)]
pub(super) enum Dockerfile {
    /// In it.
    Inside(String),
    /// Somewhere else, or from standard input.
    Elsewhere { name: String, text: String },
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
        let is_address = ["http://", "https://", "git://", "git@", "ssh://"]
            .iter()
            .any(|start| context.starts_with(start));
        if is_address && !Path::new(context).exists() {
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

    /// Parameters `dockerfile` and `remote`, and the request's body.
    pub(super) fn into_body(self) -> Result<(String, String, Body)> {
        match self {
            Self::Remote { url, dockerfile } => Ok((dockerfile, url, Body::Empty)),
            Self::Archive { start, dockerfile } => {
                let body = Body::written(move |out| {
                    out.write_all(&start)?;
                    io::copy(&mut io::stdin().lock(), out).map(drop)
                });
                Ok((dockerfile, String::new(), body))
            }
            Self::Text(text) => {
                let body = Body::written(move |out| {
                    let mut archive = tar::Writer::new(out);
                    archive.file("Dockerfile", text.as_bytes())?;
                    archive.finish()
                });
                Ok((String::new(), String::new(), body))
            }
            Self::Folder { folder, dockerfile } => {
                let name = match &dockerfile {
                    Dockerfile::Inside(name) => name.clone(),
                    Dockerfile::Elsewhere { .. } => ELSEWHERE.to_owned(),
                };
                let kept = name.clone();
                let body = Body::written(move |out| write_folder(&folder, &dockerfile, &kept, out));
                Ok((name, String::new(), body))
            }
        }
    }
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
        });
    }
    if file.is_empty() {
        return Ok(Dockerfile::Inside("Dockerfile".to_owned()));
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
            Ok(Dockerfile::Elsewhere {
                name: found.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                text: String::from_utf8_lossy(&text).into_owned(),
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

fn write_folder(folder: &Path, dockerfile: &Dockerfile, name: &str, out: &mut dyn Write) -> io::Result<()> {
    let ignore = ignore(folder, name);
    let mut archive = tar::Writer::new(out);
    if let Dockerfile::Elsewhere { text, .. } = dockerfile {
        archive.file(ELSEWHERE, text.as_bytes())?;
    }
    // The engine needs these two whatever is left out.
    let always = [name, ".dockerignore"];
    write_below(folder, "", &ignore, &always, &mut archive)?;
    archive.finish()
}

/// `<Dockerfile>.dockerignore`, or the context's own.
fn ignore(folder: &Path, dockerfile: &str) -> Ignore {
    let own = fs::read(folder.join(format!("{dockerfile}.dockerignore")));
    let bytes = own
        .or_else(|_| fs::read(folder.join(".dockerignore")))
        .unwrap_or_default();
    Ignore::parse(&String::from_utf8_lossy(&bytes))
}

fn write_below(
    folder: &Path,
    below: &str,
    ignore: &Ignore,
    always: &[&str],
    archive: &mut tar::Writer<'_>,
) -> io::Result<()> {
    let mut names: Vec<_> = fs::read_dir(folder.join(below))?
        .map(|entry| entry.map(|e| e.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort();
    for name in names {
        let name = name.to_string_lossy();
        let path = if below.is_empty() {
            name.into_owned()
        } else {
            format!("{below}/{name}")
        };
        let metadata = match fs::symlink_metadata(folder.join(&path)) {
            Ok(metadata) => metadata,
            // It vanished meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let excluded = ignore.excludes(&path) && !always.contains(&path.as_str());
        if metadata.is_dir() {
            let holds_wanted = always.iter().any(|wanted| wanted.starts_with(&format!("{path}/")));
            if excluded && !ignore.may_keep_below() && !holds_wanted {
                continue;
            }
            if !excluded {
                archive.entry(&format!("{path}/"), &metadata, b"", &mut io::empty())?;
            }
            write_below(folder, &path, ignore, always, archive)?;
        } else if !excluded {
            member(&folder.join(&path), &path, &metadata, archive)?;
        }
    }
    Ok(())
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
