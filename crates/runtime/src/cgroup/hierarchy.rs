//! Where the host has mounted its cgroup hierarchies.

use std::path::{Path, PathBuf};

use corten_sys::fs;

use crate::error::{Error, Kind, Result};

/// Where cgroups are mounted on every system there is.
const ROOT: &str = "/sys/fs/cgroup";

/// The host's arrangement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One hierarchy for each controller or pair of them; a v2 hierarchy beside them is left alone.
    V1(Vec<Hierarchy>),
    /// The one hierarchy, at this mount point.
    V2(PathBuf),
}

/// A v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Its controllers; `name=…` for one without any.
    pub(crate) controllers: Vec<String>,
    /// Its mount point.
    pub(crate) mount: PathBuf,
}

impl Hierarchy {
    /// Whether a controller belongs to it.
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|own| own == controller)
    }
}

/// Finds out how the host is arranged.
pub(crate) fn layout() -> Result<Layout> {
    let internal = |message: &str| Error::new(Kind::Internal, message);
    // One call tells the common case, where the mount table may be long.
    if is_v2(Path::new(ROOT)) {
        return Ok(Layout::V2(PathBuf::from(ROOT)));
    }
    let table = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| internal("cannot read the mount table").with_source(error))?;
    parse(&table).ok_or_else(|| {
        Error::new(Kind::Unsupported, "no cgroup hierarchy is mounted on this host")
            .with_hint("mount one: mount -t cgroup2 none /sys/fs/cgroup")
    })
}

fn is_v2(path: &Path) -> bool {
    const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
    rustix::fs::statfs(path)
        .is_ok_and(|status| u64::try_from(status.f_type).is_ok_and(|kind| kind == CGROUP2_SUPER_MAGIC))
}

/// Reads hierarchies off a mount table (`proc_pid_mountinfo(5)`); v2 counts only without v1.
fn parse(table: &str) -> Option<Layout> {
    let mut hierarchies: Vec<Hierarchy> = Vec::new();
    let mut unified = None;
    for line in table.lines() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let (Some(mount), Some(kind)) = (before.split(' ').nth(4), after.split(' ').next()) else {
            continue;
        };
        match kind {
            "cgroup" => {
                let options = after.split(' ').nth(2).unwrap_or_default();
                let controllers = controllers(options);
                // A hierarchy may be mounted more than once; the first mount serves.
                if !hierarchies.iter().any(|known| known.controllers == controllers) {
                    hierarchies.push(Hierarchy {
                        controllers,
                        mount: unescape(mount),
                    });
                }
            }
            "cgroup2" if unified.is_none() => unified = Some(unescape(mount)),
            _ => {}
        }
    }
    if !hierarchies.is_empty() {
        return Some(Layout::V1(hierarchies));
    }
    unified.map(Layout::V2)
}

/// The controllers among a v1 mount's superblock options, `rw,cpu,cpuacct`.
fn controllers(options: &str) -> Vec<String> {
    let word = |option: &&str| {
        !matches!(
            *option,
            "rw" | "ro" | "xattr" | "noprefix" | "clone_children" | "cpuset_v2_mode" | "favordynmods"
        ) && !option.starts_with("release_agent=")
            && *option != "seclabel"
    };
    options.split(',').filter(word).map(str::to_owned).collect()
}

/// Undoes the table's octal escapes of blanks and backslashes.
fn unescape(path: &str) -> PathBuf {
    let mut parts = path.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(3).unwrap_or((part, ""));
        match u8::from_str_radix(code, 8) {
            Ok(byte) => plain.push(char::from(byte)),
            Err(_) => plain.push_str(code),
        }
        plain.push_str(rest);
    }
    PathBuf::from(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_is_v1() {
        let table = "\
24 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
25 24 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
26 24 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
27 24 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
28 24 0:23 / /elsewhere\\040too rw - cgroup cgroup rw,cpu,cpuacct
29 24 0:26 / /odd\\040place rw - cgroup cgroup rw,seclabel,memory
";
        let hierarchy = |names: &[&str], mount: &str| Hierarchy {
            controllers: names.iter().map(|&name| name.to_owned()).collect(),
            mount: mount.into(),
        };
        assert_eq!(
            parse(table),
            Some(Layout::V1(vec![
                hierarchy(&["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct"),
                hierarchy(&["name=systemd"], "/sys/fs/cgroup/systemd"),
                hierarchy(&["memory"], "/odd place"),
            ]))
        );
    }

    #[test]
    fn unified_alone_is_v2() {
        let table = "27 24 0:25 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(parse(table), Some(Layout::V2("/sys/fs/cgroup".into())));
        assert_eq!(parse("1 0 0:1 / / rw - ext4 /dev/sda rw\n"), None);
    }
}
