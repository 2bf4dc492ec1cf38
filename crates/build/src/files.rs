//! `COPY`, `ADD` and `WORKDIR`: steps that put files into the stage's root.

use std::io::{BufReader, Read as _};

use corten_dockerfile::{Add, Heredoc, Ignore, Instruction, Source, expand};
use corten_oci::digest::{Digest, Hasher};
use corten_store::{Access, Scratch, begins_a_tar};
use corten_sys::fs;
use rustix::fs::{AtFlags, Timespec, Timestamps};

use crate::chmod::Chmod;
use crate::contents::{self, Filter, Owners};
use crate::error::{Error, Kind, Result};
use crate::executor::GitSource;
use crate::key::Key;
use crate::known::FileDigests;
use crate::metadata;
use crate::origin::Origin;
use crate::paths;
use crate::roots::{Owner, Root};
use crate::stage::Stage;
use crate::state::State;
use crate::transfer::{self, Attributes, Nature, Place};

/// A thing to copy, found and looked at.
enum Item {
    /// A path in the source tree.
    Tree { path: String, place: Place },
    /// What an archive holds.
    Unpacked { tree: Scratch, place: Place },
    /// A file from a web server, in a tree of its own.
    Fetched { tree: Scratch, name: String, place: Place },
    /// A repository of git at a commit.
    Cloned {
        tree: Scratch,
        commit: String,
        place: Place,
    },
    /// A text in the Dockerfile.
    Text { name: String, text: String, place: Place },
}

