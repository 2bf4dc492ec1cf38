//! A project as others get it from a registry: its files with what they refer to, each as one layer, and what in them
//! their author may not want to give away.
//!
//! Files that services extend and files with variables are called by digests of their paths, and the texts that refer
//! to them are changed accordingly; all else stays as it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    load::read_text,
    model::Project,
    node::{Node, Value},
    remote::Address,
    resolve, short,
    source::{Files, Position},
    template, yaml,
};

/// What a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A file of the project; each overrides those before.
    File,
    /// A file with services that others extend.
    Extended,
    /// A file with variables.
    Environment,
}

/// A file as it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// What it is.
    pub content: Content,
    /// What it is called there.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// The layers of a project: its files, those that they extend, then those with variables.
///
/// # Errors
/// [`Kind::Unsupported`](crate::Kind::Unsupported) for files that include others of this machine; whatever is wrong
/// with files.
pub fn layers(project: &Project) -> Result<Vec<Layer>> {
    let mut bundle = Bundle {
        project,
        layers: Vec::new(),
        wanted: Vec::new(),
        seen: BTreeSet::new(),
        environments: BTreeMap::new(),
    };
    for file in &project.files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        bundle.add(file, &project.working_dir, Content::File, name)?;
    }
    while let Some((file, name)) = bundle.wanted.pop() {
        let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
        bundle.add(&file, &folder, Content::Extended, name)?;
    }
    let environments = std::mem::take(&mut bundle.environments);
    for (path, name) in environments {
        // One that is not required need not be there.
        if let Ok(bytes) = corten_sys::fs::read(&path) {
            bundle.layers.push(Layer {
                content: Content::Environment,
                name,
                bytes,
            });
        }
    }
    Ok(bundle.layers)
}

struct Bundle<'a> {
    project: &'a Project,
    layers: Vec<Layer>,
    /// Files that others extend, with their new names.
    wanted: Vec<(PathBuf, String)>,
    seen: BTreeSet<PathBuf>,
    /// Files with variables, with their new names.
    environments: BTreeMap<PathBuf, String>,
}

/// A text that stands for another one.
struct Edit {
    at: Position,
    was: String,
    becomes: String,
}

impl Bundle<'_> {
    fn add(&mut self, file: &Path, folder: &Path, content: Content, name: String) -> Result<()> {
        let text = read_text(file)?;
        let mut files = Files::default();
        let number = files.add(file, &text);
        let bytes = self
            .rewritten(file, folder, &text, number)
            .map_err(|error| error.locate(&files))?;
        self.layers.push(Layer { content, name, bytes });
        Ok(())
    }

    fn rewritten(&mut self, file: &Path, folder: &Path, text: &str, number: u32) -> Result<Vec<u8>> {
        let mut edits = Vec::new();
        for document in yaml::documents(text, number)? {
            if let Some(include) = document.root.get("include") {
                refuse_local(include)?;
            }
            let services = document.root.get("services").and_then(Node::as_map);
            for service in services.into_iter().flat_map(|services| services.values()) {
                for path in environment_files(service) {
                    self.environment(folder, path, &mut edits)?;
                }
                let extends = service.get("extends").and_then(|extends| extends.get("file"));
                if let Some(path) = extends {
                    self.extended(file, folder, path, &mut edits)?;
                }
            }
        }
        Ok(apply(text, edits)?.into_bytes())
    }

    /// The path that a text means, when it is one of this machine.
    fn path(&self, folder: &Path, node: &Node) -> Result<Option<PathBuf>> {
        let Some(text) = node.as_text() else { return Ok(None) };
        let lookup = |name: &str| self.project.environment.get(name).cloned();
        let filled =
            template::substitute(text, &lookup, &mut |_| {}).map_err(|failure| failure.about("path").at(node.at))?;
        if Address::parse(&filled).is_some() {
            return Ok(None);
        }
        let path = short::clean(&resolve::join_or_absolute(folder, &filled));
        Ok(Some(PathBuf::from(path)))
    }

    fn environment(&mut self, folder: &Path, node: &Node, edits: &mut Vec<Edit>) -> Result<()> {
        let Some(path) = self.path(folder, node)? else {
            return Ok(());
        };
        let name = format!("{}.env", digest(&path));
        edits.extend(edit(node, &name));
        self.environments.insert(path, name);
        Ok(())
    }

    fn extended(&mut self, file: &Path, folder: &Path, node: &Node, edits: &mut Vec<Edit>) -> Result<()> {
        let Some(path) = self.path(folder, node)? else {
            return Ok(());
        };
        if path == file {
            return Ok(());
        }
        let name = format!("{}.yaml", digest(&path));
        edits.extend(edit(node, &name));
        if self.seen.insert(path.clone()) {
            self.wanted.push((path, name));
        }
        Ok(())
    }
}

