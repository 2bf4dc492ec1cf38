//! `pull`.

use corten_client::PullOptions;
use corten_oci::reference::Reference;

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    credentials,
    error::{Error, Result},
    flags::Matches,
    progress::{To, show},
};

/// `pull`.
pub(crate) static COMMAND: Command =
    Command::new("[OPTIONS] NAME[:TAG|@DIGEST]", "Fetch an image from a registry", pull)
        .paths(&["image pull", "pull"])
        .arity(Arity::Exactly(1))
        .flags(&[&[
            Flag::switch("all-tags", "Fetch every tag of the repository").short('a'),
            Flag::switch_on("disable-content-trust", "Do not verify signatures of images"),
            Flag::string("platform", "Platform of the image, if there are several"),
            Flag::switch("quiet", "Show only the image's name").short('q'),
        ]]);

/// Reads an image's name.
pub(crate) fn parse(name: &str) -> Result<Reference> {
    name.parse()
        .map_err(|e: corten_oci::reference::InvalidReference| Error::new(e.to_string()))
}

fn pull(cli: &Cli, m: &Matches) -> Result<()> {
    let reference = parse(m.arg(0))?;
    let all = m.on("all-tags");
    if all && !reference.is_name_only() {
        return Err(Error::new("tag can't be used with --all-tags/-a"));
    }
    let quiet = m.on("quiet");
    if !all && reference.is_name_only() && !quiet {
        cli.out("Using default tag: latest");
    }
    let reference = if all { reference } else { reference.or_latest() };
    let to = if quiet { To::Nowhere } else { To::Stdout };
    cli.wait(fetch(cli, &reference, &cli.platform(m), to))?;
    // The whole name, domain included.
    cli.out(&reference.to_string());
    Ok(())
}

/// Fetches the image of a container that is to be made; says so on standard error.
pub(crate) async fn for_container(cli: &Cli, reference: &Reference, platform: &str, quiet: bool) -> Result<()> {
    let to = if quiet { To::Nowhere } else { To::Stderr };
    fetch(cli, reference, platform, to).await
}

async fn fetch(cli: &Cli, reference: &Reference, platform: &str, to: To) -> Result<()> {
    let auth = credentials::find(cli.config(), reference.domain())?;
    let tag = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.to_owned(),
        (None, None) => String::new(),
    };
    let options = PullOptions {
        repository: reference.repository().familiar().into_owned(),
        tag,
        platform: platform.to_owned(),
        auth,
    };
    let messages = cli.client()?.pull(&options).await?;
    show(messages, to, |_| {}).await
}
