//! Image references as Docker normalises them: `[domain/]path[:tag][@digest]`.
//!
//! A short name stands for one at Docker Hub: `nginx` is `docker.io/library/nginx`. The first part of a
//! name is a registry's domain when it holds a `.` or a `:`, is `localhost`, or has an upper-case letter.
//! [`Reference`] keeps the full form; [`Reference::familiar`] gives the short one back for people.
//! Nothing is added silently: a name without tag and digest stays so until [`Reference::or_latest`].
//!
//! Grammar and error texts are those of `github.com/distribution/reference`, which every Docker tool
//! uses. One difference: a first part that reads as a domain but is not one (`a_b.c/d`) is refused here,
//! where Docker takes it for a name without registry that can never be pulled.
//!
//! ```
//! use corten_oci::reference::Reference;
//!
//! let image: Reference = "nginx".parse()?;
//! assert_eq!(image.or_latest().to_string(), "docker.io/library/nginx:latest");
//! # Ok::<(), corten_oci::reference::InvalidReference>(())
//! ```

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, ParseDigestError};

/// The domain that short names belong to.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// The tag that stands for none.
pub const DEFAULT_TAG: &str = "latest";

const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
/// Longest repository path, in bytes (distribution/reference, `RepositoryNameTotalLengthMax`).
const PATH_MAX: usize = 255;
/// Longest tag, in bytes.
const TAG_MAX: usize = 128;

/// Why a text is no reference, in the words Docker uses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidReference(String);

impl InvalidReference {
    fn format() -> Self {
        Self("invalid reference format".into())
    }
}

/// A repository's full name: the registry's domain and the path there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    domain: String,
    path: String,
}

impl Repository {
    /// The registry, with its port if it has one: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The name within the registry: `library/nginx`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name as people write it: `nginx`, `user/app`, `localhost:5000/app`.
    pub fn familiar(&self) -> Cow<'_, str> {
        if self.domain != DEFAULT_DOMAIN {
            return Cow::Owned(self.to_string());
        }
        match self.path.strip_prefix(OFFICIAL_PREFIX) {
            Some(rest) if !rest.contains('/') => Cow::Borrowed(rest),
            _ => Cow::Borrowed(&self.path),
        }
    }

    /// The reference that names a tag here.
    ///
    /// # Errors
    /// When the tag is not one.
    pub fn with_tag(&self, tag: &str) -> Result<Reference, InvalidReference> {
        if !is_tag(tag) {
            return Err(InvalidReference("invalid tag format".into()));
        }
        Ok(Reference {
            repository: self.clone(),
            tag: Some(tag.into()),
            digest: None,
        })
    }

    /// The reference that names content here.
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference {
            repository: self.clone(),
            tag: None,
            digest: Some(digest),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)
    }
}

/// A repository with, optionally, a tag and a digest in it.
///
/// Displays and serialises as the full form, which parses back to the same value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    repository: Repository,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The repository without tag and digest.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The registry, with its port if it has one.
    pub fn domain(&self) -> &str {
        &self.repository.domain
    }

    /// The name within the registry.
    pub fn path(&self) -> &str {
        &self.repository.path
    }

    /// The tag, if one is written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one is written.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether neither tag nor digest is written.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// This reference, or its `latest` when neither tag nor digest is written.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.is_name_only() {
            self.tag = Some(DEFAULT_TAG.into());
        }
        self
    }

    /// The form people write: `nginx:latest`, `localhost:5000/app@sha256:…`.
    pub fn familiar(&self) -> String {
        let mut text = self.repository.familiar().into_owned();
        self.push_suffix(&mut text);
        text
    }

    fn push_suffix(&self, text: &mut String) {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.repository.to_string();
        self.push_suffix(&mut text);
        f.write_str(&text)
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidReference(format!(
                "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            )));
        }
        let (domain, rest) = split_domain(text);
        let before_tag = rest.split(':').next().unwrap_or(&rest);
        if before_tag.to_lowercase() != before_tag {
            return Err(InvalidReference(format!(
                "invalid reference format: repository name ({before_tag}) must be lowercase"
            )));
        }
        let (named, digest) = match rest.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (&*rest, None),
        };
        let (path, tag) = match named.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (named, None),
        };
        let well_formed = is_domain(domain)
            && path.split('/').all(is_path_component)
            && tag.is_none_or(is_tag)
            && digest.is_none_or(reads_as_digest);
        if !well_formed {
            return Err(InvalidReference::format());
        }
        if path.len() > PATH_MAX {
            return Err(InvalidReference(format!(
                "repository name must not be more than {PATH_MAX} characters"
            )));
        }
        Ok(Self {
            repository: Repository {
                domain: domain.into(),
                path: path.into(),
            },
            tag: tag.map(Into::into),
            digest: digest
                .map(str::parse)
                .transpose()
                .map_err(|error: ParseDigestError| InvalidReference(error.to_string()))?,
        })
    }
}

