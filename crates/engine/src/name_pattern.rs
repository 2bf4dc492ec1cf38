//! Regular expressions for the `name` and `id` filters of lists.
//!
//! Docker matches these filters with Go's `regexp`; users write `^web$`, `db[0-9]+` or just a
//! part of a name. This matcher knows literals, `.`, classes, groups, `|`, `*`, `+`, `?`, `^`, `$`
//! and escapes, tries alternatives by backtracking, and gives up (no match) beyond a fixed effort.

/// How many steps one match may take.
const EFFORT: u32 = 20_000;

/// How deep groups may be nested.
const DEPTH: u32 = 16;

/// A filter's value: matches a name that it equals, or in which its expression is found.
#[derive(Debug, Clone)]
pub(crate) struct NamePattern {
    text: String,
    expression: Option<Vec<Vec<Piece>>>,
}

#[derive(Debug, Clone)]
struct Piece {
    atom: Atom,
    least: u32,
    most: u32,
}

#[derive(Debug, Clone)]
enum Atom {
    Char(char),
    Any,
    Class { negated: bool, ranges: Vec<(char, char)> },
    Group(Vec<Vec<Piece>>),
    Start,
    End,
}

impl NamePattern {
    /// Reads an expression; one that is malformed matches only the name it equals.
    pub(crate) fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut reader = Reader {
            chars: &chars,
            at: 0,
            depth: 0,
        };
        let expression = reader.alternatives().filter(|_| reader.at == chars.len());
        Self {
            text: text.to_owned(),
            expression,
        }
    }

    /// Reads an expression; none when it is malformed.
    pub(crate) fn expression(text: &str) -> Option<Self> {
        Some(Self::new(text)).filter(|pattern| pattern.expression.is_some())
    }

    /// Whether a name matches.
    pub(crate) fn matches(&self, name: &str) -> bool {
        name == self.text || self.is_in(name)
    }

    /// Whether the expression is found in a text.
    pub(crate) fn is_in(&self, name: &str) -> bool {
        let Some(expression) = &self.expression else {
            return false;
        };
        let chars: Vec<char> = name.chars().collect();
        let mut matcher = Matcher {
            chars: &chars,
            effort: EFFORT,
        };
        (0..=chars.len()).any(|start| matcher.alternatives(expression, start, &mut |_, _| true))
    }
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    depth: u32,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }

    fn alternatives(&mut self) -> Option<Vec<Vec<Piece>>> {
        let mut all = vec![self.sequence()?];
        while self.peek() == Some('|') {
            self.at += 1;
            all.push(self.sequence()?);
        }
        Some(all)
    }

    fn sequence(&mut self) -> Option<Vec<Piece>> {
        let mut pieces = Vec::new();
        while let Some(next) = self.peek() {
            if matches!(next, '|' | ')') {
                break;
            }
            let atom = self.atom()?;
            let (least, most) = match self.peek() {
                Some('*') => (0, u32::MAX),
                Some('+') => (1, u32::MAX),
                Some('?') => (0, 1),
                _ => (1, 1),
            };
            self.at += usize::from((least, most) != (1, 1));
            pieces.push(Piece { atom, least, most });
        }
        Some(pieces)
    }

    fn atom(&mut self) -> Option<Atom> {
        Some(match self.take()? {
            '.' => Atom::Any,
            '^' => Atom::Start,
            '$' => Atom::End,
            '\\' => escaped(self.take()?),
            '[' => self.class()?,
            '(' => self.group()?,
            '*' | '+' | '?' => return None,
            literal => Atom::Char(literal),
        })
    }

    fn group(&mut self) -> Option<Atom> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        if self.peek() == Some('?') {
            self.at += 1;
            (self.take() == Some(':')).then_some(())?;
        }
        let inner = self.alternatives()?;
        self.depth -= 1;
        (self.take() == Some(')')).then_some(Atom::Group(inner))
    }

    fn class(&mut self) -> Option<Atom> {
        let negated = self.peek() == Some('^');
        self.at += usize::from(negated);
        let mut ranges = Vec::new();
        loop {
            let low = match self.take()? {
                ']' if !ranges.is_empty() => return Some(Atom::Class { negated, ranges }),
                '\\' => match escaped(self.take()?) {
                    Atom::Char(literal) => literal,
                    Atom::Class { ranges: named, .. } => {
                        ranges.extend(named);
                        continue;
                    }
                    _ => return None,
                },
                literal => literal,
            };
            let is_range = self.peek() == Some('-') && self.chars.get(self.at + 1).is_some_and(|c| *c != ']');
            let high = if is_range {
                self.at += 1;
                self.take()?
            } else {
                low
            };
            ranges.push((low, high));
        }
    }
}

