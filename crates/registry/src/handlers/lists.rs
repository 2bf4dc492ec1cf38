//! Lists: `/v2/_catalog`, `/v2/<name>/tags/list` and `/v2/<name>/referrers/<digest>`.

use std::sync::Arc;

use corten_oci::digest::Digest;
use corten_oci::image::media_type;
use http::{HeaderName, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::set;
use crate::app::App;
use crate::auth::Principal;
use crate::config::Action;
use crate::http::{Answer, json};
use crate::name::Name;
use crate::refusal::{Code, Refusal, Result};
use crate::route;
use crate::store::Page;

/// Most entries of a page, whatever is asked for.
const MOST: usize = 10_000;
/// Entries of a page of the catalogue unless told otherwise; distribution's number.
const CATALOGUE: usize = 100;
/// Most referrers of a page: each may have annotations, and a page should stay below 4 MiB.
const REFERRERS: usize = 1000;

const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// What of a list is asked for.
struct Asked {
    number: Option<usize>,
    last: Option<String>,
}

impl Asked {
    fn parse(query: Option<&str>) -> Result<Self> {
        let wrong = |text: &str| {
            let message = format!("invalid number of results requested: {text:.50?}");
            Refusal::new(Code::PaginationNumberInvalid, message).detail(json!({"n": text}))
        };
        let number = route::query(query, "n").filter(|text| !text.is_empty());
        let number = number.map(|text| text.parse::<usize>().map_err(|_| wrong(&text)));
        Ok(Self {
            number: number.transpose()?,
            last: route::query(query, "last").filter(|text| !text.is_empty()),
        })
    }

    /// Tells where the next page is (RFC 8288).
    fn link(&self, answer: &mut Answer, path: &str, page: &Page, size: usize) {
        if let Some(last) = page.entries.last().filter(|_| page.has_more) {
            let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
            set(
                answer,
                header::LINK,
                &format!("<{path}?last={last}&n={size}>; rel=\"next\""),
            );
        }
    }
}

/// `GET /v2/_catalog`: the repositories that the client may pull from.
pub(crate) async fn catalogue(app: &Arc<App>, principal: &Principal, query: Option<&str>) -> Result<Answer> {
    let asked = Asked::parse(query)?;
    let size = asked.number.unwrap_or(CATALOGUE).min(MOST);
    let (shared, principal, last) = (Arc::clone(app), principal.clone(), asked.last.clone());
    let page = app
        .blocking(move || {
            let may_see = |name: &Name| principal.may(Action::Pull, name);
            shared.store.repositories(last, size, may_see)
        })
        .await??;
    let mut answer = json(&json!({ "repositories": page.entries }));
    asked.link(&mut answer, "/v2/_catalog", &page, size);
    Ok(answer)
}

/// `GET /v2/<name>/tags/list`
pub(crate) async fn tags(app: &Arc<App>, name: &Name, query: Option<&str>) -> Result<Answer> {
    let asked = Asked::parse(query)?;
    let size = asked.number.unwrap_or(MOST).min(MOST);
    if let Some(upstream) = app.upstreams.find(name)
        && let Some(tags) = Box::pin(upstream.tags()).await?
    {
        return Ok(listed(name, &asked, &page_of(tags, &asked, size), size));
    }
    let (shared, owned, last) = (Arc::clone(app), name.clone(), asked.last.clone());
    let page = app
        .blocking(move || match shared.store.has_repository(&owned)? {
            true => shared.store.tags(&owned, last, size).map(Some),
            false => Ok(None),
        })
        .await??;
    let page = page.ok_or_else(|| {
        Refusal::new(Code::NameUnknown, "repository name not known to registry").detail(json!({"name": name.as_str()}))
    })?;
    Ok(listed(name, &asked, &page, size))
}

fn listed(name: &Name, asked: &Asked, page: &Page, size: usize) -> Answer {
    let mut answer = json(&json!({"name": name.as_str(), "tags": page.entries}));
    asked.link(&mut answer, &format!("/v2/{name}/tags/list"), page, size);
    answer
}

fn page_of(mut all: Vec<String>, asked: &Asked, size: usize) -> Page {
    all.sort_unstable();
    let last = asked.last.clone().unwrap_or_default();
    let mut entries: Vec<String> = all.into_iter().filter(|tag| *tag > last).collect();
    let has_more = size > 0 && entries.len() > size;
    entries.truncate(size);
    Page { entries, has_more }
}

/// `GET /v2/<name>/referrers/<digest>`
pub(crate) async fn referrers(app: &Arc<App>, name: &Name, digest: &Digest, query: Option<&str>) -> Result<Answer> {
    let asked = Asked::parse(query)?;
    let kind = route::query(query, "artifactType").filter(|kind| !kind.is_empty());
    let size = asked.number.unwrap_or(REFERRERS).min(REFERRERS);
    let (shared, owned, subject) = (Arc::clone(app), name.clone(), digest.clone());
    let mut found = app.blocking(move || shared.store.referrers(&owned, &subject)).await??;
    if let Some(kind) = &kind {
        found.retain(|referrer| referrer.artifact_type.as_ref() == Some(kind));
    }
    if let Some(last) = &asked.last {
        found.retain(|referrer| referrer.digest.as_str() > last.as_str());
    }
    let page = Page {
        has_more: size > 0 && found.len() > size,
        entries: found
            .iter()
            .take(size)
            .map(|referrer| referrer.digest.to_string())
            .collect(),
    };
    found.truncate(size);
    let mut answer = json(&json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": found,
    }));
    set(&mut answer, header::CONTENT_TYPE, media_type::OCI_INDEX);
    let mut path = format!("/v2/{name}/referrers/{digest}");
    if let Some(kind) = &kind {
        set(&mut answer, FILTERS, "artifactType");
        path += &format!("?artifactType={}", utf8_percent_encode(kind, NON_ALPHANUMERIC));
    }
    asked.link(&mut answer, &path, &page, size);
    // The path has a query of its own then.
    if kind.is_some()
        && let Some(link) = answer.headers().get(header::LINK).and_then(|link| link.to_str().ok())
    {
        let link = link.replacen("?last=", "&last=", 1);
        set(&mut answer, header::LINK, &link);
    }
    Ok(answer)
}
