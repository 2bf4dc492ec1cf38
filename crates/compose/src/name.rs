//! What a project is called.

use crate::{
    error::{Error, Result},
    load::{Sources, Step},
    node::Node,
    template,
    warnings::Warnings,
    yaml::Document,
};

/// The project's name: the one that was given, or the one that is `written` in its files, or the default.
pub(crate) fn of(sources: &Sources, mut written: String, warnings: &mut Warnings) -> Result<String> {
    if let Some(name) = &sources.name {
        check(name)?;
        return Ok(name.clone());
    }
    if sources.does(Step::Interpolation) {
        let lookup = |name: &str| sources.environment.get(name).cloned();
        written = template::substitute(&written, &lookup, &mut |name| warnings.unset(name))
            .map_err(|failure| failure.about("name"))?;
    }
    if sources.does(Step::Normalization) {
        written = normalize(&written);
    }
    Ok(if written.is_empty() {
        sources.default_name.clone()
    } else {
        written
    })
}

/// What a file says.
pub(crate) fn written(documents: &[Document]) -> Option<&str> {
    let names = documents
        .iter()
        .rev()
        .filter_map(|document| document.root.get("name").and_then(Node::as_text));
    let mut given = names.filter(|name| !name.is_empty());
    given.next()
}

/// A name from any text: small letters, digits, `-` and `_`, beginning with a letter or a digit.
pub(crate) fn normalize(text: &str) -> String {
    let lower = text.to_lowercase();
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    let name: String = lower.chars().filter(allowed).collect();
    name.trim_start_matches(['_', '-']).to_owned()
}

/// Refuses what is no name.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid), in Compose's words.
pub(crate) fn check(name: &str) -> Result<()> {
    if normalize(name) == name {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "invalid project name {name:?}: must consist only of lowercase alphanumeric characters, hyphens, and \
         underscores as well as start with a letter or number"
    )))
}
