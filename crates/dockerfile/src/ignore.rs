//! `.dockerignore`: which files of a context are left out (Docker reference, ".dockerignore file").

use crate::{
    glob::{self, PathPattern},
    paths::clean,
};

/// The patterns of a `.dockerignore`; the last one that matches decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ignore(Vec<(bool, PathPattern)>);

impl Ignore {
    /// Reads a file's text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self::of(text.lines().filter(|line| !line.starts_with('#')))
    }

    /// What is wrong with a file's text: the line and why, in the words of Docker's clients. Patterns that are none
    /// would leave nothing out, and nobody would know.
    #[must_use]
    pub fn mistake(text: &str) -> Option<(usize, String)> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
        lines.into_iter().find_map(|(at, line)| {
            let line = line.trim();
            let why = match line.strip_prefix('!').map(str::trim) {
                Some("") => "illegal exclusion pattern",
                pattern if !glob::is_whole(pattern.unwrap_or(line)) => "syntax error in pattern",
                _ => return None,
            };
            Some((at + 1, format!("{why}: {line:?}")))
        })
    }

    /// From single patterns, as those of `COPY --exclude`.
    #[must_use]
    pub fn of<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let rules = patterns.into_iter().filter_map(|line| {
            let line = line.trim();
            let (keeps, pattern) = match line.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, line),
            };
            let clean = clean(pattern);
            // A pattern of the context itself leaves nothing out.
            (!clean.is_empty()).then(|| (keeps, PathPattern::new(&clean)))
        });
        Self(rules.collect())
    }

    /// Whether nothing is left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a path, from the context's root and without a leading slash, is left out.
    #[must_use]
    pub fn excludes(&self, path: &str) -> bool {
        let decides = |(_, pattern): &&(bool, PathPattern)| pattern.matches_or_holds(path);
        self.0.iter().rev().find(decides).is_some_and(|(keeps, _)| !keeps)
    }

    /// Whether a folder that is left out may nevertheless have something in it that is not.
    #[must_use]
    pub fn may_keep_below(&self) -> bool {
        self.0.iter().any(|(keeps, _)| *keeps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &str, excluded: &[&str], kept: &[&str]) {
        let ignore = Ignore::parse(patterns);
        for path in excluded {
            assert!(ignore.excludes(path), "{patterns:?} should leave out {path}");
        }
        for path in kept {
            assert!(!ignore.excludes(path), "{patterns:?} should keep {path}");
        }
    }

    #[test]
    fn patterns_that_are_none_are_found() {
        for good in [
            "",
            "a",
            "\u{feff}# [\n",
            "[a-c]x",
            "[^]x]a",
            "\\[",
            "[\\]]",
            "**/*.[oa]",
            "!x",
            "{a,b}",
        ] {
            let expected = (good == "[^]x]a").then(|| (1, "syntax error in pattern: \"[^]x]a\"".to_owned()));
            assert_eq!(Ignore::mistake(good), expected, "{good:?}");
        }
        for (bad, line, why) in [
            ("a\n[", 2, "syntax error in pattern: \"[\""),
            ("[a-", 1, "syntax error in pattern: \"[a-\""),
            ("[]a]", 1, "syntax error in pattern: \"[]a]\""),
            ("#[\n\n!b[\n", 3, "syntax error in pattern: \"!b[\""),
            ("a\\", 1, "syntax error in pattern: \"a\\\\\""),
            ("x\n ! \n", 2, "illegal exclusion pattern: \"!\""),
        ] {
            assert_eq!(Ignore::mistake(bad), Some((line, why.to_owned())), "{bad:?}");
        }
    }

    #[test]
    fn the_last_match_decides() {
        check(
            "*.log\n!keep.log\nsecret\n",
            &["a.log", "secret/x"],
            &["keep.log", "b.txt", "d/a.log"],
        );
        check(
            "*.md\n!README*.md\nREADME-secret.md",
            &["a.md", "README-secret.md"],
            &["README.md"],
        );
        check("*.md\nREADME-secret.md\n!README*.md", &["a.md"], &["README-secret.md"]);
    }

    #[test]
    fn patterns_are_rooted() {
        check("/foo/bar/\n", &["foo/bar", "foo/bar/x"], &["x/foo/bar"]);
        check("*/temp*", &["a/temporary.txt"], &["temp", "a/b/temp"]);
        check(
            "**/node_modules",
            &["node_modules", "a/b/node_modules/x"],
            &["node_modules_x"],
        );
        check("a/../b\n./c\n", &["b", "c"], &["a"]);
    }

    #[test]
    fn folders_can_have_exceptions() {
        check("dir\n!dir/keep\n", &["dir", "dir/x"], &["dir/keep", "dir/keep/below"]);
        check("*\n!src\n", &["Makefile"], &["src", "src/main.rs"]);
        assert!(Ignore::parse("*\n!src").may_keep_below());
    }

    #[test]
    fn comments_and_nothing() {
        check("# a comment\n\n.\n/\n", &[], &["# a comment", "x"]);
        check("\u{feff}x", &["x"], &[]);
    }
}
