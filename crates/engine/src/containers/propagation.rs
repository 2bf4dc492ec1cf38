//! Mount propagation: what a bind mount's source must be for it to be shared (`mount_namespaces(7)`).

use super::record::MountRecord;
use crate::error::{Error, Result};

/// Checks that sources are what the propagation asked for needs.
///
/// # Errors
/// `Invalid` in Docker's words.
pub(super) fn check(mounts: &[MountRecord]) -> Result<()> {
    let wanting: Vec<&MountRecord> = mounts.iter().filter(|mount| !is_private(mount)).collect();
    if wanting.is_empty() {
        return Ok(());
    }
    let table = corten_sys::fs::read_to_string("/proc/self/mountinfo")?;
    wanting.into_iter().try_for_each(|mount| check_one(mount, &table))
}

fn is_private(mount: &MountRecord) -> bool {
    mount.point.kind != "bind" || matches!(mount.point.propagation.as_str(), "" | "private" | "rprivate")
}

fn check_one(mount: &MountRecord, table: &str) -> Result<()> {
    let source = &mount.point.source;
    let real = corten_sys::fs::canonicalize(std::path::Path::new(source))?;
    let Some((place, optional)) = mount_of(&real.to_string_lossy(), table) else {
        return Ok(());
    };
    let shared = optional.iter().any(|field| field.starts_with("shared:"));
    let slave = optional.iter().any(|field| field.starts_with("master:"));
    let kind = match mount.point.propagation.as_str() {
        "shared" | "rshared" if !shared => "a shared mount",
        "slave" | "rslave" if !shared && !slave => "a shared or slave mount",
        _ => return Ok(()),
    };
    Err(Error::invalid(format!(
        "path {source} is mounted on {place} but it is not {kind}"
    )))
}

/// The mount that a path is on, with its optional fields (`proc_pid_mountinfo(5)`).
fn mount_of<'a>(path: &str, table: &'a str) -> Option<(String, Vec<&'a str>)> {
    let mut best: Option<(String, Vec<&str>)> = None;
    for line in table.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let place = fields.get(4)?.replace("\\040", " ");
        let inside =
            place == "/" || path == place || path.strip_prefix(&place).is_some_and(|rest| rest.starts_with('/'));
        // A later mount on the same place covers an earlier one.
        if inside && best.as_ref().is_none_or(|(other, _)| place.len() >= other.len()) {
            let optional = fields
                .iter()
                .skip(6)
                .take_while(|field| **field != "-")
                .copied()
                .collect();
            best = Some((place, optional));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::mount_of;

    #[test]
    fn the_nearest_mount_counts() {
        let table = "1 0 8:1 / / rw shared:1 - ext4 /dev/sda rw\n\
                     2 1 8:2 / /a rw master:7 - ext4 /dev/sdb rw\n\
                     3 1 8:3 / /a\\040b rw - ext4 /dev/sdc rw\n";
        let check = |path, place: &str, optional: &[&str]| {
            assert_eq!(
                mount_of(path, table),
                Some((place.to_owned(), optional.to_vec())),
                "{path}"
            );
        };
        check("/x", "/", &["shared:1"]);
        check("/a", "/a", &["master:7"]);
        check("/a/x", "/a", &["master:7"]);
        check("/ab", "/", &["shared:1"]);
        check("/a b/c", "/a b", &[]);
    }
}
