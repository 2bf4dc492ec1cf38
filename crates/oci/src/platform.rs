//! Platforms: which operating system and processor an image is for, how people write them, and
//! which of an index's manifests fits a host best.
//!
//! OCI image-spec, image-index.md "platform"; the text form and its normal form are containerd's
//! (`linux/arm64/v8`, `arm64`, `linux`, `windows(10.0.17763)/amd64`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::image::Descriptor;

/// What an image is for, or what a host can run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Platform {
    /// Processor architecture in Go's words (`amd64`, `arm64`).
    #[serde(default)]
    pub architecture: String,
    /// Operating system in Go's words (`linux`).
    #[serde(default)]
    pub os: String,
    /// Version of the operating system; only Windows images have one.
    #[serde(rename = "os.version", default, skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Features of the operating system the image needs; only Windows images have them.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Variant of the architecture (`v7`, `v8`), empty for the usual one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// Why a text is no platform, in containerd's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParsePlatformError {
    /// A single word that is neither a known system nor a known architecture.
    #[error("{0:?}: unknown operating system or architecture: invalid argument")]
    Unknown(String),
    /// A part with letters that no part may have.
    #[error(
        "{part:?} is an invalid component of {text:?}: platform specifier component must match \"^[A-Za-z0-9_.-]+$\": invalid argument"
    )]
    Component {
        /// The bad part.
        part: String,
        /// The whole text.
        text: String,
    },
    /// More than three parts.
    #[error("{0:?}: cannot parse platform specifier: invalid argument")]
    Parts(String),
}

impl Platform {
    /// A platform in normal form.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let mut platform = Self {
            os: os.into(),
            ..Self::default()
        };
        architecture.clone_into(&mut platform.architecture);
        variant.clone_into(&mut platform.variant);
        platform.normalized()
    }

    /// The platform this program was built for.
    #[must_use]
    pub fn host() -> Self {
        Self::new("linux", std::env::consts::ARCH, "")
    }

    /// The same platform with aliases replaced and usual variants left out, as containerd does.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        self.os = normal_os(&self.os);
        let architecture = self.architecture.to_ascii_lowercase();
        let variant = self.variant.to_ascii_lowercase();
        let (architecture, variant) = normal_architecture(&architecture, &variant);
        self.architecture = architecture;
        self.variant = variant;
        self
    }

    /// How well an image for `candidate` runs on this host: 0 is exactly right, larger is an older
    /// variant or the 32-bit sister, `None` does not run.
    #[must_use]
    pub fn rank(&self, candidate: &Self) -> Option<usize> {
        let candidate = candidate.clone().normalized();
        let host = self.clone().normalized();
        if candidate.os != host.os || (!host.os_version.is_empty() && host.os_version != candidate.os_version) {
            return None;
        }
        runnable(&host.architecture, &host.variant)
            .iter()
            .position(|(architecture, variant)| {
                *architecture == candidate.architecture && *variant == candidate.variant
            })
    }

    /// Whether an image for `candidate` satisfies a request for this platform.
    #[must_use]
    pub fn accepts(&self, candidate: &Self) -> bool {
        self.rank(candidate).is_some()
    }

    /// The manifests of an index that can run here, the best first and in the index's order among
    /// equals. Attestations are left out; a manifest without a platform comes last.
    #[must_use]
    pub fn candidates<'a>(&self, manifests: &'a [Descriptor]) -> Vec<&'a Descriptor> {
        let mut ranked: Vec<(usize, &Descriptor)> = manifests
            .iter()
            .filter(|manifest| !manifest.is_attestation())
            .filter_map(|manifest| match &manifest.platform {
                Some(platform) if !platform.os.is_empty() => Some((self.rank(platform)?, manifest)),
                Some(_) | None => Some((usize::MAX, manifest)),
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, manifest)| manifest).collect()
    }
}

/// Docker's words when a local image is for another platform than the one asked for.
#[must_use]
pub fn mismatch(reference: &str, image: &Platform, wanted: &Platform) -> String {
    format!(
        "image with reference {reference} was found but its platform ({image}) does not match the specified platform ({wanted})"
    )
}

