//! Who asks, and what they may do.
//!
//! ```text
//!  none      everybody may do everything
//!  htpasswd  user name and password with each request (RFC 7617); rules say who may do what
//!  token     a token with each request, which says what its bearer may do (distribution's token
//!            authentication): from our own /token, which looks at htpasswd and rules, or from elsewhere
//! ```

mod chain;
mod htpasswd;
mod jwt;
mod keys;
mod rules;
mod token;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use serde_json::json;

use crate::config::{Access, Action, Auth};
use crate::handlers::text;
use crate::name::Name;
use crate::refusal::{Code, Refusal, Result};
use crate::route::Route;
pub(crate) use htpasswd::{Htpasswd, line};
use rules::allows;
pub(crate) use token::{SCHEME, Tokens};

/// What browsers show unless told otherwise.
const REALM: &str = "Corten registry";

/// Who asks, and what they may do.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// The name, of who has said one.
    pub(crate) user: Option<String>,
    grant: Grant,
}

/// Where what somebody may do is written.
#[derive(Debug, Clone)]
enum Grant {
    Everything,
    Nothing,
    Rules(Arc<Access>),
    /// In a token: repositories and what may be done there.
    Scopes(Arc<BTreeMap<String, Vec<Action>>>),
}

impl Principal {
    fn new(user: Option<String>, grant: Grant) -> Self {
        Self { user, grant }
    }

    /// Whether they may do this with that repository.
    pub(crate) fn may(&self, action: Action, name: &Name) -> bool {
        match &self.grant {
            Grant::Everything => true,
            Grant::Nothing => false,
            Grant::Rules(access) => allows(access, self.user.as_deref(), name.as_str(), action),
            Grant::Scopes(scopes) => scopes
                .get(name.as_str())
                .is_some_and(|actions| actions.contains(&action)),
        }
    }

    /// Whether there is nothing that they may not pull.
    pub(crate) fn may_pull_everything(&self) -> bool {
        match &self.grant {
            Grant::Everything => true,
            Grant::Nothing | Grant::Scopes(_) => false,
            Grant::Rules(access) => rules::allows_everywhere(access, self.user.as_deref(), Action::Pull),
        }
    }
}

/// Lets requests in, or not.
#[derive(Debug)]
pub(crate) struct Gate {
    realm: String,
    passwords: Option<Htpasswd>,
    tokens: Option<Tokens>,
    /// Guards the one set of rules that is in force.
    access: RwLock<Arc<Access>>,
}

impl Gate {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// A sentence about the file that cannot be used.
    pub(crate) fn open(auth: &Auth, access: Access) -> Result<Self, String> {
        Ok(Self {
            realm: auth.realm.clone().unwrap_or_else(|| REALM.to_owned()),
            passwords: auth.htpasswd.as_deref().map(Htpasswd::load).transpose()?,
            tokens: auth.token.as_ref().map(Tokens::open).transpose()?,
            access: RwLock::new(Arc::new(access)),
        })
    }

    /// Whether nobody is asked who they are.
    pub(crate) fn is_open(&self) -> bool {
        self.passwords.is_none() && self.tokens.is_none()
    }