impl Stage<'_> {
    pub(crate) fn copy_step(&mut self, state: &mut State, add: &Add, instruction: &Instruction) -> Result<()> {
        let name = instruction.command.name();
        let copy = &add.copy;
        let value = |text: &str, state: &State, escape: char| -> Result<String> {
            Ok(expand(text, escape, &|name| state.lookup(name))?.text)
        };
        let escape = self.build.escape;
        let destination = value(&copy.destination, state, escape)?;
        let is_folder = destination.ends_with('/') || matches!(paths::name(&destination), "." | "..");
        if copy.sources.len() > 1 && !is_folder {
            return Err(Error::invalid(format!(
                "When using {name} with more than one source file, the destination must be a directory and end with a /"
            )));
        }
        let excludes = copy
            .excludes
            .iter()
            .map(|text| value(text, state, escape))
            .collect::<Result<Vec<_>>>()?;
        let chmod = copy
            .chmod
            .as_deref()
            .map(|text| value(text, state, escape))
            .transpose()?;
        let chown = copy
            .chown
            .as_deref()
            .map(|text| value(text, state, escape))
            .transpose()?;
        let place = Place {
            path: paths::below(&paths::join(state.folder(), &destination)),
            is_folder,
        };
        let layers = state.image.rootfs.diff_ids.clone();
        let excludes = Ignore::of(excludes.iter().map(String::as_str));
        let mut attributes = Attributes {
            owner: chown.as_deref().map(|text| self.owner(text, &layers)).transpose()?,
            chmod: chmod.as_deref().map(Chmod::parse).transpose()?,
            modified: None,
            source: Nature::Files,
        };
        let mut sources = Vec::new();
        for source in &copy.sources {
            if let Source::Path(path) = source {
                sources.push(value(path, state, escape)?);
            }
        }
        let wanted: Vec<String> = sources
            .iter()
            .filter(|source| !is_remote(name, source))
            .cloned()
            .collect();
        let origin = match wanted.is_empty() {
            true => None,
            false => Some(self.origin(copy.from.as_deref(), &wanted)?),
        };
        self.announce();
        if origin.as_ref().is_none_or(|origin| origin.owners == Owners::Reset) {
            attributes.owner.get_or_insert_default();
        }
        let mut items = Vec::new();
        let mut paths = sources.iter();
        for source in &copy.sources {
            match (source, paths.as_slice()) {
                (Source::Text(heredoc), _) => items.push(self.text(heredoc, state, &place)?),
                (Source::Path(_), [path, ..]) => {
                    self.items(name, path, add, origin.as_ref(), &place, &mut items)?;
                    paths.next();
                }
                (Source::Path(_), []) => {}
            }
        }
        if items.is_empty() {
            return Err(Error::invalid(format!("{name} failed: no source files were specified")));
        }
        let below = if copy.link { Vec::new() } else { layers };
        let mut key = Key::new("copy")
            .with_all(below.iter().map(Digest::as_str))
            .with(format!(
                "{:?} {:?} {place:?} {}",
                attributes.owner, attributes.chmod, copy.parents
            ))
            .with_all(self.build.epoch.map(i64::to_le_bytes))
            .noted("what is below", below.iter().map(Digest::as_str).collect::<String>())
            .noted("an option", format!("{attributes:?} {place:?} {}", copy.parents));
        for item in &items {
            let (parts, named) = digests(item, origin.as_ref(), &excludes, &self.build.cache.known)?;
            key = key.with_all(parts).noted_all(named);
        }
        let key = key.finish();
        let by = format!("{} # buildkit", instruction.text);
        if self.reuse(state, &key, &by, &instruction.text) {
            return Ok(());
        }
        let work = self.work(&below)?;
        {
            let root = work.open(Access::ReadWrite)?;
            for item in &items {
                put(item, origin.as_ref(), &root, &attributes, &excludes)?;
            }
        }
        let layer = self.commit(&work)?;
        self.keep(state, &key, by, Some(layer), &instruction.text)
    }

    pub(crate) fn workdir_step(&mut self, state: &mut State, path: &str, instruction: &Instruction) -> Result<()> {
        let path = metadata::workdir(state, path, self.build.escape)?;
        let layers = state.image.rootfs.diff_ids.clone();
        let by = format!("WORKDIR {path}");
        state.image.config.working_dir.clone_from(&path);
        let key = Key::new("workdir")
            .with_all(layers.iter().map(Digest::as_str))
            .with(&path)
            .with_all(self.build.epoch.map(i64::to_le_bytes))
            .noted("what is below", layers.iter().map(Digest::as_str).collect::<String>())
            .finish();
        if self.reuse(state, &key, &by, &instruction.text) {
            return Ok(());
        }
        self.in_passing()?;
        let work = self.work(&layers)?;
        let below = paths::below(&path);
        let is_there = {
            let root = work.open(Access::ReadWrite)?;
            let is_there = root.is_folder(&below)?;
            if !is_there {
                root.make_folders(&below, Owner::default())?;
            }
            is_there
        };
        let layer = match is_there {
            true => None,
            false => Some(self.commit(&work)?),
        };
        self.keep(state, &key, by, layer, &instruction.text)
    }

    /// What one source means.
    fn items(
        &self,
        name: &str,
        source: &str,
        add: &Add,
        origin: Option<&Origin>,
        place: &Place,
        items: &mut Vec<Item>,
    ) -> Result<()> {
        if name == "ADD"
            && let Some(repository) = GitSource::parse(source)
        {
            items.push(self.cloned(repository, add, place)?);
            return Ok(());
        }
        if name == "ADD" && (source.starts_with("http://") || source.starts_with("https://")) {
            items.push(self.fetched(source, add, place)?);
            return Ok(());
        }
        if add.checksum.is_some() {
            return Err(Error::invalid(
                "checksum can't be specified for non-HTTP(S) & non-Git sources",
            ));
        }
        let origin = origin.ok_or_else(|| Error::internal("a path without a tree"))?;
        let root = &origin.root;
        let (pivot, pattern) = pivot(source, add.copy.parents);
        let found = contents::find(root, &pattern, &origin.filter("", None));
        let found = found.map_err(|error| error.context(format!("{name} failed")))?;
        for path in found {
            let place = if add.copy.parents {
                parented(place, &pivot, &path, root)?
            } else {
                place.clone()
            };
            let unpacks = name == "ADD" && add.unpack.unwrap_or(true) && origin.is_context;
            match unpacks.then(|| self.unpacked(root, &path)).transpose()?.flatten() {
                Some(tree) => items.push(Item::Unpacked { tree, place }),
                None => items.push(Item::Tree { path, place }),
            }
        }
        Ok(())
    }

    fn cloned(&self, mut source: GitSource, add: &Add, place: &Place) -> Result<Item> {
        source.keep_git_dir |= add.keep_git_dir;
        let tree = self.build.store.scratch()?;
        let agents = &self.build.request.agents;
        let commit = self.build.executor.git(&source, agents, &tree.path())?;
        if let Some(wanted) = &add.checksum
            && !commit.starts_with(wanted.as_str())
        {
            return Err(Error::invalid(format!(
                "expected checksum to match {wanted}, got {commit}"
            )));
        }
        let commit = format!("{commit} {} {}", source.keep_git_dir, source.folder);
        Ok(Item::Cloned {
            tree,
            commit,
            place: place.clone(),
        })
    }

    /// The content of a file that is an archive.
    fn unpacked(&self, root: &Root, path: &str) -> Result<Option<Scratch>> {
        if root.is_folder(path)? {
            return Ok(None);
        }
        let mut start = Vec::new();
        root.file(path)?.take(262).read_to_end(&mut start)?;
        if !looks_packed(&start) {
            return Ok(None);
        }
        self.tree_of(&mut || root.file(path), path)
    }

    /// What an archive holds; none when it is only compressed.
    fn tree_of(&self, open: &mut dyn FnMut() -> Result<std::fs::File>, name: &str) -> Result<Option<Scratch>> {
        match self.build.store.scratch_from_tar(&mut open()?) {
            Ok(tree) => Ok(Some(tree)),
            // Copied as it is. An archive that breaks off or makes no sense is told of.
            Err(error) if error.kind() == Kind::Invalid && !begins_a_tar(BufReader::new(open()?)) => Ok(None),
            Err(error) => {
                Err(Error::from(error).context(format!("cannot unpack {name} (ADD --unpack=false copies it as it is)")))
            }
        }
    }

    fn fetched(&self, url: &str, add: &Add, place: &Place) -> Result<Item> {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let name = path.splitn(4, '/').nth(3).map_or("", paths::name).to_owned();
        if place.is_folder && name.is_empty() {
            return Err(Error::invalid(format!("cannot determine filename from url: {url}")));
        }
        let (mut body, modified) = self.build.executor.fetch(url)?;
        let tree = self.build.store.scratch()?;
        let file = tree.path().join("file");
        let mut hasher = Hasher::sha256();
        {
            let mut out = fs::create(&file)?;
            let mut buffer = vec![0; 128 * 1024];
            loop {
                let read = body.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                hasher.update(&buffer[..read]);
                std::io::Write::write_all(&mut out, &buffer[..read])?;
            }
        }
        let digest = hasher.finish();
        if let Some(wanted) = &add.checksum
            && *wanted != digest.to_string()
        {
            return Err(Error::invalid(format!("digest mismatch {digest}: {wanted}")));
        }
        if add.unpack == Some(true)
            && let Some(tree) = self.tree_of(&mut || Ok(fs::open(&file)?), &name)?
        {
            return Ok(Item::Unpacked {
                tree,
                place: place.clone(),
            });
        }
        fs::set_mode(&file, 0o600)?;
        let stamp = Timespec {
            tv_sec: modified.unwrap_or(0),
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: stamp,
            last_modification: stamp,
        };
        rustix::fs::utimensat(rustix::fs::CWD, &file, &times, AtFlags::empty())?;
        let place = match place.is_folder {
            true => Place {
                path: contents::join(&place.path, &name),
                is_folder: false,
            },
            false => place.clone(),
        };
        Ok(Item::Fetched { tree, name, place })
    }

    fn text(&self, heredoc: &Heredoc, state: &State, place: &Place) -> Result<Item> {
        let text = match heredoc.expand {
            false => heredoc.content.clone(),
            true => variables(&heredoc.content, state, self.build.escape)?,
        };
        Ok(Item::Text {
            name: heredoc.name.clone(),
            text,
            place: place.clone(),
        })
    }

    /// `user[:group]` by the accounts of the stage's root.
    fn owner(&self, text: &str, layers: &[Digest]) -> Result<Owner> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let number = |text: &str| text.parse::<u32>().ok();
        if let (Some(uid), Some(gid)) = (
            number(user),
            if group.is_empty() { number(user) } else { number(group) },
        ) {
            return Ok(Owner { uid, gid });
        }
        let work = self.work(layers)?;
        let root = work.open(Access::ReadOnly)?;
        let (passwd, groups) = (root.text("etc/passwd"), root.text("etc/group"));
        let field = |file: &str, name: &str, at: usize| {
            let line = file.lines().find(|line| line.split(':').next() == Some(name))?;
            line.split(':').nth(at)?.parse::<u32>().ok()
        };
        let missing = |what: &str, id: &str, name: &str| {
            Error::invalid(format!(
                "unable to convert uid/gid chown string to host mapping: can't find {id} for {what} {name}"
            ))
        };
        let uid = number(user)
            .or_else(|| field(&passwd, user, 2))
            .ok_or_else(|| missing("user", "uid", user))?;
        let gid = match group {
            "" => match number(user) {
                Some(number) => number,
                None => field(&passwd, user, 3).unwrap_or(uid),
            },
            group => number(group)
                .or_else(|| field(&groups, group, 2))
                .ok_or_else(|| missing("group", "gid", group))?,
        };
        Ok(Owner { uid, gid })
    }
}

