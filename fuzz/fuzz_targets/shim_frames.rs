//! Frames of the shim's protocol, cut anywhere: taken or refused, and the same for every cut.

#![no_main]

use corten_shim::connection::{Decoder, encode};
use corten_shim::protocol::{Call, MAX_FRAME, Message, Start};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, stream)) = bytes.split_first() else {
        return;
    };
    let whole = frames(stream, stream.len().max(1));
    let pieces = frames(stream, usize::from(cut).max(1));
    assert_eq!(whole, pieces);
    for frame in &whole.0 {
        assert!(frame.len() <= MAX_FRAME);
        if let Ok(call) = serde_json::from_slice::<Call>(frame) {
            let again = encode(&call).expect("what was read can be written");
            serde_json::from_slice::<Call>(&again[4..]).expect("what was written can be read");
        }
        let _ = serde_json::from_slice::<Start>(frame);
        let _ = serde_json::from_slice::<Message>(frame);
    }
});

/// The frames of a stream fed in pieces, and whether it was refused in the end.
fn frames(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = Decoder::default();
    let mut found = Vec::new();
    for piece in stream.chunks(piece) {
        decoder.feed(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => found.push(frame.to_vec()),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}
