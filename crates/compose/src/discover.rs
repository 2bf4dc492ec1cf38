//! Which files, folder, variables, profiles and name a project has, by flags, environment and what is there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{
    error::{Error, Result},
    load::{Sources, read_text},
    name,
    remote::{self, Address, Remote},
    resolve, short, variables,
    warnings::Warnings,
    yaml,
};

/// The names of files, the preferred one first.
const FILES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
/// The names of files that override them.
const OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// What the user says about a project: global flags, and what is around.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `--file`
    pub files: Vec<String>,
    /// `--project-name`
    pub project_name: String,
    /// `--project-directory`
    pub project_directory: String,
    /// `--profile`
    pub profiles: Vec<String>,
    /// `--env-file`
    pub env_files: Vec<String>,
    /// The working directory of the command.
    pub current_dir: PathBuf,
    /// The environment of the command.
    pub environment: BTreeMap<String, String>,
}

/// Finds what to load.
///
/// # Errors
/// [`Kind::NotFound`](crate::Kind::NotFound) for files that are named and not there;
/// [`Kind::Invalid`](crate::Kind::Invalid) for variables and names that are wrong.
pub fn discover(request: &Request, remote: &dyn Remote) -> Result<(Sources, Warnings)> {
    let mut search = Search {
        request,
        remote,
        environment: request.environment.clone(),
        files: request.files.clone(),
        warnings: Warnings::default(),
    };
    let sources = search.run()?;
    Ok((sources, search.warnings))
}

struct Search<'a> {
    request: &'a Request,
    remote: &'a dyn Remote,
    environment: BTreeMap<String, String>,
    files: Vec<String>,
    warnings: Warnings,
}

