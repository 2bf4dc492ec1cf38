//! From files to a project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{
    canonical, consistency,
    error::{Error, Result},
    interpolate, merge,
    model::Project,
    name,
    node::Node,
    normalize,
    path::Path as Steps,
    remote::{self, Nowhere, Remote},
    resolve::{self, Base},
    schema,
    source::Files,
    unique, validate, variables,
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
    /// The project's name, when it does not come from the files.
    pub name: Option<String>,
    /// The name to use when nothing else gives one.
    pub default_name: String,
    /// What standard input has.
    pub input: Option<String>,
    /// The profiles to enable.
    pub profiles: Vec<String>,
    /// What to leave out.
    pub without: Vec<Step>,
    /// Folders that were fetched from elsewhere: their files include and extend no others of this machine.
    pub fetched: Vec<PathBuf>,
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
    load_with(sources, &Nowhere)
}

/// Loads a project; what it includes and extends from elsewhere is fetched.
///
/// # Errors
/// As [`load`], and whatever goes wrong while something is fetched.
pub fn load_with(sources: &Sources, remote: &dyn Remote) -> Result<Loaded<Project>> {
    let mut loader = Loader::new(sources, remote);
    let result = loader.project();
    loader.finish(result)
}

/// Loads files into a tree, without turning it into a project: what is left of variables may stay.
///
/// # Errors
/// As [`load`].
pub fn load_tree(sources: &Sources) -> Result<Loaded<Node>> {
    load_tree_with(sources, &Nowhere)
}

/// Loads files into a tree as [`load_tree`] does; what they include and extend from elsewhere is fetched.
///
/// # Errors
/// As [`load_with`].
pub fn load_tree_with(sources: &Sources, remote: &dyn Remote) -> Result<Loaded<Node>> {
    // A tree with variables left in it takes nothing from outside.
    let mut sources = sources.clone();
    if !sources.does(Step::Interpolation) {
        sources.environment.clear();
    }
    let mut loader = Loader::new(&sources, remote);
    let result = loader.tree().map(|(tree, _)| tree);
    loader.finish(result)
}

/// Reading in progress.
pub(crate) struct Loader<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) files: Files,
    pub(crate) warnings: Warnings,
    pub(crate) remote: &'a dyn Remote,
    /// The folders that were fetched from elsewhere: their files read no others.
    pub(crate) fetched: Vec<PathBuf>,
    /// The project's own files, read to find its name.
    ahead: BTreeMap<PathBuf, Vec<yaml::Document>>,
}

/// Files that share a folder and variables: the project's own, or those of one `include`.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// Where relative paths begin; may itself be relative to the layer outside.
    pub(crate) working_dir: PathBuf,
    /// The same folder, absolute.
    pub(crate) absolute: PathBuf,
    /// Variables.
    pub(crate) environment: BTreeMap<String, String>,
    /// The files that led here.
    pub(crate) files: Vec<PathBuf>,
}

/// The file that is being read, and where it finds others.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The file.
    pub(crate) file: PathBuf,
    /// The folder of its project.
    pub(crate) folder: PathBuf,
    /// Variables.
    pub(crate) environment: BTreeMap<String, String>,
}

