//! The places that one engine has to itself.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corten_sys::{fs, netns};

/// Folders, a network namespace and a cgroup.
#[derive(Debug)]
pub(super) struct Place {
    /// Holds all the rest; short, as socket paths are limited.
    pub(super) folder: PathBuf,
    /// With loopback up and nothing else.
    pub(super) netns: Arc<OwnedFd>,
    /// Below every hierarchy's root.
    pub(super) cgroup_parent: String,
    pub(super) has_own_disk: bool,
}

impl Place {
    pub(super) fn new(data_root_size: Option<u64>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (netns, up) = netns::run_in_new(|| run("ip", &["link", "set", "lo", "up"])).expect("a namespace: be root");
        assert!(up, "ip link set lo up");
        let place = Self {
            folder: std::env::temp_dir().join(format!("ct-{name}")),
            netns: Arc::new(netns),
            cgroup_parent: format!("/corten-test-{name}"),
            has_own_disk: data_root_size.is_some(),
        };
        for folder in [place.data_root(), place.exec_root(), place.work(), place.home()] {
            fs::create_dir_all(folder).expect("a folder");
        }
        // Where programs without privileges, in containers too, have to pass.
        fs::set_mode(&place.folder, 0o755).expect("a folder");
        if let Some(size) = data_root_size {
            let options = format!("size={size},mode=755");
            let at = place.data_root();
            let at = at.to_str().expect("a plain path");
            assert!(
                run("mount", &["-t", "tmpfs", "-o", &options, "corten-test", at]),
                "mount {at}"
            );
        }
        place
    }

    pub(super) fn data_root(&self) -> PathBuf {
        self.folder.join("d")
    }

    pub(super) fn exec_root(&self) -> PathBuf {
        self.folder.join("e")
    }

    pub(super) fn work(&self) -> PathBuf {
        self.folder.join("w")
    }

    pub(super) fn home(&self) -> PathBuf {
        self.folder.join("h")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("s")
    }

    pub(super) fn pidfile(&self) -> PathBuf {
        self.folder.join("pid")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("daemon.json")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

/// Runs a program of the system; whether it succeeded.
pub(super) fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).status();
    status.unwrap_or_else(|error| panic!("{program}: {error}")).success()
}
