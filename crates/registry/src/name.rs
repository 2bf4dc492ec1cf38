//! Names of repositories and tags: checked once, harmless as parts of paths from then on.
//!
//! OCI distribution-spec 1.1, "Pulling manifests".

use std::fmt;
use std::str::FromStr;

use corten_oci::digest::Digest;

use crate::refusal::{Code, Refusal};

/// Longest name of a repository, in bytes (distribution/reference, `RepositoryNameTotalLengthMax`).
const NAME_MAX: usize = 255;
/// Longest tag, in bytes.
const TAG_MAX: usize = 128;

/// A repository's name: `library/nginx`. No part of it starts with `_` or `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(Box<str>);

/// A tag: `1.0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag(Box<str>);

/// What names a manifest within a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selector {
    /// By its content.
    Digest(Digest),
    /// By a name that may move.
    Tag(Tag),
}

impl Name {
    /// The name as it is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tag {
    /// The tag as it is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Tag(tag) => tag.fmt(f),
        }
    }
}

impl FromStr for Name {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() || text.len() > NAME_MAX || !text.split('/').all(is_component) {
            return Err(Refusal::new(
                Code::NameInvalid,
                format!("invalid repository name {text:.300?}"),
            ));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for Tag {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let starts = text.bytes().next().is_some_and(word);
        let goes_on = text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'));
        if !starts || !goes_on || text.len() > TAG_MAX {
            return Err(Refusal::new(Code::TagInvalid, format!("invalid tag {text:.200?}")));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for Selector {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if text.contains(':') {
            return digest(text).map(Self::Digest);
        }
        text.parse().map(Self::Tag)
    }
}

/// Reads a digest.
///
/// # Errors
/// `DIGEST_INVALID`.
pub(crate) fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse()
        .map_err(|error| Refusal::new(Code::DigestInvalid, format!("{error}: {text:.200?}")))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let is_letter = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let bytes = text.as_bytes();
    let ends_well = bytes.first().is_some_and(is_letter) && bytes.last().is_some_and(is_letter);
    let separators = bytes.split(is_letter).filter(|between| !between.is_empty());
    let is_separator =
        |between: &[u8]| matches!(between, b"." | b"_" | b"__") || between.iter().all(|byte| *byte == b'-');
    ends_well && separators.into_iter().all(is_separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        for good in ["a", "library/nginx", "a-b/c--d", "a.b_c__d/0", "x1/y2/z3"] {
            assert_eq!(good.parse::<Name>().expect(good).as_str(), good);
        }
        let long = "a".repeat(256);
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "..", "a/../b", "_a", "a_", "a___b", "-a", "a-", "a b", "ä",
            "a/_blobs", "a\0", &long,
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_and_digests_are_told_apart() {
        let tag = |text: &str| matches!(text.parse(), Ok(Selector::Tag(_)));
        assert!(tag("latest") && tag("_x.y-z") && tag("1"));
        let digest = format!("sha256:{}", "0".repeat(64));
        assert!(matches!(digest.parse(), Ok(Selector::Digest(_))));
        for bad in ["", ".x", "-x", "a/b", "sha256:bad", "x:y", &"a".repeat(129)] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }
}
