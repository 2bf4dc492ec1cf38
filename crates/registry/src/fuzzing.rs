//! The parsers of what clients send, for fuzz targets. Nothing else uses them from outside.

use crate::document::Document;
use crate::handlers::ranges::{Wanted, chunk, wanted};
use crate::route::{Route, fields};

/// Reads a path and its query; what names a repository leads nowhere else.
///
/// # Panics
/// When it does.
pub fn path(text: &str) {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if let Ok(route) = Route::parse(path)
        && let Some(name) = route.repository()
    {
        let parts = name.as_str().split('/');
        assert!(
            parts
                .into_iter()
                .all(|part| !part.is_empty() && !part.starts_with(['.', '_']))
        );
    }
    assert!(fields(query).count() <= query.len() + 1);
}

/// Reads a manifest; what it needs is what it lists.
///
/// # Panics
/// When it is not.
pub fn manifest(bytes: &[u8]) {
    if let Ok(document) = Document::parse(bytes, None) {
        let listed = document.entries.len() + usize::from(document.config.is_some());
        assert!(document.needs.len() <= listed);
        // Once more by the name that it got.
        assert!(Document::parse(bytes, Some(&document.media_type)).is_ok());
    }
}

/// Reads a token.
pub fn token(text: &str) {
    crate::auth::read_token(text);
}

/// Reads ranges; what is wanted is within what there is.
///
/// # Panics
/// When it is not.
pub fn ranges(text: &str, size: u64) {
    if let Wanted::Some(offset, length) = wanted(text, size) {
        assert!(length > 0 && offset.checked_add(length).is_some_and(|end| end <= size));
    }
    if let Some((first, count)) = chunk(text) {
        assert!(count > 0 && first.checked_add(count - 1).is_some());
    }
}
