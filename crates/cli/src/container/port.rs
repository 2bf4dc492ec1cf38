//! `port`.

use corten_template::Json;

use crate::{
    cli::Cli,
    command::{Arity, Command},
    error::{Error, Result},
    flags::Matches,
    formatter::{container::host_port, natural_order},
    opts::port::split_protocol,
};

/// `port`.
pub(crate) static COMMAND: Command = Command::new(
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "Show where a container's ports are published",
    port,
)
.paths(&["container port", "port"])
.arity(Arity::Between(1, 2));

fn port(cli: &Cli, m: &Matches) -> Result<()> {
    let container = cli.wait(async { super::inspect(cli.client()?, m.arg(0)).await })?;
    let settings = container.get("NetworkSettings").cloned().unwrap_or(Json::Null);
    let mut lines = Vec::new();
    match m.args.get(1) {
        Some(wanted) => {
            let (protocol, number) = split_protocol(wanted);
            if number.parse::<u16>().is_err() {
                return Err(Error::new(format!("Error: invalid port ({number}): invalid syntax")));
            }
            let key = format!("{number}/{protocol}");
            let published = settings.get("Ports").map(|p| p.items(&key)).unwrap_or_default();
            if published.is_empty() {
                return Err(Error::new(format!(
                    "Error: No public port '{wanted}' published for {}",
                    m.arg(0)
                )));
            }
            lines.extend(published.iter().map(shown));
        }
        None => {
            for (key, published) in settings.members("Ports") {
                if let Json::Array(published) = published {
                    lines.extend(published.iter().map(|p| format!("{key} -> {}", shown(p))));
                }
            }
        }
    }
    lines.sort_by(|a, b| natural_order(a, b));
    for line in lines {
        cli.out(&line);
    }
    Ok(())
}

fn shown(binding: &Json) -> String {
    host_port(binding.text("HostIp"), binding.text("HostPort"))
}
