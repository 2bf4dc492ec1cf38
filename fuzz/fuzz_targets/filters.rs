//! The `filters` parameter: whatever is accepted is written in the present form and read back the same.

#![no_main]

use corten_api::filters::Filters;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(filters) = Filters::parse(text) {
        // Names without values are not written.
        let again = Filters::parse(&filters.to_json()).expect("the present form is read");
        assert_eq!(Filters::parse(&again.to_json()), Ok(again));
    }
    // Times and numbers in filters come from outside, too.
    let now = corten_api::time::Time::from_nanoseconds(0);
    let _ = corten_engine::time_filter::parse(text, now);
});
