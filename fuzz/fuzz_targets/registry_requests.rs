//! Paths, ranges and tokens as a registry's clients send them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    corten_registry::fuzzing::path(&text);
    corten_registry::fuzzing::token(&text);
    corten_registry::fuzzing::ranges(&text, u64::try_from(bytes.len()).unwrap_or(0));
    corten_registry::fuzzing::ranges(&text, u64::MAX);
});
