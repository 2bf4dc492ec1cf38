//! Keys of steps: digests of all that a step sees, and what they were made of, to tell what changed.

use corten_oci::digest::{Algorithm, Digest, Hasher};

/// The most parts that are remembered of one key.
const MOST: usize = 1000;

/// Makes keys: of parts, each set off from the next.
#[derive(Debug)]
pub(crate) struct Key {
    hasher: Hasher,
    parts: Vec<(String, String)>,
}

/// A key and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keyed {
    pub(crate) digest: Digest,
    /// Names and short digests.
    pub(crate) parts: Vec<(String, String)>,
}

impl Key {
    pub(crate) fn new(kind: &str) -> Self {
        Self {
            hasher: Hasher::new(Algorithm::Sha256),
            parts: Vec::new(),
        }
        .with(kind)
    }

    pub(crate) fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.hasher.update(&(part.len() as u64).to_le_bytes());
        self.hasher.update(part);
        self
    }

    pub(crate) fn with_all<T: AsRef<[u8]>>(self, parts: impl IntoIterator<Item = T>) -> Self {
        let parts: Vec<T> = parts.into_iter().collect();
        let counted = self.with((parts.len() as u64).to_le_bytes());
        parts.iter().fold(counted, |key, part| key.with(part))
    }

    /// Remembers a part by a name, without making it part of the key.
    pub(crate) fn noted(mut self, name: impl Into<String>, part: impl AsRef<[u8]>) -> Self {
        if self.parts.len() < MOST {
            let digest = Digest::sha256(part.as_ref());
            let short = digest.hex().get(..16).unwrap_or_default().to_owned();
            self.parts.push((name.into(), short));
        }
        self
    }

    /// Remembers what was noted elsewhere.
    pub(crate) fn noted_all(mut self, parts: Vec<(String, String)>) -> Self {
        let room = MOST.saturating_sub(self.parts.len());
        self.parts.extend(parts.into_iter().take(room));
        self
    }

    pub(crate) fn finish(self) -> Keyed {
        Keyed {
            digest: self.hasher.finish(),
            parts: self.parts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_their_parts_apart() {
        let key = |parts: &[&str]| Key::new("k").with_all(parts).finish().digest;
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
        assert_ne!(key(&["a", "b"]), key(&["ab"]));
        assert_ne!(key(&["a", ""]), key(&["a"]));
        let noted = Key::new("k").noted("the command", "x").finish();
        assert_eq!((noted.digest, noted.parts.len()), (Key::new("k").finish().digest, 1));
    }
}
