//! A session's authorisation: which scheme the registry wants, and the tokens it is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::PoisonError;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::locations::resolve;
use super::{REFUSAL_BYTES, Session, challenges_of, refuse};
use crate::auth::{AuthConfig, Bearer, Challenge, Secret, Token, TokenKey, basic_header};
use crate::endpoint::{Address, Verification};
use crate::error::{Error, Result, refusal, request_failed};
use crate::transport::{Answer, Outgoing, sensitive};

/// Longest answer of a token server, in bytes.
const TOKEN_BYTES: usize = 1 << 20;

/// What may stand unescaped in a query's value.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':');

/// How requests to the registry are authorised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scheme {
    Open,
    Basic,
    Bearer(Bearer),
}

/// What a repository is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To read.
    Pull,
    /// To read and write.
    Push,
}

/// What tokens are to allow: resources, and what is done with each (distribution's `docs/spec/auth/scope.md`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    pub(super) fn new(path: &str, purpose: Purpose) -> Self {
        let mut scopes = Self::default();
        match (path, purpose) {
            ("", _) => {}
            (path, Purpose::Pull) => scopes.add(&format!("repository:{path}:pull")),
            (path, Purpose::Push) => scopes.add(&format!("repository:{path}:pull,push")),
        }
        scopes
    }

    /// Adds scopes, separated by spaces.
    fn add(&mut self, text: &str) {
        for scope in text.split_whitespace() {
            let (resource, actions) = scope.rsplit_once(':').unwrap_or((scope, ""));
            let known = self.0.entry(resource.to_owned()).or_default();
            known.extend(actions.split(',').map(str::to_owned));
        }
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (resource, actions)) in self.0.iter().enumerate() {
            let actions: Vec<_> = actions.iter().map(String::as_str).collect();
            write!(f, "{}{resource}:{}", if at > 0 { " " } else { "" }, actions.join(","))?;
        }
        Ok(())
    }
}

