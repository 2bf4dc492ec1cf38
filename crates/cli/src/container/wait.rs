//! `wait`.

use crate::{
    cli::Cli,
    command::{Arity, Command},
    error::{Error, Result},
    flags::Matches,
};

/// `wait`.
pub(crate) static COMMAND: Command = Command::new(
    "CONTAINER [CONTAINER...]",
    "Wait until containers have stopped and print their exit codes",
    wait,
)
.paths(&["container wait", "wait"])
.arity(Arity::AtLeast(1));

fn wait(cli: &Cli, m: &Matches) -> Result<()> {
    cli.wait(async {
        let client = cli.client()?;
        let mut errors = Vec::new();
        for name in &m.args {
            let result = async { client.wait_container(name, "").await?.result().await }.await;
            match result {
                Ok(result) => match result.error {
                    Some(error) if !error.message.is_empty() => errors.push(Error::new(error.message)),
                    _ => cli.out(&result.status_code.to_string()),
                },
                Err(error) => errors.push(error.into()),
            }
        }
        Error::all(errors)
    })
}