    /// Applies new rules, and reads passwords again.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn reload(&self, access: Access) -> Result<(), String> {
        if let Some(passwords) = &self.passwords {
            passwords.reload()?;
        }
        *self.access.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
        Ok(())
    }

    fn rules(&self) -> Arc<Access> {
        Arc::clone(&self.access.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a user, or somebody without a name, may do by the rules. Without any rules users may do
    /// everything, and others nothing.
    fn by_rules(&self, user: Option<String>) -> Principal {
        let access = self.rules();
        let grant = match (access.rules.is_empty(), &user) {
            (false, _) => Grant::Rules(access),
            (true, Some(_)) => Grant::Everything,
            (true, None) => Grant::Nothing,
        };
        Principal::new(user, grant)
    }

    /// Finds out who asks.
    ///
    /// # Errors
    /// `UNAUTHORIZED` with a challenge: who they say they are is not true, or they must say so.
    pub(crate) async fn admit(&self, headers: &HeaderMap, route: &Route) -> Result<Principal> {
        if self.is_open() {
            return Ok(Principal::new(None, Grant::Everything));
        }
        let is_page = matches!(route, Route::Index | Route::Page(_));
        match &self.tokens {
            Some(tokens) if !is_page => {
                let given = text(headers, header::AUTHORIZATION);
                let Some(token) = strip(given, "bearer ") else {
                    return Ok(Principal::new(None, Grant::Nothing));
                };
                let claims = tokens
                    .check(token)
                    .map_err(|why| self.challenge(headers, route, None, Some(("invalid_token", &why))))?;
                Ok(Principal::new(claims.user, Grant::Scopes(Arc::new(claims.scopes))))
            }
            _ => {
                let user = self.basic(headers).await;
                let user = user.ok_or_else(|| self.challenge(headers, route, None, None))?;
                Ok(self.by_rules(user))
            }
        }
    }

    /// The user whose password the request has; `Some(None)` without one, `None` for a wrong one.
    pub(crate) async fn basic(&self, headers: &HeaderMap) -> Option<Option<String>> {
        let given = text(headers, header::AUTHORIZATION);
        if given.is_empty() {
            return Some(None);
        }
        let decoded = STANDARD.decode(strip(given, "basic ")?.trim()).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (user, password) = decoded.split_once(':')?;
        let is_right = self.passwords.as_ref()?.check(user, password).await;
        is_right.then(|| Some(user.to_owned()))
    }

    /// Refuses who may not do this.
    ///
    /// # Errors
    /// `UNAUTHORIZED` for who could still say who they are, else `DENIED`.
    pub(crate) fn check(
        &self,
        principal: &Principal,
        headers: &HeaderMap,
        route: &Route,
        action: Action,
    ) -> Result<()> {
        let is_allowed = match route.repository() {
            Some(name) => principal.may(action, name),
            // Its parts are looked at where they are listed.
            None => self.is_open() || principal.user.is_some() || !matches!(principal.grant, Grant::Nothing),
        };
        // A client that asks for the base wants to know whether it must say who it is.
        let is_unnamed = *route == Route::Base && principal.user.is_none() && !self.is_open();
        if is_allowed && !is_unnamed {
            return Ok(());
        }
        let has_token = self.tokens.is_some() && !matches!(principal.grant, Grant::Nothing);
        if *route == Route::Base && has_token {
            return Ok(());
        }
        if has_token && !matches!(route, Route::Page(_) | Route::Index) {
            let error = Some(("insufficient_scope", "the token does not allow this"));
            return Err(self.challenge(headers, route, Some(action), error));
        }
        if principal.user.is_some() {
            return Err(Refusal::new(Code::Denied, "requested access to the resource is denied"));
        }
        Err(self.challenge(headers, route, Some(action), None))
    }

    /// 401, with the way to say who one is.
    pub(crate) fn challenge(
        &self,
        headers: &HeaderMap,
        route: &Route,
        action: Option<Action>,
        error: Option<(&str, &str)>,
    ) -> Refusal {
        let refusal = Refusal::new(Code::Unauthorized, "authentication required");
        let is_page = matches!(route, Route::Index | Route::Page(_) | Route::Token);
        let Some(tokens) = self.tokens.as_ref().filter(|_| !is_page) else {
            return refusal.header(header::WWW_AUTHENTICATE, &format!("Basic realm=\"{}\"", self.realm));
        };
        let mut challenge = format!(
            "Bearer realm=\"{}\",service=\"{}\"",
            tokens.realm(headers),
            tokens.service()
        );
        let scope = match (route, route.repository()) {
            (Route::Catalogue, _) => Some("registry:catalog:*".to_owned()),
            (_, Some(name)) => {
                let actions = match action {
                    Some(Action::Push) => "pull,push",
                    Some(Action::Delete) => "delete",
                    _ => "pull",
                };
                Some(format!("repository:{name}:{actions}"))
            }
            _ => None,
        };
        if let Some(scope) = &scope {
            challenge += &format!(",scope=\"{scope}\"");
        }
        if let Some((error, _)) = error {
            challenge += &format!(",error=\"{error}\"");
        }
        let refusal = match error {
            Some((_, why)) => refusal.detail(json!(why)),
            None => refusal,
        };
        refusal.header(header::WWW_AUTHENTICATE, &challenge)
    }

    /// Our own token endpoint, if there is one.
    pub(crate) fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref()
    }

    /// What a user may do of what a token is asked for.
    pub(crate) fn granted(
        &self,
        user: Option<&str>,
        wanted: &[(String, Vec<Action>)],
    ) -> BTreeMap<String, Vec<Action>> {
        let principal = self.by_rules(user.map(str::to_owned));
        let mut granted: BTreeMap<String, Vec<Action>> = BTreeMap::new();
        for (name, actions) in wanted {
            let Ok(parsed) = name.parse::<Name>() else { continue };
            let allowed = actions.iter().filter(|action| principal.may(**action, &parsed));
            let entry = granted.entry(name.clone()).or_default();
            entry.extend(allowed);
            entry.sort_unstable();
            entry.dedup();
        }
        granted.retain(|_, actions| !actions.is_empty());
        granted
    }
}

/// Takes a token apart, and tells whether that can be done.
pub(crate) fn read_token(text: &str) -> bool {
    jwt::Parts::parse(text).is_some()
}

/// What follows a scheme's name, whatever its case.
fn strip<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}
