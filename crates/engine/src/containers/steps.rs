//! Commands of a build: containers that run once, that nobody else finds, and of which nothing is left.
//!
//! A step has no record: an engine that finds its shim running after a crash ends it
//! ([`Containers::end_stray_steps`]), and its folders are among those that no container has.

use std::{collections::BTreeMap, io, os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};

use corten_api::{
    container::{Config, HostConfig, MountPoint, TmpfsOptions},
    time::Time,
};
use corten_build::ProcessMount;
use corten_oci::{digest::Digest, runtime::Mount};
use corten_shim::protocol::{Attach, Event, Request};
use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    sync::{mpsc, watch},
};

use super::{
    Container, Containers, State, create,
    link::{self, Link},
    record::{FORMAT, MountRecord, Record},
    start::{self, Prepared},
    step_files,
};
use crate::error::{Error, Kind, Result, blocking};

/// How long a stray shim has to end its container.
const PATIENCE: Duration = Duration::from_secs(10);

/// A command of a build.
#[derive(Debug, Clone)]
pub struct Step {
    /// The id of the root that was made for it, and its own.
    pub id: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment, user, folder and host name.
    pub config: Config,
    /// Limits, network and what it may do.
    pub host_config: HostConfig,
    /// A tree below all layers.
    pub stubs: PathBuf,
    /// What is mounted.
    pub mounts: Vec<ProcessMount>,
}

impl Containers {
    /// Runs a build's command to its end and gives its exit code. Its output is sent as it comes: 1 or
    /// 2 for the stream, and bytes. When `cancelled` becomes true it is killed.
    ///
    /// # Errors
    /// When it cannot be started; `Cancelled` when it was killed for that.
    pub async fn run_step(
        &self,
        mut step: Step,
        output: mpsc::Sender<(u8, Vec<u8>)>,
        mut cancelled: watch::Receiver<bool>,
    ) -> Result<i32> {
        let stubs = step.stubs.clone();
        let _private = step_files::provide(&self.0.settings.exec_root, &mut step)?;
        let container = self.0.container_of(self.step_record(step)?);
        let result = self.run_to_end(&container, &stubs, output, &mut cancelled).await;
        let (inner, held) = (Arc::clone(&self.0), Arc::clone(&container));
        let cleaned = blocking(move || {
            start::undo(&inner, &held)?;
            corten_sys::fs::if_there(corten_sys::fs::remove_dir_all(&held.folder))?;
            Ok(())
        });
        if let Err(error) = cleaned.await {
            tracing::warn!(
                step = container.id,
                error = error.report(),
                "cannot clean up after a build's step"
            );
        }
        result
    }

    async fn run_to_end(
        &self,
        container: &Arc<Container>,
        stubs: &std::path::Path,
        output: mpsc::Sender<(u8, Vec<u8>)>,
        cancelled: &mut watch::Receiver<bool>,
    ) -> Result<i32> {
        if *cancelled.borrow() {
            return Err(gone());
        }
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        for end in [&ours, &theirs] {
            end.set_nonblocking(true)?;
        }
        let attach = Attach {
            stdin: false,
            stdout: true,
            stderr: true,
            preface: Vec::new(),
            detach_keys: Vec::new(),
        };
        container.lock().clients.push((attach, OwnedFd::from(theirs)));
        let Prepared {
            spawned,
            mut start,
            mut descriptors,
            ..
        } = {
            let (inner, held) = (Arc::clone(&self.0), Arc::clone(container));
            let record = container.record();
            blocking(move || {
                corten_sys::fs::create_dir_all_mode(&held.folder, 0o710)?;
                start::prepare(&inner, &held, &record)
            })
            .await?
        };
        put_below(&mut start.rootfs, stubs);
        start::take_clients(container, &mut start, &mut descriptors);
        let (link, _, events) = spawned.start(&start, descriptors).await.map_err(start::create_error)?;
        let reading = tokio::spawn(read_frames(UnixStream::from_std(ours)?, output));
        let code = follow(&link, events, cancelled).await;
        // The shim closes its end when all output is out.
        let _ = reading.await;
        code
    }

    /// What the functions that start containers want to know.
    fn step_record(&self, step: Step) -> Result<Record> {
        let Step {
            id,
            command,
            mut config,
            mut host_config,
            mounts,
            ..
        } = step;
        create::fill_defaults(&mut host_config, &self.0.settings, &self.0.machine);
        // Its root need not outlive a power cut, and nobody reads its log.
        host_config.auto_remove = true;
        host_config.log_config.driver = "none".into();
        host_config.log_config.options.clear();
        create::fill_host_name(&mut config, &host_config, &id);
        let mut networks = BTreeMap::new();
        self.0.prepare_networks(&host_config, &mut networks)?;
        Ok(Record {
            format: FORMAT,
            name: format!("build-{}", id.get(..12).unwrap_or(&id)),
            created: Time::now(),
            image: Digest::sha256(b""),
            command,
            config,
            host_config,
            mounts: mounts.into_iter().filter_map(mount).collect(),
            networks,
            id,
            ports: BTreeMap::new(),
            state: State::default(),
            restarts: 0,
            stopped_by_user: false,
            wanted: false,
            remove_volumes: false,
            links: Vec::new(),
            stands_by_for: None,
            committing: false,
            health: None,
        })
    }

