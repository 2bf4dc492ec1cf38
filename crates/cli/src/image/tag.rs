//! `tag`.

use corten_oci::reference::Reference;

use crate::{
    cli::Cli,
    command::{Arity, Command},
    error::{Error, Result},
    flags::Matches,
};

/// `tag`.
pub(crate) static COMMAND: Command = Command::new(
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Give an image another name",
    tag,
)
.paths(&["image tag", "tag"])
.arity(Arity::Exactly(2));

fn tag(cli: &Cli, m: &Matches) -> Result<()> {
    let target = m.arg(1);
    let reference: Reference = target.parse().map_err(|e| {
        Error::new(format!(
            "Error parsing reference: {} is not a valid repository/tag: {e}",
            crate::opts::quote(target)
        ))
    })?;
    if reference.digest().is_some() {
        return Err(Error::new("refusing to create a tag with a digest reference"));
    }
    let reference = reference.or_latest();
    cli.wait(async {
        let repository = reference.repository().familiar();
        let tag = reference.tag().unwrap_or_default();
        Ok(cli.client()?.tag(m.arg(0), &repository, tag).await?)
    })
}

/// The repository and the tag of a name for a new image; both empty for no name.
pub(crate) fn split(name: &str) -> Result<(String, String)> {
    if name.is_empty() {
        return Ok((String::new(), String::new()));
    }
    let reference: Reference = name
        .parse()
        .map_err(|e: corten_oci::reference::InvalidReference| Error::new(e.to_string()))?;
    if reference.digest().is_some() {
        return Err(Error::new("cannot commit to digest reference"));
    }
    let reference = reference.or_latest();
    Ok((
        reference.repository().familiar().into_owned(),
        reference.tag().unwrap_or_default().to_owned(),
    ))
}
