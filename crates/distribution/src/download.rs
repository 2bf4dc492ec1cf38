//! Files on web servers: what `ADD https://…` fetches.

use bytes::Bytes;
use http::header::{LAST_MODIFIED, LOCATION};
use http::{HeaderMap, Uri};

use crate::client::{is_redirect, resolve};
use crate::endpoint::{Address, Verification};
use crate::error::{Error, Kind, Result};
use crate::registries::Registries;
use crate::transport::{Answer, Outgoing};

const REDIRECTS_MAX: usize = 10;

/// A file on its way.
#[derive(Debug)]
pub struct Download(Answer);

impl Registries {
    /// Begins to fetch a file by `http` or `https`, following redirects; certificates are checked.
    ///
    /// # Errors
    /// Invalid for what is no such address, `NotFound` and others as the server says.
    pub async fn download(&self, url: &str) -> Result<Download> {
        let bad = || Error::new(Kind::Invalid, format!("unsupported URL {url:?}"));
        let mut at: Uri = url.parse().map_err(|_| bad())?;
        for _ in 0..=REDIRECTS_MAX {
            if Address::of(&at).is_none() {
                return Err(bad());
            }
            let answer = self
                .shared
                .transport
                .send(&Outgoing::get(at.clone(), Verification::Full))
                .await?;
            let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            match location {
                Some(location) if is_redirect(answer.status) => at = resolve(&at, location).ok_or_else(bad)?,
                _ if answer.status.is_success() => return Ok(Download(answer)),
                _ => {
                    let kind = if answer.status.as_u16() == 404 {
                        Kind::NotFound
                    } else {
                        Kind::Unavailable
                    };
                    return Err(Error::new(
                        kind,
                        format!("invalid response status {}", answer.status.as_u16()),
                    ));
                }
            }
        }
        Err(Error::new(
            Kind::Invalid,
            format!("{url} redirects more than {REDIRECTS_MAX} times"),
        ))
    }
}

impl Download {
    /// What the server says of it.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// When it was changed, as the server says: an HTTP date (RFC 9110 §5.6.7).
    pub fn last_modified(&self) -> Option<&str> {
        self.0.headers.get(LAST_MODIFIED)?.to_str().ok()
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// Unavailable, when the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        self.0.chunk().await
    }
}