impl Session {
    /// Has later tokens allow something more.
    pub(super) fn ask_for(&self, scope: String) {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner).add(&scope);
    }

    /// Sends with authorisation; once more when the registry then wants another.
    pub(super) async fn authorized(&self, request: &Outgoing) -> Result<Answer> {
        let answer = self.follow(self.with_authorization(request).await?).await?;
        if answer.status != StatusCode::UNAUTHORIZED || answer.request.url != request.url {
            return Ok(answer);
        }
        let challenges = challenges_of(&answer.headers);
        let before = self.scheme();
        self.learn(&challenges);
        let after = self.scheme();
        let has_token = matches!(after, Scheme::Bearer(_));
        if after == before && !has_token {
            return Ok(answer);
        }
        if let Scheme::Bearer(bearer) = &after {
            self.shared.tokens.forget(&self.token_key(bearer));
        }
        // Read to the end, so that the connection can be used again.
        let (status, headers) = (answer.status, answer.headers.clone());
        let body = answer.excerpt(REFUSAL_BYTES).await;
        let again = self.with_authorization(request).await?;
        if !again.headers.contains_key(AUTHORIZATION) {
            return Err(refusal(status, &challenges_of(&headers), &body));
        }
        self.follow(again).await
    }

    pub(super) fn scheme(&self) -> Scheme {
        let scheme = self.scheme.lock().unwrap_or_else(PoisonError::into_inner);
        scheme.clone()
    }

    /// Takes up the best of the challenges: a token if one can be had, else user name and password.
    pub(super) fn learn(&self, challenges: &[Challenge]) {
        let bearer = challenges.iter().find_map(|c| match c {
            Challenge::Bearer(bearer) if !bearer.realm.is_empty() => Some(bearer.clone()),
            _ => None,
        });
        let learnt = match bearer {
            Some(bearer) => Scheme::Bearer(Bearer {
                error: None,
                error_description: None,
                ..bearer
            }),
            None if challenges.contains(&Challenge::Basic) => Scheme::Basic,
            None => return,
        };
        *self.scheme.lock().unwrap_or_else(PoisonError::into_inner) = learnt;
    }

    pub(super) async fn with_authorization(&self, request: &Outgoing) -> Result<Outgoing> {
        let mut request = request.clone();
        let secret = match self.scheme() {
            Scheme::Open => None,
            Scheme::Basic => {
                let basic = self.credentials.as_ref().and_then(AuthConfig::basic);
                basic.map(|(user, password)| basic_header(&user, &password))
            }
            Scheme::Bearer(bearer) => {
                let token = self.token(&bearer, &request).await?;
                Some(format!("Bearer {}", token.expose()).into())
            }
        };
        if let Some(secret) = secret {
            request.headers.insert(AUTHORIZATION, sensitive(&secret)?);
        }
        Ok(request)
    }

    pub(super) fn token_key(&self, bearer: &Bearer) -> TokenKey {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        scopes.add(&bearer.scope);
        TokenKey {
            realm: bearer.realm.clone(),
            service: bearer.service.clone(),
            scope: scopes.to_string(),
            credentials: self.credentials.clone(),
        }
    }

    /// A token from the cache, or from the server that the challenge names.
    async fn token(&self, bearer: &Bearer, request: &Outgoing) -> Result<Secret> {
        let given = self.credentials.as_ref().map(|c| &c.registrytoken);
        if let Some(token) = given.filter(|token| !token.is_empty()) {
            return Ok(token.clone());
        }
        let key = self.token_key(bearer);
        if let Some(token) = self.shared.tokens.find(&key) {
            return Ok(token);
        }
        // One request for all that need it now.
        let _asking = self.asking.lock().await;
        if let Some(token) = self.shared.tokens.find(&key) {
            return Ok(token);
        }
        let realm = self.checked_realm(&bearer.realm)?;
        let asking = self.token_request(realm, &key)?;
        let answer = self.follow(asking).await?;
        if answer.status != StatusCode::OK {
            let why = refuse(answer).await;
            let told = request_failed(&request.method, &request.url.to_string(), &why.to_string());
            return Err(Error::new(why.kind(), told.to_string())
                .retry_after(why.asked_pause())
                .with_hint("check the credentials with 'docker login'"));
        }
        let body = answer.bytes(TOKEN_BYTES).await?;
        let token = Token::parse(&body)
            .ok_or_else(|| Error::invalid("authorization server did not include a token in the response"))?;
        let secret = token.secret.clone();
        self.shared.tokens.keep(key, token);
        Ok(secret)
    }

    /// Credentials go to a token server over TLS or within this machine; without TLS only when the
    /// registry itself is a configured insecure one on the same host.
    fn checked_realm(&self, realm: &str) -> Result<Uri> {
        let uri: Uri = realm
            .parse()
            .map_err(|_| Error::invalid(format!("invalid token auth challenge realm {realm:?}")))?;
        let address = Address::of(&uri)
            .ok_or_else(|| Error::invalid(format!("unsupported token auth challenge realm {realm:?}")))?;
        let own = &self.endpoint;
        let is_own = own.is_insecure() && address.host == own.address.host;
        if address.encrypted || address.is_loopback() || is_own {
            return Ok(uri);
        }
        Err(Error::invalid(format!(
            "registry {} sends for tokens to {realm:?}, where credentials could be read on the way",
            self.registry()
        )))
    }

    fn token_request(&self, realm: Uri, key: &TokenKey) -> Result<Outgoing> {
        let escape = |text: &str| utf8_percent_encode(text, QUERY).to_string();
        let address = Address::of(&realm);
        let is_own = address.is_some_and(|a| a.host == self.endpoint.address.host);
        let verification = match is_own {
            true => self.endpoint.verification,
            false => Verification::Full,
        };
        let mut fields = vec![("service", key.service.clone())];
        fields.retain(|(_, value)| !value.is_empty());
        let identity = self.credentials.as_ref().map(|c| &c.identitytoken);
        if let Some(identity) = identity.filter(|token| !token.is_empty()) {
            // A form has one field for all of them (distribution's `docs/spec/auth/oauth.md`).
            fields.extend((!key.scope.is_empty()).then(|| ("scope", key.scope.clone())));
            fields.push(("grant_type", "refresh_token".into()));
            fields.push(("client_id", "corten".into()));
            fields.push(("refresh_token", identity.expose().into()));
            let form = fields.iter().map(|(name, value)| format!("{name}={}", escape(value)));
            let mut request = Outgoing::get(realm, verification);
            request.method = Method::POST;
            request.body = form.collect::<Vec<_>>().join("&").into();
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers.insert(CONTENT_TYPE, form_type);
            return Ok(request);
        }
        fields.extend(key.scope.split_whitespace().map(|scope| ("scope", scope.to_owned())));
        let basic = self.credentials.as_ref().and_then(AuthConfig::basic);
        if let Some((user, _)) = &basic {
            fields.push(("account", user.clone()));
        }
        // A login asks for a token to keep instead of the password.
        if self.path.is_empty() {
            fields.push(("client_id", "corten".into()));
            fields.push(("offline_token", "true".into()));
        }
        let query = fields.iter().map(|(name, value)| format!("{name}={}", escape(value)));
        let query = query.collect::<Vec<_>>().join("&");
        let joint = if realm.query().is_some() { '&' } else { '?' };
        let path = realm.path_and_query().map_or("/", |p| p.as_str());
        let url = resolve(&realm, &format!("{path}{joint}{query}"))
            .ok_or_else(|| Error::invalid(format!("invalid token auth challenge realm {realm}")))?;
        let mut request = Outgoing::get(url, verification);
        if let Some((user, password)) = basic {
            let secret = sensitive(&basic_header(&user, &password))?;
            request.headers.insert(AUTHORIZATION, secret);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_joined_by_resource() {
        let mut scopes = Scopes::new("team/app", Purpose::Push);
        scopes.add("repository:team/app:pull repository:other/app:pull");
        scopes.add("");
        assert_eq!(
            scopes.to_string(),
            "repository:other/app:pull repository:team/app:pull,push"
        );
        scopes.add("repository:registry.test:5000/x:pull");
        assert!(scopes.to_string().contains("repository:registry.test:5000/x:pull"));
        assert_eq!(Scopes::new("", Purpose::Pull).to_string(), "");
    }
}
