//! JSON Web Tokens (RFC 7519) in the compact form of RFC 7515, and the claims of distribution's token
//! authentication ("Docker Registry v2 Bearer token specification").

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 16 << 10;

/// What a token's head says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) typ: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kid: Option<String>,
    /// Certificates of who signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) x5c: Vec<String>,
    /// Critical extensions, of which we know none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) crit: Option<serde_json::Value>,
}

/// What a token says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    pub(super) iss: String,
    #[serde(default)]
    pub(super) sub: String,
    #[serde(default)]
    pub(super) aud: Audience,
    #[serde(default)]
    pub(super) exp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) iat: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) jti: Option<String>,
    #[serde(default)]
    pub(super) access: Vec<Entry>,
    /// Set in tokens that only serve to get others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) refresh: bool,
}

/// One thing that a token allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) actions: Vec<String>,
}

/// Whom a token is for: one or several.
#[derive(Debug, Clone, Default)]
pub(super) struct Audience(pub(super) Vec<String>);

impl Serialize for Audience {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(one) => Ok(Self(vec![one])),
            serde_json::Value::Array(several) => {
                let texts = several.into_iter().filter_map(|text| text.as_str().map(str::to_owned));
                Ok(Self(texts.collect()))
            }
            _ => Ok(Self::default()),
        }
    }
}

/// A token taken apart. Nothing of it is true before its signature is checked.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) head: Head,
    pub(super) claims: Claims,
    /// What is signed.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    /// Takes a token apart.
    pub(super) fn parse(token: &'a str) -> Option<Self> {
        if token.len() > LONGEST {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let head = URL_SAFE_NO_PAD.decode(head).ok()?;
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        Some(Self {
            head: serde_json::from_slice(&head).ok()?,
            claims: serde_json::from_slice(&claims).ok()?,
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }
}

/// What is to be signed.
pub(super) fn unsigned(head: &Head, claims: &Claims) -> Option<String> {
    let encode = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
    let head = encode(serde_json::to_vec(head).ok()?);
    let claims = encode(serde_json::to_vec(claims).ok()?);
    Some(format!("{head}.{claims}"))
}

/// The whole token.
pub(super) fn signed(unsigned: &str, signature: &[u8]) -> String {
    format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature))
}