/// Puts variables into a text whose quotes mean nothing.
fn variables(text: &str, state: &State, escape: char) -> Result<String> {
    let mut protected = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' => protected.extend([escape, c]),
            // An escaped dollar stays one; other escapes are text.
            c if c == escape && chars.peek() != Some(&'$') => protected.extend([escape, c]),
            c if c == escape => protected.extend([c, chars.next().unwrap_or(c)]),
            c => protected.push(c),
        }
    }
    Ok(expand(&protected, escape, &|name| state.lookup(name))?.text)
}

/// What the key has of an item, and what is remembered of it by name.
type Parts = (Vec<String>, Vec<(String, String)>);

fn digests(item: &Item, origin: Option<&Origin>, excludes: &Ignore, known: &FileDigests) -> Result<Parts> {
    let none = Filter::default();
    Ok(match item {
        Item::Tree { path, place } => {
            let origin = origin.ok_or_else(|| Error::internal("a path without a tree"))?;
            let filter = origin.filter(path, Some(excludes));
            let (digest, named) = contents::digest(&origin.root, path, &filter, origin.owners, known)?;
            let parts = vec![
                format!("tree {place:?}"),
                paths::name(path).to_owned(),
                digest.to_string(),
            ];
            (parts, named)
        }
        Item::Unpacked { tree, place } => {
            let root = Root::open(&tree.path())?;
            let (digest, named) = contents::digest(&root, "", &none, Owners::Keep, known)?;
            (vec![format!("archive {place:?}"), digest.to_string()], named)
        }
        Item::Fetched { tree, name, place } => {
            let root = Root::open(&tree.path())?;
            let (digest, named) = contents::digest(&root, "file", &none, Owners::Reset, known)?;
            (vec![format!("url {place:?}"), name.clone(), digest.to_string()], named)
        }
        Item::Cloned { commit, place, .. } => (
            vec![format!("git {place:?}"), commit.clone()],
            vec![("the commit".to_owned(), commit.clone())],
        ),
        Item::Text { name, text, place } => (
            vec![format!("text {place:?}"), name.clone(), text.clone()],
            vec![(
                format!("the text {name}"),
                Digest::sha256(text.as_bytes()).hex().to_owned(),
            )],
        ),
    })
}