fn digest(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn edit(node: &Node, becomes: &str) -> Option<Edit> {
    Some(Edit {
        at: node.at,
        was: node.as_text()?.to_owned(),
        becomes: becomes.to_owned(),
    })
}

/// The nodes with paths of files with variables: one text, a list of texts, or a list of mappings.
fn environment_files(service: &Node) -> Vec<&Node> {
    let Some(node) = service.get("env_file") else {
        return Vec::new();
    };
    match &node.value {
        Value::List(list) => list.iter().map(|item| item.get("path").unwrap_or(item)).collect(),
        _ => vec![node],
    }
}

fn refuse_local(include: &Node) -> Result<()> {
    let paths = match &include.value {
        Value::List(list) => list.as_slice(),
        _ => &[],
    };
    let is_elsewhere = |node: &Node| node.as_text().is_some_and(|path| Address::parse(path).is_some());
    for entry in paths {
        let path = entry.get("path").unwrap_or(entry);
        let all = match &path.value {
            Value::List(list) => list.iter().all(is_elsewhere),
            _ => is_elsewhere(path),
        };
        if !all {
            return Err(Error::unsupported("cannot publish compose file with local includes").at(path.at));
        }
    }
    Ok(())
}

/// The text with other words in some places.
fn apply(text: &str, mut edits: Vec<Edit>) -> Result<String> {
    edits.sort_by_key(|edit| (edit.at.line, edit.at.column));
    // What aliases repeat is written once.
    edits.dedup_by_key(|edit| (edit.at.line, edit.at.column));
    let mut text = text.to_owned();
    for edit in edits.into_iter().rev() {
        let span = span(&text, &edit).ok_or_else(|| {
            let message = format!("cannot publish {:?}: the path is not written in one piece", edit.was);
            Error::invalid(message).at(edit.at)
        })?;
        text.replace_range(span, &edit.becomes);
    }
    Ok(text)
}

/// Where the scalar of an edit is.
fn span(text: &str, edit: &Edit) -> Option<std::ops::Range<usize>> {
    let line = edit.at.line.checked_sub(1)? as usize;
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let column = edit.at.column.checked_sub(1)? as usize;
    let start = before + text.get(before..)?.char_indices().nth(column).map(|(index, _)| index)?;
    let rest = &text[start..];
    let quoted = |quote: char| {
        let end = rest[1..].find(quote)? + 2;
        (rest[1..end - 1] == edit.was).then_some(start..start + end)
    };
    match rest.chars().next()? {
        quote @ ('"' | '\'') => quoted(quote),
        _ => rest.starts_with(&edit.was).then(|| start..start + edit.was.len()),
    }
}

/// Something secret that a file seems to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it looks like.
    pub kind: &'static str,
    /// Where it is: the path of an attribute; empty in other files.
    pub key: String,
    /// The text.
    pub value: String,
}

