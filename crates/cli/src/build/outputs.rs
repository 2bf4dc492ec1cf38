//! `--output`: what becomes of a result, and where what the engine sends of it goes.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use corten_api::build::Output;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    cli::write_or_exit,
    container::cp,
    error::{Error, Result},
    flags::Matches,
};

/// Where one output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    /// It stays with the engine.
    Engine,
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
    /// A folder, into which files are unpacked.
    Folder(PathBuf),
    /// A folder that is an OCI layout.
    Layout(PathBuf),
}

/// What a layout's images are listed in.
const INDEX: &str = "index.json";

/// `key=value,…`, quoted as CSV is.
pub(super) fn fields(text: &str) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for field in split(text) {
        let (key, value) = field
            .split_once('=')
            .ok_or_else(|| Error::new(format!("invalid field '{field}' must be a key=value pair")))?;
        found.insert(key.trim().to_ascii_lowercase(), value.to_owned());
    }
    Ok(found)
}

/// The fields of one record of CSV.
fn split(text: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}

/// `--output`, `--load`, `--push` and `--annotation`.
pub(super) fn read(m: &Matches) -> Result<(Vec<Output>, Vec<Destination>)> {
    let mut found = Vec::new();
    for text in m.all("output") {
        found.push(output(text)?);
    }
    let image = |found: &mut Vec<(Output, Destination)>| {
        if !found.iter().any(|(output, _)| matches!(output, Output::Image(_))) {
            found.push((Output::Image(BTreeMap::new()), Destination::Engine));
        }
    };
    if m.on("load") {
        image(&mut found);
    }
    if m.on("push") {
        image(&mut found);
        let options = found.iter_mut().find_map(|(output, _)| match output {
            Output::Image(options) => Some(options),
            _ => None,
        });
        if let Some(options) = options {
            options.insert("push".to_owned(), "true".to_owned());
        }
    }
    let annotations = annotations(&m.all("annotation"))?;
    if !annotations.is_empty() && found.is_empty() {
        image(&mut found);
    }
    for (output, _) in &mut found {
        match output {
            Output::Image(options) | Output::Archive { options, .. } => options.extend(annotations.clone()),
            Output::Nothing | Output::Files => {}
        }
    }
    if found.iter().filter(|(_, to)| *to == Destination::Stdout).count() > 1 {
        return Err(Error::new("only one output can go to standard output"));
    }
    Ok(found.into_iter().unzip())
}

/// `--annotation [type[\[platform\]][,type…]:]key=value` as options of an output.
fn annotations(texts: &[&str]) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Error::new(format!("invalid annotation {text:?}, expected key=value")))?;
        let Some((kinds, key)) = name.split_once(':') else {
            found.insert(format!("annotation.{name}"), value.to_owned());
            continue;
        };
        for kind in kinds.split(',') {
            let (place, _) = kind.split_once('[').unwrap_or((kind, ""));
            if place.len() < kind.len() && !kind.ends_with(']') {
                return Err(Error::new(format!(
                    "invalid annotation type {kind:?}, expected type and optional platform in square brackets"
                )));
            }
            match place {
                "index" | "index-descriptor" | "manifest" | "manifest-descriptor" => {}
                other => return Err(Error::new(format!("unknown annotation type {other:?}"))),
            }
            found.insert(format!("annotation-{kind}.{key}"), value.to_owned());
        }
    }
    Ok(found)
}

fn output(text: &str) -> Result<(Output, Destination)> {
    if text == "-" {
        return Ok((Output::Files, Destination::Stdout));
    }
    if !text.contains('=') {
        return Ok((Output::Files, Destination::Folder(text.into())));
    }
    let mut options = fields(text)?;
    let kind = options.remove("type").filter(|kind| !kind.is_empty());
    let kind = kind.ok_or_else(|| Error::new(format!("type is required for output {text:?}")))?;
    let to = options.remove("dest").filter(|path| !path.is_empty());
    let file = |to: Option<String>| match to.as_deref() {
        None | Some("-") => Destination::Stdout,
        Some(path) => Destination::File(path.into()),
    };
    let files = match (kind.as_str(), to) {
        ("local", Some(path)) => (Output::Files, Destination::Folder(path.into())),
        ("local", None) => return Err(Error::new("dest is required for local output")),
        ("tar", to) => (Output::Files, file(to)),
        ("cacheonly", None) => (Output::Nothing, Destination::Engine),
        ("docker", None) => return Ok((Output::Image(options), Destination::Engine)),
        ("docker", to) => return Ok((Output::Archive { options, oci: false }, file(to))),
        ("oci", to) => {
            match (options.remove("tar").as_deref(), &to) {
                (None | Some("true" | "1"), _) => {}
                (Some("false" | "0"), Some(path)) => {
                    return Ok((Output::Archive { options, oci: true }, Destination::Layout(path.into())));
                }
                (Some("false" | "0"), None) => {
                    return Err(Error::new("dest is required for oci output with tar=false"));
                }
                (Some(other), _) => return Err(Error::new(format!("non-bool value for tar: {other}"))),
            }
            return Ok((Output::Archive { options, oci: true }, file(to)));
        }
        ("image", None) => return Ok((Output::Image(options), Destination::Engine)),
        ("registry", None) => {
            options.insert("push".to_owned(), "true".to_owned());
            return Ok((Output::Image(options), Destination::Engine));
        }
        ("image" | "registry", Some(_)) => {
            return Err(Error::new(format!("dest is not supported for {kind} output")));
        }
        (other, _) => return Err(Error::new(format!("unknown output type {other:?}"))),
    };
    match options.into_keys().next() {
        Some(key) => Err(Error::new(format!(
            "--output {kind}: the option {key} is not supported"
        ))),
        None => Ok(files),
    }
}