fn escaped(letter: char) -> Atom {
    match letter {
        'd' => Atom::Class {
            negated: false,
            ranges: vec![('0', '9')],
        },
        'w' => Atom::Class {
            negated: false,
            ranges: vec![('0', '9'), ('A', 'Z'), ('a', 'z'), ('_', '_')],
        },
        literal => Atom::Char(literal),
    }
}

struct Matcher<'a> {
    chars: &'a [char],
    effort: u32,
}

/// What must match after the part at hand; gets the position reached.
type Then<'t> = &'t mut dyn FnMut(&mut Matcher<'_>, usize) -> bool;

impl Matcher<'_> {
    fn alternatives(&mut self, all: &[Vec<Piece>], at: usize, then: Then<'_>) -> bool {
        all.iter().any(|pieces| self.sequence(pieces, at, then))
    }

    fn sequence(&mut self, pieces: &[Piece], at: usize, then: Then<'_>) -> bool {
        match pieces.split_first() {
            None => then(self, at),
            Some((piece, rest)) => self.repeat(piece, 0, rest, at, then),
        }
    }

    fn repeat(&mut self, piece: &Piece, done: u32, rest: &[Piece], at: usize, then: Then<'_>) -> bool {
        if self.effort == 0 {
            return false;
        }
        self.effort -= 1;
        let again = done < piece.most
            && self.atom(&piece.atom, at, &mut |matcher, reached| {
                // A repetition that takes nothing would go on for ever.
                (reached > at || done < piece.least) && matcher.repeat(piece, done + 1, rest, reached, then)
            });
        again || (done >= piece.least && self.sequence(rest, at, then))
    }

    fn atom(&mut self, atom: &Atom, at: usize, then: Then<'_>) -> bool {
        let fits = match (atom, self.chars.get(at)) {
            (Atom::Start, _) => return at == 0 && then(self, at),
            (Atom::End, _) => return at == self.chars.len() && then(self, at),
            (Atom::Group(all), _) => return self.alternatives(all, at, then),
            (_, None) => false,
            (Atom::Char(literal), Some(c)) => literal == c,
            (Atom::Any, Some(_)) => true,
            (Atom::Class { negated, ranges }, Some(c)) => {
                ranges.iter().any(|(low, high)| (low..=high).contains(&c)) != *negated
            }
        };
        fits && then(self, at + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_expressions_in_names() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(NamePattern::new(pattern).matches(name), expected, "{pattern} {name}");
        };
        check("web", "my-web-1", true);
        check("^web", "my-web-1", false);
        check("^web$", "web", true);
        check("^/web$", "/web", true);
        check("^web$", "web-1", false);
        check("db[0-9]+$", "db12", true);
        check("db[^0-9]+$", "db12", false);
        check("^(a|bc)*d?$", "abcabcd", true);
        check("^(?:a|bc)+$", "abcx", false);
        check(r"a\.b", "a.b", true);
        check(r"a\.b", "axb", false);
        check(r"^\w+-\d$", "web_x-1", true);
        check("a.*z", "abcz", true);
        check("", "x", true);
        check("[", "x", false);
        check("[", "[", true);
        check("*a", "a", false);
    }

    #[test]
    fn gives_up_in_time() {
        let name = "a".repeat(60);
        assert!(!NamePattern::new("^(a+)+b$").matches(&name));
        assert!(NamePattern::new(&"(".repeat(10_000)).expression.is_none());
    }
}
