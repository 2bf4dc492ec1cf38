//! Real-time scheduling: what the parents of containers' control groups get, so that containers can have
//! some of it. Version 1 alone limits it, and only kernels with `CONFIG_RT_GROUP_SCHED`.

use std::path::{Component, Path, PathBuf};

use super::supported::{Limit, Supported};
use crate::{
    error::{Error, Result},
    settings::Realtime,
};

/// Where the hierarchy is mounted.
const ROOT: &str = "/sys/fs/cgroup/cpu";

/// Refuses what this host cannot do.
///
/// # Errors
/// `Unsupported`, in dockerd's words.
pub fn check_realtime(realtime: Realtime) -> Result<()> {
    if realtime == Realtime::default() || Supported::probe().has(Limit::Realtime) {
        return Ok(());
    }
    let unified = corten_sys::fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or(false);
    let why = match unified {
        true => "are not implemented for cgroup v2",
        false => "are not supported by the kernel",
    };
    Err(Error::unsupported(format!(
        "daemon-scoped cpu-rt-period and cpu-rt-runtime {why}"
    )))
}

/// Makes the parents of a container's control group, each with its share: none can have what its own
/// parent has not.
pub(super) fn prepare(realtime: Realtime, cgroup: &str) -> Result<()> {
    if realtime == Realtime::default() {
        return Ok(());
    }
    for folder in parents(Path::new(ROOT), cgroup) {
        corten_sys::fs::create_dir_all(&folder)?;
        for (file, value) in [
            ("cpu.rt_period_us", realtime.period),
            ("cpu.rt_runtime_us", realtime.runtime),
        ] {
            if value != 0 {
                let path = folder.join(file);
                corten_sys::fs::write(&path, value.to_string())
                    .map_err(|error| Error::from(error).context("unable to init CPU RT controller"))?;
            }
        }
    }
    Ok(())
}

/// The folders above a group, the highest first; nothing of a path leads out of the hierarchy.
fn parents(root: &Path, cgroup: &str) -> Vec<PathBuf> {
    let mut at = root.to_path_buf();
    let mut all: Vec<PathBuf> = Path::new(cgroup)
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => {
                at.push(name);
                Some(at.clone())
            }
            _ => None,
        })
        .collect();
    all.pop();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first() {
        let all = parents(Path::new("/r"), "//a/../b/id");
        assert_eq!(all, [Path::new("/r/a"), Path::new("/r/a/b")]);
        assert!(parents(Path::new("/r"), "//id").is_empty());
    }
}
