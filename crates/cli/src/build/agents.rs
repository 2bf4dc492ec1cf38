//! `--ssh`: sockets of agents that steps may talk to; for keys in files, agents of their own.

use std::{
    collections::BTreeMap,
    os::unix::fs::FileTypeExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::context::is_ssh;
use crate::{
    cli::Cli,
    error::{Error, Result},
    flags::Matches,
};

/// How long an agent may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);

/// Agents that were started; they end when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Agents {
    children: Vec<Child>,
    folders: Vec<PathBuf>,
}

impl Drop for Agents {
    fn drop(&mut self) {
        for child in &mut self.children {
            // One that has ended by itself is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
        for folder in &self.folders {
            let _ = corten_sys::fs::remove_dir_all(folder);
        }
    }
}

impl Agents {
    /// `--ssh name[=socket|key[,key…]]`: sockets by name, and what keeps them.
    pub(super) fn read(cli: &Cli, m: &Matches) -> Result<(BTreeMap<String, String>, Self)> {
        let mut agents = Self::default();
        let mut sockets = BTreeMap::new();
        let mut wanted = m.all("ssh");
        // A repository that is reached over SSH wants one, as buildx has it.
        if wanted.is_empty() && is_ssh(m.arg(0)) {
            wanted.push("default");
        }
        for text in wanted {
            let (name, paths) = text.split_once('=').unwrap_or((text, ""));
            let socket = match paths {
                "" => cli
                    .variable("SSH_AUTH_SOCK")
                    .filter(|path| !path.is_empty())
                    .ok_or_else(|| Error::new("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set"))?,
                paths => agents.of(&paths.split(',').collect::<Vec<_>>())?,
            };
            let name = if name.is_empty() { "default" } else { name };
            if sockets.insert(name.to_owned(), socket).is_some() {
                return Err(Error::new(format!("duplicate ssh agent id {name:?}")));
            }
        }
        Ok((sockets, agents))
    }

    /// A socket as it is, or one of a new agent that has these keys.
    fn of(&mut self, paths: &[&str]) -> Result<String> {
        if let [path] = paths {
            let about = corten_sys::fs::metadata(path)
                .map_err(|error| Error::new(format!("failed to open {path}: {}", corten_sys::fs::reason(&error))))?;
            if about.file_type().is_socket() {
                return Ok((*path).to_owned());
            }
        }
        self.start(paths)
    }

    fn start(&mut self, keys: &[&str]) -> Result<String> {
        let failed = |error: std::io::Error| Error::new(format!("cannot start ssh-agent: {error}"));
        let folder = std::env::temp_dir().join(format!("corten-ssh-{}-{}", std::process::id(), self.folders.len()));
        corten_sys::fs::create_dir_all_mode(&folder, 0o700).map_err(failed)?;
        self.folders.push(folder.clone());
        let socket = folder.join("agent");
        let mut agent = Command::new("ssh-agent");
        agent
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.children.push(agent.spawn().map_err(failed)?);
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            if begun.elapsed() > PATIENCE {
                return Err(Error::new("ssh-agent does not begin"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        for key in keys {
            let added = Command::new("ssh-add")
                .arg("-q")
                .arg(key)
                .env("SSH_AUTH_SOCK", &socket)
                .env("SSH_ASKPASS_REQUIRE", "never")
                .stdin(Stdio::null())
                .output()
                .map_err(failed)?;
            if !added.status.success() {
                let said = String::from_utf8_lossy(&added.stderr).trim().to_owned();
                return Err(Error::new(format!("failed to parse {key}: {said}")));
            }
        }
        Ok(socket.to_string_lossy().into_owned())
    }
}
