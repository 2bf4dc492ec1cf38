//! Files that a build's command sees and no disk does: secrets, and sockets of agents. They are in memory
//! while the command runs, in a folder that only root can enter.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use corten_build::{Agents, FileAccess, ProcessMount};
use corten_sys::fs;
use tokio::{net::UnixListener, task::JoinHandle};

use super::steps::Step;
use crate::error::{Error, Result};

/// Where memory is, when the exec root is none.
const MEMORY: &str = "/dev/shm";

/// What was made for a step; gone when dropped.
#[derive(Debug, Default)]
pub(super) struct Private {
    folder: Option<PathBuf>,
    agents: Vec<JoinHandle<()>>,
}

impl Drop for Private {
    fn drop(&mut self) {
        self.agents.iter().for_each(JoinHandle::abort);
        if let Some(folder) = &self.folder
            && let Err(error) = fs::if_there(fs::remove_dir_all(folder))
        {
            tracing::warn!(%error, "cannot remove the secrets of a build's step");
        }
        if let Some(place) = self.folder.as_deref().and_then(Path::parent) {
            // It stays for as long as another step has something there.
            let _ = fs::remove_dir(place);
        }
    }
}

/// Makes files of a step's secrets and agents, and binds of them.
pub(super) fn provide(exec_root: &Path, step: &mut Step) -> Result<Private> {
    let mut private = Private::default();
    let needs = |mount: &ProcessMount| matches!(mount, ProcessMount::Secret { .. } | ProcessMount::Agent { .. });
    if !step.mounts.iter().any(needs) {
        return Ok(private);
    }
    let folder = place(exec_root).join(&step.id);
    make(&folder)?;
    private.folder = Some(folder.clone());
    for (number, mount) in step.mounts.iter_mut().enumerate() {
        let source = folder.join(number.to_string());
        let (target, read_only) = match mount {
            ProcessMount::Bind { .. } | ProcessMount::Tmpfs { .. } => continue,
            ProcessMount::Secret { target, secret, access } => {
                fs::write(&source, &secret.0)?;
                give(&source, *access)?;
                (target.clone(), true)
            }
            ProcessMount::Agent {
                target,
                id,
                agents,
                access,
            } => {
                let listener = UnixListener::bind(&source)?;
                give(&source, *access)?;
                private
                    .agents
                    .push(tokio::spawn(serve(listener, Arc::clone(agents), id.clone())));
                (target.clone(), false)
            }
        };
        *mount = ProcessMount::Bind {
            source,
            target,
            read_only,
        };
    }
    Ok(private)
}

/// A socket at which one agent answers, and a folder beside it that only root can enter; both are gone when
/// this is dropped.
#[derive(Debug)]
pub(crate) struct AgentSocket {
    /// Where it listens.
    pub(crate) path: PathBuf,
    _private: Private,
}

impl AgentSocket {
    /// Listens under a name that nothing else of this engine has.
    pub(crate) fn listen(exec_root: &Path, name: &str, agents: &Arc<dyn Agents>, id: &str) -> Result<Self> {
        let folder = place(exec_root).join(name);
        make(&folder)?;
        let mut private = Private {
            folder: Some(folder.clone()),
            agents: Vec::new(),
        };
        let path = folder.join("agent");
        let listener = UnixListener::bind(&path)?;
        private
            .agents
            .push(tokio::spawn(serve(listener, Arc::clone(agents), id.to_owned())));
        Ok(Self {
            path,
            _private: private,
        })
    }

    /// Where other files may be that go with it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }
}

/// Makes a step's folder, and what it is in, which the step that ended last may be removing.
fn make(folder: &Path) -> std::io::Result<()> {
    for _ in 0..100 {
        match fs::create_dir_all_mode(folder, 0o700) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            made => return made,
        }
    }
    fs::create_dir_all_mode(folder, 0o700)
}

/// Removes what an engine left that was killed.
pub(super) fn remove_stray(exec_root: &Path) {
    // What is not there, and what cannot be removed, is in memory only.
    let _ = fs::remove_dir_all(place(exec_root));
}

/// A folder of this engine's in memory, or in the exec root where there is none.
fn place(exec_root: &Path) -> PathBuf {
    let is_memory = |path: &Path| {
        const TMPFS_MAGIC: i64 = 0x0102_1994;
        rustix::fs::statfs(path).is_ok_and(|about| about.f_type == TMPFS_MAGIC)
    };
    if is_memory(exec_root) || !is_memory(Path::new(MEMORY)) {
        return exec_root.join("steps");
    }
    let mut hasher = DefaultHasher::new();
    exec_root.hash(&mut hasher);
    Path::new(MEMORY).join(format!("corten-steps-{:016x}", hasher.finish()))
}

fn give(path: &Path, access: FileAccess) -> Result<()> {
    let (uid, gid) = (
        rustix::fs::Uid::from_raw(access.uid),
        rustix::fs::Gid::from_raw(access.gid),
    );
    rustix::fs::chown(path, Some(uid), Some(gid)).map_err(std::io::Error::from)?;
    Ok(fs::set_mode(path, access.mode)?)
}

/// Passes each conversation on to an agent.
async fn serve(listener: UnixListener, agents: Arc<dyn Agents>, id: String) {
    while let Ok((mut inside, _)) = listener.accept().await {
        let (agents, id) = (Arc::clone(&agents), id.clone());
        tokio::spawn(async move {
            let connected = tokio::task::spawn_blocking(move || {
                let stream = agents
                    .connect(&id)
                    .map_err(|error| Error::internal(error.to_string()))?;
                stream.set_nonblocking(true)?;
                Ok::<_, Error>(stream)
            });
            if let Ok(Ok(outside)) = connected.await
                && let Ok(mut outside) = tokio::net::UnixStream::from_std(outside)
            {
                // The end of either side is the end of the conversation.
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use corten_build::Secret;

    use super::*;

    #[test]
    fn the_last_step_takes_the_folder_along() {
        let exec_root = tempfile::tempdir().unwrap();
        let step = |id: &str| Step {
            id: id.to_owned(),
            command: Vec::new(),
            config: Default::default(),
            host_config: Default::default(),
            stubs: PathBuf::new(),
            mounts: vec![ProcessMount::Secret {
                target: "/run/secrets/a".to_owned(),
                secret: Secret(b"hush".to_vec()),
                access: FileAccess {
                    mode: 0o400,
                    uid: 0,
                    gid: 0,
                },
            }],
        };
        let place = place(exec_root.path());
        let (mut one, mut other) = (step("one"), step("other"));
        let first = provide(exec_root.path(), &mut one).unwrap();
        let second = provide(exec_root.path(), &mut other).unwrap();
        let ProcessMount::Bind { source, .. } = &one.mounts[0] else {
            panic!("{:?}", one.mounts);
        };
        assert_eq!(fs::read(source).unwrap(), b"hush");
        drop(first);
        assert!(place.join("other").is_dir() && !place.join("one").exists());
        drop(second);
        assert!(!place.exists());
    }
}
