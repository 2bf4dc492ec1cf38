//! Compose files: whatever the text, the answer is a project or an error with its place.

#![no_main]

use corten_compose::{Format, Sources, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let sources = Sources {
        files: vec!["-".into()],
        input: Some(text.to_owned()),
        working_dir: "/nowhere".into(),
        default_name: "fuzz".to_owned(),
        ..Sources::default()
    };
    // Both outcomes are fine; a panic or a hang is not. What was read can be written in both notations.
    let Ok(loaded) = load(&sources) else { return };
    let written = loaded.value.render(Format::Yaml);
    let _ = loaded.value.render(Format::Json);
    assert!(written.starts_with("name: "));
});
