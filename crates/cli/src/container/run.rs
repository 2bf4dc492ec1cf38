//! `run`.
//!
//! ```text
//!   create ──► attach ∥ wait ──► start ──► carry streams, pass signals on ──► exit status
//! ```

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use corten_api::container::WaitResult;
use corten_client::{AttachOptions, Client, Waiting};

use super::{
    create::{make, request, with_help},
    limits,
    run_flags::FLAGS,
};
use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    session::{End, Options, Session},
    signals, terminal,
};

/// How long after the end of the output a dead engine's successor is waited for.
const NEXT_ENGINE: Duration = Duration::from_secs(10);

/// `run`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a container from an image and run it",
    run,
)
.paths(&["container run", "run"])
.arity(Arity::AtLeast(1))
.flags_first()
.flags(&[
    FLAGS,
    limits::FLAGS,
    &[
        Flag::switch("detach", "Run in the background and print the container's ID").short('d'),
        Flag::string("detach-keys", "Keys that detach from the container"),
        Flag::switch_on("sig-proxy", "Pass signals on to the process"),
    ],
]);

fn run(cli: &Cli, m: &Matches) -> Result<()> {
    let mut request = request(cli, m).map_err(|e| with_help(cli, "run", 125, &e))?;
    let config = &mut request.config;
    if m.on("detach") {
        if m.given("attach") {
            return Err(Error::new(
                "conflicting options: cannot specify both --attach and --detach",
            ));
        }
        (
            config.attach_stdin,
            config.attach_stdout,
            config.attach_stderr,
            config.stdin_once,
        ) = (false, false, false, false);
    } else {
        terminal::check_tty(config.attach_stdin, config.tty)?;
    }
    if config.tty {
        let (rows, columns) = terminal::size();
        request.host_config.console_size = [rows, columns];
    }
    let keys = detach_keys(cli, m);
    let options = Options {
        stdin: request.config.attach_stdin,
        stdout: request.config.attach_stdout,
        stderr: request.config.attach_stderr,
        tty: request.config.tty,
        detach_keys: terminal::parse_keys(&keys)?,
    };
    cli.wait(async {
        let id = make(cli, m, &request).await.map_err(|e| as_status(cli, e))?;
        let run = Run {
            cli,
            client: cli.client()?,
            id: &id,
            keys: &keys,
            auto_remove: m.on("rm"),
            pass_signals: m.on("sig-proxy"),
        };
        if options.stdin || options.stdout || options.stderr {
            run.attached(options).await
        } else {
            run.detached().await
        }
    })
}

/// The keys that detach: the flag's, else the configuration's.
pub(crate) fn detach_keys(cli: &Cli, m: &Matches) -> String {
    match m.opt("detach-keys") {
        Some(keys) => keys.to_owned(),
        None => cli.config().detach_keys.clone(),
    }
}

/// The exit status that an error stands for: 127 for what is not there, 126 for what cannot be run.
fn as_status(cli: &Cli, error: Error) -> Error {
    let has = |texts: &[&str]| texts.iter().any(|t| error.message.contains(t));
    let status = if has(&[
        "executable file not found",
        "no such file or directory",
        "system cannot find the file specified",
    ]) {
        127
    } else if has(&["permission denied", "is a directory"]) {
        126
    } else {
        125
    };
    with_help(cli, "run", status, &error.message)
}

struct Run<'a> {
    cli: &'a Cli,
    client: &'a Client,
    id: &'a str,
    keys: &'a str,
    auto_remove: bool,
    pass_signals: bool,
}

impl Run<'_> {
    async fn detached(&self) -> Result<()> {
        let started = self.client.start_container(self.id, "").await;
        started.map_err(|e| as_status(self.cli, e.into()))?;
        self.cli.out(self.id);
        Ok(())
    }

    async fn attached(&self, options: Options) -> Result<()> {
        let attach = AttachOptions {
            stream: true,
            stdin: options.stdin,
            stdout: options.stdout,
            stderr: options.stderr,
            logs: false,
            detach_keys: self.keys.to_owned(),
        };
        let condition = if self.auto_remove { "removed" } else { "next-exit" };
        // Both must be registered before the start, or a quick process would be missed.
        let (connection, waiting) = tokio::try_join!(
            self.client.attach_container(self.id, &attach),
            self.client.wait_container(self.id, condition)
        )
        .map_err(Error::from)?;
        let mut signals = self.pass_signals.then(signals::Passed::catch);
        let tty = options.tty;
        let session = Session::new(connection, options);
        if let Err(error) = self.client.start_container(self.id, "").await {
            drop(session);
            terminal::restore();
            if self.auto_remove {
                // It is removed after a start that failed; what became of it does not matter.
                let _ = waiting.result().await;
            }
            return Err(as_status(self.cli, error.into()));
        }
        let followed = follow(self.client, self.id, session, waiting, signals.as_mut(), tty);
        match followed.await? {
            Some(0) | None => Ok(()),
            Some(status) => Err(Error::silent(status)),
        }
    }
}

