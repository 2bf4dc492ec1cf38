//! What is told while a plan is carried out: plain lines on standard error, and on a terminal lines that are drawn
//! anew as things go on.

use std::{
    cell::{Cell, RefCell},
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use corten_compose::{
    execute::{Event, Phase, Report},
    plan::{Action, Plan},
};

use super::board::{Board, Look};
use crate::{cli::Cli, flags::Matches};

/// How often lines on a terminal are drawn anew while nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    /// Lines with colours, between those of others.
    Coloured,
    Board,
    Json,
    Quiet,
}

/// Who is told of progress.
pub(crate) struct Progress<'a> {
    cli: &'a Cli,
    style: Cell<Style>,
    coloured: bool,
    dry: bool,
    title: Cell<&'static str>,
    board: RefCell<Board>,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(cli: &'a Cli, globals: &Matches, dry: bool) -> Self {
        let asked = match globals.get("progress") {
            "" => cli.variable("COMPOSE_PROGRESS").unwrap_or_default(),
            given => given.to_owned(),
        };
        let terminal = std::io::stderr().is_terminal();
        let style = match (asked.as_str(), ansi(globals).as_str()) {
            ("quiet" | "none", _) => Style::Quiet,
            ("json", _) => Style::Json,
            ("plain", _) => Style::Plain,
            ("tty", _) | (_, "always") => Style::Board,
            (_, "never") => Style::Plain,
            _ if terminal => Style::Board,
            _ => Style::Plain,
        };
        Self {
            cli,
            style: Cell::new(style),
            coloured: std::env::var_os("NO_COLOR").is_none(),
            dry,
            title: Cell::new("Running"),
            board: RefCell::default(),
        }
    }

    /// What is done: `Stopping`.
    pub(crate) fn titled(&self, title: &'static str) {
        self.title.set(title);
    }

    /// Tells nothing any more but warnings.
    pub(crate) fn hush(&self) {
        self.finish();
        self.style.set(Style::Quiet);
    }

    /// Writes line by line from now on, because others write, too.
    pub(crate) fn join_output(&self) {
        self.finish();
        if self.style.get() == Style::Board {
            self.style.set(Style::Coloured);
        }
    }

    /// Whether lines on a terminal are drawn anew.
    pub(crate) fn is_board(&self) -> bool {
        self.style.get() == Style::Board
    }

    /// Takes lines from the screen that come again below what others write meanwhile.
    pub(crate) fn step_aside(&self) {
        let text = self.board.borrow_mut().erase();
        self.write(&text);
    }

    /// Leaves lines on the screen as they are.
    pub(crate) fn finish(&self) {
        self.board.borrow_mut().finish();
    }

    /// Draws the time going on while some work is done, and leaves the lines as they are then.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                () = tokio::time::sleep(TICK), if self.is_board() => {
                    if self.board.borrow().is_working() {
                        self.draw();
                    }
                }
            }
        };
        self.finish();
        result
    }

    fn draw(&self) {
        let size = rustix::termios::tcgetwinsize(std::io::stderr());
        let size = size.map_or((24, 80), |size| (usize::from(size.ws_row), usize::from(size.ws_col)));
        let look = Look {
            title: self.title.get(),
            size: if size.1 == 0 { (24, 80) } else { size },
            coloured: self.coloured,
            dry: self.dry,
        };
        let text = self.board.borrow_mut().draw(look);
        self.write(&text);
    }

    fn write(&self, text: &str) {
        // There is nowhere left to say that it failed.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
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

    /// Tells of something that is done to an object, and how far it is.
    pub(crate) fn tell_of(&self, object: &str, what: &str, status: &str, phase: Phase) {
        match self.style.get() {
            Style::Plain => self.cli.err(&format!("{} {object} {what} {status}", self.mark())),
            Style::Json => self.json(object, what, status),
            _ if status.is_empty() => self.tell(object, what, phase),
            _ => self.tell(&format!("{object} {what}"), status, phase),
        }
    }

    fn mark(&self) -> &'static str {
        if self.dry { " DRY-RUN MODE - " } else { "" }
    }

    fn json(&self, object: &str, what: &str, status: &str) {
        let mut line = serde_json::Map::new();
        if self.dry {
            line.insert("dry-run".to_owned(), true.into());
        }
        for (key, value) in [("id", object), ("text", what), ("status", status)] {
            if !value.is_empty() {
                line.insert(key.to_owned(), value.into());
            }
        }
        self.cli.err(&serde_json::Value::Object(line).to_string());
    }

    /// Something worth knowing, as Compose's log has it.
    pub(crate) fn warn(&self, text: &str) {
        self.step_aside();
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

/// When control characters are written: `never`, `always` or `auto`.
fn ansi(globals: &Matches) -> String {
    let variable = std::env::var("COMPOSE_ANSI").ok();
    match variable {
        _ if globals.on("no-ansi") => "never".to_owned(),
        Some(value) if !globals.given("ansi") => value,
        _ => globals.get("ansi").to_owned(),
    }
}

/// Whether colours are wanted.
pub(crate) fn is_coloured(globals: &Matches, terminal: bool) -> bool {
    match ansi(globals).as_str() {
        "always" => true,
        "never" => false,
        _ => terminal && std::env::var_os("NO_COLOR").is_none(),
    }
}

impl Report for Progress<'_> {
    fn event(&self, event: Event) {
        let Event { object, status, phase } = event;
        match self.style.get() {
            Style::Quiet => {}
            Style::Plain => self.cli.err(&format!("{} {object}  {status}", self.mark())),
            Style::Coloured => {
                let colour = if self.coloured { "\x1b[32m" } else { "" };
                let end = if self.coloured { "\x1b[0m" } else { "" };
                self.cli
                    .err(&format!("{} {object}  {colour}{status}{end}", self.mark()));
            }
            Style::Board => {
                self.board.borrow_mut().note(&object, &status, phase);
                self.draw();
            }
            Style::Json => self.json(&object, "", &status),
        }
    }

    fn output(&self, container: &str, text: &[u8]) {
        self.step_aside();
        let mut out = std::io::stdout().lock();
        for line in String::from_utf8_lossy(text).lines() {
            // Nobody can be told that standard output is gone.
            let _ = writeln!(out, "{container} | {line}");
        }
    }
}
