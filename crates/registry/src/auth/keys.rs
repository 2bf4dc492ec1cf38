//! Keys that tokens are signed with and checked by.
//!
//! Public keys come as PEM (certificates, of which only the key counts, or public keys) or as a JSON Web
//! Key Set (RFC 7517). The private key is PKCS #8, on the curve P-256.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use corten_sys::fs;
use ring::rand::SystemRandom;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED, ED25519, EcdsaKeyPair,
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    UnparsedPublicKey,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde::Deserialize;

/// A key that signatures are checked by.
#[derive(Debug, Clone)]
pub(super) struct PublicKey {
    id: Option<String>,
    kind: Kind,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl PublicKey {
    /// The key that a certificate is for.
    pub(super) fn of_certificate(certificate: &[u8]) -> Option<Self> {
        key_of(certificate).and_then(of_info)
    }

    /// Whether a signature of this algorithm was made with the key's other half. A key fits one family of
    /// algorithms only, whatever a token says.
    pub(super) fn verifies(&self, algorithm: &str, id: Option<&str>, signed: &str, signature: &[u8]) -> bool {
        if let (Some(own), Some(id)) = (self.id.as_deref(), id)
            && own != id
        {
            return false;
        }
        let algorithm: &dyn signature::VerificationAlgorithm = match (self.kind, algorithm) {
            (Kind::Rsa, "RS256") => &RSA_PKCS1_2048_8192_SHA256,
            (Kind::Rsa, "RS384") => &RSA_PKCS1_2048_8192_SHA384,
            (Kind::Rsa, "RS512") => &RSA_PKCS1_2048_8192_SHA512,
            (Kind::P256, "ES256") => &ECDSA_P256_SHA256_FIXED,
            (Kind::P384, "ES384") => &ECDSA_P384_SHA384_FIXED,
            (Kind::Ed25519, "EdDSA") => &ED25519,
            _ => return false,
        };
        let dynamic = UnparsedPublicKey::new(algorithm, &self.bytes);
        dynamic.verify(signed.as_bytes(), signature).is_ok()
    }
}

/// Reads the public keys of a file.
///
/// # Errors
/// A sentence with the path.
pub(super) fn read(path: &Path) -> Result<Vec<PublicKey>, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let found = match bytes.trim_ascii_start().first() {
        Some(b'{') => of_set(&bytes),
        _ => of_pem(&bytes),
    };
    let found = found.unwrap_or_default();
    if found.is_empty() {
        return Err(format!(
            "{} holds no public key that is known: RSA, P-256, P-384 or Ed25519, as PEM or JSON Web Key Set",
            path.display()
        ));
    }
    Ok(found)
}

/// The certificates of a file, if it has any.
///
/// # Errors
/// A sentence with the path.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    // A key set is no PEM at all.
    Ok(found.unwrap_or_default())
}

fn of_pem(bytes: &[u8]) -> Option<Vec<PublicKey>> {
    let certificates = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<Vec<_>, _>>()
        .ok()?;
    let keys = SubjectPublicKeyInfoDer::pem_slice_iter(bytes)
        .collect::<Result<Vec<_>, _>>()
        .ok()?;
    let certified = certificates.iter().filter_map(|certificate| key_of(certificate));
    let infos = certified.chain(keys.iter().map(|key| &**key));
    Some(infos.filter_map(of_info).collect())
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

fn of_set(bytes: &[u8]) -> Option<Vec<PublicKey>> {
    let set: Set = serde_json::from_slice(bytes).ok()?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let key = |key: Jwk| {
        let (kind, bytes) = match (key.kty.as_str(), key.crv.as_str()) {
            ("RSA", _) => (Kind::Rsa, rsa(&decode(&key.n)?, &decode(&key.e)?)),
            ("EC", "P-256") => (Kind::P256, [vec![4], decode(&key.x)?, decode(&key.y)?].concat()),
            ("EC", "P-384") => (Kind::P384, [vec![4], decode(&key.x)?, decode(&key.y)?].concat()),
            ("OKP", "Ed25519") => (Kind::Ed25519, decode(&key.x)?),
            _ => return None,
        };
        Some(PublicKey {
            id: key.kid,
            kind,
            bytes,
        })
    };
    Some(set.keys.into_iter().filter_map(key).collect())
}

/// `RSAPublicKey` (RFC 8017 A.1.1) of modulus and exponent.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        let mut body = vec![0];
        body.extend_from_slice(&bytes[start..]);
        // A leading zero stands only where the number would read as negative.
        if body.get(1).is_some_and(|byte| *byte < 0x80) {
            body.remove(0);
        }
        element(0x02, &body)
    };
    element(0x30, &[integer(modulus), integer(exponent)].concat())
}

/// A DER element.
fn element(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(body.len()) {
        Ok(short @ 0..0x80) => bytes.push(short),
        _ => {
            let length = body.len().to_be_bytes();
            let start = length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1);
            bytes.push(0x80 | u8::try_from(length.len() - start).unwrap_or(0));
            bytes.extend_from_slice(&length[start..]);
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// A DER element: tag, body, the whole, and what follows.
type Element<'a> = (u8, &'a [u8], &'a [u8], &'a [u8]);

/// The first DER element.
fn first(bytes: &[u8]) -> Option<Element<'_>> {
    let (&tag, rest) = bytes.split_first()?;
    let (&length, mut rest) = rest.split_first()?;
    let mut length = usize::from(length);
    if length >= 0x80 {
        let count = length & 0x7f;
        if count == 0 || count > 4 {
            return None;
        }
        let (digits, after) = rest.split_at_checked(count)?;
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = after;
    }
    let (body, after) = rest.split_at_checked(length)?;
    let whole = &bytes[..bytes.len() - after.len()];
    Some((tag, body, whole, after))
}

