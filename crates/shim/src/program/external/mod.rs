//! Containers that another OCI runtime makes: runc, crun, and what takes their commands.
//!
//! The runtime is asked for what only it can do: `create`, `start`, `exec` and `delete`. Everything else goes, as
//! with our own, by the container's first process and its cgroup. The root is mounted in a mount namespace of this
//! program's, which the runtime is started in, so that nothing is left of it in the host's when this program ends.
//!
//! ```text
//!   shim                                   runc
//!    │ unshare, mount rootfs, config.json
//!    │ create ────────────────────────────►  init, waits at its fifo
//!    │ ◄─────────── pid file, console socket
//!    │ start ─────────────────────────────►  lets init go on
//! ```

mod command;
mod console;

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use corten_oci::runtime::{NamespaceKind, Process, Spec};
use corten_runtime::{PidFd, mount_root_at, start_time};
use corten_shim::protocol::{Failure, FailureKind, Mount, OciRuntime, RUNTIME_FOLDER};
use corten_sys::mount::{Change, MountPropagationFlags, Reach, mount_setattr_path};
use corten_sys::namespace::{Namespaces, unshare};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use crate::bundle::Bundle;
use crate::external::command::Stdio;
use crate::external::console::Console;
use crate::requests::failure;

/// The version of the specification that the configuration is given for: nothing in it is newer, and runtimes
/// refuse versions that they do not know.
const VERSION: &str = "1.0.2";

/// The runtime of a container, and what it has been told of it.
#[derive(Debug)]
pub(crate) struct External {
    runtime: OciRuntime,
    id: String,
    /// Where the runtime keeps its state, and we what we exchange with it.
    folder: PathBuf,
}

/// A process that the runtime has made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) pid: i32,
    pub(crate) process: PidFd,
    pub(crate) start_time: u64,
    /// The master of its terminal, if it has one.
    pub(crate) console: Option<OwnedFd>,
}

/// What a process gets as its standard streams.
#[derive(Debug)]
pub(crate) enum Streams {
    /// Its input, output and error.
    Plain([OwnedFd; 3]),
    /// A terminal.
    Terminal,
}

impl External {
    /// Makes the container of a bundle, and starts it.
    pub(crate) fn create(
        runtime: &OciRuntime,
        bundle: &Bundle,
        spec: &mut Spec,
        id: &str,
        rootfs: &[Mount],
        netns: Option<&OwnedFd>,
        streams: Streams,
    ) -> Result<(Self, Made), Failure> {
        let this = Self {
            runtime: runtime.clone(),
            id: id.to_owned(),
            folder: bundle.path().join(RUNTIME_FOLDER),
        };
        make_folder(&this.folder)?;
        mount(bundle.path(), rootfs).map_err(internal)?;
        VERSION.clone_into(&mut spec.oci_version);
        if let Some(netns) = netns {
            enter(spec, netns);
        }
        bundle.write_spec(spec).map_err(internal)?;
        let made = this.make(bundle.path(), streams);
        if made.is_err() {
            this.delete();
        }
        made.map(|made| (this, made))
    }

    fn make(&self, bundle: &Path, streams: Streams) -> Result<Made, Failure> {
        let bundle = bundle.to_string_lossy();
        let made = self.run_for("create", &["--bundle", &bundle], streams)?;
        self.run("start", &[&self.id], Stdio::Nothing)?;
        Ok(made)
    }

    /// Runs another process in the container.
    pub(crate) fn exec(&self, process: &Process, streams: Streams) -> Result<Made, Failure> {
        let path = self.folder.join("process.json");
        let text = serde_json::to_vec(process).map_err(internal)?;
        corten_sys::fs::write(&path, text).map_err(internal)?;
        self.run_for("exec", &["--detach", "--process", &path.to_string_lossy()], streams)
    }

    /// Has the runtime forget the container, whatever is left of it.
    pub(crate) fn delete(&self) {
        // Nobody could do anything about it.
        let _ = self.run("delete", &["--force", &self.id], Stdio::Nothing);
    }

    /// Runs a command that makes a process, and finds that.
    fn run_for(&self, command: &str, args: &[&str], streams: Streams) -> Result<Made, Failure> {
        let pid_file = self.folder.join("pid");
        forget(&pid_file)?;
        let pid_text = pid_file.to_string_lossy();
        let mut args = args.to_vec();
        args.extend(["--pid-file", &pid_text]);
        let console = match &streams {
            Streams::Terminal => Some(Console::listen(&self.folder).map_err(internal)?),
            Streams::Plain(_) => None,
        };
        let address = console.as_ref().map(Console::address);
        if let Some(address) = &address {
            args.extend(["--console-socket", address]);
        }
        args.push(&self.id);
        let stdio = match &streams {
            Streams::Plain(streams) => Stdio::Streams(streams),
            Streams::Terminal => Stdio::Nothing,
        };
        self.run(command, &args, stdio)?;
        let console = console.map(|console| console.take().map_err(internal)).transpose()?;
        found(&pid_file, console).map_err(internal)
    }

