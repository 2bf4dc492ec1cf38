//! Random identifiers: 64 hexadecimal digits, as containers, networks and volumes have.

use std::fmt::Write;

/// A new identifier that no other object has.
///
/// Identifiers whose first twelve digits are all decimal are avoided, as Docker avoids them: a
/// short one would read as a number where it serves as a host name.
pub(crate) fn random() -> String {
    loop {
        let mut bytes = [0_u8; 32];
        fill(&mut bytes);
        let mut text = String::with_capacity(64);
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        if text.bytes().take(12).any(|digit| !digit.is_ascii_digit()) {
            return text;
        }
    }
}

/// The first twelve digits, which people see.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn fill(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the kernel gives no random numbers: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_64_digits_and_differ() {
        let (a, b) = (random(), random());
        assert_eq!(a.len(), 64);
        assert!(a.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_ne!(a, b);
    }
}
