//! Messages to and from the server of names: taken apart without fail, and answered with the right shape.

#![no_main]

use corten_shim::names::message::{Query, Record, Refusal, code, refuse_unread, response_code};
use corten_shim::names::{Place, Settings, decide};
use libfuzzer_sys::fuzz_target;

const ZONE: &str = "172.18.0.2 fd00::2 web 0123456789ab www\n172.18.0.3 - db www\n";

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let read = Settings::parse(&text);
    assert_eq!(Settings::parse(&read.render()), Settings::parse(&Settings::parse(&read.render()).render()));
    let query = match Query::parse(bytes) {
        Ok(query) => query,
        Err(Refusal::Silent) => return,
        Err(Refusal::Code(code)) => {
            assert_eq!(refuse_unread(bytes, code).expect("it has a head").len(), 12);
            return;
        }
    };
    let settings = Settings {
        networks: vec![Place {
            name: "net".to_owned(),
            zone: "zone".into(),
            links: vec![("link".to_owned(), "db".to_owned())],
        }],
        ..Settings::default()
    };
    // A zone may be anything too.
    for zone in [ZONE, &text] {
        let _ = decide(&query.question, &settings, bytes.len(), |_| Some(zone.to_owned()));
    }
    let records = [Record::A([10, 0, 0, 1].into()), Record::Ptr(text.chars().take(80).collect())];
    let answer = query.answer(bytes, &records, query.limit());
    assert!(answer.len() <= query.limit().max(query.end + 11));
    assert_eq!(response_code(&answer, bytes, query.end), Some(code::SUCCESS));
    let refused = query.refuse(bytes, code::FAILED);
    assert_eq!(response_code(&refused, bytes, query.end), Some(code::FAILED));
});
