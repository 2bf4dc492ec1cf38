//! `.dockerignore`: patterns and paths of any kind are matched in bounded time.

#![no_main]

use corten_dockerfile::{Ignore, glob_matches};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (patterns, path) = text.split_once('\0').unwrap_or((text, "a/b.c"));
    let ignore = Ignore::parse(patterns);
    let _ = (ignore.excludes(path), ignore.may_keep_below());
    let _ = glob_matches(patterns, path);
});
