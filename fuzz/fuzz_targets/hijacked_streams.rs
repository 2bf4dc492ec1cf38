//! Connections that left HTTP: Docker's frames of output, and a websocket client's frames. In whatever pieces
//! they arrive, the same comes out.

#![no_main]

use corten_api::stream::{Decoder, Stream};
use libfuzzer_sys::fuzz_target;

fn decode(pieces: &[&[u8]]) -> Result<Vec<(Stream, u8)>, u8> {
    let mut decoder = Decoder::default();
    let mut found = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while let Some((stream, data)) = decoder.next(&mut rest).map_err(|bad| bad.0)? {
            found.extend(data.iter().map(|byte| (stream, *byte)));
        }
    }
    Ok(found)
}

fuzz_target!(|input: (Vec<u8>, u8)| {
    let (bytes, at) = input;
    let (front, back) = bytes.split_at(usize::from(at).min(bytes.len()));
    assert_eq!(decode(&[&bytes]), decode(&[front, back]));
    let whole = corten_daemon::websocket_payload(&[&bytes]);
    assert_eq!(whole, corten_daemon::websocket_payload(&[front, back]));
});
