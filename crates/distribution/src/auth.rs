//! Who asks: credentials, `WWW-Authenticate` challenges, and the tokens got with the one for the other.
//!
//! ```text
//!  registry            this                     token server (realm)
//!     │ ◄── GET /v2/ ──── │
//!     │ ── 401 Bearer ──► │ ── GET ?service&scope ──►│   (Basic, if there are credentials;
//!     │                   │ ◄────── token ────────── │    POST with an identity token)
//!     │ ◄─ GET + Bearer ─ │
//! ```
//!
//! RFC 9110 §11, RFC 6750, and distribution's `docs/spec/auth/{token,oauth,jwt}.md`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};

/// A text that must not be shown; `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// Credentials for one registry: the JSON of the header `X-Registry-Auth` (Docker API, "Authentication").
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    /// User name.
    pub username: String,
    /// Password, or an access token used as one.
    pub password: Secret,
    /// The registry they are for, as the user wrote it.
    pub serveraddress: String,
    /// A refresh token, from an earlier login.
    pub identitytoken: Secret,
    /// A bearer token to send as it is.
    pub registrytoken: Secret,
    /// `user:password` in base64, as configuration files have it.
    pub auth: Secret,
}

/// Longest header that is looked at, in bytes.
const HEADER_MAX: usize = 64 << 10;

impl AuthConfig {
    /// Reads the header's value, base64 of JSON in either alphabet; empty means none.
    ///
    /// # Errors
    /// Invalid, when it is something else.
    pub fn from_header(value: &str) -> Result<Option<Self>> {
        const LENIENT: GeneralPurposeConfig =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let bad = |why: String| Error::invalid(format!("invalid X-Registry-Auth header: {why}"));
        if value.is_empty() {
            return Ok(None);
        }
        if value.len() > HEADER_MAX {
            return Err(bad("it is too long".into()));
        }
        let engine = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);
        let url_safe = value.replace('+', "-").replace('/', "_");
        let json = engine.decode(url_safe).map_err(|_| bad("it is not base64".into()))?;
        let config: Self = serde_json::from_slice(&json).map_err(|_| bad("it is not the JSON expected".into()))?;
        Ok(Some(config).filter(|config| !config.is_empty()))
    }

    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        self.basic().is_none() && self.identitytoken.is_empty() && self.registrytoken.is_empty()
    }

    /// User name and password, given apart or in one.
    pub(crate) fn basic(&self) -> Option<(String, Secret)> {
        if !self.username.is_empty() && !self.password.is_empty() {
            return Some((self.username.clone(), self.password.clone()));
        }
        let decoded = STANDARD.decode(self.auth.expose()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (user, password) = text.split_once(':')?;
        (!user.is_empty()).then(|| (user.into(), password.trim_end_matches('\0').into()))
    }
}

/// The value of an `Authorization` header for user name and password.
pub(crate) fn basic_header(user: &str, password: &Secret) -> Secret {
    let pair = format!("{user}:{}", password.expose());
    Secret(format!("Basic {}", STANDARD.encode(pair)))
}

/// What a server wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User name and password.
    Basic,
    /// A token, to be had elsewhere.
    Bearer(Bearer),
    /// A scheme that is not known here, by name.
    Other(String),
}

/// The parameters of a bearer challenge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bearer {
    /// Where tokens are given out.
    pub realm: String,
    /// For whom the token is.
    pub service: String,
    /// What it must allow.
    pub scope: String,
    /// Why the token that was sent is not enough.
    pub error: Option<String>,
    /// The same, for people.
    pub error_description: Option<String>,
}

/// Parses one `WWW-Authenticate` value, which may hold several challenges (RFC 9110 §11.6.1).
/// What cannot be read is left out.
pub fn parse_challenges(header: &str) -> Vec<Challenge> {
    let mut rest = Cursor(header);
    let mut challenges = Vec::new();
    while let Some(scheme) = rest.next_scheme() {
        let parameters = rest.parameters();
        let value = |name: &str| {
            let found = parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        challenges.push(match scheme.to_ascii_lowercase().as_str() {
            "basic" => Challenge::Basic,
            "bearer" => Challenge::Bearer(Bearer {
                realm: value("realm").unwrap_or_default(),
                service: value("service").unwrap_or_default(),
                scope: value("scope").unwrap_or_default(),
                error: value("error"),
                error_description: value("error_description"),
            }),
            other => Challenge::Other(other.into()),
        });
    }
    challenges
}

/// What is left of a header.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn skip(&mut self, unwanted: &[char]) {
        self.0 = self.0.trim_start_matches(unwanted);
    }

    fn token(&mut self) -> Option<&'a str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    fn next_scheme(&mut self) -> Option<&'a str> {
        self.skip(&[' ', '\t', ',']);
        self.token()
    }

    /// `name=value` pairs up to the next scheme, which is a token that no `=` follows.
    fn parameters(&mut self) -> Vec<(&'a str, String)> {
        let mut found = Vec::new();
        loop {
            self.skip(&[' ', '\t', ',']);
            let before = self.0;
            let Some(name) = self.token() else { return found };
            self.skip(&[' ', '\t']);
            let Some(value) = self.0.strip_prefix('=') else {
                self.0 = before;
                return found;
            };
            self.0 = value;
            self.skip(&[' ', '\t']);
            let value = match self.0.strip_prefix('"') {
                Some(quoted) => self.quoted(quoted),
                None => self.unquoted().to_owned(),
            };
            found.push((name, value));
        }
    }

    /// A value without quotes; unlike a token it may hold `:`, which servers do forget to quote.
    fn unquoted(&mut self) -> &'a str {
        let end = self.0.find([',', ' ', '\t']).unwrap_or(self.0.len());
        let (value, rest) = self.0.split_at(end);
        self.0 = rest;
        value
    }

    /// A quoted string's text; one without end goes to the end of the header.
    fn quoted(&mut self, text: &'a str) -> String {
        let mut value = String::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => break,
                '\\' => value.extend(letters.next()),
                _ => value.push(letter),
            }
        }
        self.0 = letters.as_str();
        value
    }
}