/// What looks like a secret, in the project's own attributes and in the files that it takes variables, configs and
/// secrets from.
///
/// # Errors
/// Files that are not there.
pub fn secrets(project: &Project) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in &project.files {
        for document in yaml::documents(&read_text(file)?, 0)? {
            search(&document.root, "", &mut findings);
        }
    }
    let services = project.services.values().chain(project.disabled.values());
    let variables = services
        .flat_map(|service| &service.env_file)
        .map(|file| file.path.clone());
    let configs = project.configs.values().map(|config| config.file.clone());
    let secrets = project.secrets.values().map(|secret| secret.file.clone());
    for path in variables.chain(configs).chain(secrets).filter(|path| !path.is_empty()) {
        let path = project.working_dir.join(path);
        let Ok(bytes) = corten_sys::fs::read(&path) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        findings.extend(looks(&text, ""));
    }
    Ok(findings)
}

fn search(node: &Node, path: &str, findings: &mut Vec<Finding>) {
    let below = |step: &str| match path {
        "" => step.to_owned(),
        path => format!("{path}.{step}"),
    };
    match &node.value {
        Value::Map(map) => map.iter().for_each(|(key, node)| search(node, &below(key), findings)),
        Value::List(list) => {
            let items = list.iter().enumerate();
            items.for_each(|(index, node)| search(node, &below(&index.to_string()), findings));
        }
        Value::Text(text) => findings.extend(looks(text, path)),
        _ => {}
    }
}

/// What a text has that looks like a secret.
fn looks(text: &str, key: &str) -> Vec<Finding> {
    let found = |kind: &'static str, value: &str| Finding {
        kind,
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let mut findings = Vec::new();
    if let Some(begin) = text.find("-----BEGIN ")
        && text[begin..].contains("PRIVATE KEY-----")
    {
        findings.push(found("Private Key", text[begin..].trim_end()));
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+');
    for word in text.split(|c| !is_part(c)) {
        let rest = |start: &str| word.strip_prefix(start).map(str::len);
        let is_jwt = || word.split('.').count() == 3 && word.split('.').all(|part| part.len() > 15);
        let kind = match word {
            _ if ["AKIA", "ASIA", "AGPA", "AIDA", "AROA"]
                .iter()
                .any(|start| rest(start) == Some(16)) =>
            {
                "AWS Client ID"
            }
            _ if ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"]
                .iter()
                .any(|start| rest(start) >= Some(36)) =>
            {
                "Github authentication"
            }
            _ if word.starts_with("eyJ") && is_jwt() => "JSON Web Token",
            _ => continue,
        };
        findings.push(found(kind, word));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_other_texts_however_they_are_written() {
        let check = |text: &str, expected: &str| {
            let document = yaml::documents(text, 0).expect("YAML").remove(0);
            let files = environment_files(&document.root);
            let edits = files.into_iter().filter_map(|node| edit(node, "NEW")).collect();
            assert_eq!(apply(text, edits).expect("one piece"), expected);
        };
        check("env_file: a.env # why\n", "env_file: NEW # why\n");
        check(
            "env_file: ['a.env', {path: \"b.env\"}]\n",
            "env_file: [NEW, {path: NEW}]\n",
        );
        check(
            "é: {}\nenv_file:\n  - ä.env\n  - path: b.env\n",
            "é: {}\nenv_file:\n  - NEW\n  - path: NEW\n",
        );
        check("x: &a [c.env]\nenv_file: *a\n", "x: &a [NEW]\nenv_file: *a\n");
        check("env_file: x ${A:-b}.env\n", "env_file: NEW\n");
    }

    #[test]
    fn secrets_are_seen_and_other_texts_are_not() {
        let kinds = |text: &str| looks(text, "").iter().map(|finding| finding.kind).collect::<Vec<_>>();
        assert_eq!(kinds("id AKIAIOSFODNN7EXAMPLE"), ["AWS Client ID"]);
        assert_eq!(
            kinds("ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
            ["Github authentication"]
        );
        assert_eq!(kinds("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n"), ["Private Key"]);
        for text in ["busybox:latest", "AKIA", "sha256:0123456789abcdef", "a.b.c"] {
            assert!(kinds(text).is_empty(), "{text}");
        }
    }
}
