//! The body of `POST /containers/create`: whatever is accepted is written and read back the same.

#![no_main]

use corten_api::container::CreateRequest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = corten_api::decode::<CreateRequest>(bytes) {
        let written = serde_json::to_vec(&request).expect("a request is written");
        let again: CreateRequest = corten_api::decode(&written).expect("what was written is read");
        assert_eq!(again, request);
    }
});
