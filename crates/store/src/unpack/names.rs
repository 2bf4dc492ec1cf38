//! What a name in an archive means: an entry, a whiteout, the root, or nothing good.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// Marks a deleted name; the rest is the name. OCI image-spec, layer.md "Whiteouts".
const WHITEOUT: &[u8] = b".wh.";
/// Marks a folder whose lower contents are hidden.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Names reserved for aufs's own, which nobody unpacks.
const RESERVED: &[u8] = b".wh..wh.";

/// What an entry's name asks for; folders are cleaned paths without a slash at either end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// The layer's root itself.
    Root,
    /// Something at a name in a folder.
    Entry { folder: &'a [u8], name: &'a [u8] },
    /// A name in a folder is deleted.
    Whiteout { folder: &'a [u8], name: &'a [u8] },
    /// A folder hides what is below it.
    Opaque { folder: &'a [u8] },
    /// Aufs's own files.
    Ignored,
}

/// Cleans a name: no slash at either end, no empty parts, no dots.
///
/// # Errors
/// When it leads outside the layer.
pub(crate) fn clean(path: &[u8]) -> Result<Cow<'_, [u8]>> {
    let trimmed = trim(path);
    let parts = || trimmed.split(|byte| *byte == b'/');
    if trimmed.is_empty() || !parts().any(|part| matches!(part, b"" | b"." | b"..")) {
        return Ok(Cow::Borrowed(trimmed));
    }
    let mut clean: Vec<&[u8]> = Vec::new();
    for part in parts() {
        match part {
            b"" | b"." => {}
            b".." => {
                clean
                    .pop()
                    .ok_or_else(|| Error::invalid("invalid path: it leads outside the layer"))?;
            }
            part => clean.push(part),
        }
    }
    Ok(Cow::Owned(clean.join(&b'/')))
}

/// Classifies an entry's clean name.
pub(super) fn target(path: &[u8]) -> Result<Target<'_>> {
    match plain(path) {
        Target::Entry { folder, name } if name.starts_with(WHITEOUT) => whiteout(folder, name),
        other => Ok(other),
    }
}

/// Splits a clean name without looking for whiteouts.
pub(super) fn plain(path: &[u8]) -> Target<'_> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Target::Entry {
            folder: &path[..slash],
            name: &path[slash + 1..],
        },
        None if path.is_empty() => Target::Root,
        None => Target::Entry {
            folder: &[],
            name: path,
        },
    }
}

fn whiteout<'a>(folder: &'a [u8], name: &'a [u8]) -> Result<Target<'a>> {
    if name == OPAQUE {
        return Ok(Target::Opaque { folder });
    }
    if name.starts_with(RESERVED) {
        return Ok(Target::Ignored);
    }
    match &name[WHITEOUT.len()..] {
        b"" | b"." | b".." => Err(Error::invalid("it deletes no name")),
        name => Ok(Target::Whiteout { folder, name }),
    }
}

/// Takes slashes and single dots off both ends.
fn trim(mut path: &[u8]) -> &[u8] {
    loop {
        let before = path.len();
        while let Some(rest) = path.strip_prefix(b"/").or_else(|| path.strip_prefix(b"./")) {
            path = rest;
        }
        while let Some(rest) = path.strip_suffix(b"/").or_else(|| path.strip_suffix(b"/.")) {
            path = rest;
        }
        if path == b"." {
            return &[];
        }
        if path.len() == before {
            return path;
        }
    }
}

/// A name for people.
pub(super) fn display(path: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned() {
        fn check(path: &str, expected: &str) {
            assert_eq!(clean(path.as_bytes()).expect(path), expected.as_bytes(), "{path}");
        }
        check("", "");
        check(".", "");
        check("./", "");
        check("/", "");
        check("./a/b/", "a/b");
        check("/a//b", "a/b");
        check("a/./b/.", "a/b");
        check("a/../b", "b");
        check("a/..", "");
        check("...", "...");
    }

    #[test]
    fn names_that_lead_outside_are_refused() {
        for path in ["..", "../x", "a/../../x", "/..", "./../x"] {
            clean(path.as_bytes()).expect_err(path);
        }
    }

    #[test]
    fn whiteouts_are_recognised() {
        fn check(path: &str, expected: Target<'_>) {
            assert_eq!(target(path.as_bytes()).expect(path), expected, "{path}");
        }
        check(
            "a/.wh.b",
            Target::Whiteout {
                folder: b"a",
                name: b"b",
            },
        );
        check(
            ".wh.b",
            Target::Whiteout {
                folder: b"",
                name: b"b",
            },
        );
        check("a/.wh..wh..opq", Target::Opaque { folder: b"a" });
        check(".wh..wh.plnk", Target::Ignored);
        check(
            "a/b",
            Target::Entry {
                folder: b"a",
                name: b"b",
            },
        );
        for path in [".wh.", "a/.wh..", "a/.wh..."] {
            target(path.as_bytes()).expect_err(path);
        }
    }
}
