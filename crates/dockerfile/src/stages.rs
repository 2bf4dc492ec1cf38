//! A whole Dockerfile: its arguments and stages.

use crate::error::{Error, Lines, Result};
use crate::instruction::{Command, From, Instruction};
use crate::lint::{self, Warning};
use crate::parse;
use crate::source::{Directives, Source};

/// A Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// What the comments at its top say.
    pub directives: Directives,
    /// `ARG` instructions before the first stage.
    pub arguments: Vec<Instruction>,
    /// Its stages, in their order.
    pub stages: Vec<Stage>,
    /// What could be better.
    pub warnings: Vec<Warning>,
}

/// What one `FROM` begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What it is based on.
    pub from: From,
    /// The `FROM` instruction.
    pub begin: Instruction,
    /// Everything after it.
    pub instructions: Vec<Instruction>,
}

impl Dockerfile {
    /// Reads a Dockerfile.
    ///
    /// # Errors
    /// With the line and, for misspelt words, what was meant.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::parse_with(bytes, None)
    }

    /// As [`Dockerfile::parse`], with what the checks should do given from outside.
    ///
    /// # Errors
    /// As [`Dockerfile::parse`].
    pub fn parse_with(bytes: &[u8], check: Option<&str>) -> Result<Self> {
        let mut source = Source::read(bytes)?;
        if let Some(check) = check {
            source.directives.check = Some(check.to_owned());
        }
        let escape = source.directives.escape;
        let mut file = Self {
            directives: source.directives.clone(),
            arguments: Vec::new(),
            stages: Vec::new(),
            warnings: Vec::new(),
        };
        if source.logical.is_empty() {
            return Err(Error::new("file with no instructions").at(Lines { first: 1, last: 1 }));
        }
        for line in &source.logical {
            file.add(parse::parse(line, escape)?)?;
        }
        if file.stages.is_empty() {
            let last = file
                .arguments
                .last()
                .map_or(Lines { first: 1, last: 1 }, |last| last.lines);
            return Err(Error::new("no build stage in current context").at(last));
        }
        file.warnings = lint::check(&file, &source);
        Ok(file)
    }

    fn add(&mut self, instruction: Instruction) -> Result<()> {
        match (&instruction.command, self.stages.last_mut()) {
            (Command::From(from), _) => self.stages.push(Stage {
                from: from.clone(),
                begin: instruction,
                instructions: Vec::new(),
            }),
            (Command::Arg(_), None) => self.arguments.push(instruction),
            (_, None) => return Err(Error::new("no build stage in current context").at(instruction.lines)),
            (_, Some(stage)) => stage.instructions.push(instruction),
        }
        Ok(())
    }

    /// Whether the file wants the build to fail when there are warnings.
    #[must_use]
    pub fn insists(&self) -> bool {
        lint::insists(self.directives.check.as_deref())
    }

    /// Warnings about sources of COPY and ADD that `.dockerignore` leaves out.
    #[must_use]
    pub fn ignored_copies(&self, ignore: &crate::Ignore) -> Vec<Warning> {
        lint::ignored_copies(self, ignore)
    }

    /// The stage of a name or number; the last one of several with the same name.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<usize> {
        self.stage_before(name, self.stages.len())
    }

    /// As [`Dockerfile::stage`], among the stages before one.
    #[must_use]
    pub fn stage_before(&self, name: &str, before: usize) -> Option<usize> {
        let name = name.to_ascii_lowercase();
        let stages = self.stages.get(..before)?;
        let named = stages.iter().rposition(|stage| stage.from.name.as_ref() == Some(&name));
        named.or_else(|| name.parse().ok().filter(|number| *number < before))
    }

    /// The stage that is built when a target is asked for; without one it is the last.
    ///
    /// # Errors
    /// When there is none, with what was probably meant.
    pub fn target(&self, name: &str) -> Result<usize> {
        if name.is_empty() {
            return Ok(self.stages.len() - 1);
        }
        self.stage(name).ok_or_else(|| {
            let names = self.stages.iter().filter_map(|stage| stage.from.name.as_deref());
            let message = format!("target stage {name:?} could not be found");
            Error::new(crate::suggest::with_suggestion(message, name, names))
        })
    }
}

/// The lines around an error, as BuildKit shows them: `name:line`, then two lines before and after.
#[must_use]
pub fn excerpt(name: &str, text: &str, lines: Lines) -> String {
    const RULE: &str = "--------------------\n";
    let all: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    let (first, last) = (lines.first.max(1), lines.last.max(lines.first).min(all.len()));
    let place = if first == last {
        format!("{name}:{first}")
    } else {
        format!("{name}:{first}-{last}")
    };
    let mut shown = format!("{place}\n{RULE}");
    for number in first.saturating_sub(2).max(1)..=(last + 2).min(all.len()) {
        let mark = if (first..=last).contains(&number) { ">>>" } else { "   " };
        shown.push_str(&format!("{number:4} | {mark} {}\n", all[number - 1]));
    }
    shown.push_str(RULE);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(file: &str) -> (String, Option<Lines>) {
        let error = Dockerfile::parse(file.as_bytes()).unwrap_err();
        (error.to_string(), error.lines())
    }

    #[test]
    fn stages_are_found_by_name_and_number() {
        let file = Dockerfile::parse(b"ARG V=1\nFROM a AS one\nRUN x\nFROM one\nFROM b AS Two\n").unwrap();
        assert_eq!((file.arguments.len(), file.stages.len()), (1, 3));
        assert_eq!(
            (file.stage("ONE"), file.stage("1"), file.stage("two"), file.stage("3")),
            (Some(0), Some(1), Some(2), None)
        );
        assert_eq!(file.stage_before("two", 2), None);
        assert_eq!(file.target(""), Ok(2));
        assert_eq!(
            file.target("nosuch").unwrap_err().to_string(),
            "target stage \"nosuch\" could not be found"
        );
        assert_eq!(
            file.target("tow").unwrap_err().to_string(),
            "target stage \"tow\" could not be found (did you mean two?)"
        );
    }

    #[test]
    fn what_is_no_dockerfile_is_refused() {
        let line = |number| {
            Some(Lines {
                first: number,
                last: number,
            })
        };
        assert_eq!(error("# nothing\n"), ("file with no instructions".into(), line(1)));
        assert_eq!(
            error("RUN true\n"),
            ("no build stage in current context".into(), line(1))
        );
        assert_eq!(
            error("FROM busybox\nRUNN echo\n"),
            (
                "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)".into(),
                line(2)
            )
        );
    }

    #[test]
    fn excerpts_point_at_the_line() {
        let shown = excerpt("Dockerfile", "FROM busybox\nRUNN echo\n", Lines { first: 2, last: 2 });
        let rule = "-".repeat(20);
        assert_eq!(
            shown,
            format!("Dockerfile:2\n{rule}\n   1 |     FROM busybox\n   2 | >>> RUNN echo\n   3 |     \n{rule}\n")
        );
    }
}
