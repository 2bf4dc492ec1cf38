//! The files of a project, and places in them.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where something is; of no file when the loader added it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Which file, by [`Files`].
    pub(crate) file: u32,
    /// The line, from 1; 0 when it is in no file.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
}

impl Position {
    /// Whether it is in a file.
    pub fn is_known(self) -> bool {
        self.line > 0
    }
}

/// A place in a file, as people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// The line itself.
    pub text: String,
}

/// `--> compose.yaml:4:5`, then the line with a mark below.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{margin}--> {}:{}:{}", self.file.display(), self.line, self.column)?;
        // A tab before the mark stays a tab, so that the mark is under what it means.
        let before = self.text.chars().take(self.column.saturating_sub(1) as usize);
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "{number} | {}\n{margin} | {indent}^", self.text)
    }
}

/// Files that were read, with their texts.
#[derive(Debug, Clone, Default)]
pub struct Files {
    files: Vec<(PathBuf, String)>,
}

impl Files {
    /// Keeps a file; positions in it carry the number that comes back.
    pub(crate) fn add(&mut self, path: &Path, text: &str) -> u32 {
        self.files.push((path.to_owned(), text.to_owned()));
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    /// The place of a position.
    pub fn place(&self, at: Position) -> Option<Place> {
        let (file, text) = self.files.get(at.file as usize)?;
        let line = text.lines().nth(at.line.checked_sub(1)? as usize).unwrap_or("");
        // Lines of no end are cut: they are shown, not searched.
        let shown: String = line.chars().take(200).collect();
        Some(Place {
            file: file.clone(),
            line: at.line,
            column: at.column,
            text: shown,
        })
    }
}
