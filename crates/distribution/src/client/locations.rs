//! Where answers lead: redirects and links (RFC 9110 §10.2.2, RFC 3986 §5.2, RFC 8288).

use http::{StatusCode, Uri};

/// Whether an answer with this status and a `Location` is a redirect.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The target of `<…>; rel="next"` (RFC 8288).
pub(super) fn next_page(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim_start().strip_prefix('<')?.split_once('>')?;
    let is_next = |p: &str| matches!(p.trim(), "rel=\"next\"" | "rel=next");
    parameters.split([';', ',']).any(is_next).then_some(target)
}

/// Where a `Location` or link leads from `base`: absolute, host-relative, path or query.
pub(crate) fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next().unwrap_or_default();
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let has_scheme = reference
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphanumeric()));
    let text = if has_scheme {
        reference.to_owned()
    } else if let Some(rest) = reference.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if reference.starts_with('/') {
        format!("{scheme}://{authority}{reference}")
    } else if reference.starts_with('?') {
        format!("{scheme}://{authority}{}{reference}", base.path())
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{reference}")
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_resolve_against_where_they_came_from() {
        let base: Uri = "https://reg.example:5000/v2/a/tags/list?n=5".parse().expect("uri");
        for (reference, expected) in [
            ("https://cdn.example/x?sig=1#frag", "https://cdn.example/x?sig=1"),
            ("//cdn.example/x", "https://cdn.example/x"),
            (
                "/v2/a/tags/list?n=5&last=b",
                "https://reg.example:5000/v2/a/tags/list?n=5&last=b",
            ),
            ("?last=b", "https://reg.example:5000/v2/a/tags/list?last=b"),
            (
                "other?u=http://x",
                "https://reg.example:5000/v2/a/tags/other?u=http://x",
            ),
        ] {
            let expected: Option<Uri> = expected.parse().ok();
            assert_eq!(resolve(&base, reference), expected, "{reference}");
        }
    }

    #[test]
    fn the_next_page_is_found() {
        for (link, expected) in [
            ("</v2/a/tags/list?last=b>; rel=\"next\"", Some("/v2/a/tags/list?last=b")),
            ("<x>;rel=next", Some("x")),
            ("<x>; rel=\"prev\"", None),
            ("x; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_page(link), expected, "{link}");
        }
    }
}