/// Carries a session until the container has exited; gives its status, or none when the user detached.
pub(crate) async fn follow(
    client: &Client,
    id: &str,
    session: Session,
    waiting: Waiting<'_>,
    signals: Option<&mut signals::Passed>,
    tty: bool,
) -> Result<Option<u8>> {
    let streams = session.run();
    let output_ended = Cell::new(false);
    let status = status(client, id, waiting, &output_ended);
    let aside = aside(client, id, signals, tty);
    tokio::pin!(streams, status, aside);
    let (mut streams_done, mut code) = (false, None);
    loop {
        tokio::select! {
            biased;
            end = &mut streams, if !streams_done => match end? {
                End::Detached => return Ok(None),
                End::Output => streams_done = true,
            },
            result = &mut status, if code.is_none() => code = Some(exit_status(result?)?),
            () = drain_limit(), if code.is_some() && !streams_done => streams_done = true,
            end = &mut aside => return Err(Error::silent(end)),
        }
        output_ended.set(streams_done);
        if let (true, Some(code)) = (streams_done, code) {
            return Ok(Some(code));
        }
    }
}

/// Waits for the exit. An engine that dies takes neither container nor streams with it: the next one is asked.
async fn status(
    client: &Client,
    id: &str,
    waiting: Waiting<'_>,
    output_ended: &Cell<bool>,
) -> corten_client::Result<WaitResult> {
    let mut result = waiting.result().await;
    let mut ended_at = None;
    while let Err(error) = &result
        && error.kind() == corten_client::Kind::Unavailable
    {
        if output_ended.get() && ended_at.get_or_insert_with(Instant::now).elapsed() > NEXT_ENGINE {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        result = match client.wait_container(id, "not-running").await {
            Ok(waiting) => waiting.result().await,
            Err(error) => Err(error),
        };
    }
    result
}

/// How long output may still come after the exit.
async fn drain_limit() {
    tokio::time::sleep(Duration::from_secs(10)).await;
}

fn exit_status(result: WaitResult) -> Result<u8> {
    match result.error {
        Some(error) if !error.message.is_empty() => Err(Error::with_status(
            125,
            format!("Error waiting for container: {}", error.message),
        )),
        _ => Ok(u8::try_from(result.status_code & 0xff).unwrap_or(125)),
    }
}

/// What goes on beside the streams: signals and changes of the terminal's size. Ends with a status only
/// when a signal that is not passed on ends this program.
async fn aside(client: &Client, id: &str, mut signals: Option<&mut signals::Passed>, tty: bool) -> u8 {
    let mut changes = if tty { signals::window_changes() } else { None };
    if tty {
        resize(client, id).await;
    }
    let leaves_raw = tty && signals.is_none();
    let deadly = async {
        if leaves_raw {
            signals::deadly().await
        } else {
            std::future::pending().await
        }
    };
    let passed_or_resized = async {
        loop {
            tokio::select! {
                name = async {
                    match &mut signals {
                        Some(signals) => signals.next().await,
                        None => std::future::pending().await,
                    }
                } => {
                    // A container that has just exited needs no signal.
                    let _ = client.kill_container(id, name).await;
                }
                _ = async {
                    match &mut changes {
                        Some(changes) => changes.recv().await,
                        None => std::future::pending().await,
                    }
                } => resize(client, id).await,
            }
        }
    };
    tokio::select! {
        status = deadly => {
            terminal::restore();
            status
        }
        () = passed_or_resized => 0,
    }
}

async fn resize(client: &Client, id: &str) {
    let (rows, columns) = terminal::size();
    if rows > 0 && columns > 0 {
        // A container that has just exited has no terminal any more.
        let _ = client.resize_container(id, rows, columns).await;
    }
}
