//! Finds the keys that end a session in what a client types.

/// Looks for one sequence of bytes, across any cuts.
#[derive(Debug)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    /// How many of the keys the last bytes were; they are held back until the next byte decides.
    held: usize,
}

impl DetachKeys {
    /// Looks for `keys`; none when there are none to look for.
    pub(crate) fn new(keys: Vec<u8>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self { keys, held: 0 })
    }

    /// Passes `typed` on to `out` and returns whether the keys were in it.
    ///
    /// What follows the keys is dropped, as is what was held back when the client leaves.
    pub(crate) fn filter(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        for &byte in typed {
            while self.held > 0 && self.keys[self.held] != byte {
                // The first held byte was no start: the next candidate is a shorter border.
                let shorter = self.border();
                out.extend_from_slice(&self.keys[..self.held - shorter]);
                self.held = shorter;
            }
            if self.keys[self.held] == byte {
                self.held += 1;
                if self.held == self.keys.len() {
                    return true;
                }
            } else {
                out.push(byte);
            }
        }
        false
    }

    /// The length of the longest proper end of the held bytes that is also a start of the keys.
    fn border(&self) -> usize {
        let held = &self.keys[..self.held];
        (0..self.held)
            .rev()
            .find(|&length| held.ends_with(&held[..length]))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8], pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut matcher = DetachKeys::new(keys.to_vec()).unwrap();
        let mut out = Vec::new();
        let left = pieces.iter().any(|piece| matcher.filter(piece, &mut out));
        (out, left)
    }

    #[test]
    fn keys_are_found_across_cuts_and_false_starts_are_passed_on() {
        const KEYS: &[u8] = &[16, 17];
        for (keys, pieces, out, left) in [
            (KEYS, &[b"ls\n".as_slice()] as &[&[u8]], b"ls\n".as_slice(), false),
            (KEYS, &[b"\x10\x11"], b"", true),
            (KEYS, &[b"a\x10", b"\x11b"], b"a", true),
            (KEYS, &[b"\x10", b"x"], b"\x10x", false),
            (KEYS, &[b"\x10\x10", b"\x11"], b"\x10", true),
            (KEYS, &[b"\x10"], b"", false),
            (b"aab", &[b"aa", b"a", b"b"], b"a", true),
            (b"abac", &[b"abab", b"ac"], b"ab", true),
            (b"q", &[b"xq"], b"x", true),
        ] {
            assert_eq!(typed(keys, pieces), (out.to_vec(), left), "{pieces:?}");
        }
        assert!(DetachKeys::new(Vec::new()).is_none());
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_without_the_keys(text in proptest::collection::vec(0_u8..3, 0..40), cut in 1_usize..5) {
            let keys = [0, 1, 0, 0, 1, 2];
            let pieces: Vec<&[u8]> = text.chunks(cut).collect();
            let (out, left) = typed(&keys, &pieces);
            let place = text.windows(keys.len()).position(|window| window == keys);
            proptest::prop_assert_eq!(left, place.is_some());
            let whole = &text[..place.unwrap_or(text.len())];
            proptest::prop_assert!(whole.starts_with(&out));
            let held = &whole[out.len()..];
            proptest::prop_assert!(keys.starts_with(held));
        }
    }
}
