//! The attributes of services, each by what it does: what the engine says of containers, networks and volumes, or
//! what programs in them see.

mod build;
mod files;
mod host;
mod limits;
mod mounts;
mod networks;
mod outside;
mod refused;

use crate::project::Project;

impl Project {
    /// What the engine says of a container: lines of template and answer.
    #[track_caller]
    pub(crate) fn says(&self, container: &str, expected: &[(&str, &str)]) {
        let mut wrong = Vec::new();
        for (template, expected) in expected {
            let said = self.engine.inspect(container, &format!("{{{{{template}}}}}"));
            if said.trim() != *expected {
                wrong.push(format!("{template}: {said}, expected {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{container}:\n{}", wrong.join("\n"));
    }

    /// What the engine says of anything else: `network`, `volume`.
    #[track_caller]
    pub(crate) fn says_of(&self, kind: &str, name: &str, expected: &[(&str, &str)]) {
        for (template, expected) in expected {
            let format = format!("{{{{{template}}}}}");
            let said = self.engine.corten([kind, "inspect", "-f", &format, name]).line();
            assert_eq!(said, *expected, "{kind} {name}: {template}");
        }
    }
}
