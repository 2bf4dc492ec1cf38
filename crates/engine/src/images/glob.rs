//! Go's `path.Match`, for the filter `reference`: `*`, `?`, `[a-z]` and `\`; no `*` crosses a slash.

/// Whether a name matches a pattern; a malformed pattern is an error.
pub(super) fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    check(&pattern)?;
    Ok(step(&pattern, &name))
}

/// The pattern has an open bracket or a backslash at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadPattern;

fn check(pattern: &[char]) -> Result<(), BadPattern> {
    let mut at = 0;
    while let Some(c) = pattern.get(at) {
        match c {
            '\\' if at + 1 == pattern.len() => return Err(BadPattern),
            '\\' => at += 2,
            '[' => at += class(&pattern[at..], '\0').ok_or(BadPattern)?.1,
            _ => at += 1,
        }
    }
    Ok(())
}

fn step(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on after the last star has taken one more character.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let advanced = match (pattern.get(p), name.get(n)) {
            (None, None) => return true,
            (Some('*'), _) => {
                retry = Some((p + 1, n));
                p += 1;
                continue;
            }
            (Some('?'), Some(c)) => (*c != '/').then_some(1),
            (Some('['), Some(c)) => class(&pattern[p..], *c)
                .filter(|(fits, _)| *fits && *c != '/')
                .map(|(_, l)| l),
            (Some('\\'), Some(c)) => (pattern.get(p + 1) == Some(c)).then_some(2),
            (Some(literal), Some(c)) => (literal == c).then_some(1),
            _ => None,
        };
        match (advanced, retry) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((star, taken))) if name.get(taken).is_some_and(|c| *c != '/') => {
                retry = Some((star, taken + 1));
                p = star;
                n = taken + 1;
            }
            _ => return false,
        }
    }
}

/// Reads a class at the pattern's start: whether it holds the character, and its length.
fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let mut at = 1;
    let negated = pattern.get(at) == Some(&'^');
    at += usize::from(negated);
    let (mut fits, first) = (false, at);
    let next = |at: &mut usize| {
        if pattern.get(*at) == Some(&'\\') {
            *at += 1;
        }
        let found = pattern.get(*at).copied();
        *at += 1;
        found
    };
    loop {
        if pattern.get(at) == Some(&']') && at > first {
            return Some((fits != negated, at + 1));
        }
        let low = next(&mut at)?;
        let mut high = low;
        if pattern.get(at) == Some(&'-') {
            at += 1;
            high = next(&mut at)?;
        }
        fits |= (low..=high).contains(&c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_go() {
        let case = |pattern, name, expected| assert_eq!(matches(pattern, name), Ok(expected), "{pattern} {name}");
        case("busybox", "busybox", true);
        case("busy*", "busybox", true);
        case("busy*", "busybox:1", true);
        case("*:1", "busybox:1", true);
        case("*", "a/b", false);
        case("*/*", "a/b", true);
        case("a?c", "abc", true);
        case("a?c", "a/c", false);
        case("[a-c]x", "bx", true);
        case("[^a-c]x", "bx", false);
        case(r"a\*", "a*", true);
        case("*ab*ab", "ab-ab-xab", true);
        assert_eq!(matches("[", "x"), Err(BadPattern));
        assert_eq!(matches("a\\", "a"), Err(BadPattern));
    }
}
