//! `--gpus` and devices by name: which driver gives them (Docker API, `HostConfig.DeviceRequests`).
//!
//! Drivers are `cdi`, which takes full names alone, and one for GPUs of each vendor: it uses the vendor's
//! CDI documents, or else the program that the vendor brings.

use std::path::PathBuf;

use corten_api::container::{DeviceRequest, HostConfig};
use corten_oci::runtime::{Hook, Spec};

use crate::{
    cdi::Catalogue,
    error::{Error, Result},
    settings::Settings,
};

/// What NVIDIA's driver can be asked for besides `gpu`.
const NVIDIA: [&str; 6] = ["compute", "compat32", "graphics", "utility", "video", "display"];
/// The program that sets GPUs of NVIDIA's up.
const NVIDIA_HOOK: &str = "nvidia-container-runtime-hook";
/// A program that stands for GPUs of AMD's: a runtime that reads a variable.
const AMD_RUNTIME: &str = "amd-container-runtime";

/// Gives a container the devices that it asks for.
///
/// # Errors
/// `Internal`, as of all that the host is not ready for when a container starts.
pub(crate) fn inject(host: &HostConfig, settings: &Settings, spec: &mut Spec) -> Result<()> {
    let requests = host.resources.device_requests.as_deref().unwrap_or_default();
    if requests.is_empty() {
        return Ok(());
    }
    let drivers = Drivers {
        catalogue: settings.cdi.as_deref().map(Catalogue::read),
        folders: settings.cdi.as_ref().is_some_and(|folders| !folders.is_empty()),
        program: &corten_sys::program::on_path,
    };
    requests
        .iter()
        .try_for_each(|request| drivers.serve(request, spec))
        .map_err(Error::internal)
}

/// The drivers there are.
struct Drivers<'a> {
    /// Devices with documents; none when they are switched off.
    catalogue: Option<Catalogue>,
    /// Whether there are folders of documents at all.
    folders: bool,
    /// Finds a program.
    program: &'a dyn Fn(&str) -> Option<PathBuf>,
}

impl Drivers<'_> {
    fn serve(&self, request: &DeviceRequest, spec: &mut Spec) -> std::result::Result<(), String> {
        match request.driver.as_str() {
            "cdi" if self.catalogue.is_some() => self.by_name(request, spec),
            "" | "nvidia" if self.has_nvidia() && matching(request, name_and(&NVIDIA, "nvidia")).is_some() => {
                self.nvidia(request, spec)
            }
            "" | "amd" if self.has_amd() && matching(request, name_and(&[], "amd")).is_some() => {
                self.amd(request, spec)
            }
            name => {
                let lists = request.capabilities.iter().flatten();
                let lists: Vec<_> = lists.map(|all| format!("[{}]", all.join(" "))).collect();
                Err(format!(
                    "could not select device driver {name:?} with capabilities: [{}]",
                    lists.join(" ")
                ))
            }
        }
    }

    /// The devices of full names.
    fn by_name(&self, request: &DeviceRequest, spec: &mut Spec) -> std::result::Result<(), String> {
        if request.count != 0 {
            return Err("unexpected count in CDI device request".to_owned());
        }
        if request.options.as_ref().is_some_and(|options| !options.is_empty()) {
            return Err("unexpected options in CDI device request".to_owned());
        }
        self.named(request.device_ids.as_deref().unwrap_or_default(), spec)
    }

    fn named(&self, names: &[String], spec: &mut Spec) -> std::result::Result<(), String> {
        let injected = match &self.catalogue {
            Some(_) if !self.folders => Err("no CDI specification directories specified".to_owned()),
            Some(catalogue) => catalogue.inject(spec, names),
            None => Err("it is switched off".to_owned()),
        };
        injected.map_err(|why| format!("CDI device injection failed: {why}"))
    }

    fn has_kind(&self, kind: &str) -> bool {
        self.catalogue.as_ref().is_some_and(|all| all.has_kind(kind))
    }

    fn has_nvidia(&self) -> bool {
        self.has_kind("nvidia.com/gpu") || (self.program)(NVIDIA_HOOK).is_some()
    }

    /// One vendor at a time, as Docker has it.
    fn has_amd(&self) -> bool {
        !self.has_nvidia() && (self.has_kind("amd.com/gpu") || (self.program)(AMD_RUNTIME).is_some())
    }

    fn nvidia(&self, request: &DeviceRequest, spec: &mut Spec) -> std::result::Result<(), String> {
        let ids = ids(request)?;
        if self.has_kind("nvidia.com/gpu") {
            return self.named(&full_names("nvidia.com/gpu", &ids), spec);
        }
        let Some(hook) = (self.program)(NVIDIA_HOOK) else {
            return Err(format!("{NVIDIA_HOOK}: executable file not found in $PATH"));
        };
        let asked = matching(request, name_and(&NVIDIA, "nvidia")).unwrap_or_default();
        let drivers: Vec<&str> = asked
            .iter()
            .map(String::as_str)
            .filter(|c| NVIDIA.contains(c))
            .collect();
        set(spec, "NVIDIA_VISIBLE_DEVICES", &visible(&ids));
        if !drivers.is_empty() {
            set(spec, "NVIDIA_DRIVER_CAPABILITIES", &drivers.join(","));
        }
        spec.hooks.get_or_insert_default().prestart.push(Hook {
            path: hook,
            args: vec![NVIDIA_HOOK.to_owned(), "prestart".to_owned()],
            env: std::env::vars()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            timeout_seconds: None,
        });
        Ok(())
    }

    fn amd(&self, request: &DeviceRequest, spec: &mut Spec) -> std::result::Result<(), String> {
        let ids = ids(request)?;
        if self.has_kind("amd.com/gpu") {
            return self.named(&full_names("amd.com/gpu", &ids), spec);
        }
        set(spec, "AMD_VISIBLE_DEVICES", &visible(&ids));
        Ok(())
    }
}

