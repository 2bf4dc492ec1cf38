//! Filters given to the kernel, as root. They belong to threads, so each test spends one.
#![expect(clippy::unwrap_used, reason = "tests panic")]

use corten_oci::capability;
use corten_oci::runtime::Seccomp;
use corten_oci::seccomp::{Target, default_profile};
use corten_runtime::seccomp::{Program, compile};
use corten_sys::{bpf, keyring};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};

fn filtered(program: Program, test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        program.install().unwrap();
        test();
    });
    thread.join().unwrap();
}

fn default(capabilities: &[&str]) -> Seccomp {
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    default_profile(&Target {
        capabilities,
        architecture,
        kernel: (6, 1),
    })
}

#[test]
fn the_default_profile_denies_and_allows() {
    let program = compile(&default(&capability::DEFAULT)).unwrap();
    filtered(Program::from_bytes(&program.bytes()).unwrap(), || {
        let errno = |error: std::io::Error| error.raw_os_error();
        let eperm = Some(Errno::PERM.raw_os_error());
        assert_eq!(errno(keyring::join_session(c"x").unwrap_err()), eperm);
        assert_eq!(errno(bpf::load_device_program(&[]).unwrap_err()), eperm);
        let vsock = AddressFamily::from_raw(40);
        assert_eq!(socket(vsock, SocketType::STREAM, None).unwrap_err(), Errno::PERM);
        socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        assert_eq!(rustix::system::sethostname(b"x").unwrap_err(), Errno::PERM);
        assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
        // A child is made with clone, as clone3 is as good as absent.
        let status = std::process::Command::new("/bin/true").status().unwrap();
        assert!(status.success());
    });
}

#[test]
fn capabilities_open_their_calls() {
    let program = compile(&default(&capability::ALL)).unwrap();
    filtered(program, || {
        // The kernel judges: an empty program is no program.
        let error = bpf::load_device_program(&[]).unwrap_err();
        assert_ne!(error.raw_os_error(), Some(Errno::PERM.raw_os_error()));
    });
}

#[test]
fn without_privileges_a_filter_needs_no_new_privs() {
    let program = compile(&default(&capability::DEFAULT)).unwrap();
    let thread = std::thread::spawn(move || {
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective = rustix::thread::CapabilitySet::empty();
        rustix::thread::set_capabilities(None, sets).unwrap();
        program.install().unwrap_err().raw_os_error()
    });
    assert_eq!(thread.join().unwrap(), Some(Errno::ACCESS.raw_os_error()));
}
