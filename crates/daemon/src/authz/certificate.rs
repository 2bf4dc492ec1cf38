//! Who a certificate is for: the common name of its subject (RFC 5280, section 4.1), read off its DER.

/// The tag of a sequence.
const SEQUENCE: u8 = 0x30;
/// The tag of a set.
const SET: u8 = 0x31;
/// The tag of the version, which may be absent.
const VERSION: u8 = 0xa0;
/// The name of the attribute `commonName`, 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// The common name of a certificate's subject.
pub(crate) fn common_name(der: &[u8]) -> Option<String> {
    let (_, certificate, _) = element(der)?;
    let (_, mut fields, _) = element(certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    // Serial number, algorithm, issuer and validity come before the subject.
    for _ in 0..4 {
        fields = element(fields)?.2;
    }
    let (tag, mut names, _) = element(fields)?;
    let mut found = None;
    while tag == SEQUENCE && !names.is_empty() {
        let (tag, mut attributes, rest) = element(names)?;
        while tag == SET && !attributes.is_empty() {
            let (_, attribute, others) = element(attributes)?;
            let (_, name, value) = element(attribute)?;
            if name == COMMON_NAME {
                found = String::from_utf8(element(value)?.1.to_vec()).ok();
            }
            attributes = others;
        }
        names = rest;
    }
    found
}

/// The first element's tag and content, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .fold(0_usize, |length, &digit| (length << 8) | usize::from(digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_has_no_name() {
        for der in [
            &b""[..],
            b"\x30",
            b"\x30\x05abc",
            b"\x30\x84\xff\xff\xff\xff",
            &[0x30; 40],
        ] {
            assert_eq!(common_name(der), None);
        }
    }

    #[test]
    fn finds_the_subject_and_not_the_issuer() {
        let name = |text: &str| {
            let attribute = [
                &[0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, u8::try_from(text.len()).unwrap()],
                text.as_bytes(),
            ]
            .concat();
            wrap(SEQUENCE, &wrap(SET, &wrap(SEQUENCE, &attribute)))
        };
        let fields = [
            wrap(VERSION, &[2, 1, 2]),
            vec![2, 1, 1],
            wrap(SEQUENCE, &[]),
            name("authority"),
            wrap(SEQUENCE, &[]),
            name("someone"),
        ];
        let der = wrap(SEQUENCE, &wrap(SEQUENCE, &fields.concat()));
        assert_eq!(common_name(&der).as_deref(), Some("someone"));
    }

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }
}