impl From<Repository> for Reference {
    fn from(repository: Repository) -> Self {
        Self {
            repository,
            tag: None,
            digest: None,
        }
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Cow<'de, str>>::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// Splits off the registry's domain and completes the path of an official image.
fn split_domain(text: &str) -> (&str, Cow<'_, str>) {
    let Some((first, rest)) = text.split_once('/') else {
        return (DEFAULT_DOMAIN, Cow::Owned(format!("{OFFICIAL_PREFIX}{text}")));
    };
    let (domain, rest) = match first {
        LEGACY_DEFAULT_DOMAIN => (DEFAULT_DOMAIN, rest),
        "localhost" => (first, rest),
        _ if first.contains(['.', ':']) || first.to_lowercase() != first => (first, rest),
        _ => (DEFAULT_DOMAIN, text),
    };
    if domain == DEFAULT_DOMAIN && !rest.contains('/') {
        return (domain, Cow::Owned(format!("{OFFICIAL_PREFIX}{rest}")));
    }
    (domain, Cow::Borrowed(rest))
}

/// Host name, IPv4 or bracketed IPv6 address, with an optional port.
fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rfind(':') {
        Some(at) if !domain.ends_with(']') => (&domain[..at], Some(&domain[at + 1..])),
        _ => (domain, None),
    };
    let port_fits = port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    let host_fits = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        }),
    };
    port_fits && host_fits
}