    /// Runs a command of the runtime to its end.
    fn run(&self, command: &str, args: &[&str], stdio: Stdio<'_>) -> Result<(), Failure> {
        let log = self.folder.join("log.json");
        forget(&log)?;
        let (state, log_text) = (self.folder.join("state"), log.to_string_lossy().into_owned());
        let state = state.to_string_lossy();
        let mut all: Vec<&str> = self.runtime.args.iter().map(String::as_str).collect();
        all.extend(["--root", &state, "--log", &log_text, "--log-format", "json", command]);
        all.extend(args);
        let ended = command::run(&self.runtime.path, &all, stdio).map_err(internal)?;
        match ended {
            0 => Ok(()),
            code => {
                let said = command::last_error(&log).unwrap_or_else(|| format!("exit status {code}"));
                let program = self.runtime.path.file_name().unwrap_or_default().to_string_lossy();
                Err(failure(
                    FailureKind::Runtime,
                    command::in_its_words(&program, command, &said),
                ))
            }
        }
    }
}

/// Finds the process whose number the runtime has written down.
fn found(pid_file: &Path, console: Option<OwnedFd>) -> Result<Made, String> {
    let text = corten_sys::fs::read_to_string(pid_file).map_err(|error| error.to_string())?;
    let pid = text
        .trim()
        .parse()
        .map_err(|_| format!("the runtime's pid file says {text:?}"))?;
    let lost = |error: std::io::Error| format!("cannot hold process {pid}: {error}");
    // It is our child by now, and stays at least a zombie until we wait for it.
    let process = PidFd::open(pid).map_err(lost)?;
    Ok(Made {
        pid,
        start_time: start_time(pid).map_err(lost)?,
        process,
        console,
    })
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    corten_sys::fs::if_there(corten_sys::fs::remove_dir_all(folder)).map_err(internal)?;
    corten_sys::fs::create_dir_all_mode(folder, 0o700).map_err(internal)
}

fn forget(file: &Path) -> Result<(), Failure> {
    corten_sys::fs::if_there(corten_sys::fs::remove_file(file)).map_err(internal)?;
    Ok(())
}

/// Mounts the root in the bundle, seen by this program and what it starts only.
fn mount(bundle: &Path, rootfs: &[Mount]) -> Result<(), String> {
    let root = bundle.join("rootfs");
    corten_sys::fs::create_dir_all(&root).map_err(|error| error.to_string())?;
    if rootfs.is_empty() {
        return Ok(());
    }
    let cut = || {
        unshare(Namespaces::MOUNT)?;
        // The mount around the bundle must not pass ours on; all others stay as they are for the container's sake.
        keep_to_ourselves(&mount_of(bundle)?)?;
        hide_second_hierarchy()
    };
    cut().map_err(|error| format!("cannot cut off the mounts of the container's root: {error}"))?;
    mount_root_at(rootfs, &root).map_err(|error| error.chain())
}

/// Takes a mount of our namespace out of its peer group.
fn keep_to_ourselves(mount: &std::ffi::CStr) -> std::io::Result<()> {
    let change = Change {
        propagation: MountPropagationFlags::PRIVATE,
        ..Change::default()
    };
    mount_setattr_path(mount, Reach::Mount, &change)
}

/// On a host with cgroups of both versions, shows the runtime those of version 1 only: what limits the container
/// is there, and crun refuses to work beside controllers in the other.
fn hide_second_hierarchy() -> std::io::Result<()> {
    const CGROUPS: &str = "/sys/fs/cgroup";
    const SECOND: &str = "/sys/fs/cgroup/unified";
    if !corten_sys::fs::exists(SECOND)? || mount_of(Path::new(SECOND))?.as_bytes() != SECOND.as_bytes() {
        return Ok(());
    }
    keep_to_ourselves(&mount_of(Path::new(CGROUPS))?)?;
    Ok(rustix::mount::unmount(SECOND, rustix::mount::UnmountFlags::DETACH)?)
}

/// The place of the mount that a path is in.
fn mount_of(path: &Path) -> std::io::Result<std::ffi::CString> {
    let is_mount = |path: &Path| {
        let about = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())?;
        Ok::<_, std::io::Error>(about.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    };
    let real = corten_sys::fs::canonicalize(path)?;
    for path in real.ancestors() {
        if is_mount(path)? {
            return Ok(std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?);
        }
    }
    Ok(c"/".to_owned())
}

/// Puts the network namespace into the configuration, as a path that leads to our descriptor.
fn enter(spec: &mut Spec, netns: &OwnedFd) {
    let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd()));
    for namespace in spec.linux.iter_mut().flat_map(|linux| &mut linux.namespaces) {
        if namespace.kind == NamespaceKind::Network {
            namespace.path = Some(path.clone());
        }
    }
}

fn internal(error: impl std::fmt::Display) -> Failure {
    failure(FailureKind::Internal, error.to_string())
}
