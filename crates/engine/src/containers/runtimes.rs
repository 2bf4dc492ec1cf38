//! Which OCI runtime runs a container: our own, or one that the engine was told of (`--add-runtime`).

use std::path::PathBuf;

use corten_shim::protocol::OciRuntime;
use corten_sys::program::{find_in, is_program};

use crate::{
    error::{Error, Result},
    settings::Reloadable,
};

/// The name of our own runtime.
pub(crate) const OWN: &str = "corten";
/// Names of Docker's own runtime, which ours stands for unless the user has another of that name.
const DOCKERS: [&str; 2] = ["runc", "io.containerd.runc.v2"];

/// Checks a runtime's name.
///
/// # Errors
/// `Invalid` in Docker's words for one that there is not.
pub(crate) fn check(name: &str, settings: &Reloadable) -> Result<()> {
    if is_own(name, settings) || settings.runtimes.contains_key(name) {
        return Ok(());
    }
    Err(Error::invalid(format!("unknown or invalid runtime name: {name}")))
}

fn is_own(name: &str, settings: &Reloadable) -> bool {
    name.is_empty() || name == OWN || (DOCKERS.contains(&name) && !settings.runtimes.contains_key(name))
}

/// The program that runs containers of a runtime; none for our own.
pub(crate) fn program(name: &str, settings: &Reloadable) -> Result<Option<OciRuntime>> {
    if is_own(name, settings) {
        return Ok(None);
    }
    check(name, settings)?;
    let Some(runtime) = settings.runtimes.get(name) else {
        return Ok(None);
    };
    let path = found(&runtime.path).ok_or_else(|| {
        Error::invalid(format!(
            "failed to create task for container: failed to create shim task: OCI runtime create failed: \
             exec: {:?}: executable file not found in $PATH",
            runtime.path
        ))
        .hint(format!("install the runtime {name:?}, or correct its path"))
    })?;
    Ok(Some(OciRuntime {
        path,
        args: runtime.args.clone(),
    }))
}

/// Finds a program as a shell would.
fn found(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| is_program(path));
    }
    const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    find_in(PATH.split(':'), program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Runtime;

    fn settings(names: &[&str]) -> Reloadable {
        let runtime = Runtime {
            path: "sh".into(),
            args: vec!["-x".into()],
        };
        Reloadable {
            runtimes: names.iter().map(|name| ((*name).to_owned(), runtime.clone())).collect(),
            ..Reloadable::default()
        }
    }

    #[test]
    fn ours_stands_for_dockers_unless_there_is_another() {
        let is_own = |name: &str, names: &[&str]| program(name, &settings(names)).unwrap().is_none();
        assert!(is_own("", &["runc"]) && is_own("corten", &[]) && is_own("runc", &[]));
        assert!(is_own("io.containerd.runc.v2", &[]));
        assert!(!is_own("runc", &["runc"]) && !is_own("crun", &["crun"]));
        let refused = check("kata", &settings(&[])).unwrap_err();
        assert_eq!(refused.message(), "unknown or invalid runtime name: kata");
    }

    #[test]
    fn programs_are_looked_for() {
        assert!(found("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(found("/nosuch/runtime"), None);
        assert_eq!(found("/tmp"), None);
    }
}
