//! A container's mounts: from `--volume`, `--mount`, `--tmpfs` and the image's volumes to records.
//!
//! Parsing decides and touches nothing; [`Wanted`] says what a mount needs to exist. Rules and words
//! are those of Docker's Linux parser (Docker API, `HostConfig.Binds` and `Mount`).

use std::collections::{BTreeMap, BTreeSet};

use corten_api::container::{HostConfig, Mount, MountPoint, TmpfsOptions};

use super::record::MountRecord;
use crate::error::{Error, Result};

/// A mount that a container is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What it becomes; a volume without a name is anonymous, a volume's source is not yet known.
    pub(crate) record: MountRecord,
    /// What must exist.
    pub(crate) needs: Needs,
}

/// What a mount needs to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Needs {
    /// A path of the host.
    HostPath {
        /// Whether a missing one is made as a folder.
        create: bool,
    },
    /// A volume with this driver, options and labels.
    Volume {
        /// Its driver; empty for the default.
        driver: String,
        /// The driver's options.
        options: BTreeMap<String, String>,
        /// Labels for a new one.
        labels: BTreeMap<String, String>,
    },
    /// An image, whose files are shown.
    Image {
        /// Its name.
        reference: String,
    },
    /// Nothing.
    Nothing,
}

/// Reads all mounts of a request and the image's volumes, in the order in which they are mounted.
///
/// # Errors
/// `Invalid` in Docker's words; `Unsupported` for kinds that this engine lacks.
pub(crate) fn wanted(host: &HostConfig, volumes: &BTreeSet<String>, from: Vec<Wanted>) -> Result<Vec<Wanted>> {
    let mut all: Vec<Wanted> = Vec::new();
    for bind in host.binds.iter().flatten() {
        add(&mut all, parse_bind(bind, &host.volume_driver)?)?;
    }
    for mount in host.mounts.iter().flatten() {
        add(&mut all, from_mount(mount)?)?;
    }
    for (target, options) in host.tmpfs.iter().flatten() {
        if !target.starts_with('/') {
            return Err(Error::invalid(format!(
                "invalid mount path: '{target}' mount path must be absolute"
            )));
        }
        let target = clean(target);
        if target == "/" {
            return Err(Error::invalid(
                "invalid mount config for type \"tmpfs\": invalid specification: destination can't be '/'",
            ));
        }
        add(
            &mut all,
            Wanted {
                record: tmpfs(&target, options.clone(), None),
                needs: Needs::Nothing,
            },
        )?;
    }
    // What the user asks for takes the place of what comes from other containers.
    for other in from {
        let target = &other.record.point.destination;
        if !all.iter().any(|own| own.record.point.destination == *target) {
            all.push(other);
        }
    }
    for target in volumes {
        let target = clean(target);
        check_target("volume", &target)?;
        // A mount of the user's takes the place of the image's volume.
        if !all.iter().any(|other| other.record.point.destination == target) {
            all.push(volume(&target, "", &host.volume_driver, ""));
        }
    }
    // A mount below another comes after it.
    all.sort_by_key(|wanted| wanted.record.point.destination.split('/').count());
    Ok(all)
}

fn add(all: &mut Vec<Wanted>, wanted: Wanted) -> Result<()> {
    let target = &wanted.record.point.destination;
    if all.iter().any(|other| other.record.point.destination == *target) {
        return Err(Error::invalid(format!("Duplicate mount point: {target}")));
    }
    all.push(wanted);
    Ok(())
}

/// Reads `[source:]destination[:options]`.
fn parse_bind(text: &str, driver: &str) -> Result<Wanted> {
    let bad = || Error::invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(bad());
    }
    let (source, target, mode) = match parts.as_slice() {
        [target] => ("", *target, ""),
        [source, target] => (*source, *target, ""),
        [source, target, mode] => (*source, *target, *mode),
        _ => return Err(bad()),
    };
    let kind = if source.starts_with('/') { "bind" } else { "volume" };
    let target_error = |e: Error| e.context(format!("invalid volume specification: '{text}'"));
    check_target(kind, target).map_err(target_error)?;
    let target = clean(target);
    let mut wanted = if kind == "bind" {
        Wanted {
            record: bind(&clean(source), &target, mode),
            needs: Needs::HostPath { create: true },
        }
    } else {
        volume(&target, source, driver, mode)
    };
    apply_mode(&mut wanted.record, mode, kind)?;
    Ok(wanted)
}

