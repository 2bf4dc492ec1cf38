//! `compose up --rolling`: what the engine must be able to do for it.

use std::time::Duration;

use corten_compose::{
    execute::{Options, Rolling},
    plan::{Action, Plan},
};

use super::open::Open;
use crate::error::{Error, Result};

/// The engine that hands ports over from one container to another.
const ENGINE: &str = "Corten";

/// How containers are replaced, by flags and by what the engine can do.
pub(super) fn options(open: &Open<'_>) -> Result<Rolling> {
    let platform = open
        .cli
        .wait(async { Ok(open.cli.client()?.version().await?.platform) })?;
    let mut rolling = Rolling {
        hands_over: platform.name == ENGINE,
        ..Rolling::default()
    };
    if let Ok(seconds @ 1..) = u64::try_from(open.m.int("wait-timeout")) {
        rolling.timeout = Duration::from_secs(seconds);
    }
    Ok(rolling)
}

/// Refuses by name what other engines cannot do.
pub(super) fn check(open: &Open<'_>, plan: &Plan, options: &Options) -> Result<()> {
    if options.rolling.hands_over {
        return Ok(());
    }
    for step in &plan.steps {
        let Action::Replace(target, _) = &step.action else {
            continue;
        };
        let service = open.project.service(&target.service)?;
        if let Some(port) = service.ports.iter().find(|port| !port.published.is_empty()) {
            return Err(Error::new(format!(
                "service {:?} cannot be replaced by --rolling: it publishes port {}, which this engine cannot hand over \
                 from one container to another; Corten's engine can",
                target.service, port.published
            )));
        }
    }
    Ok(())
}
