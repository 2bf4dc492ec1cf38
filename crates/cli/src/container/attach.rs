//! `attach`.

use corten_client::AttachOptions;

use super::run::{detach_keys, follow};
use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    session::{Options, Session},
    signals, terminal,
};

/// `attach`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] CONTAINER",
    "Connect this terminal's streams to a running container",
    attach,
)
.paths(&["container attach", "attach"])
.arity(Arity::Exactly(1))
.flags(&[&[
    Flag::string("detach-keys", "Keys that detach from the container"),
    Flag::switch("no-stdin", "Leave standard input alone"),
    Flag::switch_on("sig-proxy", "Pass signals on to the process"),
]]);

fn attach(cli: &Cli, m: &Matches) -> Result<()> {
    let keys = detach_keys(cli, m);
    let parsed = terminal::parse_keys(&keys)?;
    cli.wait(async {
        let client = cli.client()?;
        let id = m.arg(0);
        let container = super::inspect(client, id).await?;
        let state = container.get("State").cloned().unwrap_or(corten_template::Json::Null);
        check_state(state.on("Running"), state.on("Paused"), state.on("Restarting"))?;
        let config = container.get("Config").cloned().unwrap_or(corten_template::Json::Null);
        let tty = config.on("Tty");
        let stdin = !m.on("no-stdin") && config.on("OpenStdin");
        terminal::check_tty(!m.on("no-stdin"), tty)?;
        let options = AttachOptions {
            stream: true,
            stdin,
            stdout: true,
            stderr: true,
            logs: false,
            detach_keys: keys,
        };
        let (connection, waiting) =
            tokio::try_join!(client.attach_container(id, &options), client.wait_container(id, ""))
                .map_err(Error::from)?;
        let mut signals = (m.on("sig-proxy") && !tty).then(signals::Passed::catch);
        let session = Session::new(
            connection,
            Options {
                stdin,
                stdout: true,
                stderr: true,
                tty,
                detach_keys: parsed,
            },
        );
        match follow(client, id, session, waiting, signals.as_mut(), tty).await? {
            Some(0) => Ok(()),
            Some(status) => Err(Error::silent(status)),
            None => Err(Error::new("read escape sequence")),
        }
    })
}

fn check_state(running: bool, paused: bool, restarting: bool) -> Result<()> {
    if !running {
        return Err(Error::new("You cannot attach to a stopped container, start it first"));
    }
    if paused {
        return Err(Error::new("You cannot attach to a paused container, unpause it first"));
    }
    if restarting {
        return Err(Error::new(
            "You cannot attach to a restarting container, wait until it is running",
        ));
    }
    Ok(())
}
