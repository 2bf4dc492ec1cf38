//! `diff`.

use crate::{
    cli::Cli,
    command::{Arity, Command},
    error::Result,
    flags::Matches,
};

/// `diff`.
pub(crate) static COMMAND: Command = Command::new("CONTAINER", "Show which files of a container have changed", diff)
    .paths(&["container diff", "diff"])
    .arity(Arity::Exactly(1));

fn diff(cli: &Cli, m: &Matches) -> Result<()> {
    let changes = cli.wait(async { Ok(cli.client()?.container_changes(m.arg(0)).await?) })?;
    for change in changes {
        let kind = match change.kind {
            0 => 'C',
            1 => 'A',
            _ => 'D',
        };
        cli.out(&format!("{kind} {}", change.path));
    }
    Ok(())
}
