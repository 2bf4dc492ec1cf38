//! From files to a project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{
    canonical,
    error::{Error, Result},
    interpolate,
    model::Project,
    node::{Map, Node, Value},
    normalize,
    resolve::{self, Base},
    source::Files,
    warnings::Warnings,
    yaml,
};

/// The largest file that is read.
const MAX_FILE: usize = 16 << 20;

/// A part of loading that may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Filling in variables.
    Interpolation,
    /// Completing what follows from other attributes.
    Normalization,
    /// Making paths absolute.
    PathResolution,
    /// Checking that what is referred to exists.
    Consistency,
    /// Reading files with variables.
    Environment,
}

/// What to load, and how.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The files, each overriding those before; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// The folder that relative paths begin at.
    pub working_dir: PathBuf,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
    /// Variables for the files.
    pub environment: BTreeMap<String, String>,
    /// The project's name, when files do not decide it.
    pub name: Option<String>,
    /// The name to use when nothing gives one.
    pub default_name: String,
    /// What standard input has.
    pub input: Option<String>,
    /// The profiles to enable.
    pub profiles: Vec<String>,
    /// What to leave out.
    pub without: Vec<Step>,
}

impl Sources {
    /// Whether a part of loading is not left out.
    pub(crate) fn does(&self, step: Step) -> bool {
        !self.without.contains(&step)
    }
}

/// What was loaded.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The result.
    pub value: T,
    /// What is worth saying.
    pub warnings: Warnings,
}

/// Loads a project.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid) for what is wrong in a file, with its place;
/// [`Kind::NotFound`](crate::Kind::NotFound) for files that are not there.
pub fn load(sources: &Sources) -> Result<Loaded<Project>> {
    let mut loader = Loader::new(sources);
    let result = loader.project();
    loader.finish(result)
}

/// Reading in progress.
pub(crate) struct Loader<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) files: Files,
    pub(crate) warnings: Warnings,
}

impl<'a> Loader<'a> {
    fn new(sources: &'a Sources) -> Self {
        Self {
            sources,
            files: Files::default(),
            warnings: Warnings::default(),
        }
    }

    fn finish<T>(self, result: Result<T>) -> Result<Loaded<T>> {
        match result {
            Ok(value) => Ok(Loaded {
                value,
                warnings: self.warnings,
            }),
            Err(error) => Err(error.locate(&self.files)),
        }
    }

    fn project(&mut self) -> Result<Project> {
        let tree = self.tree()?;
        let mut project = Project::decode(tree, self.files.clone())?;
        project.working_dir.clone_from(&self.sources.working_dir);
        project.files.clone_from(&self.sources.files);
        project.environment.clone_from(&self.sources.environment);
        project.select_profiles(&self.sources.profiles);
        Ok(project)
    }

    fn tree(&mut self) -> Result<Node> {
        let mut root = Node::new(Value::Map(Map::new()), crate::source::Position::default());
        for file in &self.sources.files.clone() {
            for document in self.read(file)? {
                root = document.root;
                let environment = &self.sources.environment;
                let lookup = |name: &str| environment.get(name).cloned();
                if self.sources.does(Step::Interpolation) {
                    interpolate::interpolate(&mut root, &lookup, &mut self.warnings)?;
                }
                let lenient = !self.sources.does(Step::Interpolation);
                canonical::canonical(&mut root, lenient, &mut self.warnings)?;
            }
        }
        canonical::set_defaults(&mut root);
        if self.sources.does(Step::PathResolution) {
            let base = Base {
                folder: &self.sources.working_dir,
                home: self.sources.home.as_deref(),
            };
            resolve::resolve_paths(&mut root, base)?;
        }
        if self.sources.does(Step::Normalization) {
            let name = self.sources.name.as_deref().unwrap_or(&self.sources.default_name);
            let at = root.at;
            if let Some(map) = root.as_map_mut() {
                map.entry("name".to_owned()).or_insert_with(|| Node::text(name, at));
            }
            normalize::normalize(&mut root, &self.sources.environment);
        }
        Ok(root)
    }

    /// Reads the documents of a file.
    pub(crate) fn read(&mut self, path: &Path) -> Result<Vec<yaml::Document>> {
        let text = if path == Path::new("-") {
            self.sources.input.clone().unwrap_or_default()
        } else {
            read_text(path)?
        };
        let file = self.files.add(path, &text);
        yaml::documents(&text, file).map_err(|error| error.within(&format!("failed to parse {}", path.display())))
    }
}

/// Reads a file that is a text.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let shown = path.display();
    let failed = |error: &std::io::Error| {
        let message = format!("open {shown}: {}", corten_sys::fs::reason(error));
        match error.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(message),
            _ => Error::unavailable(message),
        }
    };
    let metadata = corten_sys::fs::metadata(path).map_err(|error| failed(&error))?;
    if metadata.is_dir() {
        return Err(Error::invalid(format!("read {shown}: is a directory")));
    }
    if metadata.len() > MAX_FILE as u64 {
        return Err(Error::invalid(format!("{shown} is larger than {MAX_FILE} bytes")));
    }
    let bytes = corten_sys::fs::read(path).map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|_| Error::invalid(format!("{shown} is no text in UTF-8")))
}
