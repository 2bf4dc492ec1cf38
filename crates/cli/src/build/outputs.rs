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
}

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

/// `--output`, `--load` and `--push`.
pub(super) fn read(m: &Matches) -> Result<(Vec<Output>, Vec<Destination>)> {
    let mut found = Vec::new();
    for text in m.all("output") {
        found.push(output(text, &names(m))?);
    }
    if m.on("push") {
        match found.iter_mut().find(|(output, _)| *output == Output::Image) {
            Some(image) => image.0 = Output::Push,
            None => found.push((Output::Push, Destination::Engine)),
        }
    }
    if m.on("load") && !found.iter().any(|(output, _)| *output == Output::Image) {
        found.push((Output::Image, Destination::Engine));
    }
    if found.iter().filter(|(_, to)| *to == Destination::Stdout).count() > 1 {
        return Err(Error::new("only one output can go to standard output"));
    }
    Ok(found.into_iter().unzip())
}

fn names(m: &Matches) -> Vec<String> {
    m.all("tag").into_iter().map(str::to_owned).collect()
}

fn output(text: &str, names: &[String]) -> Result<(Output, Destination)> {
    if text == "-" {
        return Ok((Output::Files, Destination::Stdout));
    }
    if !text.contains('=') {
        return Ok((Output::Files, Destination::Folder(text.into())));
    }
    let mut fields = fields(text)?;
    let kind = fields.remove("type").filter(|kind| !kind.is_empty());
    let kind = kind.ok_or_else(|| Error::new(format!("type is required for output {text:?}")))?;
    let to = fields.remove("dest").filter(|path| !path.is_empty());
    let given = fields.remove("name").filter(|names| !names.is_empty());
    let names: Vec<String> = match given {
        Some(given) => given.split(',').map(str::to_owned).collect(),
        None => names.to_vec(),
    };
    let pushes = fields.remove("push").is_some_and(|value| value == "true");
    let file = |to: Option<String>| match to.as_deref() {
        None | Some("-") => Destination::Stdout,
        Some(path) => Destination::File(path.into()),
    };
    let found = match (kind.as_str(), to) {
        ("local", Some(path)) => (Output::Files, Destination::Folder(path.into())),
        ("local", None) => return Err(Error::new("dest is required for local output")),
        ("tar", to) => (Output::Files, file(to)),
        ("docker", None) => (Output::Image, Destination::Engine),
        ("docker", to) => (Output::Archive { names, oci: false }, file(to)),
        ("oci", to) => {
            match fields.remove("tar").as_deref() {
                None | Some("true") => {}
                Some(_) => return Err(Error::new("type=oci,tar=false is not supported yet")),
            }
            (Output::Archive { names, oci: true }, file(to))
        }
        ("image", None) if !pushes => (Output::Image, Destination::Engine),
        ("image" | "registry", None) => (Output::Push, Destination::Engine),
        ("image" | "registry", Some(_)) => {
            return Err(Error::new(format!("dest is not supported for {kind} output")));
        }
        ("cacheonly", None) => (Output::Nothing, Destination::Engine),
        (other, _) => return Err(Error::new(format!("unknown output type {other:?}"))),
    };
    match fields.into_keys().next() {
        Some(key) => Err(Error::new(format!(
            "--output {kind}: the option {key} is not supported yet"
        ))),
        None => Ok(found),
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
        temporary: PathBuf,
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
            place.insert(Open::new(destination)?);
        }
        let Some(text) = piece else {
            return self.open.remove(&number).map_or(Ok(()), Open::finish);
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

impl Open {
    fn new(destination: &Destination) -> Result<Self> {
        match destination {
            Destination::Engine => Err(Error::new("the engine sends an output that it should keep")),
            Destination::Stdout => Ok(Self::Stdout),
            Destination::File(path) => {
                let temporary = beside(path);
                Ok(Self::File {
                    file: corten_sys::fs::create(&temporary).map_err(failed)?,
                    path: path.clone(),
                    temporary,
                })
            }
            Destination::Folder(path) => {
                corten_sys::fs::create_dir_all(path).map_err(failed)?;
                let folder = path.to_string_lossy().into_owned();
                let (pieces, receiver) = mpsc::channel(4);
                let thread = std::thread::spawn(move || cp::unpack(receiver, &folder));
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
            Self::File { path, temporary, .. } => corten_sys::fs::rename(&temporary, &path).map_err(failed),
            Self::Folder { pieces, thread } => {
                drop(pieces);
                thread
                    .join()
                    .unwrap_or_else(|_| Err(Error::new("unpacking the output failed")))
            }
        }
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
        assert_eq!(output(text, &["a:1".to_owned()]), Ok(expected), "{text}");
    }

    #[test]
    fn outputs_are_read() {
        let archive = |oci| Output::Archive {
            names: vec!["a:1".to_owned()],
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
        check("type=docker", (Output::Image, Destination::Engine));
        check("type=image,push=true", (Output::Push, Destination::Engine));
        check("type=cacheonly", (Output::Nothing, Destination::Engine));
        let error = |text: &str| output(text, &[]).unwrap_err().message;
        assert_eq!(error("type=local"), "dest is required for local output");
        assert_eq!(error("type=loca,dest=x"), "unknown output type \"loca\"");
        assert_eq!(error("dest=x"), "type is required for output \"dest=x\"");
        assert_eq!(
            error("type=image,compression=zstd"),
            "--output image: the option compression is not supported yet"
        );
    }

    #[test]
    fn fields_may_be_quoted() {
        let found = fields("id=x,\"src=a,b\"").unwrap();
        assert_eq!((found["id"].as_str(), found["src"].as_str()), ("x", "a,b"));
        assert!(fields("x").is_err());
    }
}
