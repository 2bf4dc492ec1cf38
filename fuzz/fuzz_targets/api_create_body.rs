//! The body of `POST /containers/create`: whatever is accepted is written and read back the same, whatever the case of its keys.

#![no_main]

use corten_api::container::CreateRequest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = corten_api::decode_request::<CreateRequest>(bytes) {
        let written = serde_json::to_vec(&request).expect("a request is written");
        let again: CreateRequest = corten_api::decode_request(&written).expect("what was written is read");
        assert_eq!(again, request);
    }
});
