//! Brings changed files into containers: an archive of what is there, and `rm` for what is gone.

use std::{
    collections::BTreeSet,
    io::{self, Read as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _},
    },
};

use corten_api::{
    container::Summary,
    exec::{ExecConfig, ExecStart},
};
use corten_client::{Body, Client, PutArchive};
use corten_sys::fs;
use corten_tar::{Entry, EntryKind, Time, Writer};
use tokio::io::AsyncReadExt as _;

use super::rules::Mapping;
use crate::error::{Error, Result};

/// What is to be done in each container.
pub(super) struct Changes {
    archive: Vec<u8>,
    gone: Vec<String>,
}

impl Changes {
    /// Reads the files.
    ///
    /// # Errors
    /// When one is there and cannot be read.
    pub(super) fn of(mappings: &BTreeSet<Mapping>) -> Result<Self> {
        let mut gone = Vec::new();
        let mut writer = Writer::new(Vec::new());
        for mapping in mappings {
            match add(&mut writer, mapping) {
                Ok(true) => {}
                Ok(false) => gone.push(mapping.container.clone()),
                Err(error) => return Err(Error::new(format!("adding files to tar: {error}"))),
            }
        }
        let archive = writer.finish();
        Ok(Self {
            archive: archive.map_err(|error| Error::new(format!("closing tar: {error}")))?,
            gone,
        })
    }

    /// Carries them out in a container.
    pub(super) async fn send(&self, client: &Client, container: &Summary) -> Result<()> {
        let id = &container.id;
        let named = |what: &str, error: Error| Error::new(format!("{what} {id}: {error}"));
        // In one that does not run nothing can be run.
        if !self.gone.is_empty() && container.state == "running" {
            let removed = remove(client, id, &self.gone).await;
            removed.map_err(|error| named("deleting paths in", error))?;
        }
        let options = PutArchive {
            overwrite_kind: true,
            keep_owners: true,
        };
        let archive = Body::Bytes(self.archive.clone().into());
        let sent = client.put_archive(id, "/", options, archive).await;
        sent.map_err(|error| named("copying files to", error.into()))
    }
}

/// Adds a file, a folder without what is in it, or a link; tells whether it is there.
fn add(writer: &mut Writer<Vec<u8>>, mapping: &Mapping) -> io::Result<bool> {
    let Some(metadata) = fs::if_there(fs::symlink_metadata(&mapping.host))? else {
        return Ok(false);
    };
    let kind = metadata.file_type();
    let entry_kind = match () {
        () if kind.is_dir() => EntryKind::Folder,
        () if kind.is_symlink() => {
            let target = fs::read_link(&mapping.host)?;
            EntryKind::Symlink(target.as_os_str().as_bytes().to_vec())
        }
        () if kind.is_file() => EntryKind::File,
        // Sockets and the like are not sent.
        () => return Ok(true),
    };
    let mut content = Vec::new();
    if entry_kind == EntryKind::File {
        let Some(mut file) = fs::if_there(fs::open(&mapping.host))? else {
            return Ok(false);
        };
        file.read_to_end(&mut content)?;
    }
    let path = mapping.container.trim_start_matches('/');
    let mut entry = Entry::new(path.as_bytes(), entry_kind, metadata.permissions().mode() & 0o7777);
    (entry.uid, entry.gid) = (metadata.uid(), metadata.gid());
    entry.modified = Time {
        seconds: metadata.mtime(),
        nanoseconds: u32::try_from(metadata.mtime_nsec()).unwrap_or(0),
    };
    entry.size = content.len() as u64;
    writer.entry(&entry, &mut content.as_slice())?;
    Ok(true)
}

/// Removes paths in a container, by its own `rm`.
async fn remove(client: &Client, id: &str, paths: &[String]) -> Result<()> {
    let words = ["rm", "-rf"].into_iter().map(str::to_owned);
    let config = ExecConfig {
        attach_stderr: true,
        cmd: words.chain(paths.iter().cloned()).collect(),
        ..ExecConfig::default()
    };
    let exec = client.create_exec(id, &config).await?;
    let (mut reader, _writer) = client.attach_exec(&exec, &ExecStart::default()).await?.split();
    let mut said = Vec::new();
    let read = reader.read_to_end(&mut said).await;
    read.map_err(|error| Error::new(error.to_string()))?;
    match client.inspect_exec(&exec).await?.exit_code.unwrap_or(0) {
        0 => Ok(()),
        code => Err(Error::new(format!("exit code {code}"))),
    }
}
