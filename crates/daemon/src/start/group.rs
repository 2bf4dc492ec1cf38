//! The group that may use the socket.

use corten_sys::fs;

/// Groups that are looked for when none is named.
const DEFAULTS: [&str; 2] = ["docker", "corten"];

/// The id of the group named, or of a default one; none when no default one exists.
///
/// # Errors
/// When the group that was named does not exist.
pub(super) fn of_socket(named: Option<&str>) -> Result<Option<u32>, String> {
    // A machine without the file has no groups.
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    if let Some(name) = named {
        return match find(&groups, name).or_else(|| name.parse().ok()) {
            Some(id) => Ok(Some(id)),
            None => Err(format!("group {name} not found")),
        };
    }
    let found = DEFAULTS.iter().find_map(|name| find(&groups, name));
    if found.is_none() {
        tracing::warn!(
            "there is no group {}: only root may use the socket",
            DEFAULTS.join(" or ")
        );
    }
    Ok(found)
}

/// Looks a name up in the text of `/etc/group` (group(5)).
fn find(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_name() {
        let text = "root:x:0:\nbad\ndocker:x:999:me,you\n";
        assert_eq!(
            (find(text, "docker"), find(text, "root"), find(text, "doc")),
            (Some(999), Some(0), None)
        );
        assert!(of_socket(Some("no-such-group-here")).is_err());
        assert_eq!(of_socket(Some("1234567")), Ok(Some(1_234_567)));
    }
}
