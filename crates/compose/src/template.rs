//! Variables in texts: `$VAR`, `${VAR}`, and what to do when one is not set (Compose specification,
//! "Interpolation").

use crate::error::Error;

/// The value of a variable.
pub(crate) type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What can be wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is not well-formed; the text.
    Malformed(String),
    /// A variable must be set and is not; what to say.
    Missing(String),
}

/// How deep defaults may nest.
const MAX_DEPTH: usize = 50;

/// Fills in a text's variables. `unset` is told the names of those that have no value and no default.
pub(crate) fn substitute(text: &str, lookup: &Lookup<'_>, unset: &mut dyn FnMut(&str)) -> Result<String, Failure> {
    if !text.contains('$') {
        return Ok(text.to_owned());
    }
    fill(text, lookup, unset, 0)
}

fn fill(text: &str, lookup: &Lookup<'_>, unset: &mut dyn FnMut(&str), depth: usize) -> Result<String, Failure> {
    let malformed = || Failure::Malformed(text.to_owned());
    if depth > MAX_DEPTH {
        return Err(malformed());
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        let mut value = |name: &str| match lookup(name) {
            Some(value) => value,
            None => {
                unset(name);
                String::new()
            }
        };
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let braced = Braced::parse(after).ok_or_else(malformed)?;
            rest = &after[braced.length..];
            match braced.operator {
                None => out.push_str(&value(braced.name)),
                Some(operator) => {
                    let alternative = fill(braced.alternative, lookup, unset, depth + 1)?;
                    out.push_str(&operator.apply(braced.name, lookup(braced.name), alternative)?);
                }
            }
        } else {
            let name = name_at(after);
            if name.is_empty() {
                out.push('$');
            } else {
                out.push_str(&value(name));
            }
            rest = &after[name.len()..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The variable's name that a text begins with.
fn name_at(text: &str) -> &str {
    let is_name = |(index, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (index > 0 && c.is_ascii_digit());
    let end = text
        .char_indices()
        .find(|part| !is_name(*part))
        .map_or(text.len(), |(end, _)| end);
    &text[..end]
}

/// What follows a variable's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operator {
    kind: OperatorKind,
    /// Whether an empty value counts as none.
    not_empty: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperatorKind {
    /// `-`
    Default,
    /// `?`
    Required,
    /// `+`
    Replaced,
}

impl Operator {
    /// What it does.
    pub(crate) fn kind(self) -> OperatorKind {
        self.kind
    }

    fn apply(self, name: &str, value: Option<String>, alternative: String) -> Result<String, Failure> {
        let is_set = value
            .as_ref()
            .is_some_and(|value| !(self.not_empty && value.is_empty()));
        let value = value.unwrap_or_default();
        match self.kind {
            OperatorKind::Default => Ok(if is_set { value } else { alternative }),
            OperatorKind::Replaced => Ok(if is_set { alternative } else { value }),
            OperatorKind::Required if is_set => Ok(value),
            OperatorKind::Required if alternative.is_empty() => {
                Err(Failure::Missing(format!("required variable {name} is missing a value")))
            }
            OperatorKind::Required => {
                let message = format!("required variable {name} is missing a value: {alternative}");
                Err(Failure::Missing(message))
            }
        }
    }
}

/// What is between braces.
pub(crate) struct Braced<'a> {
    pub(crate) name: &'a str,
    pub(crate) operator: Option<Operator>,
    pub(crate) alternative: &'a str,
    /// How long it is, with the closing brace.
    pub(crate) length: usize,
}

impl<'a> Braced<'a> {
    /// Reads what follows `${`.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let name = name_at(text);
        if name.is_empty() {
            return None;
        }
        let rest = &text[name.len()..];
        if rest.starts_with('}') {
            return Some(Self {
                name,
                operator: None,
                alternative: "",
                length: name.len() + 1,
            });
        }
        let (not_empty, rest) = rest.strip_prefix(':').map_or((false, rest), |rest| (true, rest));
        let kind = match rest.chars().next()? {
            '-' => OperatorKind::Default,
            '?' => OperatorKind::Required,
            '+' => OperatorKind::Replaced,
            _ => return None,
        };
        let begin = text.len() - rest.len() + 1;
        // It ends on its own line at the brace that matches, or else at the last one.
        let line = text[begin..].lines().next().unwrap_or("");
        let last = line.rfind('}')?;
        let end = begin + closing(&line[..=last]).unwrap_or(last);
        Some(Self {
            name,
            operator: Some(Operator { kind, not_empty }),
            alternative: &text[begin..end],
            length: end + 1,
        })
    }
}

/// Where the brace is that closes one opened before.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    let mut bytes = text.bytes().enumerate();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'}' => {
                open -= 1;
                if open == 0 {
                    return Some(index);
                }
            }
            b'{' => {
                open += 1;
                // What follows an opening brace begins a name.
                bytes.next();
            }
            _ => {}
        }
    }
    None
}

