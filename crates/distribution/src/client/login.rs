//! Credentials checked with a registry: Docker's `login`.

use http::StatusCode;

use super::{REFUSAL_BYTES, Session, authorization::Scheme};
use crate::auth::Secret;
use crate::error::{Error, Kind, Result};
use crate::transport::Outgoing;

impl Session {
    /// Asks the registry whether it knows who asks. Returns the refresh token that came along, or an empty one.
    ///
    /// # Errors
    /// Unauthorized, when it does not.
    pub(crate) async fn login(&self) -> Result<Secret> {
        // Only now does it count, not what was allowed earlier.
        self.forget_token();
        let request = Outgoing::get(self.url("/v2/")?, self.endpoint.verification);
        let answer = self.authorized(&request).await?;
        let status = answer.status;
        answer.excerpt(REFUSAL_BYTES).await;
        if status == StatusCode::OK {
            return Ok(self.refresh_token());
        }
        let kind = match status {
            StatusCode::UNAUTHORIZED => Kind::Unauthorized,
            StatusCode::FORBIDDEN => Kind::Forbidden,
            _ => Kind::Unavailable,
        };
        Err(Error::new(
            kind,
            format!("login attempt to {} failed with status: {status}", request.url),
        ))
    }

    fn forget_token(&self) {
        if let Scheme::Bearer(bearer) = self.scheme() {
            self.shared.tokens.forget(&self.token_key(&bearer));
        }
    }

    fn refresh_token(&self) -> Secret {
        match self.scheme() {
            Scheme::Bearer(bearer) => self.shared.tokens.refresh_token(&self.token_key(&bearer)),
            Scheme::Open | Scheme::Basic => Secret::default(),
        }
    }
}
