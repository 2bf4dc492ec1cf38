//! Variables in a Dockerfile's words: every form of `$name` and `${name…}`, quotes and escapes.

use crate::error::{Error, Result};
use crate::glob;

/// The most bytes a word may grow to.
const LIMIT: usize = 16 << 20;

/// A word with its variables put in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expanded {
    /// The text.
    pub text: String,
    /// Variables that have no value and were given none.
    pub undefined: Vec<String>,
}

/// Puts variables into a word and takes quotes and escapes away.
///
/// # Errors
/// For quotes and braces that do not end, modifiers that do not exist, and `${name:?why}`.
pub fn expand(word: &str, escape: char, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Expanded> {
    let mut scanner = Scanner::new(word, escape, lookup);
    let text = scanner.until(None)?;
    Ok(Expanded {
        text,
        undefined: scanner.undefined,
    })
}

/// As [`expand`], for words that may become several: those in variables' values, outside of quotes, are split.
///
/// # Errors
/// As [`expand`].
pub fn expand_list(text: &str, escape: char, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Vec<String>> {
    let mut words = Vec::new();
    for word in crate::values::quoted_words(text, escape) {
        let expanded = expand(&word, escape, lookup)?.text;
        match word.contains(['"', '\'']) {
            true => words.push(expanded),
            false => words.extend(expanded.split_whitespace().map(str::to_owned)),
        }
    }
    Ok(words)
}

struct Scanner<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    escape: char,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    undefined: Vec<String>,
    depth: usize,
}

impl<'a> Scanner<'a> {
    fn new(word: &'a str, escape: char, lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            chars: word.chars().peekable(),
            escape,
            lookup,
            undefined: Vec::new(),
            depth: 0,
        }
    }

    /// Reads to the end, or to a closing character, which is taken.
    fn until(&mut self, end: Option<char>) -> Result<String> {
        let mut text = String::new();
        while let Some(c) = self.chars.next() {
            match c {
                c if Some(c) == end => return Ok(text),
                '\'' => self.single(&mut text)?,
                '"' => self.double(&mut text)?,
                '$' => text.push_str(&self.dollar()?),
                c if c == self.escape => text.extend(self.chars.next()),
                c => text.push(c),
            }
            if text.len() > LIMIT {
                return Err(Error::new(format!("a word grows longer than {LIMIT} bytes")));
            }
        }
        match end {
            None => Ok(text),
            Some(end) => Err(Error::new(format!("syntax error: missing '{end}'"))),
        }
    }

    fn single(&mut self, text: &mut String) -> Result<()> {
        loop {
            match self.chars.next() {
                Some('\'') => return Ok(()),
                Some(c) => text.push(c),
                None => {
                    return Err(Error::new(
                        "unexpected end of statement while looking for matching single-quote",
                    ));
                }
            }
        }
    }

    fn double(&mut self, text: &mut String) -> Result<()> {
        loop {
            match self.chars.next() {
                Some('"') => return Ok(()),
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) if c == self.escape => match self.chars.next() {
                    Some(next) if next == '"' || next == '$' || next == self.escape => text.push(next),
                    Some(next) => text.extend([c, next]),
                    None => {}
                },
                Some(c) => text.push(c),
                None => {
                    return Err(Error::new(
                        "unexpected end of statement while looking for matching double-quote",
                    ));
                }
            }
        }
    }

    /// What follows a dollar sign.
    fn dollar(&mut self) -> Result<String> {
        if self.chars.peek() == Some(&'{') {
            self.chars.next();
            self.depth += 1;
            if self.depth > 64 {
                return Err(Error::new("variables are nested too deeply"));
            }
            let value = self.braces();
            self.depth -= 1;
            return value;
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(self.value(&name))
    }

    fn value(&mut self, name: &str) -> String {
        (self.lookup)(name).unwrap_or_else(|| {
            self.undefined.push(name.to_owned());
            String::new()
        })
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.chars.peek().copied() {
            let first = name.is_empty();
            if first && matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!') {
                self.chars.next();
                return c.to_string();
            }
            let numeric = name.starts_with(|c: char| c.is_ascii_digit());
            if !(c.is_ascii_alphanumeric() || c == '_') || (numeric && !c.is_ascii_digit()) {
                break;
            }
            self.chars.next();
            name.push(c);
        }
        name
    }

    /// What follows `${`.
    fn braces(&mut self) -> Result<String> {
        let name = self.name();
        if name.is_empty() {
            return Err(Error::new("syntax error: bad substitution"));
        }
        let modifier = self
            .chars
            .next()
            .ok_or_else(|| Error::new("syntax error: missing '}'"))?;
        match modifier {
            '}' => Ok(self.value(&name)),
            ':' => {
                let modifier = self
                    .chars
                    .next()
                    .ok_or_else(|| Error::new("syntax error: missing '}'"))?;
                let value = (self.lookup)(&name).filter(|value| !value.is_empty());
                self.default(&name, modifier, value, "empty").unwrap_or_else(|| {
                    Err(Error::new(format!(
                        "unsupported modifier (:{modifier}) in substitution"
                    )))
                })
            }
            '+' | '-' | '?' => {
                let value = (self.lookup)(&name);
                self.default(&name, modifier, value, "unset")
                    .unwrap_or_else(|| Err(Error::new("syntax error: bad substitution")))
            }
            '#' | '%' => self.trimmed(&name, modifier),
            '/' => self.replaced(&name),
            other => Err(Error::new(format!("unsupported modifier ({other}) in substitution"))),
        }
    }

    /// `-word`, `+word`, `?word`; none for another modifier.
    fn default(&mut self, name: &str, modifier: char, value: Option<String>, lacking: &str) -> Option<Result<String>> {
        if !matches!(modifier, '+' | '-' | '?') {
            return None;
        }
        let word = match self.until(Some('}')) {
            Ok(word) => word,
            Err(error) => return Some(Err(error)),
        };
        Some(match (modifier, value) {
            ('+', Some(_)) | ('-', None) => Ok(word),
            ('+', None) => Ok(String::new()),
            ('?', None) if word.is_empty() => Err(Error::new(format!(
                "{name}: not allowed to be {}",
                not_allowed(lacking)
            ))),
            ('?', None) => Err(Error::new(format!("{name}: {word}"))),
            (_, Some(value)) => Ok(value),
            (_, None) => Ok(String::new()),
        })
    }

    fn trimmed(&mut self, name: &str, modifier: char) -> Result<String> {
        let longest = self.chars.peek() == Some(&modifier);
        if longest {
            self.chars.next();
        }
        let pattern = self.pattern('}', None)?;
        let value = self.value(name);
        let mut cuts: Vec<usize> = value.char_indices().map(|(at, _)| at).chain([value.len()]).collect();
        // From the shortest piece that could be taken away to the longest, or the other way.
        if (modifier == '#') == longest {
            cuts.reverse();
        }
        for cut in cuts {
            let (before, after) = value.split_at(cut);
            let (piece, rest) = if modifier == '#' {
                (before, after)
            } else {
                (after, before)
            };
            if glob::shell_matches(&pattern, piece) {
                return Ok(rest.to_owned());
            }
        }
        Ok(value)
    }

    fn replaced(&mut self, name: &str) -> Result<String> {
        let all = self.chars.peek() == Some(&'/');
        if all {
            self.chars.next();
        }
        let mut ended = false;
        let pattern = self.pattern('/', Some(&mut ended))?;
        let with = if ended { String::new() } else { self.until(Some('}'))? };
        let value = self.value(name);
        let mut result = String::new();
        let mut rest = value.as_str();
        while !rest.is_empty() {
            let longest = rest
                .char_indices()
                .map(|(at, c)| at + c.len_utf8())
                .rev()
                .find(|end| glob::shell_matches(&pattern, &rest[..*end]));
            match longest {
                Some(end) => {
                    result.push_str(&with);
                    rest = &rest[end..];
                    if !all {
                        break;
                    }
                }
                None => {
                    let mut chars = rest.chars();
                    result.extend(chars.next());
                    rest = chars.as_str();
                }
            }
        }
        result.push_str(rest);
        Ok(result)
    }

    /// A pattern to its end, its escapes left in. With `ended`, a brace may end it too.
    fn pattern(&mut self, end: char, mut ended: Option<&mut bool>) -> Result<String> {
        let mut pattern = String::new();
        while let Some(c) = self.chars.next() {
            match c {
                c if c == end => return Ok(pattern),
                '}' => {
                    if let Some(ended) = ended.as_deref_mut() {
                        *ended = true;
                        return Ok(pattern);
                    }
                    pattern.push(c);
                }
                '$' => {
                    for c in self.dollar()?.chars() {
                        pattern.extend(["\\".to_owned(), c.to_string()]);
                    }
                }
                c if c == self.escape => pattern.extend(['\\'].into_iter().chain(self.chars.next())),
                c => pattern.push(c),
            }
        }
        Err(Error::new("syntax error: missing '}'"))
    }
}

