//! Token authentication: tokens checked, and given out at `/token` (distribution's "Token Authentication
//! Implementation" and "OAuth2").

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, Method, header};
use jiff::Timestamp;
use serde_json::json;

use super::Gate;
use super::chain::Authorities;
use super::jwt::{Audience, Claims, Entry, Head, Parts, signed, unsigned};
use super::keys::{self, PrivateKey, PublicKey};
use crate::config::{Action, TokenAuth};
use crate::handlers::text;
use crate::http::{Answer, json};
use crate::refusal::{Code, Refusal, Result};
use crate::route::{Route, fields};

/// How long our tokens are good unless told otherwise; a client that was told nothing takes them for good
/// for a minute.
const EXPIRATION: Duration = Duration::from_secs(300);
/// How long a token is good that stands for a password.
const REFRESH: Duration = Duration::from_secs(30 * 86_400);
/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 60;
/// Scopes that one token may be asked for.
const SCOPES: usize = 100;

/// Gives tokens out, and checks them.
#[derive(Debug)]
pub(crate) struct Tokens {
    realm: Option<String>,
    service: String,
    issuer: String,
    keys: Vec<PublicKey>,
    authorities: Option<Authorities>,
    own: Option<PrivateKey>,
    expiration: Duration,
}

/// What a good token says.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(super) user: Option<String>,
    pub(super) scopes: BTreeMap<String, Vec<Action>>,
}

impl Tokens {
    pub(super) fn open(config: &TokenAuth) -> Result<Self, String> {
        let own = config.key.as_deref().map(PrivateKey::open).transpose()?;
        let mut known: Vec<PublicKey> = own.iter().map(PrivateKey::public).collect();
        let mut certificates = Vec::new();
        for path in &config.keys {
            known.extend(keys::read(path)?);
            certificates.extend(keys::certificates(path)?);
        }
        Ok(Self {
            realm: config.realm.clone(),
            service: config.service.clone(),
            issuer: config.issuer.clone(),
            keys: known,
            authorities: Authorities::new(certificates)?,
            own,
            expiration: config.expiration.map_or(EXPIRATION, |span| span.0),
        })
    }

    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// Where tokens are to be had.
    pub(super) fn realm(&self, headers: &HeaderMap) -> String {
        match &self.realm {
            Some(realm) => realm.clone(),
            None => {
                // Set by ourselves when the connection is encrypted.
                let scheme = match text(headers, SCHEME) {
                    "https" => "https",
                    _ => "http",
                };
                let host = text(headers, header::HOST).replace(['"', '\\'], "");
                format!("{scheme}://{host}/token")
            }
        }
    }

    /// Looks at a token.
    ///
    /// # Errors
    /// Why it is not good.
    pub(super) fn check(&self, token: &str) -> Result<Checked, String> {
        let claims = self.claims(token)?;
        if claims.refresh {
            return Err("the token is for getting others only".to_owned());
        }
        let mut scopes: BTreeMap<String, Vec<Action>> = BTreeMap::new();
        for entry in claims.access {
            if entry.kind == "repository" {
                let actions = entry.actions.iter().flat_map(|action| action_of(action)).copied();
                scopes.entry(entry.name).or_default().extend(actions);
            }
        }
        Ok(Checked {
            user: Some(claims.sub).filter(|user| !user.is_empty()),
            scopes,
        })
    }

    fn claims(&self, token: &str) -> Result<Claims, String> {
        let parts = Parts::parse(token).ok_or("the token cannot be read")?;
        let head = &parts.head;
        if head.crit.is_some() {
            return Err("the token has extensions that are not known".to_owned());
        }
        // What a token brings along is good only if it leads to what is known here.
        let chained = self.authorities.as_ref().filter(|_| !head.x5c.is_empty());
        let chained = chained.and_then(|authorities| authorities.key(&head.x5c));
        let is_signed = chained
            .iter()
            .chain(&self.keys)
            .any(|key| key.verifies(&head.alg, head.kid.as_deref(), parts.signed, &parts.signature));
        if !is_signed {
            return Err("the token's signature is not known".to_owned());
        }
        let (claims, now) = (parts.claims, Timestamp::now().as_second());
        if claims.iss != self.issuer {
            return Err(format!("the token is from {:.100?}", claims.iss));
        }
        if !claims.aud.0.contains(&self.service) {
            return Err("the token is for somebody else".to_owned());
        }
        if claims.exp.is_none_or(|end| end.saturating_add(LEEWAY) < now) {
            return Err("the token is too old".to_owned());
        }
        if claims.nbf.is_some_and(|start| start.saturating_sub(LEEWAY) > now) {
            return Err("the token is not good yet".to_owned());
        }
        Ok(claims)
    }

