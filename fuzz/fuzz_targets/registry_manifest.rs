//! Manifests as they are pushed: whatever is accepted is accepted by its own name too.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| corten_registry::fuzzing::manifest(bytes));
