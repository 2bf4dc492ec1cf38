//! `--security-opt`: seccomp, AppArmor, SELinux labels, `no-new-privileges`, `systempaths`.

use corten_api::container::HostConfig;
use corten_oci::seccomp::{Target, parse_profile};

use crate::error::{Error, Result};

/// What the options say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Security<'a> {
    /// Whether `execve(2)` gives no privileges; none for the engine's default.
    pub(crate) no_new_privileges: Option<bool>,
    /// The seccomp filter.
    pub(crate) seccomp: Seccomp<'a>,
    /// The AppArmor profile; none for the default.
    pub(crate) apparmor: Option<&'a str>,
    /// Whether masked and read-only paths are left open.
    pub(crate) open_system_paths: bool,
    /// Whether the container's cgroup may be written.
    pub(crate) writable_cgroups: bool,
    /// SELinux label options, `user:x`, `role:x`, `type:x`, `level:x`, `disable`.
    pub(crate) labels: Vec<&'a str>,
}

/// Which seccomp filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Seccomp<'a> {
    /// The engine's default; none when privileged.
    #[default]
    Default,
    /// The built-in one.
    Builtin,
    /// None.
    Unconfined,
    /// The user's, as JSON.
    Profile(&'a str),
}

/// Reads the options.
pub(crate) fn parse(host: &HostConfig) -> Result<Security<'_>> {
    let mut security = Security::default();
    for option in host.security_opt.iter().flatten() {
        read(&mut security, option)?;
    }
    if !security.labels.is_empty() && security.labels != ["disable"] && !selinux_enabled() {
        return Err(Error::unsupported(
            "SELinux labels are not supported: the kernel has SELinux disabled",
        ));
    }
    Ok(security)
}

fn read<'a>(security: &mut Security<'a>, option: &'a str) -> Result<()> {
    let bad = || Error::invalid(format!("invalid --security-opt 2: \"{option}\""));
    let switch = |value: &str| match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(bad()),
    };
    // `seccomp=` takes JSON, which has both separators; the first of them counts.
    let at = option.find(['=', ':']);
    let (name, value) = match at {
        Some(at) => (option.get(..at).unwrap_or(option), option.get(at + 1..)),
        None => (option, None),
    };
    match (name, value) {
        ("no-new-privileges", None) => security.no_new_privileges = Some(true),
        ("no-new-privileges", Some(value)) => security.no_new_privileges = Some(switch(value)?),
        ("disable", None) => security.labels.push("disable"),
        ("systempaths", Some("unconfined")) => security.open_system_paths = true,
        ("writable-cgroups", None) => security.writable_cgroups = true,
        ("writable-cgroups", Some(value)) => security.writable_cgroups = switch(value)?,
        ("seccomp", Some("unconfined")) => security.seccomp = Seccomp::Unconfined,
        ("seccomp", Some("builtin")) => security.seccomp = Seccomp::Builtin,
        ("seccomp", Some(profile)) => {
            let target = Target {
                capabilities: &[],
                architecture: super::spec::ARCHITECTURE,
                kernel: (0, 0),
            };
            parse_profile(profile.as_bytes(), &target).map_err(|e| Error::invalid(e.to_string()))?;
            security.seccomp = Seccomp::Profile(profile);
        }
        ("apparmor", Some(profile)) => security.apparmor = Some(profile),
        ("label", Some(label)) => security.labels.push(label),
        _ => return Err(bad()),
    }
    Ok(())
}

/// Whether the kernel enforces or watches SELinux rules.
fn selinux_enabled() -> bool {
    corten_sys::fs::exists("/sys/fs/selinux/enforce").unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_options() {
        let parse_all = |options: &[&str]| {
            let host = HostConfig {
                security_opt: Some(options.iter().map(|&o| o.to_owned()).collect()),
                ..Default::default()
            };
            parse(&host)
                .map(|s| (s.no_new_privileges, s.open_system_paths, s.apparmor.map(str::to_owned)))
                .map_err(|e| e.report())
        };
        assert_eq!(parse_all(&["no-new-privileges"]), Ok((Some(true), false, None)));
        assert_eq!(parse_all(&["no-new-privileges=false"]), Ok((Some(false), false, None)));
        assert_eq!(
            parse_all(&["systempaths=unconfined", "apparmor=p"]),
            Ok((None, true, Some("p".into())))
        );
        assert_eq!(parse_all(&["nope"]), Err("invalid --security-opt 2: \"nope\"".into()));
    }
}
