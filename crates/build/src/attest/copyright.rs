//! Licences of Debian's packages, from `/usr/share/doc/<package>/copyright` (www.debian.org/doc/packaging-manuals/copyright-format/1.0),
//! as expressions of SPDX.

/// What names of licences begin with that SPDX has no name for.
pub(super) const OTHER: &str = "LicenseRef-";

/// Debian's names and SPDX's, where these are not the same.
const NAMES: [(&str, &str); 24] = [
    ("agpl-3", "AGPL-3.0-only"),
    ("agpl-3+", "AGPL-3.0-or-later"),
    ("apache-2.0", "Apache-2.0"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-4-clause", "BSD-4-Clause"),
    ("cc0-1.0", "CC0-1.0"),
    ("expat", "MIT"),
    ("gpl-1+", "GPL-1.0-or-later"),
    ("gpl-2", "GPL-2.0-only"),
    ("gpl-2+", "GPL-2.0-or-later"),
    ("gpl-3", "GPL-3.0-only"),
    ("gpl-3+", "GPL-3.0-or-later"),
    ("isc", "ISC"),
    ("lgpl-2", "LGPL-2.0-only"),
    ("lgpl-2+", "LGPL-2.0-or-later"),
    ("lgpl-2.1", "LGPL-2.1-only"),
    ("lgpl-2.1+", "LGPL-2.1-or-later"),
    ("lgpl-3", "LGPL-3.0-only"),
    ("lgpl-3+", "LGPL-3.0-or-later"),
    ("mit", "MIT"),
    ("mpl-1.1", "MPL-1.1"),
    ("mpl-2.0", "MPL-2.0"),
    ("zlib", "Zlib"),
];

/// The licences of all of a package's files, together; empty when the file is for people alone.
pub(super) fn expression(text: &str) -> String {
    let is_for_machines = text
        .lines()
        .take(5)
        .any(|line| line.to_ascii_lowercase().starts_with("format:"));
    if !is_for_machines {
        return String::new();
    }
    let mut found: Vec<String> = Vec::new();
    for paragraph in text.split("\n\n") {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name));
        // Paragraphs without files only say what a licence's text is.
        if let (Some(_), Some(license)) = (field("Files:"), field("License:")) {
            let license = alternatives(license);
            if !license.is_empty() && !found.contains(&license) {
                found.push(license);
            }
        }
    }
    match found.len() {
        1 => found.remove(0),
        _ => {
            let of_several = |one: &String| match one.contains(" OR ") {
                true => format!("({one})"),
                false => one.clone(),
            };
            found.iter().map(of_several).collect::<Vec<_>>().join(" AND ")
        }
    }
}

/// `A or B and C`, where `and` binds closer.
fn alternatives(text: &str) -> String {
    let split = |text: &str, word: &str| -> Vec<String> {
        let mut parts = vec![String::new()];
        for one in text.split_whitespace().map(|one| one.trim_end_matches(',')) {
            match (one.eq_ignore_ascii_case(word), parts.last_mut()) {
                (false, Some(last)) => {
                    last.push(' ');
                    last.push_str(one);
                }
                _ => parts.push(String::new()),
            }
        }
        parts.retain(|part| !part.is_empty());
        parts
    };
    let all = |text: &String| {
        split(text, "and")
            .iter()
            .map(|one| name(one))
            .collect::<Vec<_>>()
            .join(" AND ")
    };
    split(text, "or").iter().map(all).collect::<Vec<_>>().join(" OR ")
}

/// One licence, by SPDX's name.
fn name(text: &str) -> String {
    let plain = text.trim();
    let lower = plain.to_ascii_lowercase();
    if let Some((_, known)) = NAMES.iter().find(|(debian, _)| *debian == lower) {
        return (*known).to_owned();
    }
    let letters = plain.replace('+', "-or-later");
    let safe = letters.chars().map(|c| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
        _ => '-',
    });
    format!("{OTHER}{}", safe.collect::<String>())
}

/// Names in an expression that SPDX has none for.
pub(super) fn references(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split([' ', '(', ')']);
    words.filter(|word| word.starts_with(OTHER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_expressions() {
        let files = |license: &str| format!("Files: *\nCopyright: x\nLicense: {license}\n some text\n\n");
        let read = |licenses: &[&str]| {
            let paragraphs: String = licenses.iter().map(|license| files(license)).collect();
            expression(&format!(
                "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n{paragraphs}License: GPL-2\n On Debian\n"
            ))
        };
        assert_eq!(read(&["Expat"]), "MIT");
        assert_eq!(
            read(&["GPL-2+", "GPL-2+", "BSD-3-clause"]),
            "GPL-2.0-or-later AND BSD-3-Clause"
        );
        assert_eq!(
            read(&["GPL-1+ or Artistic", "Zlib"]),
            "(GPL-1.0-or-later OR LicenseRef-Artistic) AND Zlib"
        );
        assert_eq!(
            read(&["LGPL-2.1, and public domain"]),
            "LGPL-2.1-only AND LicenseRef-public-domain"
        );
        assert_eq!(read(&[]), "");
        assert_eq!(expression("This package was debianized by hand.\nLicense: GPL\n"), "");
        let found: Vec<_> = references("(A OR LicenseRef-x) AND LicenseRef-y").collect();
        assert_eq!(found, ["LicenseRef-x", "LicenseRef-y"]);
    }
}
