//! `include`: other projects, each with its own folder and variables, whose resources become part of this one.

use std::path::PathBuf;

use crate::{
    dotenv,
    error::{Error, Result},
    extends::relative,
    load::{Context, Layer, Loader, read_text},
    node::{Map, Node, Value},
    resolve,
};

/// How many files may include one another in a row.
const MAX_DEPTH: usize = 50;

/// One entry of `include`.
struct Include {
    paths: Vec<String>,
    project_directory: Option<String>,
    env_files: Vec<String>,
}

impl Loader<'_> {
    /// Loads what a file includes into its tree.
    pub(crate) fn apply_include(&mut self, root: &mut Node, layer: &Layer, context: &Context) -> Result<()> {
        let Some(given) = root.as_map_mut().and_then(|map| map.remove("include")) else {
            return Ok(());
        };
        if given.is_null() {
            return Ok(());
        }
        let Value::List(list) = &given.value else {
            let message = format!("`include` must be a list, got {}", given.value.describe());
            return Err(Error::invalid(message).at(given.at));
        };
        for node in list {
            let include = read(node)?;
            let imported = self
                .included(&include, layer, context)
                .map_err(|error| error.at(node.at))?;
            import(imported, root)?;
        }
        Ok(())
    }

    fn included(&mut self, include: &Include, layer: &Layer, context: &Context) -> Result<Node> {
        let mut files = Vec::new();
        let mut is_elsewhere = false;
        for path in &include.paths {
            let (file, root) = self.find(path, context)?;
            is_elsewhere |= files.is_empty() && root.is_some();
            files.push(file);
        }
        let Some(main) = files.first().cloned() else {
            return Err(Error::invalid("include.path must name a file"));
        };
        if layer.files.contains(&main) {
            let steps = layer.files.iter().chain([&main]).map(|file| file.display().to_string());
            let steps: Vec<_> = steps.collect();
            return Err(Error::invalid(format!(
                "include cycle detected:\n{}",
                steps.join("\n include ")
            )));
        }
        if layer.files.len() >= MAX_DEPTH {
            return Err(Error::invalid(format!(
                "more than {MAX_DEPTH} files include one another in a row"
            )));
        }
        let folder = match &include.project_directory {
            None => main.parent().unwrap_or(&context.folder).to_owned(),
            Some(path) => PathBuf::from(resolve::join_or_absolute(&layer.absolute, path)),
        };
        let mut environment = layer.environment.clone();
        for (key, value) in self.environment_of(include, layer, &folder)? {
            environment.entry(key).or_insert(value);
        }
        let next = Layer {
            working_dir: match &include.project_directory {
                Some(path) if path.starts_with('/') => folder.clone(),
                _ if is_elsewhere => folder.clone(),
                _ => relative(&context.folder, &folder),
            },
            absolute: folder,
            environment,
            files: layer.files.clone(),
        };
        self.layer(&files, &next)
    }

    /// The variables of an entry: those of its files, or of `.env` in its folder.
    fn environment_of(
        &mut self,
        include: &Include,
        layer: &Layer,
        folder: &std::path::Path,
    ) -> Result<Vec<(String, String)>> {
        let mut files: Vec<PathBuf> = Vec::new();
        if include.env_files.is_empty() {
            let default = folder.join(".env");
            if corten_sys::fs::metadata(&default).is_ok_and(|data| !data.is_dir()) {
                files.push(default);
            }
        } else {
            let given = include.env_files.iter();
            files.extend(given.map(|file| PathBuf::from(resolve::join_or_absolute(&layer.absolute, file))));
        }
        let mut vars = std::collections::BTreeMap::new();
        for file in files {
            let text = read_text(&file)?;
            let known = vars.clone();
            let lookup = |name: &str| layer.environment.get(name).or_else(|| known.get(name)).cloned();
            let warnings = &mut self.warnings;
            dotenv::parse(&text, &mut vars, &lookup, &mut |name| warnings.unset(name))
                .map_err(|reason| Error::invalid(format!("failed to read {}: {reason}", file.display())))?;
        }
        Ok(vars.into_iter().collect())
    }
}

fn read(node: &Node) -> Result<Include> {
    let texts = |node: Option<&Node>| match node.map(|node| &node.value) {
        Some(Value::Text(text)) => vec![text.clone()],
        Some(Value::List(list)) => list.iter().map(|item| item.value.to_text()).collect(),
        _ => Vec::new(),
    };
    match &node.value {
        Value::Text(path) => Ok(Include {
            paths: vec![path.clone()],
            project_directory: None,
            env_files: Vec::new(),
        }),
        Value::Map(map) => {
            crate::schema::check_include(node)?;
            let directory = map.get("project_directory").and_then(Node::as_text);
            Ok(Include {
                paths: texts(map.get("path")),
                project_directory: directory.filter(|path| !path.is_empty()).map(str::to_owned),
                env_files: texts(map.get("env_file")),
            })
        }
        _ => Err(Error::invalid(format!(
            "include must be a mapping or string, not {}",
            node.value.describe()
        ))
        .at(node.at)),
    }
}

/// Adds resources that are not there; the same name must mean the same thing.
fn import(imported: Node, root: &mut Node) -> Result<()> {
    let at = root.at;
    let (Value::Map(mut imported), Some(target)) = (imported.value, root.as_map_mut()) else {
        return Ok(());
    };
    for kind in ["services", "volumes", "networks", "secrets", "configs", "models"] {
        let Some(Value::Map(from)) = imported.remove(kind).map(|node| node.value) else {
            continue;
        };
        let to = target
            .entry(kind.to_owned())
            .or_insert_with(|| Node::new(Value::Map(Map::new()), at));
        if to.is_null() {
            to.value = Value::Map(Map::new());
        }
        let Some(to) = to.as_map_mut() else { continue };
        for (name, node) in from {
            match to.get(&name) {
                Some(there) if *there != node => {
                    let message = format!("{kind}.{name} conflicts with imported resource");
                    return Err(Error::invalid(message).at(there.key));
                }
                Some(_) => {}
                None => {
                    to.insert(name, node);
                }
            }
        }
    }
    Ok(())
}
