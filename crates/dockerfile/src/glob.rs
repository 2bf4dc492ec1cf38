//! Patterns for names: of one path (`COPY *.txt`), of any path below (`.dockerignore`), of a shell's words.

use std::iter::Peekable;
use std::str::Chars;

/// Whether a path matches a pattern as Go's `filepath.Match` has it: `*` and `?` stop at slashes.
///
/// ```
/// assert!(corten_dockerfile::glob_matches("src/*.rs", "src/lib.rs"));
/// assert!(!corten_dockerfile::glob_matches("*.rs", "src/lib.rs"));
/// ```
#[must_use]
pub fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<char>, Vec<char>) = (pattern.chars().collect(), path.chars().collect());
    wild(&tokens(&pattern, Slashes::Stop), &path)
}

/// Whether a pattern is one, as Go's `filepath.Match` has it: classes end, and escapes escape something.
pub(crate) fn is_whole(pattern: &str) -> bool {
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        let is_whole = match c {
            '\\' => rest.next().is_some(),
            '[' => is_class(&mut rest),
            _ => true,
        };
        if !is_whole {
            return false;
        }
    }
    true
}

/// Reads a class up to its end; whether it has one.
fn is_class(rest: &mut Peekable<Chars<'_>>) -> bool {
    let one = |rest: &mut Peekable<Chars<'_>>| match rest.next() {
        None | Some('-' | ']') => false,
        Some('\\') => rest.next().is_some(),
        Some(_) => true,
    };
    rest.next_if_eq(&'^');
    loop {
        if !one(rest) || (rest.next_if_eq(&'-').is_some() && !one(rest)) {
            return false;
        }
        if rest.next_if_eq(&']').is_some() {
            return true;
        }
    }
}

/// Whether a text matches a shell's pattern; slashes mean nothing.
pub(crate) fn shell_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    wild(&tokens(&pattern, Slashes::Ordinary), &text)
}

/// A pattern for whole paths in which `**` stands for any number of folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern(Vec<Token>);

impl PathPattern {
    /// Reads a pattern; slashes at its ends do not count.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        let pattern: Vec<char> = pattern.trim_matches('/').chars().collect();
        Self(tokens(&pattern, Slashes::Deep))
    }

    /// Whether a path matches, without slashes at its ends.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        wild(&self.0, &path)
    }

    /// Whether a path or a folder that it lies in matches.
    #[must_use]
    pub fn matches_or_holds(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|end| self.matches(&path[..end]))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slashes {
    Ordinary,
    Stop,
    Deep,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Exactly(char),
    /// `?`; the flag: slashes too.
    One(bool),
    /// `*`; the flag: slashes too.
    Many(bool),
    /// `**/`: nothing, or everything up to a slash.
    Folders,
    Class(bool, Vec<(char, char)>),
}

fn tokens(pattern: &[char], slashes: Slashes) -> Vec<Token> {
    let across = slashes == Slashes::Ordinary;
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = pattern.get(at).copied() {
        at += 1;
        match c {
            '*' if slashes == Slashes::Deep && pattern.get(at) == Some(&'*') => {
                while pattern.get(at) == Some(&'*') {
                    at += 1;
                }
                if pattern.get(at) == Some(&'/') {
                    at += 1;
                    found.push(Token::Folders);
                } else {
                    found.push(Token::Many(true));
                }
            }
            '*' => found.push(Token::Many(across)),
            '?' => found.push(Token::One(across)),
            '[' => match class(pattern, &mut at) {
                Some(token) => found.push(token),
                None => found.push(Token::Exactly('[')),
            },
            '\\' => {
                if let Some(next) = pattern.get(at) {
                    found.push(Token::Exactly(*next));
                    at += 1;
                }
            }
            c => found.push(Token::Exactly(c)),
        }
    }
    found
}

fn class(pattern: &[char], at: &mut usize) -> Option<Token> {
    let mut here = *at;
    let negated = matches!(pattern.get(here), Some('^' | '!'));
    here += usize::from(negated);
    let mut ranges = Vec::new();
    loop {
        let mut low = *pattern.get(here)?;
        here += 1;
        if low == ']' && !ranges.is_empty() {
            *at = here;
            return Some(Token::Class(negated, ranges));
        }
        if low == '\\' {
            low = *pattern.get(here)?;
            here += 1;
        }
        let mut high = low;
        if pattern.get(here) == Some(&'-') && pattern.get(here + 1).is_some_and(|c| *c != ']') {
            high = pattern[here + 1];
            here += 2;
        }
        ranges.push((low, high));
    }
}

/// Matches with a table of what was tried, so that no pattern takes exponential time.
fn wild(tokens: &[Token], text: &[char]) -> bool {
    // reach[j]: the tokens so far match the first j characters.
    let mut reach = vec![false; text.len() + 1];
    reach[0] = true;
    for token in tokens {
        let mut next = vec![false; text.len() + 1];
        match token {
            Token::Many(across) => {
                let mut going = false;
                for j in 0..=text.len() {
                    going = reach[j] || (going && j > 0 && (*across || text[j - 1] != '/'));
                    next[j] = going;
                }
            }
            Token::Folders => {
                let mut begun = false;
                for j in 0..=text.len() {
                    next[j] = reach[j] || (begun && j > 0 && text[j - 1] == '/');
                    begun |= reach[j];
                }
            }
            single => {
                for j in 0..text.len() {
                    next[j + 1] = reach[j] && one(single, text[j]);
                }
            }
        }
        reach = next;
    }
    reach[text.len()]
}

fn one(token: &Token, c: char) -> bool {
    match token {
        Token::Exactly(expected) => *expected == c,
        Token::One(across) => *across || c != '/',
        Token::Class(negated, ranges) => {
            c != '/' && ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
        }
        Token::Many(_) | Token::Folders => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_s_patterns() {
        for (pattern, path, expected) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "d/a.txt", false),
            ("d/*", "d/a", true),
            ("?", "a", true),
            ("?", "/", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn any_depth() {
        for (pattern, path, expected) in [
            ("**/*.go", "a.go", true),
            ("**/*.go", "a/b/c.go", true),
            ("a/**", "a/b/c", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "ax/b", false),
            ("**", "anything/at/all", true),
            ("**/a", "xa", false),
        ] {
            assert_eq!(PathPattern::new(pattern).matches(path), expected, "{pattern} {path}");
        }
        assert!(PathPattern::new("node_modules").matches_or_holds("node_modules/a/b"));
        assert!(!PathPattern::new("node_modules").matches_or_holds("src/node_modules"));
    }

    #[test]
    fn hostile_patterns_end() {
        let pattern = "*a".repeat(200);
        assert!(!shell_matches(&pattern, &"a".repeat(150)));
    }
}