    fn issue(&self, claims: &mut Claims, time: Duration) -> Result<String> {
        let failed = || Refusal::new(Code::Unknown, "a token cannot be signed");
        let key = self.own.as_ref().ok_or_else(failed)?;
        let now = Timestamp::now().as_second();
        claims.iss.clone_from(&self.issuer);
        claims.aud = Audience(vec![self.service.clone()]);
        claims.iat = Some(now);
        claims.nbf = Some(now);
        claims.exp = Some(now.saturating_add(i64::try_from(time.as_secs()).unwrap_or(0)));
        claims.jti = Some(crate::store::new_id());
        let head = Head {
            alg: "ES256".to_owned(),
            typ: Some("JWT".to_owned()),
            ..Head::default()
        };
        let text = unsigned(&head, claims).ok_or_else(failed)?;
        let signature = key.sign(&text).ok_or_else(failed)?;
        Ok(signed(&text, &signature))
    }
}

/// A header that only we set: how the connection is protected.
pub(crate) const SCHEME: &str = "x-corten-scheme";

fn action_of(text: &str) -> &'static [Action] {
    match text {
        "pull" => &[Action::Pull],
        "push" => &[Action::Push],
        "delete" => &[Action::Delete],
        "*" => &[Action::Pull, Action::Push, Action::Delete],
        _ => &[],
    }
}

fn word_of(action: Action) -> &'static str {
    match action {
        Action::Pull => "pull",
        Action::Push => "push",
        Action::Delete => "delete",
    }
}

/// `repository:name:pull,push`; names may hold colons of a port.
fn scope_of(text: &str) -> Option<(String, Vec<Action>)> {
    let rest = text.strip_prefix("repository:")?;
    let (name, actions) = rest.rsplit_once(':')?;
    let actions = actions.split(',').flat_map(action_of).copied().collect();
    Some((name.to_owned(), actions))
}

/// What a token is asked for.
#[derive(Default)]
struct Asked {
    scopes: Vec<(String, Vec<Action>)>,
    service: Option<String>,
    grant: Option<String>,
    refresh_token: Option<String>,
    credentials: Option<(String, String)>,
    wants_refresh: bool,
}

impl Asked {
    fn parse(form: &str) -> Self {
        let (mut asked, mut user, mut password) = (Self::default(), None, None);
        for (name, value) in fields(form) {
            match name.as_str() {
                "scope" => asked.scopes.extend(value.split(' ').filter_map(scope_of)),
                "service" => asked.service = Some(value),
                "grant_type" => asked.grant = Some(value),
                "refresh_token" => asked.refresh_token = Some(value),
                "username" => user = Some(value),
                "password" => password = Some(value),
                "offline_token" => asked.wants_refresh |= value == "true",
                "access_type" => asked.wants_refresh |= value == "offline",
                _ => {}
            }
        }
        asked.scopes.truncate(SCOPES);
        asked.credentials = user.zip(password);
        asked
    }
}

impl Gate {
    /// Answers `GET /token` and `POST /token`.
    ///
    /// # Errors
    /// `UNAUTHORIZED` when user or password are wrong; 404 when tokens are had elsewhere.
    pub(crate) async fn token(
        &self,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
        form: &[u8],
    ) -> Result<Answer> {
        let not_here =
            || Refusal::new(Code::Unsupported, "tokens are not given out here").status(http::StatusCode::NOT_FOUND);
        let tokens = self
            .tokens()
            .filter(|tokens| tokens.own.is_some())
            .ok_or_else(not_here)?;
        let wrong = || self.challenge(headers, &Route::Token, None, None);
        let (asked, user) = if *method == Method::POST {
            let asked = Asked::parse(&String::from_utf8_lossy(form));
            let user = self.of_form(tokens, &asked, headers).await.ok_or_else(wrong)?;
            (asked, user)
        } else {
            let asked = Asked::parse(query.unwrap_or_default());
            let user = self.basic(headers).await.ok_or_else(wrong)?;
            (asked, user)
        };
        // A login, which asks for nothing, must fail for who is nobody.
        if user.is_none() && asked.scopes.is_empty() {
            return Err(wrong());
        }
        if asked.service.as_ref().is_some_and(|service| *service != tokens.service) {
            return Err(Refusal::new(
                Code::Denied,
                "tokens for this service are not given out here",
            ));
        }
        self.give(tokens, user, &asked)
    }

