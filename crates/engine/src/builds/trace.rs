//! A build's events as data, for a client that shows them in its own way.

use corten_api::{
    build::{self, Failed, Step, TRACE, Warning},
    image::Progress,
};
use corten_build::{Event, Given, excerpt};
use tokio::sync::mpsc;

use super::classic::{send, told};
use crate::error::Error;

/// What tells a client.
pub(super) fn teller(lines: mpsc::Sender<Progress>, given: &Given) -> impl FnMut(&Event) + use<> {
    let (name, size) = (given.name.clone(), given.dockerfile.len() as u64);
    move |event| {
        if let Some(event) = converted(event, &name, size) {
            tell(&lines, &event);
        }
    }
}

fn converted(event: &Event, name: &str, size: u64) -> Option<build::Event> {
    Some(match event {
        Event::Warnings(warnings) => build::Event::Loaded {
            name: name.to_owned(),
            size,
            warnings: warnings
                .iter()
                .map(|warning| Warning {
                    rule: warning.rule.name().to_owned(),
                    message: warning.message.clone(),
                    line: warning.lines.first,
                })
                .collect(),
        },
        Event::Step(step) => build::Event::Step(Step {
            text: step.expanded.clone(),
            stage: step.stage.clone(),
            position: step.position,
            positions: step.positions,
        }),
        Event::Triggers(count) => build::Event::Step(Step {
            text: format!("ONBUILD ({count} of the base image)"),
            position: 1,
            positions: 1,
            ..Step::default()
        }),
        Event::Cached => build::Event::Cached,
        Event::Output(_, bytes) => build::Event::Output(String::from_utf8_lossy(bytes).into_owned()),
        Event::Done(_) => build::Event::Done,
        Event::Unconsumed(names) => build::Event::Unconsumed(names.clone()),
        Event::Built(id) => build::Event::Built(id.to_string()),
        Event::Tagged(name) => build::Event::Tagged(name.clone()),
        Event::Pulling(_) | Event::Running(_) | Event::Removed(_) | Event::Stage(_) => {
            return None;
        }
    })
}

/// Tells how a build failed.
pub(super) fn failure(
    lines: &mpsc::Sender<Progress>,
    error: &corten_build::Error,
    name: &str,
    dockerfile: &str,
) -> Option<Error> {
    let message = match error.failure() {
        Some(failure) => format!(
            "process {:?} did not complete successfully: exit code: {}",
            failure.command, failure.code
        ),
        None => error.to_string(),
    };
    let failed = Failed {
        message,
        excerpt: error
            .lines()
            .map_or_else(String::new, |at| excerpt(name, dockerfile, at)),
        in_step: error.is_of_step(),
    };
    tell(lines, &build::Event::Failed(failed));
    Some(told())
}

fn tell(lines: &mpsc::Sender<Progress>, event: &build::Event) {
    send(
        lines,
        Progress {
            id: TRACE.to_owned(),
            aux: serde_json::to_value(event).ok(),
            ..Progress::default()
        },
    );
}
