//! `daemon.json`: any bytes are read or refused with a sentence.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(sentence) = corten_daemon::check_daemon_json(bytes) {
        assert!(!sentence.is_empty());
    }
});