/// The `SubjectPublicKeyInfo` of a certificate (RFC 5280 §4.1).
fn key_of(certificate: &[u8]) -> Option<&[u8]> {
    let (0x30, certificate, ..) = first(certificate)? else {
        return None;
    };
    let (0x30, mut rest, ..) = first(certificate)? else {
        return None;
    };
    // [0] version, if there; serial number, signature, issuer, validity, subject; then the key.
    if first(rest)?.0 == 0xa0 {
        rest = first(rest)?.3;
    }
    for _ in 0..5 {
        rest = first(rest)?.3;
    }
    first(rest).map(|(_, _, whole, _)| whole)
}

/// The key in a `SubjectPublicKeyInfo`.
fn of_info(info: &[u8]) -> Option<PublicKey> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    const ED25519_ID: &[u8] = &[0x2b, 0x65, 0x70];
    let (0x30, info, ..) = first(info)? else { return None };
    let (0x30, algorithm, _, rest) = first(info)? else {
        return None;
    };
    let (0x03, bits, ..) = first(rest)? else { return None };
    let (0x06, name, _, parameters) = first(algorithm)? else {
        return None;
    };
    let curve = first(parameters).map_or(&[][..], |(_, body, ..)| body);
    let kind = match (name, curve) {
        (RSA, _) => Kind::Rsa,
        (EC, P256) => Kind::P256,
        (EC, P384) => Kind::P384,
        (ED25519_ID, _) => Kind::Ed25519,
        _ => return None,
    };
    // The first byte counts unused bits, of which there are none.
    let (0, bytes) = bits.split_first().map(|(unused, bytes)| (*unused, bytes))? else {
        return None;
    };
    Some(PublicKey {
        id: None,
        kind,
        bytes: bytes.to_vec(),
    })
}

/// The key that our own tokens are signed with.
pub(super) struct PrivateKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}

impl PrivateKey {
    /// Reads a key, or makes one where there is no file.
    ///
    /// # Errors
    /// A sentence with the path.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        if !fs::exists(path).map_err(|error| error.to_string())? {
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random)
                .map_err(|_| "a key for tokens cannot be made: there is no randomness".to_owned())?;
            let text = STANDARD.encode(document.as_ref());
            let lines = text
                .as_bytes()
                .chunks(64)
                .map(String::from_utf8_lossy)
                .collect::<Vec<_>>();
            let pem = format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                lines.join("\n")
            );
            fs::write_durable(path, pem).map_err(|error| error.to_string())?;
        }
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        let wrong = || format!("{} holds no private key of P-256 as PKCS #8", path.display());
        let document = PrivatePkcs8KeyDer::from_pem_slice(&bytes).map_err(|_| wrong())?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.secret_pkcs8_der(), &random).map_err(|_| wrong())?;
        Ok(Self { pair, random })
    }

    /// The other half.
    pub(super) fn public(&self) -> PublicKey {
        PublicKey {
            id: None,
            kind: Kind::P256,
            bytes: self.pair.public_key().as_ref().to_vec(),
        }
    }

    /// Signs (ES256).
    pub(super) fn sign(&self, text: &str) -> Option<Vec<u8>> {
        let signature = self.pair.sign(&self.random, text.as_bytes()).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_its_signatures_are_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        let key = PrivateKey::open(&path).expect("a new key");
        let again = PrivateKey::open(&path).expect("the same key");
        let signature = key.sign("text").expect("a signature");
        let public = again.public();
        assert!(public.verifies("ES256", None, "text", &signature));
        assert!(!public.verifies("ES256", None, "Text", &signature));
        assert!(!public.verifies("RS256", None, "text", &signature));
        assert!(!public.verifies("none", None, "text", &[]));
    }

    #[test]
    fn keys_are_found_in_certificates_and_sets() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/tls/server.pem");
        assert_eq!(read(&root).expect("a key").len(), 1);
        let path = folder.path().join("keys.json");
        let set = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"AQ","y":"Ag","kid":"a"},{"kty":"oct"}]}"#;
        fs::write(&path, set).expect("a file");
        assert_eq!(read(&path).expect("a key").len(), 1);
        for bad in ["", "x", "{", r#"{"keys":[]}"#] {
            fs::write(&path, bad).expect("a file");
            assert!(read(&path).is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_of_any_kind_are_written_and_read() {
        for size in [0, 1, 127, 128, 255, 256, 70_000] {
            let body = vec![7; size];
            let bytes = element(0x04, &body);
            let (tag, read, ..) = first(&bytes).expect("an element");
            assert_eq!((tag, read.len()), (0x04, size));
        }
        assert!(first(&[0x30, 0x85, 1, 1, 1, 1, 1]).is_none());
        assert!(first(&[0x30, 5, 1]).is_none());
    }
}