/// Reads the options of a bind or volume: `ro,z,rshared,nocopy`.
fn apply_mode(record: &mut MountRecord, mode: &str, kind: &str) -> Result<()> {
    let bad = || Error::invalid(format!("invalid mode: {mode}"));
    let (mut access, mut labels, mut propagations, mut copies) = (0, 0, 0, 0);
    for option in mode.split(',').filter(|_| !mode.is_empty()) {
        match option {
            "rw" => access += 1,
            "ro" => {
                access += 1;
                record.point.rw = false;
            }
            "z" | "Z" => {
                labels += 1;
                option.clone_into(&mut record.relabel);
            }
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" if kind == "bind" => {
                propagations += 1;
                option.clone_into(&mut record.point.propagation);
            }
            "nocopy" if kind == "volume" => {
                copies += 1;
                record.fill = false;
            }
            "consistent" | "cached" | "delegated" => {}
            _ => return Err(bad()),
        }
    }
    if access > 1 || labels > 1 || propagations > 1 || copies > 1 {
        return Err(bad());
    }
    Ok(())
}

/// Reads a mount in the long form.
fn from_mount(mount: &Mount) -> Result<Wanted> {
    let kind = mount.kind.as_str();
    let bad = |why: &str| Error::invalid(format!("invalid mount config for type \"{kind}\": {why}"));
    if !matches!(kind, "bind" | "volume" | "tmpfs" | "image") {
        return match kind {
            "npipe" | "cluster" => Err(Error::unsupported(format!(
                "mounts of type \"{kind}\" are not supported yet"
            ))),
            _ => Err(bad("mount type unknown")),
        };
    }
    if mount.target.is_empty() {
        return Err(bad("field Target must not be empty"));
    }
    check_target(kind, &mount.target)?;
    for (options, belongs, name) in [
        (mount.bind_options.is_some(), kind == "bind", "BindOptions"),
        (mount.volume_options.is_some(), kind == "volume", "VolumeOptions"),
        (mount.tmpfs_options.is_some(), kind == "tmpfs", "TmpfsOptions"),
        (mount.image_options.is_some(), kind == "image", "ImageOptions"),
    ] {
        if options && !belongs {
            return Err(bad(&format!("field {name} must not be specified")));
        }
    }
    let target = clean(&mount.target);
    match kind {
        "bind" => bind_from_mount(mount, &target, bad),
        "volume" => volume_from_mount(mount, &target, bad),
        "image" => image_from_mount(mount, &target, bad),
        _ => {
            if !mount.source.is_empty() {
                return Err(bad("field Source must not be specified"));
            }
            let mut record = tmpfs(&target, String::new(), mount.tmpfs_options.clone());
            record.point.rw = !mount.read_only;
            Ok(Wanted {
                record,
                needs: Needs::Nothing,
            })
        }
    }
}

fn bind_from_mount(mount: &Mount, target: &str, bad: impl Fn(&str) -> Error) -> Result<Wanted> {
    if mount.source.is_empty() {
        return Err(bad("field Source must not be empty"));
    }
    if !mount.source.starts_with('/') {
        return Err(bad(&format!(
            "invalid mount path: '{}' mount path must be absolute",
            mount.source
        )));
    }
    let options = mount.bind_options.clone().unwrap_or_default();
    let mut record = bind(&clean(&mount.source), target, "");
    record.point.rw = !mount.read_only;
    record.non_recursive = options.non_recursive;
    record.shallow = options.read_only_non_recursive;
    if options.read_only_non_recursive && options.read_only_force_recursive {
        return Err(bad(
            "ReadOnlyNonRecursive and ReadOnlyForceRecursive must not be specified together",
        ));
    }
    if options.read_only_force_recursive && !mount.read_only {
        return Err(bad("recursive read-only needs the mount to be read-only"));
    }
    match options.propagation.as_str() {
        "" => {}
        "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
            record.point.propagation = options.propagation
        }
        other => return Err(bad(&format!("invalid propagation mode: {other}"))),
    }
    Ok(Wanted {
        record,
        needs: Needs::HostPath {
            create: options.create_mountpoint,
        },
    })
}

