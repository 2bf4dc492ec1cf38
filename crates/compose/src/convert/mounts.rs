//! Mounts: in the short form where it says all there is to say, as it makes paths that are missing.

use std::path::Path;

use corten_api::container::{BindOptions, HostConfig, Mount, SubpathOptions, TmpfsOptions, VolumeOptions};

use super::Around;
use crate::{
    error::{Error, Result},
    model::{self, FileMount, FileObject, Project, Service},
};

pub(super) fn fill(project: &Project, service: &Service, around: &Around, host: &mut HostConfig) -> Result<()> {
    let mut binds = Vec::new();
    let mut mounts = Vec::new();
    for mount in &service.volumes {
        match bind_text(project, mount) {
            Some(bind) => binds.push(bind),
            None => mounts.push(long(project, mount, around)),
        }
    }
    let given: Vec<_> = service.volumes.iter().map(|mount| mount.target.as_str()).collect();
    let inherited = around.inherited.iter();
    for (target, volume) in inherited.filter(|(target, _)| !given.contains(&target.as_str())) {
        mounts.push(Mount {
            kind: "volume".to_owned(),
            source: volume.clone(),
            target: target.clone(),
            ..Mount::default()
        });
    }
    for (file, target, object) in files(project, service)? {
        if !object.file.is_empty() {
            mounts.push(file_mount(project, file, target, object));
        }
    }
    host.binds = super::some(&binds);
    host.mounts = super::some(&mounts);
    Ok(())
}

/// The configs and secrets of a service, each with its path.
pub(super) fn files<'a>(
    project: &'a Project,
    service: &'a Service,
) -> Result<Vec<(&'a FileMount, String, &'a FileObject)>> {
    let mut list = Vec::new();
    for file in &service.configs {
        let object = project.configs.get(&file.source);
        let object = object.ok_or_else(|| missing("config", &file.source))?;
        supported("config", &file.source, &object.0)?;
        list.push((file, config_target(file), &object.0));
    }
    for file in &service.secrets {
        let object = project.secrets.get(&file.source);
        let object = object.ok_or_else(|| missing("secret", &file.source))?;
        supported("secret", &file.source, &object.0)?;
        list.push((file, secret_target(file), &object.0));
    }
    Ok(list)
}

fn missing(kind: &str, name: &str) -> Error {
    Error::not_found(format!("undefined {kind} {name:?}"))
}

/// Refuses what only a cluster keeps.
fn supported(kind: &str, name: &str, object: &FileObject) -> Result<()> {
    if object.external {
        let name = if object.name.is_empty() { name } else { &object.name };
        return Err(Error::unsupported(format!("unsupported external {kind} {name}")));
    }
    for (attribute, value) in [("driver", &object.driver), ("template_driver", &object.template_driver)] {
        if !value.is_empty() {
            return Err(Error::unsupported(format!(
                "{kind} {name:?}: {kind}s.*.{attribute} is not supported"
            )));
        }
    }
    Ok(())
}

fn config_target(file: &FileMount) -> String {
    match file.target.as_str() {
        "" => format!("/{}", file.source),
        target if target.starts_with('/') => target.to_owned(),
        target => format!("/{target}"),
    }
}

fn secret_target(file: &FileMount) -> String {
    match file.target.as_str() {
        "" => format!("/run/secrets/{}", file.source),
        target if target.starts_with('/') => target.to_owned(),
        target => format!("/run/secrets/{target}"),
    }
}

fn file_mount(project: &Project, _: &FileMount, target: String, object: &FileObject) -> Mount {
    let source = project.working_dir.join(Path::new(&object.file));
    Mount {
        kind: "bind".to_owned(),
        source: source.display().to_string(),
        target,
        read_only: true,
        bind_options: Some(BindOptions::default()),
        ..Mount::default()
    }
}

/// `source:target:rw`, when that says everything.
fn bind_text(project: &Project, mount: &model::Mount) -> Option<String> {
    let mut options = vec![if mount.read_only { "ro" } else { "rw" }];
    let source = match mount.kind.as_str() {
        "bind" => {
            let bind = mount.bind.as_ref();
            if bind.is_some_and(|bind| !bind.create_host_path || !bind.recursive.is_empty()) {
                return None;
            }
            if let Some(bind) = bind {
                options.extend([bind.selinux.as_str(), bind.propagation.as_str()]);
            }
            mount.source.clone()
        }
        "volume" => {
            let volume = mount.volume.as_ref();
            if volume.is_some_and(|volume| !volume.labels.is_empty() || !volume.subpath.is_empty()) {
                return None;
            }
            if volume.is_some_and(|volume| volume.nocopy) {
                options.push("nocopy");
            }
            project.volumes.get(&mount.source)?.name.clone()
        }
        _ => return None,
    };
    options.retain(|option| !option.is_empty());
    Some(format!("{source}:{}:{}", mount.target, options.join(",")))
}

fn long(project: &Project, mount: &model::Mount, around: &Around) -> Mount {
    let mut request = Mount {
        kind: mount.kind.clone(),
        source: mount.source.clone(),
        target: mount.target.clone(),
        read_only: mount.read_only,
        consistency: mount.consistency.clone(),
        ..Mount::default()
    };
    match mount.kind.as_str() {
        "bind" => request.bind_options = Some(bind_options(mount.bind.as_ref())),
        "volume" => {
            if let Some(volume) = project.volumes.get(&mount.source) {
                request.source.clone_from(&volume.name);
            } else if let Some(inherited) = around.inherited.get(&mount.target)
                && mount.source.is_empty()
            {
                request.source.clone_from(inherited);
            }
            let given = mount.volume.as_ref();
            request.volume_options = Some(VolumeOptions {
                no_copy: given.is_some_and(|volume| volume.nocopy),
                labels: given.map(|volume| volume.labels.0.clone()).unwrap_or_default(),
                subpath: given.map(|volume| volume.subpath.clone()).unwrap_or_default(),
                driver_config: None,
            });
        }
        "tmpfs" => {
            let given = mount.tmpfs.as_ref();
            request.tmpfs_options = Some(TmpfsOptions {
                size_bytes: given.map_or(0, |tmpfs| tmpfs.size.0),
                mode: given.map_or(0, |tmpfs| tmpfs.mode),
                options: Vec::new(),
            });
        }
        "image" => {
            let subpath = mount.image.as_ref().map(|image| image.subpath.clone());
            request.image_options = subpath.map(|subpath| SubpathOptions { subpath });
        }
        _ => {}
    }
    request
}

fn bind_options(bind: Option<&model::BindOptions>) -> BindOptions {
    let Some(bind) = bind else {
        return BindOptions::default();
    };
    BindOptions {
        propagation: bind.propagation.clone(),
        create_mountpoint: bind.create_host_path,
        non_recursive: bind.recursive == "disabled",
        read_only_non_recursive: bind.recursive == "writable",
        read_only_force_recursive: bind.recursive == "readonly",
    }
}
