//! Programs of this machine: where they are, and what may be told them.

use std::path::{Path, PathBuf};

use crate::fs;

/// Whether a file can be executed by somebody.
#[must_use]
pub fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// Finds a program in folders, the first one before the others. A name with a slash in it is none.
pub fn find_in(folders: impl IntoIterator<Item = impl AsRef<Path>>, name: &str) -> Option<PathBuf> {
    let is_name = !name.is_empty() && !name.contains('/');
    let mut files = folders.into_iter().map(|folder| folder.as_ref().join(name));
    files.find(|file| is_name && is_program(file))
}

/// Finds a program on the path of this process's environment, as a shell does.
#[must_use]
pub fn on_path(name: &str) -> Option<PathBuf> {
    find_in(std::env::split_paths(&std::env::var_os("PATH")?), name)
}

/// What is wrong with a repository's address or a reference in it (gitnamespaces(7), gitremote-helpers(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitDanger {
    /// One begins with a dash: git would take it for an option.
    Option,
    /// The address names a program that is to fetch it, or has control characters.
    Helper,
    /// The reference has control characters.
    Control,
}

/// Looks for what would have git do something else than fetch a reference from a repository.
#[must_use]
pub fn git_danger(address: &str, reference: &str) -> Option<GitDanger> {
    let has_control = |text: &str| text.contains(char::is_control);
    match () {
        () if address.starts_with('-') || reference.starts_with('-') => Some(GitDanger::Option),
        () if address.contains("::") || has_control(address) => Some(GitDanger::Helper),
        () if has_control(reference) => Some(GitDanger::Control),
        () => None,
    }
}

/// Settings (`git -c`) by which git runs nothing that a repository brings along, and says no more than it must.
pub const GIT_SETTINGS: [&str; 6] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "protocol.file.allow=never",
    "protocol.ext.allow=never",
    "init.defaultBranch=main",
    "advice.detachedHead=false",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_their_names() {
        let folders = ["/nowhere", "/etc", "/bin"];
        assert_eq!(find_in(folders, "sh"), Some(PathBuf::from("/bin/sh")));
        for no_program in ["", "group", "init.d", "../bin/sh", "no such program"] {
            assert_eq!(find_in(folders, no_program), None, "{no_program}");
        }
    }

    #[test]
    fn addresses_that_run_programs_are_told() {
        for (address, reference, danger) in [
            ("ext::sh -c x", "", Some(GitDanger::Helper)),
            ("a\nb", "", Some(GitDanger::Helper)),
            ("--upload-pack=x", "", Some(GitDanger::Option)),
            ("https://x/y.git", "--output=x", Some(GitDanger::Option)),
            ("https://x/y.git", "a\nb", Some(GitDanger::Control)),
            ("https://x/y.git", "main", None),
            ("git@host:y.git", "", None),
        ] {
            assert_eq!(git_danger(address, reference), danger, "{address} {reference}");
        }
    }
}