fn not_allowed(lacking: &str) -> &'static str {
    match lacking {
        "unset" => "unset",
        _ => "empty",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "V" => "value",
            "EMPTY" => "",
            "PATH" => "/usr/local/bin",
            "S" => "a b",
            "FILE" => "archive.tar.gz",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn check(word: &str, expected: &str) {
        let found = expand(word, '\\', &lookup).map(|expanded| expanded.text);
        assert_eq!(found.as_deref(), Ok(expected), "{word}");
    }

    fn refuse(word: &str, message: &str) {
        assert_eq!(expand(word, '\\', &lookup).unwrap_err().to_string(), message, "{word}");
    }

    #[test]
    fn variables_are_put_in() {
        check("$V", "value");
        check("a${V}b", "avalueb");
        check("$V-$V", "value-value");
        check("$UNSET.", ".");
        check("\\$V", "$V");
        check("'$V'", "$V");
        check("\"$V x\"", "value x");
        check("\"\\$V \\\" \\n\"", "$V \" \\n");
        check("a\\ b", "a b");
        check("$", "$");
        check("$.", "$.");
        check("$1x", "x");
    }

    #[test]
    fn defaults_and_alternatives() {
        check("${V:-w}", "value");
        check("${EMPTY:-w}", "w");
        check("${EMPTY-w}", "");
        check("${UNSET-w$V}", "wvalue");
        check("${UNSET:-${OTHER:-deep}}", "deep");
        check("${V:+w}", "w");
        check("${EMPTY:+w}", "");
        check("${EMPTY+w}", "w");
        check("${UNSET+w}", "");
        check("${V:?w}", "value");
        refuse("${UNSET:?give it}", "UNSET: give it");
        refuse("${EMPTY:?}", "EMPTY: not allowed to be empty");
        refuse("${UNSET?}", "UNSET: not allowed to be unset");
        check("${EMPTY?w}", "");
    }

    #[test]
    fn patterns_cut_and_replace() {
        check("${FILE#*.}", "tar.gz");
        check("${FILE##*.}", "gz");
        check("${FILE%.*}", "archive.tar");
        check("${FILE%%.*}", "archive");
        check("${FILE#x}", "archive.tar.gz");
        check("${FILE/a/o}", "orchive.tar.gz");
        check("${FILE//a/o}", "orchive.tor.gz");
        check("${FILE//[.a]/}", "rchivetrgz");
        check("${FILE/tar}", "archive..gz");
        check("${PATH//\\//-}", "-usr-local-bin");
        check("${V/$V/x}", "x");
    }

    #[test]
    fn bad_words_are_refused() {
        refuse(
            "'a",
            "unexpected end of statement while looking for matching single-quote",
        );
        refuse(
            "\"a",
            "unexpected end of statement while looking for matching double-quote",
        );
        refuse("${", "syntax error: bad substitution");
        refuse("${}", "syntax error: bad substitution");
        refuse("${V", "syntax error: missing '}'");
        refuse("${V:x}", "unsupported modifier (:x) in substitution");
        refuse("${V^}", "unsupported modifier (^) in substitution");
        refuse("${V:-a", "syntax error: missing '}'");
    }

    #[test]
    fn undefined_variables_are_told() {
        let found = expand("$A${V}${B:-x}$C", '\\', &lookup).unwrap();
        assert_eq!(found.undefined, ["A", "C"]);
    }

    #[test]
    fn lists_are_split_where_values_have_spaces() {
        assert_eq!(expand_list("$S c", '\\', &lookup).unwrap(), ["a", "b", "c"]);
        assert_eq!(expand_list("\"$S\" c", '\\', &lookup).unwrap(), ["a b", "c"]);
    }
}