    /// The user of a form by OAuth2: by password, or by a token that stands for it.
    async fn of_form(&self, tokens: &Tokens, asked: &Asked, headers: &HeaderMap) -> Option<Option<String>> {
        match asked.grant.as_deref() {
            Some("refresh_token") => {
                let claims = tokens.claims(asked.refresh_token.as_deref()?).ok()?;
                let is_user = self.passwords.as_ref()?.knows(&claims.sub);
                (claims.refresh && is_user).then_some(Some(claims.sub))
            }
            Some("password") => {
                let (user, password) = asked.credentials.as_ref()?;
                let is_right = self.passwords.as_ref()?.check(user, password).await;
                is_right.then(|| Some(user.clone()))
            }
            _ => self.basic(headers).await,
        }
    }

    fn give(&self, tokens: &Tokens, user: Option<String>, asked: &Asked) -> Result<Answer> {
        let granted = self.granted(user.as_deref(), &asked.scopes);
        let entry = |(name, actions): (String, Vec<Action>)| Entry {
            kind: "repository".to_owned(),
            name,
            actions: actions.into_iter().map(|action| word_of(action).to_owned()).collect(),
        };
        let sub = user.clone().unwrap_or_default();
        let mut claims = Claims {
            sub: sub.clone(),
            access: granted.into_iter().map(entry).collect(),
            ..Claims::default()
        };
        let token = tokens.issue(&mut claims, tokens.expiration)?;
        let issued = Timestamp::now().to_string();
        let mut answer = json!({
            "token": token,
            "access_token": token,
            "expires_in": tokens.expiration.as_secs(),
            "issued_at": issued,
        });
        if asked.wants_refresh && user.is_some() {
            let mut claims = Claims {
                sub,
                refresh: true,
                ..Claims::default()
            };
            answer["refresh_token"] = tokens.issue(&mut claims, REFRESH)?.into();
        }
        let mut answer = json(&answer);
        crate::handlers::set(&mut answer, header::CACHE_CONTROL, "no-store");
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(folder: &std::path::Path) -> Tokens {
        Tokens::open(&TokenAuth {
            realm: None,
            service: "here".into(),
            issuer: "us".into(),
            keys: Vec::new(),
            key: Some(folder.join("key.pem")),
            expiration: None,
        })
        .expect("tokens")
    }

    fn claims() -> Claims {
        Claims {
            sub: "ann".into(),
            access: vec![Entry {
                kind: "repository".into(),
                name: "a/b".into(),
                actions: vec!["pull".into(), "*".into()],
            }],
            ..Claims::default()
        }
    }

    #[test]
    fn our_tokens_are_good_and_changed_ones_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = tokens(folder.path());
        let token = tokens.issue(&mut claims(), EXPIRATION).expect("a token");
        let checked = tokens.check(&token).expect("good");
        assert_eq!(checked.user.as_deref(), Some("ann"));
        assert!(checked.scopes["a/b"].contains(&Action::Delete));
        let mut cut = token.clone();
        cut.pop();
        let none = format!("eyJhbGciOiJub25lIn0.{}.", token.split('.').nth(1).expect("claims"));
        for bad in ["", "a.b.c", &cut, &none, &token.replace('.', "..")] {
            assert!(tokens.check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_for_others_and_old_ones_are_not_good() {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = tokens(folder.path());
        let sign = |change: &dyn Fn(&mut Claims)| {
            let mut claims = claims();
            tokens.issue(&mut claims, EXPIRATION).expect("a token");
            change(&mut claims);
            let head = Head {
                alg: "ES256".into(),
                ..Head::default()
            };
            let text = unsigned(&head, &claims).expect("text");
            let signature = tokens
                .own
                .as_ref()
                .and_then(|key| key.sign(&text))
                .expect("a signature");
            tokens.check(&signed(&text, &signature))
        };
        sign(&|_| {}).expect("good");
        let now = Timestamp::now().as_second();
        assert!(sign(&|claims| claims.exp = Some(now - 3600)).is_err());
        assert!(sign(&|claims| claims.exp = None).is_err());
        assert!(sign(&|claims| claims.nbf = Some(now + 3600)).is_err());
        assert!(sign(&|claims| claims.iss = "them".into()).is_err());
        assert!(sign(&|claims| claims.aud = Audience(vec!["there".into()])).is_err());
        assert!(sign(&|claims| claims.refresh = true).is_err());
    }

    #[test]
    fn scopes_are_read() {
        assert_eq!(
            scope_of("repository:a/b:pull,push"),
            Some(("a/b".into(), vec![Action::Pull, Action::Push]))
        );
        assert_eq!(scope_of("registry:catalog:*"), None);
        assert_eq!(scope_of("repository:a"), None);
    }
}
