//! Looking for repositories: a registry's search (`GET /v1/search`, which Docker Hub and some others have), or
//! its catalogue (`GET /v2/_catalog`).

use std::collections::BTreeSet;

use http::header::LINK;
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::locations::next_page;
use super::{Session, header, refuse, resolve};
use crate::endpoint::Address;
use crate::error::{Error, Result};
use crate::registries::Found;
use crate::transport::Outgoing;

/// Bytes of one answer.
const ANSWER_BYTES: usize = 4 << 20;
/// Repositories asked for at once, and looked at in all.
const PAGE: usize = 1000;
const REPOSITORIES_MAX: usize = 100_000;

impl Session {
    /// Asks the registry's own search. `None` when it has none.
    ///
    /// # Errors
    /// As the registry says.
    pub(crate) async fn search(&self, word: &str, limit: usize) -> Result<Option<Vec<Found>>> {
        let word = utf8_percent_encode(word, NON_ALPHANUMERIC);
        let url = self.url(&format!("/v1/search?q={word}&n={limit}"))?;
        let request = Outgoing::get(url, self.endpoint.verification);
        let answer = self.patiently(|| self.authorized(&request)).await?;
        match answer.status {
            StatusCode::OK => parse(&answer.bytes(ANSWER_BYTES).await?).map(Some),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => {
                answer.excerpt(0).await;
                Ok(None)
            }
            _ => Err(refuse(answer).await),
        }
    }

    /// Looks through the registry's catalogue for names that hold a word.
    ///
    /// # Errors
    /// As the registry says.
    pub(crate) async fn catalogue(&self, word: &str, limit: usize) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            repositories: Option<Vec<String>>,
        }
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut next = Some(self.url(&format!("/v2/_catalog?n={PAGE}"))?);
        while let Some(url) = next
            .take()
            .filter(|_| found.len() < limit && seen.len() < REPOSITORIES_MAX)
        {
            let request = Outgoing {
                method: Method::GET,
                ..Outgoing::get(url, self.endpoint.verification)
            };
            let answer = self.patiently(|| self.succeeding(&request)).await?;
            let link = next_page(header(&answer.headers, LINK.as_str()));
            let following = link.and_then(|link| resolve(&request.url, link));
            let bytes = answer.bytes(ANSWER_BYTES).await?;
            let page: Page =
                serde_json::from_slice(&bytes).map_err(|e| Error::invalid(format!("invalid catalogue: {e}")))?;
            let names = page.repositories.unwrap_or_default();
            let known = seen.len();
            seen.extend(names.iter().cloned());
            if names.is_empty() {
                break;
            }
            if seen.len() == known {
                return Err(Error::invalid("the pages of the catalogue lead in a circle"));
            }
            found.extend(names.into_iter().filter(|name| name.contains(word)));
            // A link that leads elsewhere would take the credentials along.
            next = following.filter(|url| Address::of(url).as_ref() == Some(&self.endpoint.address));
        }
        found.truncate(limit);
        Ok(found)
    }
}

/// Reads the answer of `/v1/search`.
///
/// # Errors
/// Invalid, when it is none.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Found>> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        results: Option<Vec<Found>>,
    }
    let answer: Answer =
        serde_json::from_slice(bytes).map_err(|e| Error::invalid(format!("invalid search results: {e}")))?;
    Ok(answer.results.unwrap_or_default())
}
