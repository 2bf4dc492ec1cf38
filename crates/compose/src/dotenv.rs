//! Files with variables: `.env`, `env_file`, `label_file`.

use std::collections::BTreeMap;

use crate::template::{self, Lookup};

/// Reads a file's lines into `vars`. Values may refer to variables that `lookup` knows, or that came before.
///
/// # Errors
/// What is wrong, with the number of the line.
pub(crate) fn parse(
    text: &str,
    vars: &mut BTreeMap<String, String>,
    lookup: &Lookup<'_>,
    unset: &mut dyn FnMut(&str),
) -> Result<(), String> {
    let mut parser = Parser { line: 1 };
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    loop {
        rest = parser.statement(rest);
        if rest.is_empty() {
            return Ok(());
        }
        let (key, after, inherited) = parser.key(rest)?;
        if key.contains(' ') {
            return Err(format!("line {}: key cannot contain a space", parser.line));
        }
        if inherited {
            if let Some(value) = lookup(key) {
                vars.insert(key.to_owned(), value);
            }
            rest = after;
            continue;
        }
        let (value, after) = parser.value(after)?;
        let value = match value {
            Found::Literal(text) => text,
            Found::Template(text) => {
                let known = |name: &str| lookup(name).or_else(|| vars.get(name).cloned());
                template::substitute(&text, &known, unset).map_err(|failure| failure.message())?
            }
        };
        vars.insert(key.to_owned(), value);
        rest = after;
    }
}

/// Reads lines as they are, as `run --env-file` does: `KEY=value`, or `KEY` to pass one on.
///
/// # Errors
/// What is wrong with a line.
pub(crate) fn parse_raw(text: &str, vars: &mut BTreeMap<String, String>, lookup: &Lookup<'_>) -> Result<(), String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for line in text.lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .map_or((line, None), |(key, value)| (key, Some(value)));
        if key.contains(char::is_whitespace) {
            return Err(format!("variable '{key}' contains whitespaces"));
        }
        if key.is_empty() {
            return Err(format!("no variable name on line '{line}'"));
        }
        if let Some(value) = value.map(str::to_owned).or_else(|| lookup(key)) {
            vars.insert(key.to_owned(), value);
        }
    }
    Ok(())
}

enum Found {
    Literal(String),
    Template(String),
}

struct Parser {
    line: usize,
}

/// White space other than the end of a line.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

impl Parser {
    /// What follows blank lines and comments.
    fn statement<'a>(&mut self, mut text: &'a str) -> &'a str {
        loop {
            let begin = text.find(|c: char| !c.is_whitespace()).unwrap_or(text.len());
            self.line += text[..begin].matches('\n').count();
            text = &text[begin..];
            if !text.starts_with('#') {
                return text;
            }
            text = text.find('\n').map_or("", |end| &text[end..]);
        }
    }

    /// The key, what follows it, and whether it stands alone.
    fn key<'a>(&mut self, text: &'a str) -> Result<(&'a str, &'a str, bool), String> {
        let text = match text.strip_prefix("export") {
            Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim_start_matches(is_blank),
            _ => text,
        };
        for (index, c) in text.char_indices() {
            match c {
                '=' | ':' | '\n' => {
                    let inherited = c == '\n';
                    let key = &text[..index];
                    if inherited && !key.contains(' ') {
                        self.line += 1;
                    }
                    let after = text[index + 1..].trim_start_matches(is_blank);
                    return Ok((key.trim_end(), after, inherited));
                }
                '_' | '.' | '-' | '[' | ']' => {}
                c if is_blank(c) || c.is_alphanumeric() => {}
                c => {
                    let shown = text.lines().next().unwrap_or("");
                    return Err(format!(
                        "line {}: unexpected character {:?} in variable name {shown:?}",
                        self.line,
                        c.to_string()
                    ));
                }
            }
        }
        if text.is_empty() {
            return Err("zero length string".to_owned());
        }
        // A last line without an end and without a value has no name.
        Ok(("", text.trim_start_matches(is_blank), false))
    }

    /// The value and what follows it.
    fn value<'a>(&mut self, text: &'a str) -> Result<(Found, &'a str), String> {
        let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            let (value, rest) = text.split_once('\n').unwrap_or((text, ""));
            self.line += 1;
            let value = value.split_once(" #").map_or(value, |(value, _)| value);
            return Ok((Found::Template(value.trim_end().to_owned()), rest));
        };
        let mut value = String::new();
        let mut escaped = false;
        for (index, c) in text.char_indices().skip(1) {
            if c == '\n' {
                self.line += 1;
            }
            if c == quote && !escaped {
                let found = if quote == '"' {
                    Found::Template(unescape(&value))
                } else {
                    Found::Literal(value)
                };
                return Ok((found, &text[index + 1..]));
            }
            if c != quote && !escaped && c == '\\' {
                escaped = true;
                continue;
            }
            if escaped && c != quote {
                value.push('\\');
            }
            escaped = false;
            value.push(c);
        }
        let shown = text.lines().next().unwrap_or("");
        Err(format!("line {}: unterminated quoted value {shown}", self.line))
    }
}

