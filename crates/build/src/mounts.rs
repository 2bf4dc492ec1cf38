//! What `RUN --mount` mounts, made ready for a command and gone with it.

use std::path::{Path, PathBuf};

use corten_dockerfile::{Mount, MountKind};
use corten_store::Scratch;
use corten_sys::fs;

use crate::cache::InUse;
use crate::error::{Error, Result};
use crate::executor::{FileAccess, ProcessMount};
use crate::paths;
use crate::roots::Root;
use crate::stage::Stage;
use crate::transfer::{self, Attributes, Place};

impl Stage<'_> {
    /// Makes what a mount needs.
    pub(crate) fn provide(&mut self, mount: &Mount, extras: &mut Extras) -> Result<()> {
        match &mount.kind {
            MountKind::Tmpfs { size } => {
                extras.add_folder(&mount.target)?;
                extras.mounts.push(ProcessMount::Tmpfs {
                    target: mount.target.clone(),
                    size: *size,
                });
                Ok(())
            }
            MountKind::Bind { from, source } => self.bind_mount(from.as_deref(), source, mount, extras),
            MountKind::Cache { .. } => self.cache_mount(mount, extras),
            MountKind::Secret { .. } => self.secret(mount, extras),
            MountKind::Ssh { .. } => self.agent(mount, extras),
        }
    }

    fn bind_mount(&mut self, from: Option<&str>, source: &str, mount: &Mount, extras: &mut Extras) -> Result<()> {
        let origin = self.origin(from, &[source.to_owned()])?;
        let path = paths::below(source);
        if !origin.has(&path)? {
            return Err(crate::contents::missing(&path));
        }
        let is_folder = origin.root.is_folder(&path)?;
        if mount.read_only
            && let Some(place) = origin.in_place(&path)?
        {
            extras.bind(place, mount, is_folder)?;
            extras.origins.push(origin);
            return Ok(());
        }
        // A copy: the command may not write to the context, and a stage has no folder of its own.
        let copied = self.build.store.scratch()?;
        let place = copied.path();
        self.copy_of(&origin, &path, &place)?;
        let path = if is_folder { place } else { place.join("file") };
        extras.bind(path, mount, is_folder)?;
        extras.held.push(copied);
        Ok(())
    }

    /// Copies what is at a path into a folder: what a folder holds, or a file as `file`.
    fn copy_of(&self, origin: &crate::origin::Origin, path: &str, place: &Path) -> Result<()> {
        let to = Root::open(place)?;
        let target = Place {
            path: if origin.root.is_folder(path)? {
                String::new()
            } else {
                "file".into()
            },
            is_folder: false,
        };
        let filter = origin.filter(path, None);
        transfer::copy(&origin.root, path, &to, &target, &Attributes::default(), &filter)
    }

    fn cache_mount(&mut self, mount: &Mount, extras: &mut Extras) -> Result<()> {
        let MountKind::Cache {
            id,
            sharing,
            from,
            source,
            mode,
            uid,
            gid,
        } = &mount.kind
        else {
            return Ok(());
        };
        let id = if id.is_empty() { &mount.target } else { id };
        let space = self
            .build
            .arguments
            .given("BUILDKIT_CACHE_MOUNT_NS")
            .unwrap_or_default();
        let name = format!("{space}/{}", paths::below(id));
        let origin = match from {
            Some(from) => Some(self.origin(Some(from), std::slice::from_ref(source))?),
            None => None,
        };
        let (uid, gid) = (rustix::fs::Uid::from_raw(*uid), rustix::fs::Gid::from_raw(*gid));
        let make = |path: &Path| -> Result<()> {
            if let Some(origin) = &origin {
                self.copy_of(origin, &paths::below(source), path)?;
            }
            rustix::fs::chown(path, Some(uid), Some(gid))?;
            Ok(fs::set_mode(path, *mode)?)
        };
        let executor = self.build.executor;
        let in_use = self
            .build
            .cache
            .mount(&name, *sharing, &|| executor.is_cancelled(), make)?;
        extras.bind(in_use.path.clone(), mount, true)?;
        extras.caches.push(in_use);
        Ok(())
    }

    fn secret(&mut self, mount: &Mount, extras: &mut Extras) -> Result<()> {
        let MountKind::Secret {
            id,
            env,
            required,
            access,
        } = &mount.kind
        else {
            return Ok(());
        };
        let Some(secret) = self.build.request.secrets.get(id)? else {
            return match required {
                true => Err(Error::new(crate::Kind::NotFound, format!("secret {id}: not found"))),
                false => Ok(()),
            };
        };
        if let Some(name) = env {
            let value = String::from_utf8_lossy(&secret.0);
            extras.environment.push(format!("{name}={value}"));
        }
        if env.is_some() && mount.target.is_empty() {
            return Ok(());
        }
        let target = match mount.target.as_str() {
            "" => format!("/run/secrets/{id}"),
            target => target.to_owned(),
        };
        extras.add_file(&target)?;
        extras.mounts.push(ProcessMount::Secret {
            target,
            secret,
            access: file_access(*access),
        });
        Ok(())
    }

    fn agent(&mut self, mount: &Mount, extras: &mut Extras) -> Result<()> {
        let MountKind::Ssh { id, required, access } = &mount.kind else {
            return Ok(());
        };
        let agents = &self.build.request.agents;
        if !agents.has(id)? {
            return match required {
                true => Err(Error::invalid(format!("unset ssh forward key {id}"))),
                false => Ok(()),
            };
        }
        let target = match mount.target.as_str() {
            "" => format!("/run/buildkit/ssh_agent.{}", extras.agents),
            target => target.to_owned(),
        };
        if extras.agents == 0 {
            extras.environment.push(format!("SSH_AUTH_SOCK={target}"));
        }
        extras.agents += 1;
        extras.add_file(&target)?;
        extras.mounts.push(ProcessMount::Agent {
            target,
            id: id.clone(),
            agents: std::sync::Arc::clone(agents),
            access: file_access(*access),
        });
        Ok(())
    }
}