/// Takes what the engine sends of outputs.
#[derive(Default)]
pub(super) struct Receiver {
    open: BTreeMap<usize, Open>,
}

/// An output that is being written.
enum Open {
    Stdout,
    File {
        file: File,
        path: PathBuf,
        temporary: Temporary,
    },
    Folder {
        pieces: mpsc::Sender<std::io::Result<Bytes>>,
        thread: JoinHandle<Result<()>>,
    },
}

impl Receiver {
    /// Takes a piece, or the end.
    pub(super) fn take(&mut self, destinations: &[Destination], number: usize, piece: Option<&str>) -> Result<()> {
        if let Entry::Vacant(place) = self.open.entry(number) {
            let destination = destinations
                .get(number)
                .ok_or_else(|| Error::new("the engine sends an output that nobody asked for"))?;
            place.insert(Open::new(destination).map_err(|error| unwritten(destination, error))?);
        }
        let Some(text) = piece else {
            let ended = self.open.remove(&number).map_or(Ok(()), Open::finish);
            return match destinations.get(number) {
                Some(destination) => ended.map_err(|error| unwritten(destination, error)),
                None => ended,
            };
        };
        let bytes = STANDARD
            .decode(text)
            .map_err(|_| Error::new("the engine sends an output that is not in base64"))?;
        match self.open.get_mut(&number) {
            Some(open) => open.write(bytes),
            None => Ok(()),
        }
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::new(error.to_string())
}

/// The reason alone, without a name that nobody knows.
pub(super) fn reason(error: std::io::Error) -> Error {
    let errno = corten_sys::fs::raw_os_error(&error).map(std::io::Error::from_raw_os_error);
    Error::new(corten_sys::fs::reason(&errno.unwrap_or(error)))
}

/// Says which output it was.
fn unwritten(destination: &Destination, error: Error) -> Error {
    let place = match destination {
        Destination::Engine | Destination::Stdout => return error,
        Destination::File(path) | Destination::Folder(path) | Destination::Layout(path) => path.display(),
    };
    let message = format!(
        "ERROR: failed to build: cannot write the output to {place}: {}",
        error.message
    );
    Error { message, ..error }
}

/// A file that is gone unless it was given its name.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // It has its name, or nobody can do anything about it.
        let _ = corten_sys::fs::remove_file(&self.0);
    }
}

impl Open {
    fn new(destination: &Destination) -> Result<Self> {
        match destination {
            Destination::Engine => Err(Error::new("the engine sends an output that it should keep")),
            Destination::Stdout => Ok(Self::Stdout),
            Destination::File(path) => {
                if path.is_dir() {
                    return Err(Error::new(
                        "there is a folder of that name: give the name of a file with dest=",
                    ));
                }
                let temporary = beside(path);
                let file = corten_sys::fs::create(&temporary).map_err(reason)?;
                Ok(Self::File {
                    file,
                    path: path.clone(),
                    temporary: Temporary(temporary),
                })
            }
            Destination::Folder(path) | Destination::Layout(path) => {
                corten_sys::fs::create_dir_all(path).map_err(failed)?;
                let layout = matches!(destination, Destination::Layout(_)).then(|| Layout::begin(path));
                let folder = path.to_string_lossy().into_owned();
                let (pieces, receiver) = mpsc::channel(4);
                let thread = std::thread::spawn(move || {
                    cp::unpack(receiver, &folder)?;
                    layout.map_or(Ok(()), Layout::finish)
                });
                Ok(Self::Folder { pieces, thread })
            }
        }
    }

    fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        match self {
            Self::Stdout => write_or_exit(&mut std::io::stdout().lock(), &bytes),
            Self::File { file, .. } => file.write_all(&bytes).map_err(failed)?,
            // One that has ended says why at the end.
            Self::Folder { pieces, .. } => {
                let mut piece = Ok(Bytes::from(bytes));
                while let Err(mpsc::error::TrySendError::Full(back)) = pieces.try_send(piece) {
                    piece = back;
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File { path, temporary, .. } => corten_sys::fs::rename(&temporary.0, &path).map_err(failed),
            Self::Folder { pieces, thread } => {
                drop(pieces);
                thread
                    .join()
                    .unwrap_or_else(|_| Err(Error::new("unpacking the output failed")))
            }
        }
    }
}

/// A folder that is an OCI layout, and what it had before.
struct Layout {
    folder: PathBuf,
    before: Vec<Value>,
}

impl Layout {
    fn begin(folder: &Path) -> Self {
        let index = corten_sys::fs::read(folder.join(INDEX)).ok();
        let index = index.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let before = index.and_then(|index| index["manifests"].as_array().cloned());
        Self {
            folder: folder.to_owned(),
            before: before.unwrap_or_default(),
        }
    }

    /// Takes away what only Docker's own archives have, and names again what was there under other names.
    fn finish(self) -> Result<()> {
        for extra in ["manifest.json", "repositories"] {
            corten_sys::fs::if_there(corten_sys::fs::remove_file(self.folder.join(extra))).map_err(failed)?;
        }
        let place = self.folder.join(INDEX);
        let bytes = corten_sys::fs::read(&place).map_err(failed)?;
        let mut index: Value = serde_json::from_slice(&bytes).map_err(|error| Error::new(error.to_string()))?;
        if let Some(manifests) = index["manifests"].as_array_mut() {
            let name = |one: &Value| one["annotations"]["org.opencontainers.image.ref.name"].clone();
            let names: Vec<Value> = manifests.iter().map(name).collect();
            let other = |one: &Value| !names.contains(&name(one));
            manifests.extend(self.before.into_iter().filter(other));
        }
        corten_sys::fs::write_atomic(&place, index.to_string().as_bytes()).map_err(failed)
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: (Output, Destination)) {
        assert_eq!(output(text), Ok(expected), "{text}");
    }

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        pairs.collect()
    }

    #[test]
    fn outputs_are_read() {
        let archive = |oci| Output::Archive {
            options: BTreeMap::new(),
            oci,
        };
        check("out", (Output::Files, Destination::Folder("out".into())));
        check("-", (Output::Files, Destination::Stdout));
        check("type=local,dest=d", (Output::Files, Destination::Folder("d".into())));
        check(
            "type=tar,dest=f.tar",
            (Output::Files, Destination::File("f.tar".into())),
        );
        check("type=oci,dest=-", (archive(true), Destination::Stdout));
        check("type=docker,dest=f", (archive(false), Destination::File("f".into())));
        let image = |pairs: &[(&str, &str)]| (Output::Image(options(pairs)), Destination::Engine);
        check("type=docker", image(&[]));
        check(
            "type=image,push=true,compression=zstd",
            image(&[("push", "true"), ("compression", "zstd")]),
        );
        check("type=registry", image(&[("push", "true")]));
        check("type=cacheonly", (Output::Nothing, Destination::Engine));
        let error = |text: &str| output(text).unwrap_err().message;
        check(
            "type=oci,tar=false,dest=d",
            (archive(true), Destination::Layout("d".into())),
        );
        assert_eq!(
            error("type=oci,tar=false"),
            "dest is required for oci output with tar=false"
        );
        assert_eq!(error("type=oci,tar=no,dest=d"), "non-bool value for tar: no");
        assert_eq!(error("type=local"), "dest is required for local output");
        assert_eq!(error("type=loca,dest=x"), "unknown output type \"loca\"");
        assert_eq!(error("dest=x"), "type is required for output \"dest=x\"");
        assert_eq!(
            error("type=tar,compression=zstd"),
            "--output tar: the option compression is not supported"
        );
    }

    #[test]
    fn annotations_are_read() {
        let read = |text: &str| annotations(&[text]);
        assert_eq!(read("a=b").unwrap(), options(&[("annotation.a", "b")]));
        assert_eq!(
            read("index,manifest[linux/amd64]:a.b=c").unwrap(),
            options(&[
                ("annotation-index.a.b", "c"),
                ("annotation-manifest[linux/amd64].a.b", "c")
            ])
        );
        assert_eq!(read("x:a=b").unwrap_err().message, "unknown annotation type \"x\"");
        assert!(read("a").is_err() && read("index[:a=b").is_err());
    }

    #[test]
    fn fields_may_be_quoted() {
        let found = fields("id=x,\"src=a,b\"").unwrap();
        assert_eq!((found["id"].as_str(), found["src"].as_str()), ("x", "a,b"));
        assert!(fields("x").is_err());
    }
}