fn image_from_mount(mount: &Mount, target: &str, bad: impl Fn(&str) -> Error) -> Result<Wanted> {
    if mount.source.is_empty() {
        return Err(bad("field Source must not be empty"));
    }
    let subpath = mount.image_options.clone().unwrap_or_default().subpath;
    if !is_local(&subpath) {
        return Err(bad("subpath must be a relative path within the image"));
    }
    let mut record = record(MountPoint {
        kind: "image".into(),
        name: mount.source.clone(),
        destination: target.into(),
        rw: false,
        ..Default::default()
    });
    record.subpath = subpath;
    Ok(Wanted {
        record,
        needs: Needs::Image {
            reference: mount.source.clone(),
        },
    })
}

/// Whether a path stays below where it begins, as Go's `filepath.IsLocal`; nothing does too.
fn is_local(path: &str) -> bool {
    let mut depth = 0_i32;
    !path.starts_with('/')
        && path.split('/').all(|part| {
            depth += match part {
                "" | "." => 0,
                ".." => -1,
                _ => 1,
            };
            depth >= 0
        })
}

/// Reads the mode of `--volumes-from`: whether writing is allowed.
pub(crate) fn access_mode(mode: &str) -> Result<bool> {
    let mut record = bind("/", "/", mode);
    apply_mode(&mut record, mode, "")?;
    Ok(record.point.rw)
}

fn volume_from_mount(mount: &Mount, target: &str, bad: impl Fn(&str) -> Error) -> Result<Wanted> {
    let options = mount.volume_options.clone().unwrap_or_default();
    let driver = options.driver_config.unwrap_or_default();
    if !is_local(&options.subpath) {
        return Err(bad("subpath must be a relative path within the volume"));
    }
    if mount.source.is_empty() && !options.subpath.is_empty() {
        return Err(bad("must not set Subpath when using anonymous volumes"));
    }
    let mut wanted = volume(target, &mount.source, &driver.name, "");
    wanted.record.point.rw = !mount.read_only;
    wanted.record.fill = !options.no_copy;
    wanted.record.subpath = options.subpath;
    wanted.needs = Needs::Volume {
        driver: driver.name,
        options: driver.options,
        labels: options.labels,
    };
    Ok(wanted)
}

fn bind(source: &str, target: &str, mode: &str) -> MountRecord {
    record(MountPoint {
        kind: "bind".into(),
        source: source.into(),
        destination: target.into(),
        mode: mode.into(),
        rw: true,
        propagation: "rprivate".into(),
        ..Default::default()
    })
}

fn volume(target: &str, name: &str, driver: &str, mode: &str) -> Wanted {
    let driver_name = if driver.is_empty() { "local" } else { driver };
    let mut record = record(MountPoint {
        kind: "volume".into(),
        name: name.into(),
        destination: target.into(),
        driver: driver_name.into(),
        // Docker shows this mode for volumes that were given without one.
        mode: if mode.is_empty() && !name.is_empty() {
            "z".into()
        } else {
            mode.into()
        },
        rw: true,
        ..Default::default()
    });
    record.fill = true;
    record.named = !name.is_empty();
    Wanted {
        record,
        needs: Needs::Volume {
            driver: driver.to_owned(),
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        },
    }
}

fn tmpfs(target: &str, mode: String, options: Option<TmpfsOptions>) -> MountRecord {
    let mut record = record(MountPoint {
        kind: "tmpfs".into(),
        destination: target.into(),
        mode,
        rw: true,
        ..Default::default()
    });
    record.tmpfs = options;
    record
}

fn record(point: MountPoint) -> MountRecord {
    MountRecord {
        point,
        fill: false,
        non_recursive: false,
        relabel: String::new(),
        named: false,
        shallow: false,
        subpath: String::new(),
        tmpfs: None,
    }
}

