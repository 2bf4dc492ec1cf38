//! Questions in bytes, zones in text, answers in bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::message::{HEAD, Query, Refusal, code, refuse_unread, response_code};
use super::zone::Entry;
use super::*;

fn question(name: &str, kind: u16, options: bool) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(options)];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    if options {
        message.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    }
    message
}

struct World {
    settings: Settings,
    zones: BTreeMap<PathBuf, String>,
}

impl World {
    fn new() -> Self {
        let entry = |v4: &str, v6: &str, names: &[&str]| Entry {
            v4: v4.parse().ok(),
            v6: v6.parse().ok(),
            names: names.iter().map(ToString::to_string).collect(),
        };
        let front = [
            entry("172.18.0.2", "", &["web", "0123456789ab", "svc"]),
            entry("172.18.0.3", "fd00::3", &["db", "123456789abc", "svc"]),
        ];
        let back = [entry("172.19.0.2", "", &["web.one", "a b", "web"])];
        let zones = [("/z/front", zone::render(&front)), ("/z/back", zone::render(&back))];
        let place = |name: &str, links: &[(&str, &str)]| Place {
            name: name.to_owned(),
            zone: format!("/z/{name}").into(),
            links: links.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        };
        let settings = Settings {
            networks: vec![place("front", &[("pg", "db")]), place("back", &[]), place("gone", &[])],
            ..Settings::default()
        };
        Self {
            settings: Settings::parse(&settings.render()),
            zones: zones.into_iter().map(|(path, text)| (path.into(), text)).collect(),
        }
    }

    fn decide(&self, name: &str, kind: u16, turn: usize) -> Decision {
        let query = Query::parse(&question(name, kind, false)).unwrap();
        decide(&query.question, &self.settings, turn, |path| {
            self.zones.get(path).cloned()
        })
    }

    fn addresses(&self, name: &str, kind: u16, turn: usize) -> String {
        match self.decide(name, kind, turn) {
            Decision::Answer(records) => {
                let text = records.iter().map(|record| match record {
                    Record::A(address) => address.to_string(),
                    Record::Aaaa(address) => address.to_string(),
                    Record::Ptr(name) => name.clone(),
                });
                text.collect::<Vec<_>>().join(" ")
            }
            other => format!("{other:?}"),
        }
    }
}

#[test]
fn names_are_found_on_the_container_s_networks() {
    let world = World::new();
    let check = |name: &str, kind: u16, expected: &str| assert_eq!(world.addresses(name, kind, 0), expected, "{name}");
    check("web", kind::A, "172.18.0.2");
    check("WEB", kind::A, "172.18.0.2");
    check("web.back", kind::A, "172.19.0.2");
    check("web.one", kind::A, "172.19.0.2");
    check("web.one.back", kind::A, "172.19.0.2");
    check("0123456789ab", kind::A, "172.18.0.2");
    check("db", kind::AAAA, "fd00::3");
    check("web", kind::AAAA, "");
    check("web", 65, "");
    check("pg", kind::A, "172.18.0.3");
    check("pg.front", kind::A, "172.18.0.3");
    check("pg.back", kind::A, "Forward");
    check("nosuch", kind::A, "Forward");
    check("example.org", kind::A, "Forward");
    check("a", kind::A, "Forward");
    assert_eq!(world.addresses("svc", kind::A, 0), "172.18.0.2 172.18.0.3");
    assert_eq!(world.addresses("svc", kind::A, 3), "172.18.0.3 172.18.0.2");
}

#[test]
fn addresses_lead_back_to_names() {
    let world = World::new();
    let check = |name: &str, expected: &str| assert_eq!(world.addresses(name, kind::PTR, 0), expected, "{name}");
    check("2.0.18.172.in-addr.arpa", "web.front");
    check("2.0.19.172.IN-ADDR.arpa", "web.one.back");
    check("9.0.18.172.in-addr.arpa", "Forward");
    check("0.18.172.in-addr.arpa", "Forward");
    let six = "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
    check(six, "db.front");
}