/// A token server's answer.
#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Secret,
    #[serde(default)]
    access_token: Secret,
    #[serde(default)]
    refresh_token: Secret,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// Shortest time a token is taken to be good for, whatever the server says (`docs/spec/auth/token.md`).
const TOKEN_SECONDS_MIN: u64 = 60;
const TOKEN_SECONDS_MAX: u64 = 24 * 3600;
/// Tokens are not used in their last seconds, so that they last until the request arrives.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);
const TOKENS_KEPT: usize = 256;

/// For what a token is good.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TokenKey {
    pub(crate) realm: String,
    pub(crate) service: String,
    pub(crate) scope: String,
    pub(crate) credentials: Option<AuthConfig>,
}

/// A token and how long to use it.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    /// What later tokens can be had with, instead of a password; mostly empty.
    refresh: Secret,
    expires: Instant,
}

impl Token {
    /// Reads a token server's answer.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let answer: TokenAnswer = serde_json::from_slice(body).ok()?;
        let secret = [answer.token, answer.access_token]
            .into_iter()
            .find(|secret| !secret.is_empty())?;
        let seconds = answer
            .expires_in
            .unwrap_or(TOKEN_SECONDS_MIN)
            .clamp(TOKEN_SECONDS_MIN, TOKEN_SECONDS_MAX);
        Some(Self {
            secret,
            refresh: answer.refresh_token,
            expires: Instant::now() + Duration::from_secs(seconds) - TOKEN_MARGIN,
        })
    }
}

/// Tokens in use, by what they are good for.
#[derive(Debug, Default)]
pub(crate) struct TokenCache(Mutex<HashMap<TokenKey, Token>>);

impl TokenCache {
    pub(crate) fn find(&self, key: &TokenKey) -> Option<Secret> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens.get(key)?;
        (token.expires > Instant::now()).then(|| token.secret.clone())
    }

    /// The refresh token that came with a token; empty when none did.
    pub(crate) fn refresh_token(&self, key: &TokenKey) -> Secret {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(key).map(|token| token.refresh.clone()).unwrap_or_default()
    }

    pub(crate) fn keep(&self, key: TokenKey, token: Token) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_KEPT {
            let now = Instant::now();
            tokens.retain(|_, token| token.expires > now);
        }
        if tokens.len() >= TOKENS_KEPT {
            tokens.clear();
        }
        tokens.insert(key, token);
    }

    pub(crate) fn forget(&self, key: &TokenKey) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: &str, scope: &str) -> Challenge {
        Challenge::Bearer(Bearer {
            realm: realm.into(),
            service: service.into(),
            scope: scope.into(),
            ..Bearer::default()
        })
    }

    #[test]
    fn challenges_are_read() {
        for (header, expected) in [
            ("", vec![]),
            (",, ,", vec![]),
            ("Basic realm=\"x\"", vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                "Bearer realm=\"https://a/token\",service=\"reg\",scope=\"repository:a/b:pull,push\"",
                vec![bearer("https://a/token", "reg", "repository:a/b:pull,push")],
            ),
            (
                "Bearer realm = https://a/t , Service=x",
                vec![bearer("https://a/t", "x", "")],
            ),
            (
                "Basic realm=\"a \\\"b\\\", c\", Bearer realm=\"r\", Negotiate",
                vec![
                    Challenge::Basic,
                    bearer("r", "", ""),
                    Challenge::Other("negotiate".into()),
                ],
            ),
            ("Bearer realm=\"never ends", vec![bearer("never ends", "", "")]),
        ] {
            assert_eq!(parse_challenges(header), expected, "{header}");
        }
    }

    #[test]
    fn header_holds_credentials_in_either_alphabet() {
        let json = r#"{"username":"bob","password":"s3cret?~","serveraddress":"x"}"#;
        for value in [
            STANDARD.encode(json),
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json),
        ] {
            let config = AuthConfig::from_header(&value).expect("valid").expect("some");
            assert_eq!(config.basic(), Some(("bob".into(), "s3cret?~".into())));
            assert!(!format!("{config:?}").contains("s3cret"));
        }
        assert_eq!(AuthConfig::from_header("").expect("empty"), None);
        assert_eq!(AuthConfig::from_header("e30=").expect("{}"), None);
        AuthConfig::from_header("%%%").expect_err("not base64");
        AuthConfig::from_header("AAAA").expect_err("not JSON");
    }

    #[test]
    fn user_and_password_may_come_in_one() {
        let config = AuthConfig {
            auth: STANDARD.encode("bob:pass:word").into(),
            ..AuthConfig::default()
        };
        assert_eq!(config.basic(), Some(("bob".into(), "pass:word".into())));
    }

    #[test]
    fn tokens_are_kept_until_they_expire() {
        let cache = TokenCache::default();
        let key = TokenKey {
            realm: "r".into(),
            service: "s".into(),
            scope: "x".into(),
            credentials: None,
        };
        cache.keep(key.clone(), Token::parse(br#"{"access_token":"t"}"#).expect("token"));
        assert_eq!(cache.find(&key), Some("t".into()));
        let mut old = Token::parse(br#"{"token":"u"}"#).expect("token");
        old.expires = Instant::now();
        cache.keep(key.clone(), old);
        assert_eq!(cache.find(&key), None);
        assert!(Token::parse(b"{}").is_none());
    }
}
