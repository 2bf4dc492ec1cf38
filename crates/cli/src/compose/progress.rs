//! What is told while a plan is carried out: plain lines on standard error, with colours on a terminal.

use std::io::{IsTerminal as _, Write as _};

use corten_compose::{
    execute::{Event, Phase, Report},
    plan::{Action, Plan},
};

use crate::{cli::Cli, flags::Matches};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Coloured,
    Json,
    Quiet,
}

/// Who is told of progress.
pub(crate) struct Progress<'a> {
    cli: &'a Cli,
    style: Style,
    dry: bool,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(cli: &'a Cli, globals: &Matches, dry: bool) -> Self {
        let asked = match globals.get("progress") {
            "" => cli.variable("COMPOSE_PROGRESS").unwrap_or_default(),
            given => given.to_owned(),
        };
        let style = match asked.as_str() {
            "quiet" | "none" => Style::Quiet,
            "json" => Style::Json,
            "plain" => Style::Plain,
            _ if is_coloured(globals, std::io::stderr().is_terminal()) => Style::Coloured,
            _ => Style::Plain,
        };
        Self { cli, style, dry }
    }

    /// Whether nothing is done but shown.
    pub(crate) fn is_dry(&self) -> bool {
        self.dry
    }

    /// Tells of something that is done here.
    pub(crate) fn tell(&self, object: &str, status: &str, phase: Phase) {
        self.event(Event {
            object: object.to_owned(),
            status: status.to_owned(),
            phase,
        });
    }

    /// Something worth knowing, as Compose's log has it.
    pub(crate) fn warn(&self, text: &str) {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        self.cli.err(&format!(
            "time=\"{now}\" level=warning msg={}",
            crate::opts::quote(text)
        ));
    }

    /// Tells of a plan as if it were carried out.
    pub(crate) fn pretend(&self, plan: &Plan) {
        for step in &plan.steps {
            let container = |name: &str| format!("Container {name}");
            let (object, words): (String, &[&str]) = match &step.action {
                Action::CreateNetwork(_, name) => (format!("Network {name}"), &["Creating", "Created"]),
                Action::RemoveNetwork(name, _) => (format!("Network {name}"), &["Removing", "Removed"]),
                Action::CreateVolume(_, name) => (format!("Volume {name}"), &["Creating", "Created"]),
                Action::RemoveVolume(name) => (format!("Volume {name}"), &["Removing", "Removed"]),
                Action::RemoveImage(name) => (format!("Image {name}"), &["Removing", "Removed"]),
                Action::Create(target) => (container(&target.name), &["Creating", "Created"]),
                Action::Recreate(target, _) => (container(&target.name), &["Recreate", "Recreated"]),
                Action::Replace(target, _) => (container(&target.name), &["Replacing", "Replaced"]),
                Action::Retire(_) => continue,
                Action::Rename(target, _) => (container(&target.name), &["Renamed"]),
                Action::Keep(target) => (container(&target.name), &["Running"]),
                Action::Wait { target, .. } => (container(&target.name), &["Waiting", "Healthy"]),
                Action::Start(target) => (container(&target.name), &["Starting", "Started"]),
                Action::Stop(target) => (container(&target.name), &["Stopping", "Stopped"]),
                Action::Restart(target) => (container(&target.name), &["Restarting", "Started"]),
                Action::Kill(target, _) => (container(&target.name), &["Killing", "Killed"]),
                Action::Pause(target) => (container(&target.name), &["Paused"]),
                Action::Unpause(target) => (container(&target.name), &["Unpaused"]),
                Action::Remove { target, .. } => (container(&target.name), &["Removing", "Removed"]),
            };
            for (index, word) in words.iter().enumerate() {
                let last = index + 1 == words.len();
                self.tell(&object, word, if last { Phase::Done } else { Phase::Working });
            }
        }
    }
}

/// Whether colours are wanted.
pub(crate) fn is_coloured(globals: &Matches, terminal: bool) -> bool {
    match globals.get("ansi") {
        "always" => true,
        "never" => false,
        _ => terminal && !globals.on("no-ansi") && std::env::var_os("NO_COLOR").is_none(),
    }
}

impl Report for Progress<'_> {
    fn event(&self, event: Event) {
        let dry = if self.dry { " DRY-RUN MODE - " } else { "" };
        let Event { object, status, phase } = event;
        match self.style {
            Style::Quiet => {}
            Style::Plain => self.cli.err(&format!("{dry} {object}  {status}")),
            Style::Coloured => {
                let (mark, colour) = match phase {
                    Phase::Working => ("⠿", 36),
                    Phase::Done => ("✔", 32),
                    Phase::Warning => ("!", 33),
                    Phase::Failed => ("✘", 31),
                };
                self.cli.err(&format!(
                    "{dry} \x1b[{colour}m{mark}\x1b[0m {object}  \x1b[{colour}m{status}\x1b[0m"
                ));
            }
            Style::Json => {
                let phase = match phase {
                    Phase::Working => "Working",
                    Phase::Done => "Done",
                    Phase::Warning => "Warning",
                    Phase::Failed => "Error",
                };
                let line = serde_json::json!({"id": object, "text": status, "status": phase, "dry-run": self.dry});
                self.cli.err(&line.to_string());
            }
        }
    }

    fn output(&self, container: &str, text: &[u8]) {
        let mut out = std::io::stdout().lock();
        for line in String::from_utf8_lossy(text).lines() {
            // Nobody can be told that standard output is gone.
            let _ = writeln!(out, "{container} | {line}");
        }
    }
}
