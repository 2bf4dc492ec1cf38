//! Where an archive goes: a file that appears when it is whole, or standard output.

use std::{fs::File, io::Write as _, path::PathBuf};

use corten_client::ByteStream;

use crate::{
    cli::{Cli, write_or_exit},
    error::{Error, Result, file_error},
};

/// Where an archive goes.
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl Target {
    /// Takes the path of `--output`, or standard output unless it is a terminal.
    pub(crate) fn open(cli: &Cli, path: &str, what: &str) -> Result<Self> {
        if !path.is_empty() {
            check(path).map_err(|e| Error::new(format!("failed to {what} {}: {e}", noun(what))))?;
            return Ok(Self::File(path.into()));
        }
        if cli.out_is_terminal() {
            return Err(Error::new(
                "cowardly refusing to save to a terminal. Use the -o flag or redirect",
            ));
        }
        Ok(Self::Stdout)
    }

    /// Writes a stream; a file is only there once it is whole.
    pub(crate) async fn fill(&self, mut stream: ByteStream) -> Result<()> {
        match self {
            Self::Stdout => {
                while let Some(piece) = stream.next().await? {
                    write_or_exit(&mut std::io::stdout().lock(), &piece);
                }
                Ok(())
            }
            Self::File(path) if is_special(path) => {
                let mut options = File::options();
                let file =
                    corten_sys::fs::open_with(options.write(true), path).map_err(|e| Error::new(e.to_string()))?;
                copy(file, &mut stream).await
            }
            Self::File(path) => {
                let temporary = temporary(path);
                let file = corten_sys::fs::create(&temporary).map_err(|e| Error::new(e.to_string()))?;
                let result = copy(file, &mut stream)
                    .await
                    .and_then(|()| corten_sys::fs::rename(&temporary, path).map_err(|e| Error::new(e.to_string())));
                if result.is_err() {
                    // The first error is the one to report.
                    let _ = corten_sys::fs::remove_file(&temporary);
                }
                result
            }
        }
    }
}

fn noun(what: &str) -> &'static str {
    if what == "export" { "container" } else { "image" }
}

/// Whether a path is a device or a pipe, which is written in place.
fn is_special(path: &std::path::Path) -> bool {
    corten_sys::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

fn temporary(path: &std::path::Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

async fn copy(mut file: File, stream: &mut ByteStream) -> Result<()> {
    while let Some(piece) = stream.next().await? {
        file.write_all(&piece).map_err(|e| Error::new(e.to_string()))?;
    }
    Ok(())
}

/// Refuses a path whose folder is not there, or that is a folder.
fn check(path: &str) -> std::result::Result<(), String> {
    let folder = std::path::Path::new(path)
        .parent()
        .filter(|p| !p.as_os_str().is_empty());
    if let Some(folder) = folder {
        let metadata = corten_sys::fs::metadata(folder).map_err(|e| {
            format!(
                "invalid output path: {}",
                file_error("stat", &folder.to_string_lossy(), &e)
            )
        })?;
        if !metadata.is_dir() {
            return Err(format!(
                "invalid output path: directory {} does not exist",
                crate::opts::quote(&folder.to_string_lossy())
            ));
        }
    }
    match corten_sys::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err("cannot write to a directory".to_owned()),
        _ => Ok(()),
    }
}
