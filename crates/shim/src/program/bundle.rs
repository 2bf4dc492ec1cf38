//! The bundle: the folder that holds the container's configuration, its shim's socket, and its end.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use corten_oci::runtime::Spec;
use corten_shim::protocol::{CONFIG_FILE, EXIT_FILE, Exit, SOCKET};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// The name under which the end is written before it has its own.
const UNFINISHED: &str = ".exit.json.unfinished";
/// Control is for the engine's user alone.
const PRIVATE: Mode = Mode::from_raw_mode(0o600);

/// A bundle, held open so that it stays the same whatever becomes of its path.
#[derive(Debug)]
pub(crate) struct Bundle {
    path: PathBuf,
    folder: OwnedFd,
}

impl Bundle {
    /// Opens the bundle at `path`, which must be absolute.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        if !path.is_absolute() {
            return Err(format!("the bundle's path {} is not absolute", path.display()));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| format!("cannot open bundle {}: {}", path.display(), error.kind()))?;
        Ok(Self {
            path: path.to_owned(),
            folder,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the configuration.
    pub(crate) fn spec(&self) -> Result<Spec, String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, CONFIG_FILE, flags, Mode::empty());
        let text = file.map_err(io::Error::from).and_then(read_all);
        let text = text.map_err(|error| format!("cannot read {}: {error}", self.name_of(CONFIG_FILE)))?;
        serde_json::from_slice(&text)
            .map_err(|error| format!("cannot understand {}: {error}", self.name_of(CONFIG_FILE)))
    }

    /// Writes the configuration anew, whole or not at all.
    pub(crate) fn write_spec(&self, spec: &Spec) -> Result<(), String> {
        let text = serde_json::to_vec(spec).map_err(|error| error.to_string())?;
        self.write(CONFIG_FILE, ".config.json.unfinished", &text)
            .map_err(|error| format!("cannot write {}: {error}", self.name_of(CONFIG_FILE)))
    }

    /// Makes the socket that engines connect to, in place of one that an earlier run left.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        self.remove_socket();
        // The way through the descriptor keeps the address short, however long the bundle's path is.
        let address = format!("/proc/self/fd/{}/{SOCKET}", self.folder.as_fd().as_raw_fd());
        let listener = UnixListener::bind(address)?;
        listener.set_nonblocking(true)?;
        rustix::fs::chmodat(&self.folder, SOCKET, PRIVATE, AtFlags::empty())?;
        Ok(listener)
    }

    /// Removes the socket.
    pub(crate) fn remove_socket(&self) {
        // It need not be there.
        let _ = rustix::fs::unlinkat(&self.folder, SOCKET, AtFlags::empty());
    }

    /// Removes the end of an earlier run.
    pub(crate) fn forget_exit(&self) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.folder, EXIT_FILE, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the end, whole or not at all.
    pub(crate) fn write_exit(&self, exit: &Exit) -> Result<(), String> {
        self.try_write_exit(exit)
            .map_err(|error| format!("cannot write {}: {error}", self.name_of(EXIT_FILE)))
    }

    fn try_write_exit(&self, exit: &Exit) -> io::Result<()> {
        self.write(EXIT_FILE, UNFINISHED, &serde_json::to_vec(exit)?)
    }

    fn write(&self, name: &str, unfinished: &str, text: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.folder, unfinished, flags, PRIVATE)?;
        let mut rest = text;
        while !rest.is_empty() {
            match rustix::io::write(&file, rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => rest = &rest[length..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(rustix::fs::renameat(&self.folder, unfinished, &self.folder, name)?)
    }

    fn name_of(&self, file: &str) -> String {
        self.path.join(file).display().to_string()
    }
}

fn read_all(file: OwnedFd) -> io::Result<Vec<u8>> {
    let size = usize::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
    let mut text = Vec::with_capacity(size + 1);
    loop {
        text.reserve(1);
        match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut text)) {
            Ok(0) => return Ok(text),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
