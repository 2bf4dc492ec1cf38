//! Devices that vendors describe in files (Container Device Interface): which there are, and what a
//! container needs for them. Files are read when somebody asks; there are few, and they change.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use corten_build::FoundDevice;
use corten_oci::{
    cdi::{Edits, HostDevice, HostDeviceKind, Kind, Spec},
    runtime,
};

/// What a document calls a device that a build asks for by another name than its own.
const CLASS: &str = "org.mobyproject.buildkit.device.class";
/// Whether builds may have a device unasked.
const OPEN: &str = "org.mobyproject.buildkit.device.autoallow";

/// How many files of a folder are read.
const MOST_FILES: usize = 1000;

/// Everything that the files of some folders describe.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    specs: Vec<Spec>,
    /// The document and the place in it of each device, by its full name.
    devices: BTreeMap<String, (usize, usize)>,
    /// What is wrong, by file.
    problems: Vec<(PathBuf, String)>,
}

impl Catalogue {
    /// Reads all files; what later folders say of a device counts more.
    pub(crate) fn read(folders: &[PathBuf]) -> Self {
        let mut catalogue = Self::default();
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        let mut conflicts = BTreeSet::new();
        for (priority, folder) in folders.iter().enumerate() {
            for path in files(folder) {
                catalogue.take(path, priority, &mut found, &mut conflicts);
            }
        }
        catalogue.devices = found
            .into_iter()
            .filter(|(name, _)| !conflicts.contains(name))
            .map(|(name, found)| (name, found.place))
            .collect();
        catalogue
    }

    fn take(
        &mut self,
        path: PathBuf,
        priority: usize,
        found: &mut BTreeMap<String, Found>,
        conflicts: &mut BTreeSet<String>,
    ) {
        let spec = match load(&path) {
            Ok(spec) => spec,
            Err(why) => return self.problems.push((path, format!("failed to load CDI Spec {why}"))),
        };
        let index = self.specs.len();
        for (at, (name, _)) in spec.named().enumerate() {
            let new = Found {
                priority,
                path: path.clone(),
                place: (index, at),
            };
            match found.get(&name) {
                Some(old) if old.priority == priority => {
                    let why = format!("conflicting device {name:?} (specs {path:?}, {:?})", old.path);
                    self.problems.push((path.clone(), why.clone()));
                    self.problems.push((old.path.clone(), why));
                    conflicts.insert(name);
                }
                _ => {
                    conflicts.remove(&name);
                    found.insert(name, new);
                }
            }
        }
        self.specs.push(spec);
    }

    /// The full names of all devices.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.devices.keys().map(String::as_str)
    }

    /// What is wrong with the files, as Docker's `info` tells it.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let line =
            |(path, why): &(PathBuf, String)| format!("CDI: Error associated with spec file {}: {why}", path.display());
        self.problems.iter().map(line).collect()
    }

    /// Whether there are devices of a kind such as `nvidia.com/gpu`.
    pub(crate) fn has_kind(&self, kind: &str) -> bool {
        self.specs.iter().any(|spec| spec.kind == kind)
    }

    /// The devices that a name stands for in a build, as BuildKit has it: `vendor/class=name` for one, or for those
    /// that their annotations call so; `vendor/class=*` for all of a kind, and `vendor/class` for the first.
    ///
    /// # Errors
    /// When it names no kind.
    pub(crate) fn named(&self, name: &str) -> Result<Vec<FoundDevice>, String> {
        let (kind, own) = name.split_once('=').unwrap_or((name, ""));
        Kind::parse(kind).map_err(|why| format!("invalid device {name:?}: {why}"))?;
        let of_kind = || {
            self.devices
                .keys()
                .filter(|full| full.split_once('=').is_some_and(|(one, _)| one == kind))
        };
        let found: Vec<&String> = match own {
            "" => of_kind().take(1).collect(),
            "*" => of_kind().collect(),
            _ if self.devices.contains_key(name) => of_kind().filter(|full| *full == name).collect(),
            class => of_kind()
                .filter(|full| self.annotation(full, CLASS) == Some(class))
                .collect(),
        };
        let device = |name: &String| FoundDevice {
            open: matches!(
                self.annotation(name, OPEN),
                Some("1" | "t" | "T" | "true" | "TRUE" | "True")
            ),
            name: name.clone(),
        };
        Ok(found.into_iter().map(device).collect())
    }

    /// What a device's document notes of it, or of all its devices.
    fn annotation(&self, name: &str, key: &str) -> Option<&str> {
        let (index, at) = self.devices.get(name)?;
        let spec = &self.specs[*index];
        let own = spec.devices[*at].annotations.get(key);
        own.or_else(|| spec.annotations.get(key)).map(String::as_str)
    }

    /// Gives a container devices, by their full names.
    ///
    /// # Errors
    /// Names that there are not, and devices that the host has not.
    pub(crate) fn inject(&self, spec: &mut runtime::Spec, names: &[String]) -> Result<(), String> {
        let unknown: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| !self.devices.contains_key(*name))
            .collect();
        if !unknown.is_empty() {
            return Err(format!("unresolvable CDI devices {}", unknown.join(", ")));
        }
        let mut edits = Edits::default();
        let mut seen = BTreeSet::new();
        for (index, at) in names.iter().filter_map(|name| self.devices.get(name)) {
            let document = &self.specs[*index];
            // What all devices of a document need is done once.
            if seen.insert(*index) {
                edits.append(&document.container_edits);
            }
            edits.append(&document.devices[*at].container_edits);
        }
        edits
            .apply(spec, host_device)
            .map_err(|why| format!("failed to inject devices: {why}"))
    }
}

