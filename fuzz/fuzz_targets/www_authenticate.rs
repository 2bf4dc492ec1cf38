//! What registries send to say who may ask: challenges, and what clients send as credentials.

#![no_main]

use corten_distribution::AuthConfig;
use corten_distribution::auth::parse_challenges;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // Every challenge has at least one letter of the header.
    assert!(parse_challenges(text).len() <= text.len());
    if let Ok(Some(config)) = AuthConfig::from_header(text) {
        assert!(!config.is_empty());
    }
});