impl Search<'_> {
    fn run(&mut self) -> Result<Sources> {
        let current = self.request.current_dir.display().to_string();
        self.environment.entry("PWD".to_owned()).or_insert(current);
        // Once for COMPOSE_FILE, and once more for the folder that it leads to.
        self.read_env_files()?;
        self.files_of_environment()?;
        self.default_files();
        self.read_env_files()?;
        name::check(&self.request.project_name)?;
        let folder = self.folder();
        let Found { files, input, fetched } = self.read_input()?;
        let first = files
            .iter()
            .find(|file| fetched.iter().any(|root| file.starts_with(root)));
        let working_dir = match first.and_then(|file| file.parent()) {
            Some(parent) => parent.to_owned(),
            None => folder.clone(),
        };
        Ok(Sources {
            name: self.name(),
            default_name: self.default_name(&folder, &files, input.as_deref()),
            profiles: self.profiles(),
            home: self
                .environment
                .get("HOME")
                .filter(|home| !home.is_empty())
                .map(PathBuf::from),
            environment: std::mem::take(&mut self.environment),
            files,
            working_dir,
            input,
            without: Vec::new(),
            fetched,
        })
    }

    fn absolute(&self, path: &str) -> PathBuf {
        PathBuf::from(short::clean(&resolve::join_or_absolute(
            &self.request.current_dir,
            path,
        )))
    }

    /// The project's folder: the one that is given, or that of the first file.
    fn folder(&self) -> PathBuf {
        if !self.request.project_directory.is_empty() {
            return self.absolute(&self.request.project_directory);
        }
        let first = self.files.iter().find(|file| *file != "-");
        match first.filter(|file| Address::parse(file).is_none()) {
            Some(file) => self
                .absolute(file)
                .parent()
                .map_or_else(|| PathBuf::from("/"), Path::to_owned),
            None => self.request.current_dir.clone(),
        }
    }

    fn read_env_files(&mut self) -> Result<()> {
        let given = if self.request.env_files.is_empty() {
            let listed = self.request.environment.get("COMPOSE_ENV_FILES");
            let listed = listed.map(String::as_str).unwrap_or_default().split(',');
            listed.filter(|file| !file.is_empty()).map(str::to_owned).collect()
        } else {
            self.request.env_files.clone()
        };
        let mut files: Vec<PathBuf> = given.iter().map(|file| self.absolute(file)).collect();
        if files.is_empty() {
            if self.default_env_file_is_off()? {
                return Ok(());
            }
            let default = self.folder().join(".env");
            if corten_sys::fs::metadata(&default).is_ok_and(|data| !data.is_dir()) {
                files.push(default);
            }
        }
        let vars = variables::read_files(&files, &self.environment, &mut self.warnings)?;
        for (name, value) in vars {
            self.environment.entry(name).or_insert(value);
        }
        Ok(())
    }

    fn default_env_file_is_off(&self) -> Result<bool> {
        match self
            .request
            .environment
            .get("COMPOSE_DISABLE_ENV_FILE")
            .map(String::as_str)
        {
            None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some(other) => {
                let message = format!("strconv.ParseBool: parsing {other:?}: invalid syntax");
                Err(Error::invalid(message).hint("COMPOSE_DISABLE_ENV_FILE is true or false"))
            }
        }
    }

    fn files_of_environment(&mut self) -> Result<()> {
        let Some(listed) = self.environment.get("COMPOSE_FILE").filter(|_| self.files.is_empty()) else {
            return Ok(());
        };
        let separator = self
            .environment
            .get("COMPOSE_PATH_SEPARATOR")
            .filter(|text| !text.is_empty());
        let separator = separator.map_or(":", String::as_str);
        let mut files = Vec::new();
        for file in listed.split(separator) {
            if file == "-" {
                files.push(file.to_owned());
                continue;
            }
            if Address::parse(file).is_some() {
                files.push(file.to_owned());
                continue;
            }
            let path = self.absolute(file);
            corten_sys::fs::metadata(&path).map_err(|error| {
                let shown = path.display();
                Error::not_found(format!("stat {shown}: {}", corten_sys::fs::reason(&error)))
            })?;
            files.push(path.display().to_string());
        }
        self.files = files;
        Ok(())
    }

    /// Files with the usual names, in the folder or above it.
    fn default_files(&mut self) {
        if !self.files.is_empty() {
            return;
        }
        let start = self.folder();
        for folder in start.ancestors() {
            let found = existing(folder, &FILES);
            let Some(first) = found.first() else { continue };
            self.several(&found, "config");
            self.files.push(first.clone());
            let overrides = existing(folder, &OVERRIDES);
            self.several(&overrides, "override");
            self.files.extend(overrides.into_iter().next());
            return;
        }
    }

    fn several(&mut self, found: &[String], kind: &str) {
        if found.len() > 1 {
            let all = found.join(", ");
            self.warnings
                .add(format!("Found multiple {kind} files with supported names: {all}"));
            self.warnings.add(format!("Using {}", found[0]));
        }
    }

    fn profiles(&self) -> Vec<String> {
        if !self.request.profiles.is_empty() {
            return self.request.profiles.clone();
        }
        let listed = self
            .environment
            .get("COMPOSE_PROFILES")
            .map(String::as_str)
            .unwrap_or_default();
        listed.split(',').map(|profile| profile.trim().to_owned()).collect()
    }

    fn name(&self) -> Option<String> {
        if !self.request.project_name.is_empty() {
            return Some(self.request.project_name.clone());
        }
        let given = self.environment.get("COMPOSE_PROJECT_NAME");
        given.filter(|name| !name.is_empty()).cloned()
    }

    /// The folder's name, unless a file has one.
    fn default_name(&self, folder: &Path, files: &[PathBuf], input: Option<&str>) -> String {
        let named = files.iter().any(|file| {
            let text = match file == Path::new("-") {
                true => input.map(str::to_owned),
                false => read_text(file).ok(),
            };
            let documents = text.and_then(|text| yaml::documents(&text, 0).ok()).unwrap_or_default();
            let first = documents.first().and_then(|document| document.root.get("name"));
            first.is_some_and(|name| !name.is_null() && !name.value.to_text().is_empty())
        });
        if named {
            return String::new();
        }
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        name::normalize(&name.unwrap_or_default())
    }

    fn read_input(&self) -> Result<Found> {
        let mut input = None;
        let mut files = Vec::new();
        let mut fetched = Vec::new();
        for file in &self.files {
            if file == "-" {
                input = Some(corten_sys::fs::read_to_string("/dev/stdin").map_err(|error| {
                    Error::unavailable(format!("read standard input: {}", corten_sys::fs::reason(&error)))
                })?);
                files.push(PathBuf::from("-"));
            } else if let Some(local) = remote::local(self.remote, file)? {
                files.push(local.file);
                fetched.push(local.root);
            } else {
                files.push(self.absolute(file));
            }
        }
        Ok(Found { files, input, fetched })
    }
}

/// The files, what standard input has, and the folders that were fetched from elsewhere.
struct Found {
    files: Vec<PathBuf>,
    input: Option<String>,
    fetched: Vec<PathBuf>,
}

fn existing(folder: &Path, names: &[&str]) -> Vec<String> {
    let paths = names.iter().map(|name| folder.join(name));
    let there = paths.filter(|path| corten_sys::fs::metadata(path).is_ok());
    there.map(|path| path.display().to_string()).collect()
}