/// Where a device is described.
struct Found {
    priority: usize,
    path: PathBuf,
    place: (usize, usize),
}

/// The documents of a folder, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = corten_sys::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_spec = |path: &PathBuf| path.extension().is_some_and(|end| end == "json" || end == "yaml") && !path.is_dir();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(is_spec)
        .take(MOST_FILES)
        .collect();
    files.sort();
    files
}

fn load(path: &Path) -> Result<Spec, String> {
    let bytes = corten_sys::fs::read(path)
        .map_err(|error| format!("failed to read CDI Spec {path:?}: {}", corten_sys::fs::reason(&error)))?;
    let parsed = |why: String| match why.starts_with("invalid CDI Spec") {
        true => why,
        false => format!("failed to parse CDI Spec {path:?}: {why}"),
    };
    // JSON is YAML, so a file of either name may hold it.
    match Spec::parse(&bytes) {
        Err(_) if path.extension().is_some_and(|end| end == "yaml") => Spec::parse_yaml(&bytes).map_err(parsed),
        result => result.map_err(parsed),
    }
}

/// Looks at a device of the host.
fn host_device(path: &str) -> Result<HostDevice, String> {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let metadata = corten_sys::fs::symlink_metadata(path).map_err(|error| corten_sys::fs::reason(&error))?;
    let sort = metadata.file_type();
    let kind = match () {
        () if sort.is_block_device() => HostDeviceKind::Block,
        () if sort.is_char_device() => HostDeviceKind::Character,
        () if sort.is_fifo() => HostDeviceKind::Fifo,
        () => return Err("not a device node".to_owned()),
    };
    let device = metadata.rdev();
    Ok(HostDevice {
        kind,
        major: rustix::fs::major(device).into(),
        minor: rustix::fs::minor(device).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(kind: &str, name: &str, value: &str) -> String {
        format!(
            r#"{{"cdiVersion":"0.5.0","kind":"{kind}","containerEdits":{{"env":["ALL={value}"]}},
                "devices":[{{"name":"{name}","containerEdits":{{"env":["ONE={value}"]}}}}]}}"#
        )
    }

    #[test]
    fn later_folders_win_and_conflicts_lose() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            corten_sys::fs::create_dir_all(path.parent().unwrap()).unwrap();
            corten_sys::fs::write(path, text).unwrap();
        };
        write("a/one.json", &document("acme.com/toy", "x", "first"));
        write("b/one.json", &document("acme.com/toy", "x", "second"));
        write("a/two.json", &document("acme.com/toy", "twice", "1"));
        write("a/three.json", &document("acme.com/toy", "twice", "2"));
        write("a/bad.json", "{");
        write("a/real.yaml", "cdiVersion: 0.5.0\n");
        write("a/notes.txt", "no spec");
        let folders = ["a", "b", "missing"].map(|name| root.path().join(name));
        let catalogue = Catalogue::read(&folders);
        assert_eq!(catalogue.names().collect::<Vec<_>>(), ["acme.com/toy=x"]);
        let warnings = catalogue.warnings().join("\n");
        for part in [
            "bad.json: failed to load CDI Spec failed to parse",
            "real.yaml: failed to load CDI Spec failed to parse",
            "conflicting device",
        ] {
            assert!(warnings.contains(part), "{part}: {warnings}");
        }
        let mut spec = runtime::Spec {
            process: Some(runtime::Process::default()),
            ..runtime::Spec::default()
        };
        catalogue.inject(&mut spec, &["acme.com/toy=x".to_owned()]).unwrap();
        assert_eq!(spec.process.as_ref().unwrap().env, ["ALL=second", "ONE=second"]);
        let unknown = catalogue.inject(&mut spec, &["a/b=c".to_owned(), "acme.com/toy=twice".to_owned()]);
        assert_eq!(
            unknown.unwrap_err(),
            "unresolvable CDI devices a/b=c, acme.com/toy=twice"
        );
    }
}
