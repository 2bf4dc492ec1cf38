//! Ways out of a container that other runtimes once left open, tried as root.
//!
//! Containers are made by a process with one thread, so this has a `main` of its own. The program run
//! inside is this one, statically linked, which looks around and tells by its exit code.
#![expect(clippy::disallowed_methods, reason = "tests look at files directly")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests panic and tell")]

use std::os::fd::OwnedFd;
use std::path::Path;

use corten_oci::runtime::Spec;
use corten_runtime::{Create, Result, Stdio, create};

/// What the program inside exits with when it is out.
const OUT: i32 = 9;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("--look-around") => std::process::exit(look_around()),
        // Asked for by test runners.
        Some("--list") => println!("breakout: test"),
        _ => {
            no_descriptor_leads_out_as_working_directory();
            no_descriptor_leads_to_a_program();
            no_descriptor_is_left_open();
            println!("test breakout ... ok");
        }
    }
}

/// Runs inside: whether the working directory or a descriptor belongs to the host.
fn look_around() -> i32 {
    let folder = rustix::process::getcwd(Vec::new()).unwrap();
    if !folder.as_bytes().starts_with(b"/") || Path::new("../../../../../host").exists() {
        return OUT;
    }
    let open = std::fs::read_dir("/proc/self/fd").unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        // The listing itself is the fourth.
        name.to_string_lossy().parse::<u32>().unwrap() > 3
    });
    i32::try_from(open.count()).unwrap()
}

struct Bundle(tempfile::TempDir);

impl Bundle {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("rootfs");
        for name in ["proc", "dev"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::copy(std::env::current_exe().unwrap(), root.join("probe")).unwrap();
        std::fs::write(folder.path().join("host"), "").unwrap();
        std::fs::copy(std::env::current_exe().unwrap(), folder.path().join("probe")).unwrap();
        Self(folder)
    }

    /// Makes a container with this program and working directory and returns its exit code.
    fn run(&self, program: &str, cwd: &str) -> Result<i32> {
        let spec = format!(
            r#"{{"ociVersion":"1.2.0","root":{{"path":"rootfs"}},
                "process":{{"args":["{program}","--look-around"],"cwd":"{cwd}"}},
                "mounts":[{{"destination":"/proc","type":"proc","source":"proc"}}],
                "linux":{{"namespaces":[{{"type":"pid"}},{{"type":"mount"}}]}}}}"#
        );
        let spec: Spec = serde_json::from_str(&spec).unwrap();
        let null = || {
            OwnedFd::from(
                std::fs::OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open("/dev/null")
                    .unwrap(),
            )
        };
        let mut request = Create::new("breakout", self.0.path(), &spec);
        request.stdio = Stdio::Streams([null(), null(), null()]);
        let container = create(request)?;
        Ok(container.process.wait().unwrap().code())
    }
}

/// CVE-2024-21626: `/proc/self/fd/7/../..` as the working directory.
fn no_descriptor_leads_out_as_working_directory() {
    let bundle = Bundle::new();
    // The runtime's caller may have left something open as well.
    let _folder = std::fs::File::open(bundle.0.path()).unwrap();
    for number in 0..40 {
        for path in ["", "/..", "/../.."] {
            let cwd = format!("/proc/self/fd/{number}{path}");
            if let Ok(code) = bundle.run("/probe", &cwd) {
                assert_ne!(code, OUT, "{cwd} leads out of the container");
            }
        }
    }
}

/// The same for the program: what runs could then overwrite the host's file through `/proc/self/exe`.
fn no_descriptor_leads_to_a_program() {
    let bundle = Bundle::new();
    let _folder = std::fs::File::open(bundle.0.path()).unwrap();
    for number in 3..40 {
        let program = format!("/proc/self/fd/{number}/probe");
        assert!(bundle.run(&program, "/").is_err(), "{program} is executed");
    }
}

fn no_descriptor_is_left_open() {
    let bundle = Bundle::new();
    let folder = std::fs::File::open(bundle.0.path()).unwrap();
    rustix::io::fcntl_setfd(&folder, rustix::io::FdFlags::empty()).unwrap();
    assert_eq!(
        bundle.run("/probe", "/").unwrap(),
        0,
        "a descriptor of the host's is open inside"
    );
}