/// Docker's words when an index holds nothing for the platform.
#[must_use]
pub fn no_match(wanted: &Platform) -> String {
    format!("no matching manifest for {wanted} in the manifest list entries")
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.os.is_empty() {
            return f.write_str("unknown");
        }
        f.write_str(&self.os)?;
        if !self.os_version.is_empty() {
            write!(f, "({})", self.os_version)?;
        }
        for part in [&self.architecture, &self.variant] {
            if !part.is_empty() {
                write!(f, "/{part}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts: Vec<&str> = text.split('/').collect();
        let mut os_version = "";
        if let Some((os, version)) = parts[0].strip_suffix(')').and_then(|first| first.split_once('(')) {
            parts[0] = os;
            os_version = version;
        }
        check_parts(text, &parts, os_version)?;
        let mut platform = match parts[..] {
            [one] => single(text, one)?,
            [os, architecture] => Self::new(os, architecture, ""),
            [os, architecture, variant] => Self::new(os, architecture, variant),
            _ => return Err(ParsePlatformError::Parts(text.into())),
        };
        if platform.architecture == "arm64" && parts.len() == 3 && platform.variant.is_empty() {
            "v8".clone_into(&mut platform.variant);
        }
        if platform.architecture == "arm" && parts.len() < 3 && platform.variant == "v7" {
            platform.variant.clear();
        }
        os_version.clone_into(&mut platform.os_version);
        Ok(platform)
    }
}

fn check_parts(text: &str, parts: &[&str], os_version: &str) -> Result<(), ParsePlatformError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let bad = |part: &str| part.is_empty() || !part.bytes().all(allowed);
    let version = (!os_version.is_empty()).then_some(os_version);
    match parts.iter().copied().chain(version).find(|part| bad(part)) {
        Some(part) => Err(ParsePlatformError::Component {
            part: part.into(),
            text: text.into(),
        }),
        None => Ok(()),
    }
}

/// One word is a system (for this host's processor) or a processor (for Linux).
fn single(text: &str, word: &str) -> Result<Platform, ParsePlatformError> {
    let host = Platform::host();
    let os = normal_os(word);
    if KNOWN_OS.contains(&os.as_str()) {
        return Ok(Platform::new(&os, &host.architecture, &host.variant));
    }
    let platform = Platform::new("linux", word, "");
    if KNOWN_ARCHITECTURES.contains(&platform.architecture.as_str()) {
        return Ok(platform);
    }
    Err(ParsePlatformError::Unknown(text.into()))
}

const KNOWN_OS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

const KNOWN_ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

fn normal_os(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "" => "linux".into(),
        "macos" => "darwin".into(),
        other => other.into(),
    }
}

fn normal_architecture(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = match (architecture, variant) {
        ("i386" | "386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1" | "1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", other) => ("amd64", other),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", other) => ("arm64", other),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.into(), variant.into())
}

/// What a processor runs, best first, in normal form.
fn runnable(architecture: &str, variant: &str) -> Vec<(&'static str, String)> {
    let level = variant.strip_prefix('v').and_then(|number| number.parse::<u8>().ok());
    let older = |architecture: &'static str, from: u8, to: u8| {
        (to..=from).rev().map(move |level| (architecture, format!("v{level}")))
    };
    match architecture {
        "amd64" => {
            let levels = older("amd64", level.unwrap_or(1).min(9), 2);
            levels
                .chain([("amd64", String::new()), ("386", String::new())])
                .collect()
        }
        "arm" => older("arm", level.unwrap_or(7).min(9), 5).collect(),
        "arm64" => {
            let own = (!variant.is_empty()).then(|| ("arm64", variant.to_owned()));
            let usual = [("arm64", String::new())];
            own.into_iter().chain(usual).chain(older("arm", 8, 5)).collect()
        }
        other => match KNOWN_ARCHITECTURES.iter().find(|known| **known == other) {
            Some(known) => vec![(known, variant.to_owned())],
            None => Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_parsed_and_normalised() {
        fn check(text: &str, expected: &str) {
            assert_eq!(text.parse::<Platform>().expect(text).to_string(), expected, "{text}");
        }
        check("linux/amd64", "linux/amd64");
        check("linux/x86_64", "linux/amd64");
        check("Linux/AMD64/v1", "linux/amd64");
        check("linux/arm64", "linux/arm64");
        check("linux/arm64/v8", "linux/arm64/v8");
        check("aarch64", "linux/arm64");
        check("armhf", "linux/arm");
        check("linux/arm/v6", "linux/arm/v6");
        check("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64");
        assert_eq!("linux".parse::<Platform>().expect("os"), Platform::host());
    }

    #[test]
    fn bad_text_is_refused() {
        fn check(text: &str, expected: &str) {
            assert!(
                text.parse::<Platform>().expect_err(text).to_string().contains(expected),
                "{text}"
            );
        }
        check("bogus", "\"bogus\": unknown operating system or architecture");
        check("", "invalid component");
        check("linux/", "invalid component");
        check("linux/a b", "\"a b\" is an invalid component of \"linux/a b\"");
        check("a/b/c/d", "cannot parse platform specifier");
    }

    #[test]
    fn the_best_manifest_comes_first() {
        let manifest = |platform: Option<Platform>| Descriptor {
            platform,
            ..Descriptor::new("m", crate::digest::Digest::sha256(b""), 1)
        };
        let manifests = [
            manifest(None),
            manifest(Some(Platform::new("linux", "arm", "v5"))),
            manifest(Some(Platform::new("linux", "arm", "v7"))),
            manifest(Some(Platform::new("linux", "amd64", ""))),
            manifest(Some(Platform::new("unknown", "unknown", ""))),
        ];
        let names = |host: &Platform| -> Vec<String> {
            host.candidates(&manifests)
                .iter()
                .map(|found| found.platform.as_ref().map_or("none".into(), ToString::to_string))
                .collect()
        };
        assert_eq!(
            names(&Platform::new("linux", "arm64", "v8")),
            ["linux/arm/v7", "linux/arm/v5", "none"]
        );
        assert_eq!(names(&Platform::new("linux", "amd64", "v3")), ["linux/amd64", "none"]);
        assert_eq!(names(&Platform::new("linux", "s390x", "")), ["none"]);
    }

    #[test]
    fn dockers_words() {
        let text = mismatch(
            "busybox",
            &Platform::new("linux", "amd64", ""),
            &Platform::new("linux", "arm64", ""),
        );
        assert_eq!(
            text,
            "image with reference busybox was found but its platform (linux/amd64) does not match the specified platform (linux/arm64)"
        );
    }
}