/// Lower-case letters and digits, joined by one `.`, one or two `_`, or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends_fit = |b: Option<&u8>| b.is_some_and(|b| alphanumeric(*b));
    let bytes = component.as_bytes();
    ends_fit(bytes.first())
        && ends_fit(bytes.last())
        && component
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// The loose form that the grammar asks of a digest, before its algorithm is looked at.
fn reads_as_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else {
        return false;
    };
    algorithm.split(['+', '.', '-', '_']).all(|part| {
        part.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    }) && hex.len() >= 32
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn short_names_are_completed() {
        for (input, full, familiar) in [
            ("nginx", "docker.io/library/nginx", "nginx"),
            ("nginx:1.25", "docker.io/library/nginx:1.25", "nginx:1.25"),
            ("user/app", "docker.io/user/app", "user/app"),
            ("docker.io/nginx", "docker.io/library/nginx", "nginx"),
            ("index.docker.io/nginx", "docker.io/library/nginx", "nginx"),
            ("docker.io/library/nginx", "docker.io/library/nginx", "nginx"),
            ("library/nginx", "docker.io/library/nginx", "nginx"),
            ("library/a/b", "docker.io/library/a/b", "library/a/b"),
            ("localhost", "docker.io/library/localhost", "localhost"),
            ("localhost/app", "localhost/app", "localhost/app"),
            ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
            (
                "127.0.0.1:5999/gp/fresh:1",
                "127.0.0.1:5999/gp/fresh:1",
                "127.0.0.1:5999/gp/fresh:1",
            ),
            ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
            ("[fd00::2]/app", "[fd00::2]/app", "[fd00::2]/app"),
            ("example.com/a/b/c", "example.com/a/b/c", "example.com/a/b/c"),
            ("GP/foo", "GP/foo", "GP/foo"),
            ("Registry/foo:Tag", "Registry/foo:Tag", "Registry/foo:Tag"),
            ("a__b/c-d--e.f_g", "docker.io/a__b/c-d--e.f_g", "a__b/c-d--e.f_g"),
            ("app:_x.y-Z", "docker.io/library/app:_x.y-Z", "app:_x.y-Z"),
            (
                "docker.io/library/nginx:5000",
                "docker.io/library/nginx:5000",
                "nginx:5000",
            ),
            ("app:5000", "docker.io/library/app:5000", "app:5000"),
        ] {
            let reference: Reference = input.parse().unwrap_or_else(|e| panic!("{input}: {e}"));
            assert_eq!(reference.to_string(), full, "{input}");
            assert_eq!(reference.familiar(), familiar, "{input}");
        }
    }

    #[test]
    fn tag_and_digest_stand_side_by_side() {
        let reference: Reference = format!("app:1@sha256:{HEX}").parse().unwrap();
        assert_eq!(reference.tag(), Some("1"));
        assert_eq!(
            reference.digest().map(ToString::to_string),
            Some(format!("sha256:{HEX}"))
        );
        assert_eq!(reference.familiar(), format!("app:1@sha256:{HEX}"));
        assert_eq!(reference.repository().familiar(), "app");
        assert!(!reference.is_name_only());
    }

    #[test]
    fn latest_is_added_on_demand_only() {
        let parse = |s: &str| s.parse::<Reference>().unwrap();
        assert_eq!(parse("app").or_latest().familiar(), "app:latest");
        assert_eq!(parse("app:1").or_latest().familiar(), "app:1");
        let pinned = format!("app@sha256:{HEX}");
        assert_eq!(parse(&pinned).or_latest().familiar(), pinned);
    }

    #[test]
    fn errors_are_in_dockers_words() {
        let lower = |name: &str| format!("invalid reference format: repository name ({name}) must be lowercase");
        let format = || "invalid reference format".to_owned();
        let path_limit = "repository name must not be more than 255 characters".to_owned();
        for (input, message) in [
            ("bad ref:::".to_owned(), format()),
            (String::new(), format()),
            (":tag".into(), format()),
            ("app:".into(), format()),
            ("app@".into(), format()),
            ("app@sha256:abc".into(), format()),
            ("-app".into(), format()),
            ("app-".into(), format()),
            ("a___b".into(), format()),
            ("a..b".into(), format()),
            ("a//b".into(), format()),
            ("a/".into(), format()),
            ("/a".into(), format()),
            ("https://example.com/app".into(), format()),
            ("host:port/app".into(), format()),
            ("host:/app".into(), format()),
            ("a_b.c/d".into(), format()),
            ("[::1/app".into(), format()),
            ("-host.com/app".into(), format()),
            ("app:1:2".into(), format()),
            ("app:-x".into(), format()),
            ("app:täg".into(), format()),
            (format!("app:{}", "x".repeat(129)), format()),
            ("UPPER:x".into(), lower("library/UPPER")),
            ("GP_Upper".into(), lower("library/GP_Upper")),
            ("UPPER:1".into(), lower("library/UPPER")),
            ("user/App".into(), lower("user/App")),
            ("example.com/App:1".into(), lower("App")),
            (
                HEX.into(),
                format!("invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"),
            ),
            (format!("example.com/{}", "a".repeat(256)), path_limit),
            (
                format!("app@sha256:{}", &HEX[..40]),
                "invalid checksum digest length".into(),
            ),
            (format!("app@md5:{}", &HEX[..32]), "unsupported digest algorithm".into()),
            (
                format!("app@sha256:{}", HEX.to_uppercase()),
                "invalid checksum digest format".into(),
            ),
        ] {
            match input.parse::<Reference>() {
                Ok(reference) => panic!("{input} became {reference}"),
                Err(error) => assert_eq!(error.to_string(), message, "{input}"),
            }
        }
    }

    #[test]
    fn limits_are_inclusive() {
        assert!(format!("example.com/{}", "a".repeat(255)).parse::<Reference>().is_ok());
        assert!(format!("app:{}", "x".repeat(128)).parse::<Reference>().is_ok());
    }

    #[test]
    fn serialises_as_the_full_text() {
        let reference: Reference = "nginx:1".parse().unwrap();
        let json = serde_json::to_string(&reference).unwrap();
        assert_eq!(json, r#""docker.io/library/nginx:1""#);
        assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), reference);
        assert!(serde_json::from_str::<Reference>(r#""UPPER""#).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,80}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
        }

        #[test]
        fn both_forms_lead_back(
            text in "([a-z]{1,4}(\\.[a-z]{1,3}|:[0-9]{1,4})/)?[a-z0-9]{1,5}([._-][a-z0-9]{1,3}){0,2}(/[a-z]{1,4}){0,2}(:[A-Za-z0-9_.-]{1,5})?"
        ) {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference.clone()));
                prop_assert_eq!(reference.familiar().parse::<Reference>(), Ok(reference));
            }
        }
    }
}
