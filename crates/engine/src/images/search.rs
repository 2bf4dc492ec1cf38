//! `GET /images/search`: images at registries, by a word.

use corten_api::{
    filters::Filters,
    image::{AuthConfig, SearchResult},
};

use super::{Images, pull::credentials};
use crate::error::{Error, Result};

/// Results when the request names no number, and the most it may name.
const LIMIT: i64 = 25;
const LIMIT_MAX: i64 = 100;

/// What to look for.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// The word, after the registry's name if it is not for Docker Hub.
    pub term: String,
    /// The most results; 0 for Docker's number.
    pub limit: i64,
    /// `is-automated`, `is-official`, `stars`.
    pub filters: Filters,
    /// Who asks.
    pub auth: Option<AuthConfig>,
}

/// What the filters let through.
struct Wanted {
    automated: Option<bool>,
    official: Option<bool>,
    stars: i64,
}

impl Wanted {
    fn of(filters: &Filters) -> Result<Self> {
        filters.accept(&["is-automated", "is-official", "stars"])?;
        let switch = |name: &str| match filters.has(name) {
            true => filters.switch(name, false).map(Some),
            false => Ok(None),
        };
        let mut stars = 0;
        for value in filters.values("stars") {
            let least = value.parse().map_err(|_| filters.invalid("stars"))?;
            stars = stars.max(least);
        }
        Ok(Self {
            automated: switch("is-automated")?,
            official: switch("is-official")?,
            stars,
        })
    }

    fn accepts(&self, found: &SearchResult) -> bool {
        self.automated.is_none_or(|wanted| wanted == found.is_automated)
            && self.official.is_none_or(|wanted| wanted == found.is_official)
            && found.star_count >= self.stars
    }
}

impl Images {
    /// Looks for images by a word.
    ///
    /// # Errors
    /// `Invalid` for limits, filters and words that make no sense; else as the registry says.
    pub async fn search(&self, request: SearchRequest) -> Result<Vec<SearchResult>> {
        let wanted = Wanted::of(&request.filters)?;
        let limit = match request.limit {
            0 => LIMIT,
            limit @ 1..=LIMIT_MAX => limit,
            limit => {
                return Err(Error::invalid(format!(
                    "limit {limit} is outside the range of [1, {LIMIT_MAX}]"
                )));
            }
        };
        let (host, word) = split(&request.term)?;
        let auth = request.auth.map(credentials);
        let limit = usize::try_from(limit).unwrap_or_default();
        let found = self
            .registries()
            .search(host, word, limit, auth.as_ref())
            .await
            .map_err(Error::from)?;
        // What registries say of automation is worth nothing, and nothing is automated any more for dockerd.
        let results = found.into_iter().map(|found| SearchResult {
            star_count: found.star_count,
            is_official: found.is_official,
            name: found.name,
            is_automated: false,
            description: found.description,
        });
        Ok(results.filter(|found| wanted.accepts(found)).collect())
    }
}

/// The registry and the word of a search: `registry.local:5000/word`.
fn split(term: &str) -> Result<(&str, &str)> {
    if term.contains("://") {
        return Err(Error::invalid(format!(
            "invalid repository name: repository name ({term}) should not have a scheme"
        )));
    }
    let hub = "docker.io";
    let is_host = |name: &str| name.contains(['.', ':']) || name == "localhost";
    Ok(match term.split_once('/') {
        Some(("docker.io" | "index.docker.io", word)) => (hub, word.strip_prefix("library/").unwrap_or(word)),
        Some((host, word)) if is_host(host) => (host, word),
        _ => (hub, term.strip_prefix("library/").unwrap_or(term)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_names_a_registry() {
        for (term, expected) in [
            ("busybox", ("docker.io", "busybox")),
            ("library/busybox", ("docker.io", "busybox")),
            ("team/app", ("docker.io", "team/app")),
            ("docker.io/team/app", ("docker.io", "team/app")),
            ("reg.local/app", ("reg.local", "app")),
            ("127.0.0.1:5000/", ("127.0.0.1:5000", "")),
            ("localhost/a/b", ("localhost", "a/b")),
        ] {
            assert_eq!(split(term).unwrap(), expected, "{term}");
        }
        split("https://reg.local/x").unwrap_err();
    }
}