fn check_target(kind: &str, target: &str) -> Result<()> {
    let bad = |why: String| {
        Err(Error::invalid(format!(
            "invalid mount config for type \"{kind}\": {why}"
        )))
    };
    if !target.starts_with('/') {
        return bad(format!("invalid mount path: '{target}' mount path must be absolute"));
    }
    if clean(target) == "/" {
        return bad("invalid specification: destination can't be '/'".into());
    }
    Ok(())
}

/// An absolute path without `.`, `..` and doubled slashes, as Go's `path.Clean`.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(binds: &[&str]) -> Result<Vec<Wanted>> {
        let host = HostConfig {
            binds: Some(binds.iter().map(|&b| b.to_owned()).collect()),
            ..Default::default()
        };
        wanted(&host, &BTreeSet::new(), Vec::new())
    }

    #[test]
    fn reads_binds_as_docker() {
        let check = |text: &str, kind: &str, source: &str, name: &str, target: &str, rw: bool| {
            let all = parse(&[text]).unwrap_or_else(|e| panic!("{text}: {e}"));
            let point = &all[0].record.point;
            assert_eq!(
                (
                    point.kind.as_str(),
                    point.source.as_str(),
                    point.name.as_str(),
                    point.destination.as_str(),
                    point.rw
                ),
                (kind, source, name, target, rw),
                "{text}"
            );
        };
        check("/a:/b", "bind", "/a", "", "/b", true);
        check("/a/../c:/b/./d/:ro", "bind", "/c", "", "/b/d", false);
        check("data:/data", "volume", "", "data", "/data", true);
        check("data:/data:ro,nocopy", "volume", "", "data", "/data", false);
        check("/data", "volume", "", "", "/data", true);
        check("/a:/b:rw,rshared,z", "bind", "/a", "", "/b", true);
    }

    #[test]
    fn refuses_in_dockers_words() {
        let check = |binds: &[&str], expected: &str| assert_eq!(parse(binds).unwrap_err().message(), expected);
        check(&["a:b:c:d"], "invalid volume specification: 'a:b:c:d'");
        check(&["/tmp:/x:bogus"], "invalid mode: bogus");
        check(&["/tmp:/x:ro,rw"], "invalid mode: ro,rw");
        check(
            &["foo:bar"],
            "invalid volume specification: 'foo:bar': invalid mount config for type \"volume\": invalid mount path: 'bar' mount path must be absolute",
        );
        check(
            &["/a:/"],
            "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
        );
        check(&["/a:/x", "/b:/x/"], "Duplicate mount point: /x");
        check(&[":/x"], "invalid volume specification: ':/x'");
    }

    #[test]
    fn mounts_parents_first_and_users_over_images() {
        let host = HostConfig {
            binds: Some(vec!["/h:/a/b/c".into(), "v:/a".into()]),
            ..Default::default()
        };
        let all = wanted(&host, &BTreeSet::from(["/a".to_owned(), "/z".to_owned()]), Vec::new()).unwrap();
        let order: Vec<_> = all
            .iter()
            .map(|w| (w.record.point.destination.as_str(), w.record.point.name.as_str()))
            .collect();
        assert_eq!(order, [("/a", "v"), ("/z", ""), ("/a/b/c", "")]);
    }

    #[test]
    fn reads_long_mounts() {
        let mount = |kind: &str, source: &str, target: &str| Mount {
            kind: kind.into(),
            source: source.into(),
            target: target.into(),
            ..Default::default()
        };
        let check = |mount: Mount, expected: &str| assert_eq!(from_mount(&mount).unwrap_err().message(), expected);
        check(
            mount("foo", "", "/x"),
            "invalid mount config for type \"foo\": mount type unknown",
        );
        check(
            mount("bind", "", "/x"),
            "invalid mount config for type \"bind\": field Source must not be empty",
        );
        check(
            mount("volume", "", ""),
            "invalid mount config for type \"volume\": field Target must not be empty",
        );
        check(
            mount("tmpfs", "x", "/x"),
            "invalid mount config for type \"tmpfs\": field Source must not be specified",
        );
    }
}
