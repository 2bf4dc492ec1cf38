//! `--chmod`: octal, or symbolic as chmod(1) has it.

use crate::error::{Error, Result};

/// How modes change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chmod {
    /// To this.
    Octal(u32),
    /// By these clauses, one after the other.
    Symbolic(Vec<Clause>),
}

/// `who op permissions`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    /// Bits of the classes it is for: 0o700, 0o070, 0o007.
    who: u32,
    op: char,
    permissions: String,
}

impl Chmod {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid(format!(
                "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
            ))
        };
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).map_err(|_| bad())?;
            return if mode <= 0o7777 {
                Ok(Self::Octal(mode))
            } else {
                Err(bad())
            };
        }
        let clauses = text.split(',').map(|clause| Clause::parse(clause).ok_or_else(bad));
        Ok(Self::Symbolic(clauses.collect::<Result<_>>()?))
    }

    /// The new mode of a file or folder.
    pub(crate) fn apply(&self, mode: u32, is_folder: bool) -> u32 {
        match self {
            Self::Octal(mode) => *mode,
            Self::Symbolic(clauses) => clauses
                .iter()
                .fold(mode & 0o7777, |mode, clause| clause.apply(mode, is_folder)),
        }
    }
}

impl Clause {
    fn parse(text: &str) -> Option<Self> {
        let at = text.find(['+', '-', '='])?;
        let (who, rest) = text.split_at(at);
        let mut bits = 0;
        for class in who.chars() {
            bits |= match class {
                'u' => 0o700,
                'g' => 0o070,
                'o' => 0o007,
                'a' => 0o777,
                _ => return None,
            };
        }
        let permissions = rest.get(1..)?.to_owned();
        permissions.chars().all(|c| "rwxXst".contains(c)).then_some(Self {
            who: if bits == 0 { 0o777 } else { bits },
            op: rest.chars().next()?,
            permissions,
        })
    }

    fn apply(&self, mode: u32, is_folder: bool) -> u32 {
        let mut bits = 0;
        for permission in self.permissions.chars() {
            bits |= match permission {
                'r' => 0o444 & self.who,
                'w' => 0o222 & self.who,
                'x' => 0o111 & self.who,
                'X' if is_folder || mode & 0o111 != 0 => 0o111 & self.who,
                's' => {
                    (if self.who & 0o700 != 0 { 0o4000 } else { 0 }) | (if self.who & 0o070 != 0 { 0o2000 } else { 0 })
                }
                't' => 0o1000,
                _ => 0,
            };
        }
        match self.op {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => (mode & !self.who) | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_change() {
        let check = |text: &str, mode, folder, expected: u32| {
            assert_eq!(Chmod::parse(text).unwrap().apply(mode, folder), expected, "{text}");
        };
        check("644", 0o755, false, 0o644);
        check("4755", 0, false, 0o4755);
        check("u+x", 0o644, false, 0o744);
        check("go-w", 0o666, false, 0o644);
        check("a=rX", 0o600, true, 0o555);
        check("u=rwX,go=rX", 0o600, false, 0o644);
        check("+x", 0o644, false, 0o755);
        check("u+s", 0o755, false, 0o4755);
        for bad in ["", "9", "77777", "x", "u+q", "z+r"] {
            assert!(Chmod::parse(bad).is_err(), "{bad}");
        }
    }
}
