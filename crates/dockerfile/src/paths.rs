//! Paths below a root, by their words only.

/// Go's `filepath.Clean`, without the leading slash: no empty parts, no dots, and `..` stops at the root. The root
/// itself is the empty path.
#[must_use]
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