impl Failure {
    /// The error about the attribute with that path.
    pub(crate) fn about(self, path: &str) -> Error {
        match self {
            Self::Malformed(template) => {
                let lines = "You may need to escape any $ with another $.";
                Error::invalid(format!("invalid interpolation format for {path}.\n{lines}\n{template}"))
            }
            Self::Missing(message) => Error::invalid(format!("error while interpolating {path}: {message}")),
        }
    }

    /// What to say outside of any file.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Malformed(template) => format!("Invalid template: {template:?}"),
            Self::Missing(message) => message.clone(),
        }
    }
}

/// A variable that a file uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variable {
    /// What it is without a value.
    pub default: String,
    /// What stands in its place when it has one.
    pub replacement: String,
    /// Whether it must have a value.
    pub required: bool,
}

/// Collects the variables of a text, and those of their defaults.
pub(crate) fn collect(text: &str, found: &mut std::collections::BTreeMap<String, Variable>) {
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let after = &rest[dollar + 1..];
        if let Some(after) = after.strip_prefix('$') {
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let Some(braced) = Braced::parse(after) else {
                rest = after;
                continue;
            };
            let mut variable = Variable::default();
            match braced.operator.map(Operator::kind) {
                Some(OperatorKind::Default) => braced.alternative.clone_into(&mut variable.default),
                Some(OperatorKind::Replaced) => braced.alternative.clone_into(&mut variable.replacement),
                Some(OperatorKind::Required) => variable.required = true,
                None => {}
            }
            let nested = variable.default.clone() + &variable.replacement;
            found.insert(braced.name.to_owned(), variable);
            collect(&nested, found);
            rest = &after[braced.length..];
        } else {
            let name = name_at(after);
            if !name.is_empty() {
                found.insert(name.to_owned(), Variable::default());
            }
            rest = &after[name.len()..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            "_x1" => Some("low".to_owned()),
            _ => None,
        }
    }

    fn run(text: &str) -> Result<String, Failure> {
        substitute(text, &lookup, &mut |_| {})
    }

    #[test]
    fn fills_in_every_form() {
        let check = |text: &str, expected: &str| assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        check("plain", "plain");
        check("$SET/${SET}/$_x1", "value/value/low");
        check("$$SET $${SET} 5$ $1 $", "$SET ${SET} 5$ $1 $");
        check("${UNSET}|$UNSET|", "||");
        check("${UNSET:-d} ${EMPTY:-d} ${SET:-d}", "d d value");
        check("${UNSET-d}|${EMPTY-d}|${SET-d}", "d||value");
        check("${UNSET:+r}|${EMPTY:+r}|${SET:+r}", "||r");
        check("${UNSET+r}|${EMPTY+r}|${SET+r}", "|r|r");
        check("${SET:?e} ${EMPTY?e}", "value ");
        check("${UNSET:-${EMPTY:-${SET}}}!", "value!");
        check("${UNSET:-a}b}", "ab}");
        check("${UNSET:-{\"a\": 1}}", "{\"a\": 1}");
        check("${UNSET:-} x", " x");
        check("${UNSET:-a:-b}", "a:-b");
    }

    #[test]
    fn tells_what_is_wrong() {
        let missing = |text: &str, message: &str| {
            assert_eq!(run(text), Err(Failure::Missing(message.to_owned())), "{text}");
        };
        missing("${UNSET:?set it}", "required variable UNSET is missing a value: set it");
        missing("${EMPTY:?}", "required variable EMPTY is missing a value");
        missing("${UNSET?$SET}", "required variable UNSET is missing a value: value");
        let malformed = |text: &str| assert_eq!(run(text), Err(Failure::Malformed(text.to_owned())), "{text}");
        malformed("${");
        malformed("${}");
        malformed("a ${SET");
        malformed("${1}");
        malformed("${SET!x}");
        malformed("${SET:-x\n}");
    }
}
