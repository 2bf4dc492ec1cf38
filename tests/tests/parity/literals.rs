//! The string literals of Rust sources, with the function that they stand in.

/// A literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Literal {
    /// The function before it: `fn name`.
    pub(crate) function: String,
    /// What stands directly before it, without spaces: `[`, `get(`, `"GET",`.
    pub(crate) before: String,
    /// What it says.
    pub(crate) text: String,
}

/// How much of the text before a literal is kept.
const BEFORE: usize = 24;

/// All literals of a source file, in their order.
pub(crate) fn of(source: &str) -> Vec<Literal> {
    let mut literals = Vec::new();
    let mut function = String::new();
    let mut before = String::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if let Some((text, after)) = string(rest) {
            literals.push(Literal {
                function: function.clone(),
                before: before.clone(),
                text: text.clone(),
            });
            push(&mut before, &format!("\"{text}\""));
            rest = after;
        } else if let Some(after) = character(rest) {
            rest = after;
        } else if let Some(name) = declared(rest, &before) {
            function = name.to_owned();
            before.clear();
            rest = &rest[3 + name.len()..];
        } else {
            if !first.is_whitespace() {
                push(&mut before, &first.to_string());
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    literals
}

fn push(before: &mut String, text: &str) {
    before.push_str(text);
    let extra = before.chars().count().saturating_sub(BEFORE);
    *before = before.chars().skip(extra).collect();
}

/// The name of the function that is declared here.
fn declared<'a>(rest: &'a str, before: &str) -> Option<&'a str> {
    let is_word = before.ends_with(|last: char| last.is_alphanumeric() || last == '_') && !before.ends_with("pub");
    let name = rest.strip_prefix("fn ").filter(|_| !is_word)?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(&name[..end])
}

/// A string literal at the front, and what follows it.
fn string(rest: &str) -> Option<(String, &str)> {
    let plain = rest.strip_prefix('b').unwrap_or(rest);
    if let Some(raw) = plain.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let inner = raw[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = inner.find(&close)?;
        return Some((inner[..end].to_owned(), &inner[end + close.len()..]));
    }
    let inner = plain.strip_prefix('"')?;
    let mut text = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((text, &inner[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' | 'r' | 't' => text.push(' '),
                '\n' => {}
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
    None
}

/// What follows the character literal at the front.
fn character(rest: &str) -> Option<&str> {
    let inner = rest.strip_prefix('\'')?;
    let mut characters = inner.chars();
    let length = match characters.next()? {
        '\\' => 1 + characters.next()?.len_utf8(),
        other => other.len_utf8(),
    };
    inner[length..].strip_prefix('\'')
}

#[test]
fn literals_are_found_with_their_function() {
    let source = r##"
        // "not this"
        fn first() { call(&["run", "-d", r#"raw "x""#], '"', 'a'); }
        #[test] fn second<'a>() { get("GET", "/a\
            b\n"); }"##;
    let found: Vec<_> = of(source)
        .into_iter()
        .map(|literal| (literal.function, literal.text))
        .collect();
    let expected = [
        ("first", "run"),
        ("first", "-d"),
        ("first", "raw \"x\""),
        ("second", "GET"),
        ("second", "/a            b "),
    ];
    assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}
