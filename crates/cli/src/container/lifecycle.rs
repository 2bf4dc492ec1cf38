//! `stop`, `restart`, `kill`, `pause`, `unpause`, `rm`, `rename`: one call an object, errors collected.

use std::future::Future;

use corten_client::{RemoveOptions, StopOptions};

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
};

const STOP_FLAGS: &[Flag] = &[
    Flag::string("signal", "Signal to send").short('s'),
    Flag::int("timeout", "Seconds to wait before the container is killed").short('t'),
    Flag::int("time", "")
        .same_as("timeout")
        .deprecated("use --timeout instead"),
];

/// `stop`.
pub(crate) static STOP: Command = Command::new("[OPTIONS] CONTAINER [CONTAINER...]", "Stop running containers", stop)
    .paths(&["container stop", "stop"])
    .arity(Arity::AtLeast(1))
    .flags(&[STOP_FLAGS]);

/// `restart`.
pub(crate) static RESTART: Command = Command::new(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Stop containers and start them again",
    restart,
)
.paths(&["container restart", "restart"])
.arity(Arity::AtLeast(1))
.flags(&[STOP_FLAGS]);

/// `kill`.
pub(crate) static KILL: Command = Command::new(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Send a signal to running containers",
    kill,
)
.paths(&["container kill", "kill"])
.arity(Arity::AtLeast(1))
.flags(&[&[Flag::string("signal", "Signal to send instead of KILL").short('s')]]);

/// `pause`.
pub(crate) static PAUSE: Command =
    Command::new("CONTAINER [CONTAINER...]", "Freeze all processes of containers", pause)
        .paths(&["container pause", "pause"])
        .arity(Arity::AtLeast(1));

/// `unpause`.
pub(crate) static UNPAUSE: Command = Command::new("CONTAINER [CONTAINER...]", "Let frozen containers go on", unpause)
    .paths(&["container unpause", "unpause"])
    .arity(Arity::AtLeast(1));

/// `rm`.
pub(crate) static REMOVE: Command = Command::new("[OPTIONS] CONTAINER [CONTAINER...]", "Remove containers", remove)
    .paths(&["container rm", "container remove", "rm"])
    .arity(Arity::AtLeast(1))
    .flags(&[&[
        Flag::switch("force", "Remove it even if it runs (SIGKILL)").short('f'),
        Flag::switch("link", "Remove only the link of that name").short('l'),
        Flag::switch("volumes", "Remove its anonymous volumes, too").short('v'),
    ]]);

/// `rename`.
pub(crate) static RENAME: Command = Command::new("CONTAINER NEW_NAME", "Give a container another name", rename)
    .paths(&["container rename", "rename"])
    .arity(Arity::Exactly(2));

/// The most calls under way at once.
const AT_ONCE: usize = 50;

/// Does something with each object, several at once; prints the names of those it was done with, in order.
async fn each<'a, F>(cli: &Cli, names: &'a [String], act: impl Fn(&'a str) -> F) -> Result<()>
where
    F: Future<Output = corten_client::Result<()>>,
{
    let mut errors = Vec::new();
    for names in names.chunks(AT_ONCE) {
        let results = join(names.iter().map(|name| act(name))).await;
        for (name, result) in names.iter().zip(results) {
            match result {
                Ok(()) => cli.out(name),
                Err(error) => errors.push(Error::from(error)),
            }
        }
    }
    Error::all(errors)
}

/// Drives futures together; their results in order.
async fn join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(move |cx| {
        let mut pending = false;
        for (future, result) in &mut running {
            if result.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *result = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(running.drain(..).filter_map(|(_, result)| result).collect())
    })
    .await
}

fn stop_options(m: &Matches) -> StopOptions {
    StopOptions {
        signal: m.get("signal").to_owned(),
        timeout: m.given("timeout").then(|| m.int("timeout")),
    }
}

fn stop(cli: &Cli, m: &Matches) -> Result<()> {
    let options = stop_options(m);
    cli.wait(async {
        let client = cli.client()?;
        each(cli, &m.args, |name| client.stop_container(name, &options)).await
    })
}

fn restart(cli: &Cli, m: &Matches) -> Result<()> {
    let options = stop_options(m);
    cli.wait(async {
        let client = cli.client()?;
        each(cli, &m.args, |name| client.restart_container(name, &options)).await
    })
}

fn kill(cli: &Cli, m: &Matches) -> Result<()> {
    cli.wait(async {
        let client = cli.client()?;
        each(cli, &m.args, |name| client.kill_container(name, m.get("signal"))).await
    })
}

fn pause(cli: &Cli, m: &Matches) -> Result<()> {
    cli.wait(async {
        let client = cli.client()?;
        each(cli, &m.args, |name| client.pause_container(name)).await
    })
}

fn unpause(cli: &Cli, m: &Matches) -> Result<()> {
    cli.wait(async {
        let client = cli.client()?;
        each(cli, &m.args, |name| client.unpause_container(name)).await
    })
}

fn remove(cli: &Cli, m: &Matches) -> Result<()> {
    let options = RemoveOptions {
        volumes: m.on("volumes"),
        link: m.on("link"),
        force: m.on("force"),
    };
    cli.wait(async {
        let client = cli.client()?;
        let names: Vec<_> = m.args.iter().map(|n| n.trim_matches('/').to_owned()).collect();
        if names.iter().any(String::is_empty) {
            return Err(Error::new("container name cannot be empty"));
        }
        let results = join(names.iter().map(|name| client.remove_container(name, options))).await;
        let mut errors = Vec::new();
        for (name, result) in names.iter().zip(results) {
            match result {
                Ok(()) => cli.out(name),
                // What is gone already is what the user wanted.
                Err(error) if options.force && error.is_not_found() => cli.err(&error.to_string()),
                Err(error) => errors.push(Error::from(error)),
            }
        }
        Error::all(errors)
    })
}

fn rename(cli: &Cli, m: &Matches) -> Result<()> {
    let (old, new) = (m.arg(0).trim(), m.arg(1).trim());
    if old.is_empty() || new.is_empty() {
        return Err(Error::new("Error: Neither old nor new names may be empty"));
    }
    cli.wait(async {
        if let Err(error) = cli.client()?.rename_container(old, new).await {
            cli.err(&error.to_string());
            return Err(Error::new(format!("Error: failed to rename container named {old}")));
        }
        Ok(())
    })
}
