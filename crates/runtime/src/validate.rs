//! What a configuration may not ask for, checked before anything is made.

use corten_oci::runtime::{Linux, NamespaceKind, Process, Spec};

use crate::context::invalid;
use crate::error::{Error, Kind, Result};
use crate::namespaces::wants;

/// Checks a configuration and returns its process and its Linux part.
pub(crate) fn check(spec: &Spec) -> Result<(&Process, &Linux)> {
    let missing = |what: &str| invalid(format!("invalid configuration: {what:?} is missing"));
    let process = spec.process.as_ref().ok_or_else(|| missing("process"))?;
    let linux = spec.linux.as_ref().ok_or_else(|| missing("linux"))?;
    let set = |word: &Option<String>| word.as_ref().is_some_and(|word| !word.is_empty());
    if set(&spec.hostname) && !wants(spec, NamespaceKind::Uts) {
        return Err(invalid("unable to set hostname without a private UTS namespace"));
    }
    if set(&spec.domainname) && !wants(spec, NamespaceKind::Uts) {
        return Err(invalid("unable to set domainname without a private UTS namespace"));
    }
    for name in linux.sysctl.keys() {
        check_sysctl(spec, name)?;
    }
    let private = !linux.masked_paths.is_empty() || !linux.readonly_paths.is_empty();
    if !wants(spec, NamespaceKind::Mount) && (private || !spec.mounts.is_empty()) {
        return Err(invalid(
            "unable to mount or restrict paths without a private MNT namespace",
        ));
    }
    if linux.intel_rdt.is_some() {
        return Err(unsupported("intelRdt"));
    }
    if !linux.net_devices.is_empty() {
        return Err(unsupported("netDevices"));
    }
    Ok((process, linux))
}

fn unsupported(what: &str) -> Error {
    Error::new(Kind::Unsupported, format!("\"{what}\" is not supported"))
}

/// Only what a namespace of the container's own holds may be set; all else is the host's.
fn check_sysctl(spec: &Spec, name: &str) -> Result<()> {
    let dotted = sysctl_path(name).replace('/', ".");
    if dotted.split('.').any(str::is_empty) {
        return Err(invalid(format!("invalid sysctl {name:?}")));
    }
    let kind = match dotted.as_str() {
        "kernel.domainname" | "kernel.hostname" => NamespaceKind::Uts,
        "kernel.msgmax"
        | "kernel.msgmnb"
        | "kernel.msgmni"
        | "kernel.sem"
        | "kernel.shmall"
        | "kernel.shmmax"
        | "kernel.shmmni"
        | "kernel.shm_rmid_forced" => NamespaceKind::Ipc,
        name if name.starts_with("fs.mqueue.") => NamespaceKind::Ipc,
        name if name.starts_with("net.") => NamespaceKind::Network,
        name if name.starts_with("user.") => NamespaceKind::User,
        _ => {
            let message = format!("sysctl {name:?} is not in a separate kernel namespace");
            return Err(invalid(message));
        }
    };
    if wants(spec, kind) {
        return Ok(());
    }
    Err(invalid(format!(
        "sysctl {name:?} is not allowed as it would change the host's: the container has no {kind:?} namespace of its own"
    )))
}

/// The path below `/proc/sys` of a kernel parameter (sysctl.d(5)): the first separator says which of
/// `.` and `/` separates; the other then stands for itself, swapped.
pub(crate) fn sysctl_path(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'/' => name.to_owned(),
        _ => name
            .chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                letter => letter,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_oci::runtime::Namespace;

    fn spec(kinds: &[NamespaceKind]) -> Spec {
        let namespaces = kinds.iter().map(|&kind| Namespace { kind, path: None }).collect();
        Spec {
            process: Some(Process::default()),
            linux: Some(Linux {
                namespaces,
                ..Linux::default()
            }),
            ..Spec::default()
        }
    }

    #[test]
    fn the_hosts_parameters_are_out_of_reach() {
        use NamespaceKind::{Ipc, Network};
        for (name, kinds, allowed) in [
            ("net.ipv4.ip_forward", &[Network][..], true),
            ("net/ipv4/ip_forward", &[Network], true),
            ("net.ipv4.ip_forward", &[Ipc], false),
            ("kernel.shmmax", &[Ipc], true),
            ("kernel.core_pattern", &[Ipc, Network], false),
            ("net..", &[Network], false),
            ("net.a/../../../kernel/core_pattern", &[Network], false),
            ("net/../kernel/core_pattern", &[Network], false),
        ] {
            assert_eq!(check_sysctl(&spec(kinds), name).is_ok(), allowed, "{name}");
        }
    }

    #[test]
    fn interface_names_with_dots_are_kept() {
        assert_eq!(
            sysctl_path("net.ipv4.conf.eth0/1.forwarding"),
            "net/ipv4/conf/eth0.1/forwarding"
        );
        assert_eq!(
            sysctl_path("net/ipv4/conf/eth0.1/forwarding"),
            "net/ipv4/conf/eth0.1/forwarding"
        );
    }

    #[test]
    fn a_hostname_needs_a_namespace() {
        let mut without = spec(&[]);
        without.hostname = Some("h".into());
        assert!(check(&without).is_err());
        let mut with = spec(&[NamespaceKind::Uts]);
        with.hostname = Some("h".into());
        assert!(check(&with).is_ok());
    }
}
