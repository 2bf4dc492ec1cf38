//! Relative paths become absolute ones.

use std::path::Path as FilePath;

use crate::{
    error::{Error, Result},
    node::{Node, Value},
    path::{Path, matches},
    short,
};

/// Where relative paths begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base<'a> {
    /// The folder.
    pub(crate) folder: &'a FilePath,
    /// What `~` stands for.
    pub(crate) home: Option<&'a FilePath>,
}

/// Makes every path of a tree absolute, or relative to `base` when that is relative itself.
pub(crate) fn resolve_paths(root: &mut Node, base: Base<'_>) -> Result<()> {
    walk(root, &mut Path::new(), base)
}

fn walk(node: &mut Node, path: &mut Path, base: Base<'_>) -> Result<()> {
    if rewrite(node, path, base)? {
        return Ok(());
    }
    match &mut node.value {
        Value::Map(map) => {
            for (key, child) in map {
                path.push(key.clone());
                walk(child, path, base)?;
                path.pop();
            }
        }
        Value::List(list) => {
            path.push("[]".to_owned());
            for child in list {
                walk(child, path, base)?;
            }
            path.pop();
        }
        _ => {}
    }
    Ok(())
}

/// Rewrites what has a path; whether that was all there is.
fn rewrite(node: &mut Node, path: &Path, base: Base<'_>) -> Result<bool> {
    let fits = |pattern: &str| matches(path, pattern);
    match path.first().map(String::as_str) {
        Some("services") => {
            if fits("services.*.build.context") || fits("services.*.build.additional_contexts.*") {
                context(node, base);
            } else if fits("services.*.volumes.*") {
                return mount(node, base);
            } else if fits("services.*.develop.watch.*.path") {
                edit(node, |text| follow_link(base.plain(text)));
            } else if fits("services.*.build.ssh.*") {
                edit(node, |text| base.unix(text));
            } else if fits("services.*.env_file.*.path")
                || fits("services.*.label_file.*")
                || fits("services.*.extends.file")
            {
                edit(node, |text| base.plain(text));
            } else {
                return Ok(false);
            }
            Ok(true)
        }
        Some("configs" | "secrets") if path.len() == 3 && path[2] == "file" => {
            edit(node, |text| base.unix(text));
            Ok(true)
        }
        Some("volumes") if path.len() == 2 => {
            bind_volume(node, base);
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn edit(node: &mut Node, change: impl FnOnce(&str) -> String) {
    if let Value::Text(text) = &mut node.value {
        *text = change(text);
    }
}

impl Base<'_> {
    /// A path; an empty one stays empty.
    pub(crate) fn plain(self, text: &str) -> String {
        if text.is_empty() {
            String::new()
        } else {
            self.unix(text)
        }
    }

    /// A path of this system, or one of Windows, which stays as it is.
    fn unix(self, text: &str) -> String {
        let expanded = self.expand(text);
        if expanded.starts_with('/') || is_windows(&expanded) {
            return expanded;
        }
        join(self.folder, &expanded)
    }

    /// Puts the home in the place of `~`.
    fn expand(self, text: &str) -> String {
        match (text.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) => join(home, rest),
            _ => text.to_owned(),
        }
    }
}

/// Joins and cleans, as Go's `filepath.Join` does.
pub(crate) fn join(folder: &FilePath, path: &str) -> String {
    let folder = folder.to_string_lossy();
    if folder.is_empty() {
        return short::clean(path);
    }
    short::clean(&format!("{folder}/{path}"))
}

/// A path as it is when it is absolute, and from a folder when it is not.
pub(crate) fn join_or_absolute(folder: &FilePath, path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        join(folder, path)
    }
}

fn is_windows(path: &str) -> bool {
    let mut chars = path.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some(drive), Some(':'), Some('\\' | '/')) => drive.is_ascii_alphabetic(),
        (Some('\\'), Some('\\'), _) => true,
        _ => false,
    }
}

/// A build context: what is no folder stays as it is.
fn context(node: &mut Node, base: Base<'_>) {
    const REMOTE: [&str; 6] = ["https://", "http://", "git://", "ssh://", "github.com/", "git@"];
    edit(node, |text| {
        let elsewhere = text.contains("://") || text.starts_with("service:");
        if elsewhere || REMOTE.iter().any(|prefix| text.starts_with(prefix)) {
            text.to_owned()
        } else {
            base.plain(text)
        }
    });
}

fn mount(node: &mut Node, base: Base<'_>) -> Result<bool> {
    let at = node.at;
    let Some(map) = node.as_map_mut() else {
        return Ok(true);
    };
    if map.get("type").and_then(Node::as_text) != Some("bind") {
        return Ok(true);
    }
    let Some(source) = map.get_mut("source") else {
        let message = r#"invalid mount config for type "bind": field Source must not be empty"#;
        return Err(Error::invalid(message).at(at));
    };
    edit(source, |text| base.unix(text));
    Ok(true)
}

/// A volume that is a folder of the host.
fn bind_volume(node: &mut Node, base: Base<'_>) {
    if node.get("driver").and_then(Node::as_text) != Some("local") {
        return;
    }
    let Some(options) = node.get_mut("driver_opts") else {
        return;
    };
    if options.get("o").and_then(Node::as_text) == Some("bind")
        && let Some(device) = options.get_mut("device")
    {
        edit(device, |text| base.unix(text));
    }
}

/// The path with its first symbolic link followed: what is watched is what the link leads to.
fn follow_link(path: String) -> String {
    let mut current = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        current.push('/');
        current.push_str(part);
        let is_link = corten_sys::fs::symlink_metadata(&current).is_ok_and(|data| data.file_type().is_symlink());
        if is_link && let Ok(target) = corten_sys::fs::canonicalize(&current) {
            return path.replacen(&current, &target.to_string_lossy(), 1);
        }
    }
    path
}
