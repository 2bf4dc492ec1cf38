//! What a misspelt word was probably meant to be.

/// The word nearest to `word`, if one is near enough; the first of several.
pub(crate) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in words {
        let distance = distance(&word, &candidate.to_ascii_lowercase());
        if distance < 3 && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, word)| word)
}

/// `message`, and the word that was probably meant.
pub(crate) fn with_suggestion<'a>(message: String, word: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(word, words) {
        Some(meant) => format!("{message} (did you mean {meant}?)"),
        None => message,
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        let words = ["ADD", "COPY", "RUN"];
        assert_eq!(nearest("RUNN", words), Some("RUN"));
        assert_eq!(nearest("NOPE", words), Some("COPY"));
        assert_eq!(nearest("nothing", words), None);
    }
}
