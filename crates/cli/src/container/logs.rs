//! `logs`.

use corten_client::LogsOptions;
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    opts::time,
    session::Output,
};

/// `logs`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS] CONTAINER", "Show what a container has written", logs)
    .paths(&["container logs", "logs"])
    .arity(Arity::Exactly(1))
    .flags(&[&[
        Flag::switch("details", "Show the attributes that the log driver keeps"),
        Flag::switch("follow", "Go on with what is still written").short('f'),
        Flag::string(
            "since",
            "Only from this time on (for example \"2013-01-02T13:23:37Z\"), or so long ago (\"42m\")",
        ),
        Flag::string("tail", "How many of the last lines")
            .short('n')
            .default("all"),
        Flag::switch("timestamps", "Show the time of each line").short('t'),
        Flag::string(
            "until",
            "Only up to this time (for example \"2013-01-02T13:23:37Z\"), or so long ago (\"42m\")",
        ),
    ]]);

/// Reads `--since` or `--until`.
pub(crate) fn point(m: &Matches, flag: &str) -> Result<String> {
    match m.get(flag) {
        "" => Ok(String::new()),
        text => time::parse(text, Timestamp::now(), &TimeZone::system())
            .map_err(|e| Error::new(format!("invalid value for {}: {e}", crate::opts::quote(flag)))),
    }
}

fn logs(cli: &Cli, m: &Matches) -> Result<()> {
    cli.wait(async {
        let client = cli.client()?;
        let container = super::inspect(client, m.arg(0)).await?;
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            follow: m.on("follow"),
            timestamps: m.on("timestamps"),
            details: m.on("details"),
            since: point(m, "since")?,
            until: point(m, "until")?,
            tail: m.get("tail").to_owned(),
        };
        let mut stream = client.container_logs(container.text("Id"), &options).await?;
        let mut output = Output::new(container.get("Config").is_some_and(|c| c.on("Tty")));
        while let Some(piece) = stream.next().await? {
            output.write(&piece)?;
        }
        Ok(())
    })
}