#[test]
fn settings_say_who_is_asked_else() {
    let mut world = World::new();
    world.settings.ndots = true;
    assert_eq!(world.decide("nosuch", kind::A, 0), Decision::Answer(vec![]));
    assert_eq!(world.decide("nosuch.test", kind::A, 0), Decision::Forward);
    world.settings.forwards = false;
    assert_eq!(world.decide("nosuch.test", kind::A, 0), Decision::Fail);
    world.settings.servers = vec!["10.0.0.53".parse().unwrap(), "fd00::53".parse().unwrap()];
    assert_eq!(Settings::parse(&world.settings.render()), world.settings);
    let text =
        "# nameserver 1.1.1.1\nnameserver 192.0.2.1 # x\n nameserver fe80::1\nnameserver bad\nsearch nameserver\n";
    let expected: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "fe80::1".parse().unwrap()];
    assert_eq!(servers(text), expected);
}

#[test]
fn answers_have_the_right_bytes() {
    let message = question("web", kind::A, true);
    let query = Query::parse(&message).unwrap();
    assert_eq!((query.size, query.limit()), (Some(4096), 4096));
    let answer = query.answer(&message, &[Record::A([10, 0, 0, 1].into())], 512);
    assert_eq!(answer[..HEAD], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1]);
    assert_eq!(answer[HEAD..21], message[HEAD..21]);
    assert_eq!(answer[21..37], [0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 0x58, 0, 4, 10, 0, 0, 1]);
    assert_eq!(answer[37..], [0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(response_code(&answer, &message, query.end), Some(code::SUCCESS));
    let many: Vec<_> = (0..100).map(|n| Record::A([10, 0, 0, n].into())).collect();
    let cut = query.answer(&message, &many, 512);
    assert!(cut.len() <= 512 && cut[2] & 2 != 0);
    let refused = query.refuse(&message, code::FAILED);
    assert_eq!(response_code(&refused, &message, query.end), Some(code::FAILED));
}

#[test]
fn what_is_no_query_is_refused() {
    let good = question("a", kind::A, false);
    let edited = |edit: fn(&mut Vec<u8>)| {
        let mut message = good.clone();
        edit(&mut message);
        Query::parse(&message).unwrap_err()
    };
    assert_eq!(edited(|m| m.truncate(11)), Refusal::Silent);
    assert_eq!(edited(|m| m[2] |= 0x80), Refusal::Silent);
    assert_eq!(edited(|m| m[2] |= 0x10), Refusal::Code(code::NOT_IMPLEMENTED));
    assert_eq!(edited(|m| m[5] = 2), Refusal::Code(code::MALFORMED));
    assert_eq!(edited(|m| m[12] = 0xc0), Refusal::Code(code::MALFORMED));
    assert_eq!(edited(|m| m.truncate(16)), Refusal::Code(code::MALFORMED));
    assert_eq!(
        refuse_unread(&good, code::MALFORMED).unwrap()[..4],
        [0x12, 0x34, 0x81, 0x81]
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_are_too_much(bytes: Vec<u8>, head in 0..3_usize) {
        let mut message = question("web", kind::A, true);
        match head {
            0 => message.clone_from(&bytes),
            1 => message.extend(&bytes),
            _ => message.splice(HEAD.., bytes.iter().copied()).for_each(drop),
        }
        let world = World::new();
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(query) = Query::parse(&message) {
            decide(&query.question, &world.settings, head, |_| Some(text.to_string()));
            let records = [Record::A([10, 0, 0, 1].into()), Record::Ptr(text.to_string())];
            let answer = query.answer(&message, &records, query.limit());
            assert_eq!(response_code(&answer, &message, query.end), Some(code::SUCCESS));
        }
        let read = Settings::parse(&text).render();
        assert_eq!(Settings::parse(&read).render(), read);
    }
}
