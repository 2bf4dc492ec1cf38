//! The shapes of what stands after an instruction's name: words, `name=value`, JSON lists.

use crate::error::{Error, Result};

/// A JSON list of texts, if that is what it is.
pub(crate) fn json_list(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if !text.starts_with('[') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// Words between white space.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Splits at white space outside of quotes; quotes and escapes stay, for the expansion to take away.
/// Nothing can be escaped in single quotes (BuildKit `parser.parseWords`).
pub(crate) fn quoted_words(text: &str, escape: char) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (c, None | Some('"')) if c == escape => {
                word.push(c);
                word.extend(chars.next());
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `name=value …`, or the old form `name value`: the pairs, and whether it was the old form.
pub(crate) fn pairs(instruction: &str, text: &str, escape: char) -> Result<(Vec<(String, String)>, bool)> {
    let words = quoted_words(text, escape);
    let Some(first) = words.first() else {
        return Err(Error::new(format!("{instruction} requires at least one argument")));
    };
    if !first.contains('=') {
        let (name, value) = text
            .split_once(char::is_whitespace)
            .ok_or_else(|| Error::new(format!("{instruction} must have two arguments")))?;
        return Ok((vec![(name.to_owned(), value.trim().to_owned())], true));
    }
    let pairs = words.into_iter().map(|word| match word.split_once('=') {
        Some(("", _)) => Err(Error::new(format!("{instruction} names can not be blank"))),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Error::new(format!(
            "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
        ))),
    });
    Ok((pairs.collect::<Result<_>>()?, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<Vec<(String, String)>, String> {
        pairs("ENV", text, '\\')
            .map(|found| found.0)
            .map_err(|error| error.to_string())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn pairs_come_in_two_forms() {
        assert_eq!(
            read("A=1 B=\"x y\" C=a\\ b D="),
            Ok(vec![
                pair("A", "1"),
                pair("B", "\"x y\""),
                pair("C", "a\\ b"),
                pair("D", "")
            ])
        );
        assert_eq!(
            read("A='x\\' B=\"y\\\" z\""),
            Ok(vec![pair("A", "'x\\'"), pair("B", "\"y\\\" z\"")])
        );
        assert_eq!(read("A b c=d"), Ok(vec![pair("A", "b c=d")]));
        assert_eq!(read("A"), Err("ENV must have two arguments".into()));
        assert_eq!(read("=1"), Err("ENV names can not be blank".into()));
        assert_eq!(
            read("A=1 B"),
            Err("Syntax error - can't find = in \"B\". Must be of the form: name=value".into())
        );
    }
}
