//! `--name=value` words between an instruction's name and its arguments.

use crate::error::{Error, Result};
use crate::suggest;

/// The flags of one instruction, to be asked for by those that it knows.
#[derive(Debug, Default)]
pub(crate) struct Flags(Vec<(String, Option<String>)>);

impl Flags {
    /// Takes the flags off the front of what stands after an instruction's name.
    pub(crate) fn take(text: &str, escape: char) -> (Self, &str) {
        let (mut flags, mut rest) = (Vec::new(), text.trim_start());
        while rest.starts_with("--") {
            let (word, after) = word(rest, escape);
            rest = after.trim_start();
            if word == "--" {
                break;
            }
            let body = &word[2..];
            flags.push(match body.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (body.to_owned(), None),
            });
        }
        (Self(flags), rest)
    }

    /// Refuses what is not among the known flags, and repetitions of those that cannot be repeated.
    pub(crate) fn accept(&self, known: &[&str], repeatable: &[&str]) -> Result<()> {
        for (at, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) && !repeatable.contains(&name.as_str()) {
                let all = known.iter().chain(repeatable).copied();
                return Err(Error::new(suggest::with_suggestion(
                    format!("unknown flag: --{name}"),
                    name,
                    all,
                )));
            }
            if !repeatable.contains(&name.as_str()) && self.0[..at].iter().any(|(other, _)| other == name) {
                return Err(Error::new(format!("duplicate flag specified: {name}")));
            }
        }
        Ok(())
    }

    /// The value of a flag that needs one.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>> {
        match self.0.iter().find(|(found, _)| found == name) {
            None => Ok(None),
            Some((_, Some(value))) => Ok(Some(value.clone())),
            Some((_, None)) => Err(Error::new(format!("missing a value on flag: {name}"))),
        }
    }

    /// All values of a flag that can be repeated.
    pub(crate) fn all(&self, name: &str) -> Result<Vec<String>> {
        let of_name = self.0.iter().filter(|(found, _)| found == name);
        of_name
            .map(|(_, value)| {
                value
                    .clone()
                    .ok_or_else(|| Error::new(format!("missing a value on flag: {name}")))
            })
            .collect()
    }

    /// A switch, alone or with `true` or `false`.
    pub(crate) fn switch(&self, name: &str) -> Result<Option<bool>> {
        match self.0.iter().find(|(found, _)| found == name) {
            None => Ok(None),
            Some((_, None)) => Ok(Some(true)),
            Some((_, Some(value))) => match value.to_ascii_lowercase().as_str() {
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => Err(Error::new(format!(
                    "expecting boolean value for flag {name}, not: {value}"
                ))),
            },
        }
    }
}

/// The first word, its quotes and escapes taken away, and what follows it.
fn word(text: &str, escape: char) -> (String, &str) {
    let (mut word, mut quote) = (String::new(), None);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => return (word, &text[at..]),
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (c, _) if c == escape => word.extend(chars.next().map(|(_, next)| next)),
            _ => word.push(c),
        }
    }
    (word, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_taken_and_checked() {
        let (flags, rest) = Flags::take("--from=a --link --chown=\"x y\" src dst --not", '\\');
        assert_eq!(rest, "src dst --not");
        assert_eq!(flags.text("from").unwrap().as_deref(), Some("a"));
        assert_eq!(flags.text("chown").unwrap().as_deref(), Some("x y"));
        assert_eq!(flags.switch("link"), Ok(Some(true)));
        assert!(flags.accept(&["from", "link", "chown"], &[]).is_ok());
        let error = |known: &[&str]| flags.accept(known, &[]).unwrap_err().to_string();
        assert_eq!(error(&["from", "link"]), "unknown flag: --chown");
        assert_eq!(error(&["from", "link", "chmod"]), "unknown flag: --chown");
        assert_eq!(
            error(&["form", "link", "chown"]),
            "unknown flag: --from (did you mean form?)"
        );
        let (twice, _) = Flags::take("--link --link=false x", '\\');
        assert!(twice.accept(&["link"], &[]).is_err() && twice.accept(&[], &["link"]).is_ok());
    }
}
