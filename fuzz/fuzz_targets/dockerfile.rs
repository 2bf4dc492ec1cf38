//! Dockerfiles: any bytes are read or refused, and every word of them expands or does not, in bounded time.

#![no_main]

use corten_dockerfile::{Command, Dockerfile, exposed, expand, expand_list};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Dockerfile::parse(bytes) else { return };
    assert!(!file.stages.is_empty());
    let lookup = |name: &str| (name.len() % 2 == 0).then(|| name.to_uppercase());
    for instruction in file.stages.iter().flat_map(|stage| &stage.instructions) {
        assert!(instruction.lines.first <= instruction.lines.last);
        match &instruction.command {
            Command::Env(pairs) | Command::Label(pairs) => {
                for (name, value) in pairs {
                    let _ = expand(name, file.directives.escape, &lookup);
                    let _ = expand(value, file.directives.escape, &lookup);
                }
            }
            Command::Expose(words) => {
                for word in expand_list(words, file.directives.escape, &lookup).unwrap_or_default() {
                    let _ = exposed(&word);
                }
            }
            _ => {}
        }
    }
});
