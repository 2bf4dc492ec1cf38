//! Templates of `--format`: whatever the text, the answer is a text or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;

const DOCUMENT: &[u8] = br#"{"Name":"/a","N":3,"F":1.5,"Null":null,"L":["x","y"],"M":{"a":"b"},"S":{"T":{"U":1}}}"#;

fuzz_target!(|template: &str| {
    // Both outcomes are fine; a panic or a hang is not.
    let _ = corten_cli::render_template(template, DOCUMENT);
});