/// What a driver can be asked for.
fn name_and<'a>(more: &'a [&'a str], vendor: &'a str) -> impl Fn(&str) -> bool + 'a {
    move |capability| capability == "gpu" || capability == vendor || more.contains(&capability)
}

/// The first of the lists that a request would be content with, all of which can be had.
fn matching(request: &DeviceRequest, has: impl Fn(&str) -> bool) -> Option<&[String]> {
    let mut lists = request.capabilities.iter().flatten();
    lists
        .find(|all| all.iter().all(|capability| has(capability)))
        .map(Vec::as_slice)
}

/// The devices that a request is for, as their driver numbers them.
fn ids(request: &DeviceRequest) -> std::result::Result<Vec<String>, String> {
    let given = request.device_ids.as_deref().unwrap_or_default();
    match request.count {
        0 => Ok(given.to_vec()),
        _ if !given.is_empty() => Err("cannot set both Count and DeviceIDs on device request".to_owned()),
        count if count < 0 => Ok(vec!["all".to_owned()]),
        count => Ok((0..count).map(|number| number.to_string()).collect()),
    }
}

fn full_names(kind: &str, ids: &[String]) -> Vec<String> {
    let full = |id: &String| match id.contains('=') {
        true => id.clone(),
        false => format!("{kind}={id}"),
    };
    ids.iter().map(full).collect()
}

/// The value of a vendor's variable.
fn visible(ids: &[String]) -> String {
    if ids.is_empty() {
        "void".to_owned()
    } else {
        ids.join(",")
    }
}

fn set(spec: &mut Spec, name: &str, value: &str) {
    if let Some(process) = &mut spec.process {
        process.env.push(format!("{name}={value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(driver: &str, count: i64, ids: &[&str], capabilities: &[&str]) -> DeviceRequest {
        DeviceRequest {
            driver: driver.to_owned(),
            count,
            device_ids: Some(ids.iter().map(|id| (*id).to_owned()).collect()),
            capabilities: Some(vec![capabilities.iter().map(|c| (*c).to_owned()).collect()]),
            options: None,
        }
    }

    fn served(request: &DeviceRequest, program: Option<&str>, cdi: bool) -> std::result::Result<Vec<String>, String> {
        let drivers = Drivers {
            catalogue: cdi.then(Catalogue::default),
            folders: true,
            program: &|name| (Some(name) == program).then(|| PathBuf::from("/usr/bin").join(name)),
        };
        let mut spec = Spec {
            process: Some(corten_oci::runtime::Process::default()),
            ..Spec::default()
        };
        drivers.serve(request, &mut spec)?;
        let hooks = spec.hooks.unwrap_or_default().prestart;
        let hooks = hooks.into_iter().map(|hook| hook.path.to_string_lossy().into_owned());
        Ok(spec.process.unwrap_or_default().env.into_iter().chain(hooks).collect())
    }

    #[test]
    fn drivers_are_chosen_as_docker_does() {
        let gpus = request("", -1, &[], &["gpu"]);
        let none = "could not select device driver \"\" with capabilities: [[gpu]]";
        assert_eq!(served(&gpus, None, true).unwrap_err(), none);
        assert_eq!(
            served(&gpus, Some(NVIDIA_HOOK), true).unwrap(),
            ["NVIDIA_VISIBLE_DEVICES=all", "/usr/bin/nvidia-container-runtime-hook"]
        );
        assert_eq!(
            served(&gpus, Some(AMD_RUNTIME), true).unwrap(),
            ["AMD_VISIBLE_DEVICES=all"]
        );
        let two = request("nvidia", 2, &[], &["gpu", "utility"]);
        assert_eq!(
            served(&two, Some(NVIDIA_HOOK), false).unwrap()[..2],
            ["NVIDIA_VISIBLE_DEVICES=0,1", "NVIDIA_DRIVER_CAPABILITIES=utility"]
        );
        let odd = request("", 1, &[], &["gpu", "tpu"]);
        assert_eq!(
            served(&odd, Some(NVIDIA_HOOK), true).unwrap_err(),
            "could not select device driver \"\" with capabilities: [[gpu tpu]]"
        );
        let both = request("", 1, &["0"], &["gpu"]);
        assert_eq!(
            served(&both, Some(AMD_RUNTIME), true).unwrap_err(),
            "cannot set both Count and DeviceIDs on device request"
        );
        let cdi = |count| request("cdi", count, &["a/b=c"], &[]);
        assert_eq!(
            served(&cdi(0), None, true).unwrap_err(),
            "CDI device injection failed: unresolvable CDI devices a/b=c"
        );
        assert_eq!(
            served(&cdi(1), None, true).unwrap_err(),
            "unexpected count in CDI device request"
        );
        assert_eq!(
            served(&cdi(0), None, false).unwrap_err(),
            "could not select device driver \"cdi\" with capabilities: [[]]"
        );
    }
}
