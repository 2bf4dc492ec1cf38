//! From a request's path to what it is about (OCI distribution-spec 1.1, "Endpoints").

use corten_oci::digest::Digest;
use percent_encoding::percent_decode_str;

use crate::name::{Name, Selector, digest};
use crate::refusal::{Code, Refusal, Result};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalogue,
    /// `/v2/<name>/tags/list`
    Tags(Name),
    /// `/v2/<name>/manifests/<tag or digest>`
    Manifest(Name, Selector),
    /// `/v2/<name>/blobs/<digest>`
    Blob(Name, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(Name),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(Name, String),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(Name, Digest),
    /// `/token`
    Token,
    /// `/healthz`
    Health,
    /// `/metrics`
    Metrics,
    /// `/`: the list of repositories.
    Index,
    /// `/repositories/<name>`: one of them.
    Page(Name),
    /// Nothing of ours.
    Unknown,
}

impl Route {
    /// Reads a path.
    ///
    /// # Errors
    /// The refusal of a name or digest that is none.
    pub(crate) fn parse(path: &str) -> Result<Self> {
        let path = percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| Refusal::new(Code::NameInvalid, "the path is not UTF-8"))?;
        if let Some(rest) = path.strip_prefix("/v2/") {
            return api(rest);
        }
        Ok(match &*path {
            "/" => Self::Index,
            "/v2" => Self::Base,
            "/token" => Self::Token,
            "/healthz" => Self::Health,
            "/metrics" => Self::Metrics,
            other => match other.strip_prefix("/repositories/") {
                Some(name) => Self::Page(name.parse()?),
                None => Self::Unknown,
            },
        })
    }

    /// The repository that it is about.
    pub(crate) fn repository(&self) -> Option<&Name> {
        match self {
            Self::Tags(name)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Referrers(name, _)
            | Self::Page(name) => Some(name),
            _ => None,
        }
    }

    /// The kind of thing, as metrics name it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalogue => "catalogue",
            Self::Tags(_) => "tags",
            Self::Manifest(..) => "manifest",
            Self::Blob(..) => "blob",
            Self::Uploads(_) | Self::Upload(..) => "upload",
            Self::Referrers(..) => "referrers",
            Self::Token => "token",
            Self::Health | Self::Metrics => "health",
            Self::Index | Self::Page(_) => "page",
            Self::Unknown => "unknown",
        }
    }
}

fn api(rest: &str) -> Result<Route> {
    match rest {
        "" => return Ok(Route::Base),
        "_catalog" | "_catalog/" => return Ok(Route::Catalogue),
        _ => {}
    }
    let parts: Vec<&str> = rest.split('/').collect();
    // Names may hold these words too, so the end of the path decides.
    match parts.as_slice() {
        [name @ .., "tags", "list"] => Ok(Route::Tags(join(name)?)),
        [name @ .., "manifests", reference] => Ok(Route::Manifest(join(name)?, reference.parse()?)),
        [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => Ok(Route::Uploads(join(name)?)),
        [name @ .., "blobs", "uploads", id] => Ok(Route::Upload(join(name)?, (*id).to_owned())),
        [name @ .., "blobs", hash] => Ok(Route::Blob(join(name)?, digest(hash)?)),
        [name @ .., "referrers", hash] => Ok(Route::Referrers(join(name)?, digest(hash)?)),
        _ => Ok(Route::Unknown),
    }
}

fn join(parts: &[&str]) -> Result<Name> {
    parts.join("/").parse()
}

/// The value of a query's first field of a name.
pub(crate) fn query(query: Option<&str>, name: &str) -> Option<String> {
    queries(query, name).next()
}

/// The values of all fields of a name.
pub(crate) fn queries<'a>(query: Option<&'a str>, name: &'a str) -> impl Iterator<Item = String> + 'a {
    fields(query.unwrap_or_default())
        .filter(move |(field, _)| field == name)
        .map(|(_, value)| value)
}

/// All fields of `a=b&c=d`, unescaped (`application/x-www-form-urlencoded`).
pub(crate) fn fields(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    text.split('&').filter(|field| !field.is_empty()).map(|field| {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        (unescape(name), unescape(value))
    })
}

fn unescape(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[test]
    fn the_end_of_a_path_decides() {
        let hash = format!("sha256:{}", "a".repeat(64));
        let digest: Digest = hash.parse().expect("a digest");
        for (path, expected) in [
            ("/v2/".to_owned(), Route::Base),
            ("/v2/_catalog".to_owned(), Route::Catalogue),
            ("/v2/a/b/tags/list".to_owned(), Route::Tags(name("a/b"))),
            (format!("/v2/a/blobs/{hash}"), Route::Blob(name("a"), digest.clone())),
            (
                format!("/v2/a/blobs/{}", hash.replace(':', "%3A")),
                Route::Blob(name("a"), digest.clone()),
            ),
            ("/v2/a/blobs/uploads/".to_owned(), Route::Uploads(name("a"))),
            ("/v2/a/blobs/uploads".to_owned(), Route::Uploads(name("a"))),
            (
                "/v2/blobs/uploads/blobs/uploads/x".to_owned(),
                Route::Upload(name("blobs/uploads"), "x".to_owned()),
            ),
            (
                format!("/v2/tags/list/manifests/{hash}"),
                Route::Manifest(name("tags/list"), Selector::Digest(digest.clone())),
            ),
            (format!("/v2/a/referrers/{hash}"), Route::Referrers(name("a"), digest)),
            ("/v2/a".to_owned(), Route::Unknown),
            ("/x".to_owned(), Route::Unknown),
            ("/repositories/a/b".to_owned(), Route::Page(name("a/b"))),
        ] {
            assert_eq!(Route::parse(&path).expect("a route"), expected, "{path}");
        }
    }

    #[test]
    fn what_leads_out_is_refused() {
        for path in [
            "/v2/../etc/manifests/x",
            "/v2/%2e%2e/%2e%2e/manifests/x",
            "/v2/a/manifests/..",
            "/v2/a/manifests/%2e%2e%2fx",
            "/v2/a%00/tags/list",
            "/v2/%ff/tags/list",
            "/v2/a/blobs/sha256:../../x",
            "/v2//tags/list",
        ] {
            assert!(
                !matches!(Route::parse(path), Ok(route) if route.repository().is_some()),
                "{path}"
            );
        }
    }

    #[test]
    fn queries_are_unescaped() {
        let text = Some("n=5&tag=a&tag=b%2Fc&last=x+y");
        assert_eq!(query(text, "n").as_deref(), Some("5"));
        assert_eq!(query(text, "last").as_deref(), Some("x y"));
        assert_eq!(queries(text, "tag").collect::<Vec<_>>(), ["a", "b/c"]);
        assert_eq!(query(None, "n"), None);
    }
}