/// Turns `\n`, `\t`, `\$` and the like into what they stand for.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (meaning, length) = match after.as_bytes().first() {
            Some(b'a') => ("\u{7}".to_owned(), 1),
            Some(b'b') => ("\u{8}".to_owned(), 1),
            Some(b'f') => ("\u{c}".to_owned(), 1),
            Some(b'n') => ("\n".to_owned(), 1),
            Some(b'r') => ("\r".to_owned(), 1),
            Some(b't') => ("\t".to_owned(), 1),
            Some(b'v') => ("\u{b}".to_owned(), 1),
            Some(b'$') => ("$$".to_owned(), 1),
            Some(b'"') => ("\"".to_owned(), 1),
            Some(b'\\') => ("\\".to_owned(), 1),
            Some(b'0') => octal(&after[1..]),
            _ => ("\\".to_owned(), 0),
        };
        out.push_str(&meaning);
        rest = &after[length..];
    }
    out.push_str(rest);
    out
}

/// `\0` and three octal digits; anything else stays as it is.
fn octal(digits: &str) -> (String, usize) {
    let count = digits.bytes().take(3).take_while(u8::is_ascii_digit).count();
    let code = (count == 3).then(|| u8::from_str_radix(&digits[..3], 8).ok()).flatten();
    match code {
        Some(code) => (char::from(code).to_string(), 4),
        None => (format!("\\0{}", &digits[..count]), 1 + count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<BTreeMap<String, String>, String> {
        let mut vars = BTreeMap::new();
        let outside = |name: &str| (name == "OUT").then(|| "side".to_owned());
        parse(text, &mut vars, &outside, &mut |_| {}).map(|()| vars)
    }

    #[test]
    fn reads_every_form_of_line() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let expected = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            assert_eq!(run(text), Ok(expected.collect()), "{text:?}");
        };
        check("A=1\nB = two words \n", &[("A", "1"), ("B", "two words")]);
        check("# c\n\nA=1 # comment\nB=1#2", &[("A", "1"), ("B", "1#2")]);
        check("export A=1", &[("A", "1")]);
        check("A: yaml", &[("A", "yaml")]);
        check("A='$x #1' # c\nB=2", &[("A", "$x #1"), ("B", "2")]);
        check("A=\"a\\nb $OUT\"", &[("A", "a\nb side")]);
        check("A=1\nB=${A}/${NONE:-d}", &[("A", "1"), ("B", "1/d")]);
        check("A=\"\\$A $$B\"", &[("A", "$A $B")]);
        check("OUT\nNONE\nA=1", &[("OUT", "side"), ("A", "1")]);
        check("A=\"two\nlines\"\nB=1", &[("A", "two\nlines"), ("B", "1")]);
        check("A=", &[("A", "")]);
    }

    #[test]
    fn tells_the_line_of_an_error() {
        assert_eq!(
            run("A=1\nB+=2").unwrap_err(),
            "line 2: unexpected character \"+\" in variable name \"B+=2\""
        );
        assert_eq!(run("A='x").unwrap_err(), "line 1: unterminated quoted value 'x");
        assert_eq!(run("A B=1").unwrap_err(), "line 1: key cannot contain a space");
    }
}
