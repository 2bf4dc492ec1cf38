//! Help texts: layout as Docker's, from the command tables.

use crate::command::{Action, Command, Entry, Flag};

/// The help of a command.
pub(crate) fn command(program: &str, path: &str, command: &Command, width: usize) -> String {
    let mut text = String::from("Usage:  ");
    match command.action {
        Action::Group(_) => text.push_str(&format!("{path} COMMAND")),
        Action::Run(_) | Action::Refused(_) => text.push_str(&crate::flags::usage(path, command)),
    }
    text.push_str(&format!("\n\n{}\n", command.about));
    if let Action::Refused(why) = command.action {
        text.push_str(&format!("\nIt is not supported: {why}.\n"));
    }
    if command.paths.len() > 1 {
        let paths: Vec<_> = command.paths.iter().map(|p| format!("{program} {p}")).collect();
        text.push_str(&format!("\nAliases:\n  {}\n", paths.join(", ")));
    }
    let flags = flags(command.all_flags(), width);
    if !flags.is_empty() {
        text.push_str(&format!("\nOptions:\n{flags}"));
    }
    if let Action::Group(entries) = command.action {
        text.push_str(&sections(entries));
        text.push_str(&format!(
            "\nRun '{path} COMMAND --help' for more information on a command.\n"
        ));
    }
    text
}

/// The help of the program itself.
pub(crate) fn root(program: &str, root: &Command, width: usize) -> String {
    format!(
        "Usage:  {program} [OPTIONS] COMMAND\n\n{}\n{}\nGlobal Options:\n{}\nRun '{program} COMMAND --help' for more information on a command.\n",
        root.about,
        sections(root.entries()),
        flags(root.all_flags(), width),
    )
}

/// The commands of a group, under their headings in the order they first occur.
fn sections(entries: &[Entry]) -> String {
    let mut headings: Vec<&str> = Vec::new();
    for entry in entries {
        if !entry.section.is_empty() && !headings.contains(&entry.section) {
            headings.push(entry.section);
        }
    }
    let mut text = String::new();
    for heading in headings {
        text.push_str(&format!("\n{heading}:\n"));
        for entry in entries.iter().filter(|e| e.section == heading) {
            let name = entry.names.first().copied().unwrap_or_default();
            text.push_str(&format!("  {name:<11} {}\n", entry.command.about));
        }
    }
    text
}

/// The lines of flags, sorted by name and wrapped.
fn flags(flags: impl Iterator<Item = &'static Flag>, width: usize) -> String {
    let mut shown: Vec<_> = flags.filter(|f| !f.hidden).collect();
    shown.sort_by_key(|f| f.long);
    let heads: Vec<_> = shown.iter().map(|f| head(f)).collect();
    let longest = heads.iter().map(|h| h.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (flag, head) in shown.iter().zip(&heads) {
        let about = match (flag.shown_default, flag.kind) {
            ("", _) => flag.about.to_owned(),
            (default, "string") => format!("{} (default \"{default}\")", flag.about),
            (default, _) => format!("{} (default {default})", flag.about),
        };
        let indent = longest + 3;
        text.push_str(&format!(
            "{head:<longest$}   {}\n",
            wrap(indent, width.saturating_sub(1), &about)
        ));
    }
    text
}

/// `  -f, --filter filter`.
fn head(flag: &Flag) -> String {
    let mut head = match flag.short {
        Some(letter) => format!("  -{letter}, --{}", flag.long),
        None => format!("      --{}", flag.long),
    };
    if !flag.kind.is_empty() {
        head.push(' ');
        head.push_str(flag.kind);
    }
    head
}

/// How far a line may go over to take a short last word.
const SLOP: usize = 5;
/// The narrowest column worth wrapping into.
const NARROWEST: usize = 24;

/// Wraps a text that starts in column `indent` (the rules of Go's pflag).
fn wrap(indent: usize, width: usize, text: &str) -> String {
    let (mut indent, mut room, mut wrapped) = (indent, width.saturating_sub(indent), String::new());
    if room < NARROWEST {
        indent = 16;
        room = width.saturating_sub(indent);
        wrapped = format!("\n{}", " ".repeat(indent));
    }
    let newline = format!("\n{}", " ".repeat(indent));
    if room < NARROWEST {
        return text.replace('\n', &newline);
    }
    let room = room - SLOP;
    let (mut line, mut rest) = wrap_line(room, text);
    wrapped.push_str(&line.replace('\n', &newline));
    while !rest.is_empty() {
        (line, rest) = wrap_line(room, rest);
        wrapped.push_str(&newline);
        wrapped.push_str(&line.replace('\n', &newline));
    }
    wrapped
}

/// Takes a line off the front of a text.
fn wrap_line(room: usize, text: &str) -> (&str, &str) {
    if room + SLOP > text.len() {
        return (text, "");
    }
    let mut end = room;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = &text[..end];
    let Some(space) = head.rfind([' ', '\t', '\n']).filter(|&at| at > 0) else {
        return (text, "");
    };
    let at = head.rfind('\n').filter(|&at| at > 0 && at < space).unwrap_or(space);
    (&text[..at], &text[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_as_pflag() {
        let about = "Show n last created containers (includes all states) (default -1)";
        assert_eq!(
            wrap(24, 79, about),
            "Show n last created containers (includes all\n                        states) (default -1)"
        );
        assert_eq!(wrap(24, 79, "short"), "short");
    }
}
