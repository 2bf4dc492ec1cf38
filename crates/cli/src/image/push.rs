//! `push`.

use corten_client::PushOptions;

use super::pull::parse;
use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    credentials,
    error::{Error, Result},
    flags::Matches,
    progress::{To, show},
};

/// `push`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS] NAME[:TAG]", "Send an image to a registry", push)
    .paths(&["image push", "push"])
    .arity(Arity::Exactly(1))
    .flags(&[&[
        Flag::switch("all-tags", "Send every tag of the repository").short('a'),
        Flag::switch_on("disable-content-trust", "Do not sign the image"),
        Flag::string("platform", "Send only the image of this platform"),
        Flag::switch("quiet", "Show only the image's name").short('q'),
    ]]);

fn push(cli: &Cli, m: &Matches) -> Result<()> {
    let reference = parse(m.arg(0))?;
    let all = m.on("all-tags");
    let quiet = m.on("quiet");
    if all && !reference.is_name_only() {
        return Err(Error::new("tag can't be used with --all-tags/-a"));
    }
    if !all && reference.is_name_only() && !quiet {
        cli.out("Using default tag: latest");
    }
    let reference = if all { reference } else { reference.or_latest() };
    let options = PushOptions {
        repository: reference.repository().familiar().into_owned(),
        tag: reference.tag().unwrap_or_default().to_owned(),
        platform: super::platform_json(m.get("platform"))?,
        auth: credentials::find(cli.config(), reference.domain())?,
    };
    let to = if quiet { To::Nowhere } else { To::Stdout };
    cli.wait(async {
        let messages = cli.client()?.push(&options).await?;
        show(messages, to, |_| {}).await
    })?;
    if quiet {
        cli.out(&reference.familiar());
    }
    Ok(())
}