fn put(item: &Item, origin: Option<&Origin>, to: &Root, attributes: &Attributes, excludes: &Ignore) -> Result<()> {
    let own = Ignore::default();
    let filter = Filter::new(&own, "", Some(excludes));
    match item {
        Item::Tree { path, place } => {
            let origin = origin.ok_or_else(|| Error::internal("a path without a tree"))?;
            let filter = origin.filter(path, Some(excludes));
            transfer::copy(&origin.root, path, to, place, attributes, &filter)
        }
        Item::Unpacked { tree, place } => {
            // Archives keep their owners unless others were asked for.
            let kept = Attributes {
                owner: attributes.owner.filter(|owner| *owner != Owner::default()),
                source: Nature::Archive,
                ..attributes.clone()
            };
            transfer::copy(&Root::open(&tree.path())?, "", to, place, &kept, &filter)
        }
        Item::Cloned { tree, place, .. } => {
            transfer::copy(&Root::open(&tree.path())?, "", to, place, attributes, &filter)
        }
        Item::Fetched { tree, place, .. } => transfer::copy(
            &Root::open(&tree.path())?,
            "file",
            to,
            place,
            attributes,
            &Filter::default(),
        ),
        Item::Text { name, text, place } => transfer::write(to, place, name, text.as_bytes(), attributes),
    }
}

/// With `--parents`: what `/./` in a source divides.
fn pivot(source: &str, parents: bool) -> (String, String) {
    match source.split_once("/./") {
        Some((before, after)) if parents => (paths::below(before), format!("{before}/{after}")),
        _ => (String::new(), source.to_owned()),
    }
}

/// With `--parents`: where a path goes.
fn parented(place: &Place, pivot: &str, path: &str, root: &Root) -> Result<Place> {
    let kept = path.strip_prefix(pivot).unwrap_or(path).trim_start_matches('/');
    let is_folder = !root.is_folder(path)?;
    let below = match is_folder {
        true => kept.rsplit_once('/').map_or("", |(above, _)| above),
        false => kept,
    };
    let path = if below.is_empty() {
        place.path.clone()
    } else {
        contents::join(&place.path, below)
    };
    Ok(Place { path, is_folder })
}

/// Whether a source of ADD is no path.
fn is_remote(instruction: &str, source: &str) -> bool {
    let is_address = source.starts_with("http://") || source.starts_with("https://") || is_git(source);
    instruction == "ADD" && is_address
}

/// Whether a source is a repository of git.
fn is_git(source: &str) -> bool {
    GitSource::parse(source).is_some()
}

/// The beginnings of archives that ADD unpacks: tar, gzip, zstd, bzip2, xz.
fn looks_packed(start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar")
        || start.starts_with(&[0x1f, 0x8b])
        || start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || start.starts_with(b"BZh")
        || start.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_quotes() {
        let mut state = State::default();
        state.set_variable("V", "value");
        let check = |text: &str, expected: &str| assert_eq!(variables(text, &state, '\\').unwrap(), expected);
        check(
            "a \"$V\" 'b' ${V}\n",
            "a \"value\" 'value' value\n".replace("'value'", "'b'").as_str(),
        );
        check("\\$V \\n", "$V \\n");
    }

    #[test]
    fn pivots_divide() {
        assert_eq!(pivot("/x/./y/z", true), ("x".to_owned(), "/x/y/z".to_owned()));
        assert_eq!(pivot("/x/./y", false), (String::new(), "/x/./y".to_owned()));
    }
}
