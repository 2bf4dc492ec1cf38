//! Lines of output, each with its container's name, each name in a colour; and below them the menu of keys.

use std::{cell::RefCell, io::Write as _};

use corten_api::stream::{Decoder, Stream};
use corten_compose::{
    execute::{Event, Report},
    names,
};
use jiff::Zoned;

use crate::{
    cli::write_or_exit,
    error::{Error, Result},
    flags::Matches,
};

/// The colours of names, one after the other.
const COLOURS: [u8; 10] = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];
/// How wide the name is that stands for the watcher.
const WATCHER: usize = 6;

/// Writes lines with their container's name.
pub(crate) struct Printer {
    project: String,
    prefix: bool,
    coloured: bool,
    /// Whether each line begins with the time.
    timed: bool,
    /// Whether what went to standard error goes to standard output.
    merged: bool,
    names: RefCell<Names>,
    /// What stands below the lines.
    menu: RefCell<String>,
}

#[derive(Default)]
struct Names {
    width: usize,
    /// In the order of their colours.
    known: Vec<String>,
}

impl Printer {
    /// A printer whose names have the width of these containers'.
    pub(crate) fn new<'a>(m: &Matches, project: &str, containers: impl Iterator<Item = &'a str>) -> Self {
        let width = containers.map(|name| names::short(project, name).len()).max();
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        let printer = Self {
            prefix: !m.on("no-log-prefix"),
            coloured: !m.on("no-color") && super::progress::is_coloured(m.parent(), terminal),
            ..Self::bare(project)
        };
        printer.names.borrow_mut().width = width.unwrap_or(0);
        printer
    }

    /// A printer of lines without names and colours.
    pub(crate) fn bare(project: &str) -> Self {
        Self {
            project: project.to_owned(),
            prefix: false,
            coloured: false,
            timed: false,
            merged: false,
            names: RefCell::default(),
            menu: RefCell::default(),
        }
    }

    /// Lets each line begin with the time.
    pub(crate) fn timed(mut self, timed: bool) -> Self {
        self.timed = timed;
        self
    }

    /// Writes all to standard output.
    pub(crate) fn merged(mut self) -> Self {
        self.merged = true;
        self
    }

    /// A container's name as lines have it.
    pub(crate) fn name(&self, container: &str) -> String {
        names::short(&self.project, container).to_owned()
    }

    /// The head of a line, and what its colour is.
    fn head(&self, container: &str) -> String {
        let time = if self.timed {
            let now = Zoned::now();
            let zone = now.strftime("%:z").to_string().replace("+00:00", "Z");
            format!("{}{zone} ", now.strftime("%Y-%m-%dT%H:%M:%S.%9f"))
        } else {
            String::new()
        };
        if !self.prefix {
            return time;
        }
        let name = self.name(container);
        let width = {
            let mut names = self.names.borrow_mut();
            names.width = names.width.max(name.len());
            names.width
        };
        let text = self.colour(&name, &format!("{name:width$}  | "));
        format!("{text}{time}")
    }

    fn colour(&self, name: &str, text: &str) -> String {
        if !self.coloured {
            return text.to_owned();
        }
        let known = &mut self.names.borrow_mut().known;
        let index = known.iter().position(|known| known == name).unwrap_or_else(|| {
            known.push(name.to_owned());
            known.len() - 1
        });
        format!("\x1b[{}m{text}\x1b[0m", COLOURS[index % COLOURS.len()])
    }

    fn write(&self, container: &str, stream: Stream, line: &[u8]) {
        let mut text = self.head(container).into_bytes();
        text.extend_from_slice(line);
        text.push(b'\n');
        self.put(stream, &text);
    }

    /// Writes whole lines, above the menu.
    fn put(&self, stream: Stream, text: &[u8]) {
        let menu = self.menu.borrow();
        let (before, after) = match menu.as_str() {
            "" => ("", String::new()),
            menu => ("\r\x1b[2K", format!("{menu}\r")),
        };
        let text = [before.as_bytes(), text, after.as_bytes()].concat();
        if stream == Stream::Stderr && !self.merged {
            // Nobody can be told that standard error is gone.
            let _ = std::io::stderr().lock().write_all(&text);
        } else {
            write_or_exit(&mut std::io::stdout().lock(), &text);
        }
    }

    /// Tells what became of a container.
    pub(crate) fn status(&self, container: &str, what: &str) {
        let name = self.name(container);
        let line = self.colour(&name, &format!("{name} {what}"));
        self.put(Stream::Stdout, format!("{line}\n").as_bytes());
    }

    /// Tells of what the watcher does.
    pub(crate) fn remark(&self, text: &str) {
        let head = if self.prefix {
            let width = self.names.borrow().width.max(WATCHER) + 1;
            let mark = format!("{:width$} \u{29bf} ", "");
            if self.coloured {
                format!("\x1b[92m{mark}\x1b[0m")
            } else {
                mark
            }
        } else {
            String::new()
        };
        let lines: String = text.lines().map(|line| format!("{head}{line}\n")).collect();
        self.put(Stream::Stdout, lines.as_bytes());
    }

    /// Passes on what a command said.
    pub(crate) fn pass(&self, text: &[u8]) {
        self.put(Stream::Stdout, text);
    }

    /// Shows another menu, or none.
    pub(crate) fn show_menu(&self, menu: &str) {
        let before = self.menu.replace(menu.to_owned());
        if !before.is_empty() || !menu.is_empty() {
            let text = format!("\r\x1b[2K{menu}{}", if menu.is_empty() { "" } else { "\r" });
            write_or_exit(&mut std::io::stdout().lock(), text.as_bytes());
        }
    }
}

/// Tells nothing of what is done to containers, and shows what their hooks say.
pub(crate) struct Silent<'a>(pub(crate) &'a Printer);

impl Report for Silent<'_> {
    fn event(&self, _: Event) {}

    fn output(&self, container: &str, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.0.write(container, Stream::Stdout, line);
        }
    }
}

/// Takes pieces of output apart into lines.
pub(crate) struct Lines<'a> {
    printer: &'a Printer,
    container: &'a str,
    decoder: Option<Decoder>,
    pending: [Vec<u8>; 2],
}

impl<'a> Lines<'a> {
    pub(crate) fn new(printer: &'a Printer, container: &'a str, raw: bool) -> Self {
        Self {
            printer,
            container,
            decoder: (!raw).then(Decoder::default),
            pending: [Vec::new(), Vec::new()],
        }
    }

    pub(crate) fn take(&mut self, mut piece: &[u8]) -> Result<()> {
        if self.decoder.is_none() {
            self.add(Stream::Stdout, piece);
            return Ok(());
        }
        while let Some(decoder) = &mut self.decoder
            && let Some((stream, data)) = decoder.next(&mut piece).map_err(|e| Error::new(e.to_string()))?
        {
            self.add(stream, data);
        }
        Ok(())
    }

    fn add(&mut self, stream: Stream, data: &[u8]) {
        let pending = &mut self.pending[usize::from(stream == Stream::Stderr)];
        pending.extend_from_slice(data);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            self.printer
                .write(self.container, stream, line.strip_suffix(b"\r").unwrap_or(line));
        }
    }

    /// Writes what no line break ended.
    pub(crate) fn finish(&mut self) {
        for (index, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            let rest = std::mem::take(&mut self.pending[index]);
            if !rest.is_empty() {
                self.printer.write(self.container, stream, &rest);
            }
        }
    }
}
