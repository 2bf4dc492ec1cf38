//! Image references: whatever is accepted leads back to itself, in its full form.

#![no_main]

use corten_oci::reference::Reference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        let again: Reference = reference.to_string().parse().expect("the full form parses");
        assert_eq!(again, reference);
        assert!(!reference.path().is_empty() && !reference.domain().is_empty());
        assert!(!reference.or_latest().is_name_only());
    }
});
