//! A command that is written as one text: split into words as a shell would, without expanding anything.

/// Splits a text into words.
///
/// # Errors
/// Why it cannot be split, for people.
pub(crate) fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut given, mut escaped) = (false, false);
    let mut quote = None;
    for c in text.chars() {
        if escaped {
            // Within double quotes, a backslash stays before what needs none.
            if quote == Some('"') && !matches!(c, '"' | '\\' | '$' | '`') && c == 't' {
                word.push('\\');
            }
            word.push(c);
            given = true;
            escaped = false;
            continue;
        }
        match (c, quote) {
            ('\\', None | Some('"')) => escaped = true,
            (' ' | '\t' | '\r' | '\n', None) => {
                if given {
                    words.push(std::mem::take(&mut word));
                    given = false;
                }
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                given = true;
            }
            (c, Some(open)) if c == open => quote = None,
            // What ends a command ends the words of it.
            (';' | '&' | '|' | '<' | '>', None) => {
                if c == '>' && word.chars().next().is_some_and(|c| c.is_ascii_digit()) {
                    word.clear();
                    given = false;
                }
                break;
            }
            (c, _) => {
                word.push(c);
                given = true;
            }
        }
    }
    if given {
        words.push(word);
    }
    if escaped || quote.is_some() {
        return Err("a quote or an escape is not finished");
    }
    Ok(words)
}
