//! The runtime specification: `config.json` and the state document.
//!
//! Field for field what the OCI runtime-spec (1.3) says of Linux containers, in its words; units are
//! the specification's. Absent values stay absent when written again, and a `null` where a list or a
//! map belongs reads as an empty one, as Go's encoder writes it.
//!
//! ```
//! use corten_oci::runtime::Spec;
//!
//! let spec: Spec = serde_json::from_str(
//!     r#"{"ociVersion":"1.2.0","process":{"args":["true"],"cwd":"/"},"mounts":null}"#,
//! )?;
//! assert_eq!(spec.process.unwrap_or_default().args, ["true"]);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod linux;
mod process;
mod resources;
mod seccomp;
mod state;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

pub use self::linux::{
    Device, IdMapping, IntelRdt, Linux, MemoryPolicy, Namespace, NamespaceKind, NetDevice, Personality, TimeOffset,
};
pub use self::process::{Capabilities, ConsoleSize, CpuAffinity, IoPriority, Process, Rlimit, Scheduler, User};
pub use self::resources::{
    BlockIo, Cpu, DeviceCgroup, HugepageLimit, InterfacePriority, Memory, Network, Pids, Rdma, Resources,
    ThrottleDevice, WeightDevice,
};
pub use self::seccomp::{Seccomp, SeccompAction, SeccompArg, SeccompOperator, SeccompSyscall};
pub use self::state::{State, Status};

/// The version of the specification that documents made here carry.
pub const VERSION: &str = "1.2.1";

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Whether a flag is unset; such flags are not written.
fn unset(flag: &bool) -> bool {
    !*flag
}

/// `config.json`: all that makes a container (config.md).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// The version of the specification the document follows.
    pub oci_version: String,
    /// The container's init process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The root file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// The host name, with a UTS namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The NIS domain name, with a UTS namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Mounts besides the root, in order.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Programs to run at points of the life cycle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// Free words, repeated in the state.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// The root file system (config.md "Root").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Root {
    /// Where it lies on the host; relative to the bundle when not absolute.
    pub path: PathBuf,
    /// Whether it is read-only in the container.
    #[serde(skip_serializing_if = "unset")]
    pub readonly: bool,
}

/// A mount (config.md "Mounts").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mount {
    /// Where, in the container.
    pub destination: String,
    /// The file system's type; `bind` or `none` for bind mounts.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What: a host path (relative to the bundle) for bind mounts, else the file system's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Mount options as of `fstab(5)`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// User ids mapped by the mount.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids mapped by the mount.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
}

/// Programs run at points of the life cycle (config.md "POSIX-platform Hooks").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hooks {
    /// After the namespaces exist, before the root is entered; in the runtime's namespaces.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub prestart: Vec<Hook>,
    /// As `prestart`, its successor.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub create_runtime: Vec<Hook>,
    /// In the container's namespaces, before the root is entered.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub create_container: Vec<Hook>,
    /// In the container, before the program is executed.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub start_container: Vec<Hook>,
    /// After the program was executed; in the runtime's namespaces.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    /// After the container was deleted.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

/// A program run at a point of the life cycle; it gets the state on its standard input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// The program.
    pub path: PathBuf,
    /// All its arguments, its own name first.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Seconds after which it is killed and has failed.
    #[serde(rename = "timeout", skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_written_as_it_was_read() {
        let text = r#"{"ociVersion":"1.2.0","process":{"user":{"uid":1,"gid":2,"additionalGids":[3]},"args":["a"],"cwd":"/","noNewPrivileges":true,"oomScoreAdj":-5},"root":{"path":"rootfs","readonly":true},"mounts":[{"destination":"/proc","type":"proc","source":"proc"}],"linux":{"resources":{"devices":[{"allow":false,"access":"rwm"}],"memory":{"limit":1,"kernelTCP":2,"disableOOMKiller":true},"blockIO":{"throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":3}]}},"namespaces":[{"type":"pid"},{"type":"network","path":"/x"}],"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]}}}"#;
        let spec: Spec = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&spec).unwrap(), text);
    }

    #[test]
    fn null_is_empty() {
        let spec: Spec =
            serde_json::from_str(r#"{"ociVersion":"1.0","mounts":null,"linux":{"namespaces":null,"sysctl":null}}"#)
                .unwrap();
        assert_eq!(spec.mounts, []);
    }

    #[test]
    fn unknown_words_are_refused() {
        assert!(serde_json::from_str::<Namespace>(r#"{"type":"pids"}"#).is_err());
    }
}
