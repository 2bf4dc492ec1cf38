//! `start`.

use corten_client::AttachOptions;

use super::run::{detach_keys, follow};
use corten_template::Json;

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    session::{Options, Session},
    signals, terminal,
};

/// `start`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start containers that were created or have stopped",
    start,
)
.paths(&["container start", "start"])
.arity(Arity::AtLeast(1))
.flags(&[&[
    Flag::switch("attach", "Show output and pass signals on").short('a'),
    Flag::string("detach-keys", "Keys that detach from the container"),
    Flag::switch("interactive", "Pass standard input on").short('i'),
    Flag::string("checkpoint", "Checkpoint to go on from").hidden(),
    Flag::string("checkpoint-dir", "Folder of checkpoints").hidden(),
]]);

fn start(cli: &Cli, m: &Matches) -> Result<()> {
    refuse_checkpoints(cli, m)?;
    if !m.on("attach") && !m.on("interactive") {
        return cli.wait(start_all(cli, &m.args));
    }
    if m.args.len() > 1 {
        return Err(Error::new("you cannot start and attach multiple containers at once"));
    }
    let keys = detach_keys(cli, m);
    cli.wait(start_attached(cli, m, keys))
}

/// Refuses checkpoints, which need an engine of Docker's with its experimental features.
fn refuse_checkpoints(cli: &Cli, m: &Matches) -> Result<()> {
    let Some(flag) = ["checkpoint", "checkpoint-dir"].into_iter().find(|flag| m.given(flag)) else {
        return Ok(());
    };
    let engine = cli.wait(async { Ok(cli.client()?.version().await?) })?;
    if engine.experimental {
        return Err(Error::new(format!("--{flag} is not supported")));
    }
    Err(Error::new(format!(
        "\"--{flag}\" is only supported on a Docker daemon with experimental features enabled"
    )))
}

async fn start_all(cli: &Cli, names: &[String]) -> Result<()> {
    let client = cli.client()?;
    let mut failed = Vec::new();
    for name in names {
        match client.start_container(name, "").await {
            Ok(()) => cli.out(name),
            Err(error) => {
                cli.err(&error.to_string());
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!(
        "Error: failed to start containers: {}",
        failed.join(", ")
    )))
}

async fn start_attached(cli: &Cli, m: &Matches, keys: String) -> Result<()> {
    let client = cli.client()?;
    let container = super::inspect(client, m.arg(0)).await?;
    let id = container.text("Id").to_owned();
    let config = container.get("Config").cloned().unwrap_or(Json::Null);
    let tty = config.on("Tty");
    let stdin = m.on("interactive") && config.on("OpenStdin");
    terminal::check_tty(stdin, tty)?;
    let options = AttachOptions {
        stream: true,
        stdin,
        stdout: true,
        stderr: true,
        logs: false,
        detach_keys: keys.clone(),
    };
    let auto_remove = container.get("HostConfig").is_some_and(|h| h.on("AutoRemove"));
    let condition = if auto_remove { "removed" } else { "next-exit" };
    let (connection, waiting) = tokio::try_join!(
        client.attach_container(&id, &options),
        client.wait_container(&id, condition)
    )
    .map_err(Error::from)?;
    let mut signals = (!tty).then(signals::Passed::catch);
    let session = Session::new(
        connection,
        Options {
            stdin,
            stdout: true,
            stderr: true,
            tty,
            detach_keys: terminal::parse_keys(&keys)?,
        },
    );
    if let Err(error) = client.start_container(&id, "").await {
        drop(session);
        return Err(error.into());
    }
    match follow(client, &id, session, waiting, signals.as_mut(), tty).await? {
        Some(0) | None => Ok(()),
        Some(status) => Err(Error::silent(status)),
    }
}
