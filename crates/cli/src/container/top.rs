//! `top`.

use crate::{
    cli::Cli,
    command::{Arity, Command},
    error::Result,
    flags::Matches,
    formatter::align,
};

/// `top`.
pub(crate) static COMMAND: Command = Command::new("CONTAINER [ps OPTIONS]", "Show the processes of a container", top)
    .paths(&["container top", "top"])
    .arity(Arity::AtLeast(1))
    .flags_first();

fn top(cli: &Cli, m: &Matches) -> Result<()> {
    let arguments = m.args.get(1..).unwrap_or_default().join(" ");
    let list = cli.wait(async { Ok(cli.client()?.container_top(m.arg(0), &arguments).await?) })?;
    let mut text = list.titles.join("\t");
    text.push('\n');
    for process in &list.processes {
        text.push_str(&process.join("\t"));
        text.push('\n');
    }
    cli.print(&align(&text, 20, 3));
    Ok(())
}
