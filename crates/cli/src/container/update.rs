//! `update`.

use corten_api::container::UpdateRequest;

use super::limits;
use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    opts::{self, size},
};

/// `update`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Change the limits of containers",
    update,
)
.paths(&["container update", "update"])
.arity(Arity::AtLeast(1))
.flags(&[limits::FLAGS, OWN]);

/// What else can be changed.
static OWN: &[Flag] = &[
    Flag::value(
        "kernel-memory",
        "bytes",
        size::check,
        "No effect: kernel memory counts as memory",
    )
    .hidden(),
    Flag::string("restart", "What to do when it exits"),
];

fn update(cli: &Cli, m: &Matches) -> Result<()> {
    if !COMMAND.all_flags().any(|f| m.given(f.long)) {
        return Err(Error::new("you must provide one or more flags when using this command"));
    }
    let request = request(m)?;
    cli.wait(async {
        let client = cli.client()?;
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for name in &m.args {
            match client.update_container(name, &request).await {
                Ok(updated) => {
                    cli.out(name);
                    warnings.extend(updated.warnings.unwrap_or_default());
                }
                Err(error) => errors.push(Error::from(error)),
            }
        }
        if !warnings.is_empty() {
            cli.out(&warnings.join("\n"));
        }
        Error::all(errors)
    })
}

fn request(m: &Matches) -> std::result::Result<UpdateRequest, String> {
    let restart_policy = match m.get("restart") {
        "" => None,
        policy => Some(opts::limits::parse_restart(policy)?),
    };
    Ok(UpdateRequest {
        resources: limits::resources(m)?,
        restart_policy,
    })
}
