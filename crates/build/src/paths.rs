//! Paths in an image: always absolute, cleaned without looking at any file.

use corten_dockerfile::clean_path;

/// Joins a path to a folder and cleans it: no empty parts, no dots, `..` stops at the root.
pub(crate) fn join(folder: &str, path: &str) -> String {
    let folder = if path.starts_with('/') { "" } else { folder };
    format!("/{}", clean_path(&format!("{folder}/{path}")))
}

/// The same from a tree's root, without the leading slash: `.` is the empty path.
pub(crate) fn below(path: &str) -> String {
    clean_path(path)
}

/// The last part.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        assert_eq!(join("/a/b", "c"), "/a/b/c");
        assert_eq!(join("/a/b", "/c"), "/c");
        assert_eq!(join("", "x/./y//z/.."), "/x/y");
        assert_eq!(join("/a", "../../../x"), "/x");
        assert_eq!(join("/", "."), "/");
        assert_eq!(below("../../a/"), "a");
        assert_eq!((below("."), name("a/b")), (String::new(), "b"));
    }
}