fn file_access(access: corten_dockerfile::Access) -> FileAccess {
    FileAccess {
        mode: access.mode,
        uid: access.uid,
        gid: access.gid,
    }
}

/// What goes with one command and ends with it.
pub(crate) struct Extras {
    /// An empty place for every mount, below all layers, so that none is made in the step's own.
    pub(crate) stubs: Scratch,
    /// What the command will see below its mounts, until it runs.
    below: Option<Root>,
    pub(crate) mounts: Vec<ProcessMount>,
    pub(crate) environment: Vec<String>,
    held: Vec<Scratch>,
    origins: Vec<crate::origin::Origin>,
    caches: Vec<InUse>,
    /// Sockets of agents so far.
    agents: usize,
}

impl Extras {
    pub(crate) fn new(stubs: Scratch, below: Option<Root>) -> Result<Self> {
        let root = stubs.path();
        for folder in ["dev", "proc", "sys", "etc"] {
            fs::create_dir(root.join(folder))?;
        }
        for file in ["hosts", "hostname", "resolv.conf"] {
            fs::write(root.join("etc").join(file), "")?;
        }
        Ok(Self {
            stubs,
            below,
            mounts: Vec::new(),
            environment: Vec::new(),
            held: Vec::new(),
            origins: Vec::new(),
            caches: Vec::new(),
            agents: 0,
        })
    }

    /// All is there; nobody but the command looks at its root from now on.
    pub(crate) fn close(&mut self) {
        self.below = None;
    }

    /// Where the place of a mount is made: links of the image lead to it.
    fn stub(&self, target: &str) -> Result<PathBuf> {
        let path = paths::below(target);
        let path = match &self.below {
            Some(root) => root
                .leads(&path)
                .map_err(|error| error.context(format!("invalid mount target {target:?}")))?,
            None => path,
        };
        Ok(self.stubs.path().join(path))
    }

    fn add_folder(&self, target: &str) -> Result<()> {
        Ok(fs::create_dir_all(self.stub(target)?)?)
    }

    fn add_file(&self, target: &str) -> Result<()> {
        let stub = self.stub(target)?;
        if let Some(above) = stub.parent() {
            fs::create_dir_all(above)?;
        }
        if !fs::exists(&stub)? {
            fs::write(stub, "")?;
        }
        Ok(())
    }

    fn bind(&mut self, source: PathBuf, mount: &Mount, is_folder: bool) -> Result<()> {
        match is_folder {
            true => self.add_folder(&mount.target)?,
            false => self.add_file(&mount.target)?,
        }
        self.mounts.push(ProcessMount::Bind {
            source,
            target: mount.target.clone(),
            read_only: mount.read_only,
        });
        Ok(())
    }

    /// A heredoc that names its own interpreter.
    pub(crate) fn script(&mut self, target: &str, content: &str) -> Result<()> {
        let path = self.stubs.beside().join("script");
        fs::write(&path, content)?;
        fs::set_mode(&path, 0o755)?;
        self.mounts.push(ProcessMount::Bind {
            source: path,
            target: target.to_owned(),
            read_only: true,
        });
        Ok(())
    }
}
