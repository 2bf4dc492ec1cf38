//! The word that was probably meant.

/// The closest of some words, if one is close enough to be meant.
pub(crate) fn nearest<'a, S: AsRef<str> + 'a + ?Sized>(
    word: &str,
    words: impl Iterator<Item = &'a S>,
) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    words
        .map(AsRef::as_ref)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be changed, added, removed, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 8 || a.len() > 64 {
        return usize::MAX;
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let words = ["image", "init", "ports", "volumes"];
        let check = |word: &str, expected: Option<&str>| assert_eq!(nearest(word, words.iter()), expected, "{word}");
        check("imgae", Some("image"));
        check("port", Some("ports"));
        check("volume", Some("volumes"));
        check("something", None);
    }
}