    /// Ends commands of builds that an earlier engine ran: shims of which there is no container.
    pub(super) async fn end_stray_steps(&self) {
        step_files::remove_stray(&self.0.settings.exec_root);
        let folder = self.0.settings.exec_root.join("containers");
        for entry in corten_sys::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if self.0.index().by_id.contains_key(&name) {
                continue;
            }
            let Ok((link, _, events)) = link::connect(&entry.path()).await else {
                continue;
            };
            tracing::info!(step = name, "ending the command of a build that an earlier engine ran");
            let (_kept, mut never) = watch::channel(false);
            let ended = async {
                // One that has ended meanwhile cannot be killed.
                let _ = link.call(Request::Signal { signal: 9 }, Vec::new()).await;
                follow(&link, events, &mut never).await
            };
            if tokio::time::timeout(PATIENCE, ended).await.is_err() {
                tracing::warn!(step = name, "the command of a build does not end");
            }
        }
    }
}

/// Waits for the end; kills when nobody wants the result any more.
async fn follow(
    link: &Link,
    mut events: mpsc::UnboundedReceiver<Event>,
    cancelled: &mut watch::Receiver<bool>,
) -> Result<i32> {
    let mut killed = false;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Exited(_)) if killed => return Err(gone()),
                Some(Event::Exited(exit)) => return Ok(exit.code),
                Some(_) => {}
                None => return Err(Error::internal("the shim of a build's step ended unexpectedly")),
            },
            // Whoever could cancel it has left: the same.
            () = async { drop(cancelled.wait_for(|cancelled| *cancelled).await) }, if !killed => {
                killed = true;
                let _ = link.call(Request::Signal { signal: 9 }, Vec::new()).await;
            }
        }
    }
}

fn gone() -> Error {
    Error::new(Kind::Cancelled, "the build was cancelled")
}

/// Takes frames apart (Docker API, "Stream format": kind, three zeros, length, bytes).
async fn read_frames(mut socket: UnixStream, output: mpsc::Sender<(u8, Vec<u8>)>) -> io::Result<()> {
    loop {
        let mut head = [0_u8; 8];
        if let Err(error) = socket.read_exact(&mut head).await {
            return if error.kind() == io::ErrorKind::UnexpectedEof {
                Ok(())
            } else {
                Err(error)
            };
        }
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        socket.read_exact(&mut bytes).await?;
        if output.send((head[0], bytes)).await.is_err() {
            // Nobody reads: the command may go on writing all the same.
            tokio::io::copy(&mut socket, &mut tokio::io::sink()).await?;
            return Ok(());
        }
    }
}

/// Adds a tree below all layers of an overlay.
fn put_below(rootfs: &mut [Mount], stubs: &std::path::Path) {
    for mount in rootfs
        .iter_mut()
        .filter(|mount| mount.kind.as_deref() == Some("overlay"))
    {
        let last = mount
            .options
            .iter()
            .rposition(|option| option.starts_with("lowerdir+="));
        let at = last.map_or(0, |last| last + 1);
        mount.options.insert(at, format!("lowerdir+={}", stubs.display()));
    }
}

/// None for what [`step_files`] has not made a file of.
fn mount(mount: ProcessMount) -> Option<MountRecord> {
    let mut point = MountPoint {
        rw: true,
        ..MountPoint::default()
    };
    let mut tmpfs = None;
    match mount {
        ProcessMount::Bind {
            source,
            target,
            read_only,
        } => {
            point.kind = "bind".into();
            point.source = source.to_string_lossy().into_owned();
            point.destination = target;
            point.rw = !read_only;
            point.propagation = "rprivate".into();
        }
        ProcessMount::Tmpfs { target, size } => {
            point.kind = "tmpfs".into();
            point.destination = target;
            point.mode = "exec,mode=1777".into();
            tmpfs = Some(TmpfsOptions {
                size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
                ..TmpfsOptions::default()
            });
        }
        ProcessMount::Secret { .. } | ProcessMount::Agent { .. } => return None,
    }
    Some(MountRecord {
        point,
        fill: false,
        non_recursive: false,
        relabel: String::new(),
        named: false,
        shallow: false,
        subpath: String::new(),
        tmpfs,
    })
}