impl<'a> Loader<'a> {
    fn new(sources: &'a Sources, remote: &'a dyn Remote) -> Self {
        Self {
            sources,
            remote,
            fetched: sources.fetched.clone(),
            files: Files::default(),
            warnings: Warnings::default(),
            ahead: BTreeMap::new(),
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
        let (tree, name) = self.tree()?;
        self.tell_of_ignored(&tree);
        let mut project = Project::decode(tree, self.files.clone())?;
        project.environment.clone_from(&self.sources.environment);
        project
            .environment
            .insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
        project.name = name;
        project.working_dir.clone_from(&self.sources.working_dir);
        project.files.clone_from(&self.sources.files);
        project.select_profiles(&self.sources.profiles);
        if self.sources.does(Step::Consistency) {
            consistency::check(&mut project)?;
        }
        if self.sources.does(Step::Environment) {
            variables::resolve_environment(&mut project, &mut self.warnings)?;
        }
        variables::resolve_labels(&mut project, &mut self.warnings)?;
        Ok(project)
    }

    /// The merged tree and the project's name.
    fn tree(&mut self) -> Result<(Node, String)> {
        if self.sources.files.is_empty() {
            return Err(Error::not_found("no configuration file provided: not found"));
        }
        let written = self.written_name();
        let name = name::of(self.sources, written, &mut self.warnings)?;
        let mut environment = self.sources.environment.clone();
        environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
        let layer = Layer {
            working_dir: self.sources.working_dir.clone(),
            absolute: self.sources.working_dir.clone(),
            environment,
            files: Vec::new(),
        };
        let mut root = self.merged(&self.sources.files, &layer)?;
        if self.sources.does(Step::PathResolution) {
            self.resolve(&mut root, &layer)?;
        }
        variables::take_content(&mut root, &layer.environment);
        if root.as_map().is_none_or(crate::node::Map::is_empty) {
            return Err(Error::invalid("empty compose file"));
        }
        if name.is_empty() {
            return Err(Error::invalid("project name must not be empty"));
        }
        if self.sources.does(Step::Normalization) {
            let at = root.at;
            if let Some(map) = root.as_map_mut() {
                map.insert("name".to_owned(), Node::text(&name, at));
            }
            normalize::normalize(&mut root, &layer.environment);
        }
        Ok((root, name))
    }

    /// Loads the files of an `include`.
    pub(crate) fn layer(&mut self, files: &[PathBuf], layer: &Layer) -> Result<Node> {
        let mut root = self.merged(files, layer)?;
        self.resolve(&mut root, layer)?;
        variables::take_content(&mut root, &layer.environment);
        Ok(root)
    }

    fn resolve(&self, root: &mut Node, layer: &Layer) -> Result<()> {
        let base = Base {
            folder: &layer.working_dir,
            home: self.sources.home.as_deref(),
        };
        resolve::resolve_paths(root, base)
    }

    /// Merges the files of a layer.
    fn merged(&mut self, files: &[PathBuf], layer: &Layer) -> Result<Node> {
        let mut root = merge::nothing();
        for file in files {
            for document in self.read(file)? {
                root = self.add(root, document, file, layer)?;
            }
        }
        canonical::set_defaults(&mut root);
        validate::validate(&root)?;
        Ok(root)
    }

    /// Merges a document into what was before it.
    fn add(&mut self, mut root: Node, document: yaml::Document, file: &Path, layer: &Layer) -> Result<Node> {
        let yaml::Document { root: mut node, resets } = document;
        if node.as_map().is_none() {
            if node.is_null() {
                return Ok(root);
            }
            return Err(Error::invalid("top-level object must be a mapping").at(node.at));
        }
        self.fill_in(&mut node, &layer.environment)?;
        let context = Context {
            file: file.to_owned(),
            folder: layer.absolute.clone(),
            environment: layer.environment.clone(),
        };
        self.apply_extends(&mut node, &resets, &context)?;
        merge::reset(&mut root, &resets);
        let mut here = layer.clone();
        here.files.push(file.to_owned());
        self.apply_include(&mut node, &here, &context)?;
        root = merge::merge(root, node)?;
        unique::enforce(&mut root)?;
        schema::check(&root).map_err(|error| error.within(&format!("validating {}", file.display())))?;
        self.drop_version(&mut root, file);
        canonical::canonical(&mut root, !self.sources.does(Step::Interpolation), &mut self.warnings)?;
        drop_empty_dns(&mut root);
        unique::enforce(&mut root)?;
        Ok(root)
    }

    fn fill_in(&mut self, node: &mut Node, environment: &BTreeMap<String, String>) -> Result<()> {
        if !self.sources.does(Step::Interpolation) {
            return Ok(());
        }
        let lookup = |name: &str| environment.get(name).cloned();
        interpolate::interpolate(node, &lookup, &mut self.warnings)
    }

    /// The tree of a file that services of another one extend, and what it takes away.
    pub(crate) fn read_base(
        &mut self,
        file: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<(Node, Vec<Steps>)> {
        let mut root = merge::nothing();
        let mut last = Vec::new();
        for document in self.read(file)? {
            let yaml::Document { root: mut node, resets } = document;
            if node.as_map().is_none() {
                continue;
            }
            self.fill_in(&mut node, environment)?;
            merge::reset(&mut root, &resets);
            root = merge::merge(root, node)?;
            unique::enforce(&mut root)?;
            canonical::canonical(&mut root, !self.sources.does(Step::Interpolation), &mut self.warnings)?;
            drop_empty_dns(&mut root);
            unique::enforce(&mut root)?;
            last = resets;
        }
        Ok((root, last))
    }

    /// Says what the specification has and Compose takes no notice of.
    fn tell_of_ignored(&mut self, tree: &Node) {
        let services = tree.get("services").and_then(Node::as_map);
        for (name, service) in services.into_iter().flatten() {
            if service.get("pull_refresh_after").is_some() {
                self.warnings.add(format!(
                    "services.{name}: the attribute `pull_refresh_after` has no effect, please say it with \
                     `pull_policy: every_<duration>`"
                ));
            }
        }
    }

    fn drop_version(&mut self, root: &mut Node, file: &Path) {
        let Some(map) = root.as_map_mut() else { return };
        if map.remove("version").is_some() {
            let file = file.display();
            self.warnings.add(format!(
                "{file}: the attribute `version` is obsolete, it will be ignored, please remove it to avoid \
                 potential confusion"
            ));
        }
    }

    /// The file that a path of another file means, and the folder that it was fetched into if it was.
    pub(crate) fn find(&mut self, path: &str, context: &Context) -> Result<(PathBuf, Option<PathBuf>)> {
        if let Some(local) = remote::local(self.remote, path)? {
            self.fetched.push(local.root.clone());
            return Ok((local.file, Some(local.root)));
        }
        let file = PathBuf::from(resolve::join_or_absolute(&context.folder, path));
        let root = self.fetched.iter().find(|root| context.file.starts_with(root));
        if let Some(root) = root {
            remote::check_inside(root, &file)?;
        }
        Ok((file, None))
    }

    /// The name that the last file which has one gives; whatever is wrong with a file is found when it is
    /// read in earnest.
    fn written_name(&mut self) -> String {
        let mut name = String::new();
        if self.sources.name.is_some() {
            return name;
        }
        for file in &self.sources.files {
            let Ok(documents) = self.read(file) else { continue };
            if let Some(written) = name::written(&documents) {
                written.clone_into(&mut name);
            }
            self.ahead.insert(file.clone(), documents);
        }
        name
    }

    /// Reads the documents of a file.
    pub(crate) fn read(&mut self, path: &Path) -> Result<Vec<yaml::Document>> {
        if let Some(documents) = self.ahead.remove(path) {
            return Ok(documents);
        }
        let text = if path == Path::new("-") {
            self.sources.input.clone().unwrap_or_default()
        } else {
            read_text(path)?
        };
        let file = self.files.add(path, &text);
        yaml::documents(&text, file).map_err(|error| error.within(&format!("failed to parse {}", path.display())))
    }
}

/// Nameservers that are empty texts are none.
fn drop_empty_dns(root: &mut Node) {
    let services = root.get_mut("services").and_then(Node::as_map_mut);
    for service in services.into_iter().flat_map(|services| services.values_mut()) {
        if let Some(list) = service.get_mut("dns").and_then(Node::as_list_mut) {
            list.retain(|node| !(node.is_null() || node.as_text() == Some("")));
        }
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
