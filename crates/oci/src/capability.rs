//! Names of Linux capabilities, and the set a container gets (capabilities(7)).
//!
//! Names are spelled as in the runtime specification, `CAP_CHOWN`. What the running kernel knows of
//! them is the runtime's business: it leaves out those above `/proc/sys/kernel/cap_last_cap`.

/// Every capability, in the order of its number (`linux/capability.h`).
pub const ALL: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// What a container gets unless told otherwise, as Docker gives it.
pub const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The word that stands for every capability in `--cap-add` and `--cap-drop`.
pub const EVERY: &str = "ALL";

/// A name that is no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability: \"{0}\"")]
pub struct UnknownCapability(pub String);

/// Whether a container is `--privileged`, which overrides what is added and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// The default set, tweaked.
    Ordinary,
    /// Every capability.
    Privileged,
}

/// Spells a capability as the runtime specification does: upper case with `CAP_`; `ALL` stays.
///
/// # Errors
/// [`UnknownCapability`] with the name as it would have been spelled.
pub fn normalize(name: &str) -> Result<&'static str, UnknownCapability> {
    let upper = name.to_uppercase();
    if upper == EVERY {
        return Ok(EVERY);
    }
    let full = if upper.starts_with("CAP_") {
        upper
    } else {
        format!("CAP_{upper}")
    };
    match number(&full) {
        Some(index) => Ok(ALL[usize::from(index)]),
        None => Err(UnknownCapability(full)),
    }
}

/// Normalizes a list of names, as given to `--cap-add` or `--cap-drop`.
///
/// # Errors
/// [`UnknownCapability`] for the first name that is none.
pub fn normalize_all(names: &[String]) -> Result<Vec<&'static str>, UnknownCapability> {
    names.iter().map(|name| normalize(name)).collect()
}

/// The number of a capability spelled `CAP_X` (0 to 40).
pub fn number(name: &str) -> Option<u8> {
    let index = ALL.iter().position(|&known| known == name)?;
    u8::try_from(index).ok()
}

/// Computes a container's capabilities from what the user adds and drops, as Docker does:
/// adding `ALL` gives all but the dropped, dropping `ALL` leaves only the added.
///
/// # Errors
/// [`UnknownCapability`] for the first name that is none.
pub fn resolve(add: &[String], drop: &[String], privilege: Privilege) -> Result<Vec<&'static str>, UnknownCapability> {
    if privilege == Privilege::Privileged {
        return Ok(ALL.to_vec());
    }
    let (add, drop) = (normalize_all(add)?, normalize_all(drop)?);
    let without_dropped = |names: &[&'static str]| -> Vec<&'static str> {
        names.iter().filter(|name| !drop.contains(name)).copied().collect()
    };
    if add.contains(&EVERY) {
        return Ok(without_dropped(&ALL));
    }
    let mut result = if drop.contains(&EVERY) {
        Vec::new()
    } else {
        without_dropped(&DEFAULT)
    };
    for name in add {
        if !result.contains(&name) {
            result.push(name);
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn check(add: &str, drop: &str, expected: &[&str]) {
        let result = resolve(&names(add), &names(drop), Privilege::Ordinary).unwrap();
        assert_eq!(result, expected, "add {add:?} drop {drop:?}");
    }

    #[test]
    fn adds_and_drops_as_docker_does() {
        check("", "", &DEFAULT);
        check("", "ALL", &[]);
        check("net_admin", "all", &["CAP_NET_ADMIN"]);
        check("CHOWN", "", &DEFAULT);
        check("", "CAP_CHOWN chown", &DEFAULT[1..]);
        // A capability both dropped and added is there.
        check("CAP_CHOWN", "CAP_CHOWN ALL", &["CAP_CHOWN"]);
        let all_but_one: Vec<_> = ALL.iter().filter(|name| **name != "CAP_BPF").copied().collect();
        check("ALL", "BPF", &all_but_one);
    }

    #[test]
    fn privileged_overrides() {
        let result = resolve(&[], &names("ALL"), Privilege::Privileged).unwrap();
        assert_eq!(result, ALL);
    }

    #[test]
    fn unknown_names_are_spelled_out() {
        let error = resolve(&names("nope"), &[], Privilege::Ordinary).unwrap_err();
        assert_eq!(error.to_string(), "unknown capability: \"CAP_NOPE\"");
    }
}
