//! Repositories and tags in order, page by page, with memory for one page only.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use corten_sys::fs;

use super::Store;
use crate::name::{Name, Tag};

/// One page of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) entries: Vec<String>,
    /// Whether more follow.
    pub(crate) has_more: bool,
}

/// The smallest names after a given one, as many as a page holds.
struct Smallest {
    after: String,
    most: usize,
    found: BTreeSet<String>,
    has_more: bool,
}

impl Smallest {
    fn new(after: Option<String>, most: usize) -> Self {
        Self {
            after: after.unwrap_or_default(),
            most,
            found: BTreeSet::new(),
            has_more: false,
        }
    }

    fn offer(&mut self, name: &str) {
        if name <= self.after.as_str() {
            return;
        }
        if self.found.len() >= self.most && self.found.last().is_none_or(|last| name >= last.as_str()) {
            self.has_more = true;
            return;
        }
        self.found.insert(name.to_owned());
        if self.found.len() > self.most {
            self.found.pop_last();
            self.has_more = true;
        }
    }

    fn page(self) -> Page {
        Page {
            has_more: self.has_more && self.most > 0,
            entries: self.found.into_iter().collect(),
        }
    }
}

impl Store {
    /// A page of the repositories that hold something and that `is_visible` says yes to.
    pub(crate) fn repositories(
        &self,
        after: Option<String>,
        most: usize,
        is_visible: impl Fn(&Name) -> bool,
    ) -> io::Result<Page> {
        let mut smallest = Smallest::new(after, most);
        self.each_repository(&mut |name| {
            if is_visible(&name) {
                smallest.offer(name.as_str());
            }
        })?;
        Ok(smallest.page())
    }

    /// Calls with each repository that holds manifests or blobs, in no order.
    pub(crate) fn each_repository(&self, visit: &mut dyn FnMut(Name)) -> io::Result<()> {
        visit_below(&self.repositories_path(), "", visit)
    }

    /// Whether a repository holds something.
    pub(crate) fn has_repository(&self, name: &Name) -> io::Result<bool> {
        let folder = self.repository_path(name);
        Ok(fs::exists(folder.join("_manifests"))? || fs::exists(folder.join("_blobs"))?)
    }

    /// A page of a repository's tags.
    pub(crate) fn tags(&self, name: &Name, after: Option<String>, most: usize) -> io::Result<Page> {
        let mut smallest = Smallest::new(after, most);
        self.each_tag(name, |tag| smallest.offer(tag.as_str()))?;
        Ok(smallest.page())
    }

    /// Calls with each tag of a repository, in no order.
    pub(crate) fn each_tag(&self, name: &Name, mut visit: impl FnMut(Tag)) -> io::Result<()> {
        let Some(entries) = fs::if_there(fs::read_dir(self.tag_folder(name)))? else {
            return Ok(());
        };
        for entry in entries.flatten() {
            // Temporary files start with a dot, tags do not.
            let tag = entry.file_name().to_str().and_then(|text| text.parse().ok());
            tag.into_iter().for_each(&mut visit);
        }
        Ok(())
    }
}

fn visit_below(folder: &Path, prefix: &str, visit: &mut dyn FnMut(Name)) -> io::Result<()> {
    let Some(entries) = fs::if_there(fs::read_dir(folder))? else {
        return Ok(());
    };
    let (mut is_one, mut below) = (false, Vec::new());
    for entry in entries.flatten() {
        match entry.file_name().to_str() {
            Some("_manifests" | "_blobs") => is_one = true,
            Some(part) if !part.starts_with(['_', '.']) => below.push(part.to_owned()),
            _ => {}
        }
    }
    if is_one && let Ok(name) = prefix.parse() {
        visit(name);
    }
    for part in below {
        let name = if prefix.is_empty() {
            part.clone()
        } else {
            format!("{prefix}/{part}")
        };
        visit_below(&folder.join(&part), &name, visit)?;
    }
    Ok(())
}
