//! Heredocs: texts that stand in the file below the instruction that uses them.

use crate::error::{Error, Result};
use crate::values::quoted_words;

/// A text in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it.
    pub name: String,
    /// Number before `<<`; 0 for none.
    pub descriptor: u32,
    /// Whether variables are put in.
    pub expand: bool,
    /// Whether tabs at the beginning of lines are taken away.
    pub chomp: bool,
    /// Its lines, each with its line feed.
    pub content: String,
}

/// The heredocs that an instruction announces; other instructions than these have none.
pub(crate) fn announced(text: &str, escape: char) -> Vec<Heredoc> {
    let mut rest = text;
    loop {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        match word.to_ascii_uppercase().as_str() {
            "ADD" | "COPY" | "RUN" => {
                break quoted_words(after, escape)
                    .iter()
                    .filter_map(|word| marker(word))
                    .collect();
            }
            "ONBUILD" => rest = after.trim_start(),
            _ => break Vec::new(),
        }
    }
}

/// Reads what was announced from the lines that follow.
pub(crate) fn read(mut heredocs: Vec<Heredoc>, physical: &[String], at: &mut usize) -> Result<Vec<Heredoc>> {
    for heredoc in &mut heredocs {
        loop {
            let Some(line) = physical.get(*at) else {
                return Err(Error::new(format!("unterminated heredoc <<{}", heredoc.name)));
            };
            *at += 1;
            let line = if heredoc.chomp {
                line.trim_start_matches('\t')
            } else {
                line
            };
            if line == heredoc.name {
                break;
            }
            heredoc.content.push_str(line);
            heredoc.content.push('\n');
        }
    }
    Ok(heredocs)
}

/// `[n]<<[-]NAME`, the name with or without quotes.
pub(crate) fn marker(word: &str) -> Option<Heredoc> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = word[digits..].strip_prefix("<<")?;
    let (chomp, raw) = match rest.strip_prefix('-') {
        Some(raw) => (true, raw),
        None => (false, rest),
    };
    if raw.is_empty() || raw.contains('<') {
        return None;
    }
    let name: String = raw.chars().filter(|c| !matches!(c, '"' | '\'' | '\\')).collect();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return None;
    }
    Some(Heredoc {
        expand: name == raw,
        descriptor: word[..digits].parse().unwrap_or(0),
        chomp,
        name,
        content: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_recognised() {
        let found = announced("RUN cat <<A 3<<-\"B\" > '<<C' \"<<D\" x<<E <<< z", '\\');
        let names: Vec<_> = found
            .iter()
            .map(|h| (h.name.as_str(), h.expand, h.chomp, h.descriptor))
            .collect();
        assert_eq!(names, [("A", true, false, 0), ("B", false, true, 3)]);
        assert!(announced("CMD cat <<A", '\\').is_empty());
        assert_eq!(announced("ONBUILD copy <<A /", '\\').len(), 1);
    }
}
