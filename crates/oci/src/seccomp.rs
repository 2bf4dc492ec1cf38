//! Seccomp profiles: Docker's default, and its format for profiles of one's own.
//!
//! A profile speaks about all machines and containers at once; [`default_profile`] and [`parse_profile`] give
//! what it says about one of them, as the runtime specification has it.

mod default;

use serde::Deserialize;

use crate::runtime::{Seccomp, SeccompAction, SeccompArg, SeccompSyscall};

/// What a profile's conditions are about.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The container's capabilities, `CAP_CHOWN` and so on (its bounding set).
    pub capabilities: &'a [&'a str],
    /// The machine, as Go names it: `amd64`, `arm64`.
    pub architecture: &'a str,
    /// The kernel's version and patch level: (6, 1).
    pub kernel: (u32, u32),
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It isn't the JSON it should be.
    #[error("Decoding seccomp profile failed: {0}")]
    Decode(#[from] serde_json::Error),
    /// It contradicts itself.
    #[error("{0}")]
    Contradiction(&'static str),
    /// A rule's `minKernel` is no version.
    #[error("invalid kernel version: \"{0}\"")]
    KernelVersion(String),
}

/// Docker's default profile for one container.
#[must_use]
pub fn default_profile(target: &Target<'_>) -> Seccomp {
    let architectures = match target.architecture {
        "amd64" => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"][..],
        "arm64" => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"][..],
        // The runtime includes the machine's own.
        _ => &[],
    };
    Seccomp {
        default_action: SeccompAction::Errno,
        default_errno_ret: Some(1),
        architectures: architectures.iter().map(|&name| name.to_owned()).collect(),
        flags: Vec::new(),
        listener_path: None,
        listener_metadata: None,
        syscalls: default::rules(target),
    }
}

/// Reads a profile in Docker's format and takes from it what applies to one container; none when it
/// is empty.
///
/// # Errors
/// Not JSON, an unknown word, a contradiction, or a bad version.
pub fn parse_profile(json: &[u8], target: &Target<'_>) -> Result<Option<Seccomp>, ProfileError> {
    let profile: Profile = serde_json::from_slice(json)?;
    let syscalls = profile.syscalls.unwrap_or_default();
    let Some(default_action) = profile.default_action else {
        return match syscalls.is_empty() {
            true => Ok(None),
            false => Err(ProfileError::Contradiction(
                "no default action defined in the seccomp profile",
            )),
        };
    };
    let (listed, mapped) = (
        profile.architectures.unwrap_or_default(),
        profile.arch_map.unwrap_or_default(),
    );
    if !listed.is_empty() && !mapped.is_empty() {
        return Err(ProfileError::Contradiction(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
        ));
    }
    let mut rules = Vec::with_capacity(syscalls.len());
    for rule in syscalls {
        if rule.applies(target)? {
            rules.push(rule.resolve()?);
        }
    }
    Ok(Some(Seccomp {
        default_action,
        default_errno_ret: profile.default_errno_ret,
        architectures: if mapped.is_empty() {
            listed
        } else {
            own_architectures(mapped, target)
        },
        flags: profile.flags.unwrap_or_default(),
        listener_path: profile.listener_path,
        listener_metadata: profile.listener_metadata,
        syscalls: rules,
    }))
}

/// The entry of `archMap` for this machine.
fn own_architectures(map: Vec<ArchEntry>, target: &Target<'_>) -> Vec<String> {
    let own = match target.architecture {
        "amd64" => "SCMP_ARCH_X86_64",
        "arm64" => "SCMP_ARCH_AARCH64",
        "arm" => "SCMP_ARCH_ARM",
        "386" => "SCMP_ARCH_X86",
        "riscv64" => "SCMP_ARCH_RISCV64",
        "s390x" => "SCMP_ARCH_S390X",
        "ppc64le" => "SCMP_ARCH_PPC64LE",
        "loong64" => "SCMP_ARCH_LOONGARCH64",
        _ => return Vec::new(),
    };
    let entry = map.into_iter().find(|entry| entry.architecture == own);
    let names = entry.map(|entry| (entry.architecture, entry.sub_architectures.unwrap_or_default()));
    names.map_or_else(Vec::new, |(first, rest)| std::iter::once(first).chain(rest).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: Option<SeccompAction>,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<ArchEntry>>,
    flags: Option<Vec<String>>,
    listener_path: Option<std::path::PathBuf>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchEntry {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// The single name of old profiles.
    name: Option<String>,
    names: Option<Vec<String>>,
    action: SeccompAction,
    errno_ret: Option<u32>,
    args: Option<Vec<SeccompArg>>,
    #[serde(default)]
    includes: Option<Condition>,
    #[serde(default)]
    excludes: Option<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

impl Rule {
    /// Whether the rule is about this container: all of `includes` holds and nothing of `excludes`.
    fn applies(&self, target: &Target<'_>) -> Result<bool, ProfileError> {
        let has = |name: &String| target.capabilities.contains(&name.as_str());
        if let Some(excludes) = &self.excludes
            && (excludes.caps.iter().flatten().any(has)
                || excludes.arches.iter().flatten().any(|arch| arch == target.architecture)
                || excludes.kernel_holds(target)? == Some(true))
        {
            return Ok(false);
        }
        let Some(includes) = &self.includes else {
            return Ok(true);
        };
        let mut arches = includes.arches.iter().flatten().peekable();
        Ok(includes.caps.iter().flatten().all(has)
            && (arches.peek().is_none() || arches.any(|arch| arch == target.architecture))
            && includes.kernel_holds(target)? != Some(false))
    }

    fn resolve(self) -> Result<SeccompSyscall, ProfileError> {
        let mut names = self.names.unwrap_or_default();
        match self.name.filter(|name| !name.is_empty()) {
            Some(_) if !names.is_empty() => {
                return Err(ProfileError::Contradiction(
                    "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
                ));
            }
            Some(name) => names.push(name),
            None => {}
        }
        Ok(SeccompSyscall {
            names,
            action: self.action,
            errno_ret: self.errno_ret,
            args: self.args.unwrap_or_default(),
        })
    }
}

impl Condition {
    /// Whether the kernel is at least `minKernel`; none when nothing is said about it.
    fn kernel_holds(&self, target: &Target<'_>) -> Result<Option<bool>, ProfileError> {
        let Some(text) = self.min_kernel.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let version = text
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
        let version = version.ok_or_else(|| ProfileError::KernelVersion(text.to_owned()))?;
        Ok(Some(target.kernel >= version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability;

    const TARGET: Target<'_> = Target {
        capabilities: &capability::DEFAULT,
        architecture: "amd64",
        kernel: (6, 1),
    };

    fn names(profile: &Seccomp) -> Vec<&str> {
        profile.syscalls[0].names.iter().map(String::as_str).collect()
    }

    #[test]
    fn capabilities_open_their_calls() {
        let plain = default_profile(&TARGET);
        let names_of = names(&plain);
        for absent in [
            "mount",
            "bpf",
            "io_uring_setup",
            "keyctl",
            "clone",
            "clone3",
            "kexec_load",
            "reboot",
            "socket",
            "personality",
        ] {
            assert!(!names_of.contains(&absent), "{absent}");
        }
        for there in ["read", "chroot", "ptrace", "arch_prctl", "landlock_add_rule"] {
            assert!(names_of.contains(&there), "{there}");
        }
        let rule = |name: &'static str| plain.syscalls.iter().filter(move |rule| rule.names == [name]);
        assert_eq!(rule("clone3").next().unwrap().errno_ret, Some(38));
        assert_eq!(rule("clone").count(), 1);
        assert!(rule("socket").all(|rule| rule.args[0].value != 40 && rule.args[0].value != 38));

        let admin = default_profile(&Target {
            capabilities: &["CAP_SYS_ADMIN"],
            kernel: (4, 7),
            architecture: "arm64",
        });
        let names_of = names(&admin);
        assert!(names_of.contains(&"mount") && names_of.contains(&"clone3") && names_of.contains(&"cacheflush"));
        assert!(!names_of.contains(&"chroot") && !names_of.contains(&"ptrace") && !names_of.contains(&"arch_prctl"));
        assert_eq!(admin.architectures, ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
    }

    #[test]
    fn a_profile_is_cut_to_its_target() {
        let json = br#"{
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "archMap": [{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
                        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": null}],
            "syscalls": [
                {"names": ["a"], "action": "SCMP_ACT_ALLOW", "comment": "x", "includes": {}, "excludes": {}, "args": null},
                {"name": "b", "action": "SCMP_ACT_LOG", "includes": {"caps": ["CAP_CHOWN"]}},
                {"names": ["c"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_CHOWN", "CAP_BPF"]}},
                {"names": ["d"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_CHOWN"]}},
                {"names": ["e"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
                {"names": ["f"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["arm64"]}, "includes": {"minKernel": "4.8"}},
                {"names": ["g"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.2"}}
            ]}"#;
        let profile = parse_profile(json, &TARGET).unwrap().unwrap();
        let names: Vec<_> = profile.syscalls.iter().map(|rule| rule.names[0].as_str()).collect();
        assert_eq!(names, ["a", "b", "f"]);
        assert_eq!(profile.architectures, ["SCMP_ARCH_X86_64"]);
        assert_eq!(profile.default_errno_ret, Some(38));
    }

    #[test]
    fn bad_profiles() {
        let check = |json: &str, expected: &str| {
            let text = parse_profile(json.as_bytes(), &TARGET).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        };
        check("nonsense", "Decoding seccomp profile failed: ");
        check(r#"{"defaultAction":"SCMP_ACT_X"}"#, "Decoding seccomp profile failed: ");
        check(
            r#"{"syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW"}]}"#,
            "no default action",
        );
        check(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["X"],"archMap":[{"architecture":"Y"}]}"#,
            "both 'architectures'",
        );
        check(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}]}"#,
            "both 'name'",
        );
        check(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","action":"SCMP_ACT_ALLOW","includes":{"minKernel":"x"}}]}"#,
            "invalid kernel version",
        );
        assert!(parse_profile(b"{}", &TARGET).unwrap().is_none());
    }
}
