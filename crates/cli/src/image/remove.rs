//! `rmi`.

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
};

/// `rmi`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS] IMAGE [IMAGE...]", "Remove images", remove)
    .paths(&["image rm", "image remove", "rmi"])
    .arity(Arity::AtLeast(1))
    .flags(&[&[
        Flag::switch("force", "Remove it although it is in use").short('f'),
        Flag::switch("no-prune", "Keep parents without a name"),
        Flag::strings("platform", "Remove only the image of this platform"),
    ]]);

fn remove(cli: &Cli, m: &Matches) -> Result<()> {
    let force = m.on("force");
    let platforms: Vec<_> = m
        .strings("platform")
        .iter()
        .map(|p| super::platform_json(p))
        .collect::<Result<_>>()?;
    cli.wait(async {
        let client = cli.client()?;
        let (mut errors, mut fatal) = (Vec::new(), false);
        for name in &m.args {
            match client.remove_image(name, force, m.on("no-prune"), &platforms).await {
                Ok(deleted) => {
                    for item in deleted {
                        if item.deleted.is_empty() {
                            cli.out(&format!("Untagged: {}", item.untagged));
                        } else {
                            cli.out(&format!("Deleted: {}", item.deleted));
                        }
                    }
                }
                Err(error) => {
                    fatal |= !error.is_not_found();
                    errors.push(Error::from(error));
                }
            }
        }
        match Error::all(errors) {
            // What is gone already is what the user wanted.
            Err(error) if force && !fatal => {
                cli.err(&error.message);
                Ok(())
            }
            result => result,
        }
    })
}
