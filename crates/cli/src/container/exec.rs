//! `exec`.

use corten_api::exec::{ExecConfig, ExecStart};

use super::run::detach_keys;
use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result, file_error},
    flags::Matches,
    opts::environment,
    session::{End, Options, Session},
    signals, terminal,
};

/// `exec`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Run a command in a container that is running",
    exec,
)
.paths(&["container exec", "exec"])
.arity(Arity::AtLeast(2))
.flags_first()
.flags(&[&[
    Flag::switch("detach", "Run the command in the background").short('d'),
    Flag::string("detach-keys", "Keys that detach from the container"),
    Flag::list("env", "Environment variable to set")
        .short('e')
        .checked(environment::check),
    Flag::list("env-file", "File of environment variables"),
    Flag::switch("interactive", "Keep standard input open").short('i'),
    Flag::switch("privileged", "Give the command every right on the host"),
    Flag::switch("tty", "Give it a terminal").short('t'),
    Flag::string("user", "User, and optionally group (name|uid[:group|gid])").short('u'),
    Flag::string("workdir", "Folder to start in").short('w'),
]]);

fn exec(cli: &Cli, m: &Matches) -> Result<()> {
    let keys = detach_keys(cli, m);
    let config = config(m, &keys)?;
    let detach_keys = terminal::parse_keys(&keys)?;
    cli.wait(async {
        let client = cli.client()?;
        let (container, _) = m.args.split_first().ok_or_else(|| Error::new("no container"))?;
        if !config.detach
            && let Err(error) = terminal::check_tty(config.attach_stdin, config.tty)
        {
            // A container that is not there is the graver error.
            super::inspect(client, container).await?;
            return Err(error);
        }
        let id = client.create_exec(container, &config).await?;
        let start = ExecStart {
            detach: config.detach,
            tty: config.tty,
            console_size: config.console_size,
        };
        if config.detach {
            return Ok(client.start_exec(&id, &start).await?);
        }
        let connection = client.attach_exec(&id, &start).await?;
        let session = Session::new(
            connection,
            Options {
                stdin: config.attach_stdin,
                stdout: true,
                stderr: true,
                tty: config.tty,
                detach_keys,
            },
        );
        let end = tokio::select! {
            end = session.run() => end?,
            () = follow_size(client, &id, config.tty) => End::Output,
        };
        if end == End::Detached {
            return Err(Error::new("read escape sequence"));
        }
        let state = client.inspect_exec(&id).await?;
        match state.exit_code.unwrap_or(0) {
            0 => Ok(()),
            code => Err(Error::silent(u8::try_from(code & 0xff).unwrap_or(1))),
        }
    })
}

fn config(m: &Matches, keys: &str) -> Result<ExecConfig> {
    let variable = |name: &str| std::env::var(name).ok();
    let mut env = Vec::new();
    for path in m.all("env-file") {
        let contents = corten_sys::fs::read(path).map_err(|e| Error::new(file_error("open", path, &e)))?;
        let lines = environment::parse_file(&contents, variable)
            .map_err(|e| Error::new(format!("invalid env file ({path}): {e}")))?;
        env.extend(lines);
    }
    env.extend(m.all("env").into_iter().map(|e| environment::resolve(e, variable)));
    let detach = m.on("detach");
    let (rows, columns) = if m.on("tty") { terminal::size() } else { (0, 0) };
    Ok(ExecConfig {
        user: m.get("user").to_owned(),
        privileged: m.on("privileged"),
        tty: m.on("tty"),
        console_size: (rows > 0).then_some([rows, columns]),
        attach_stdin: !detach && m.on("interactive"),
        attach_stderr: !detach,
        attach_stdout: !detach,
        detach,
        detach_keys: keys.to_owned(),
        env,
        working_dir: m.get("workdir").to_owned(),
        cmd: m.args.get(1..).unwrap_or_default().to_vec(),
    })
}

/// Passes changes of the terminal's size on; never ends.
async fn follow_size(client: &corten_client::Client, id: &str, tty: bool) {
    let mut changes = if tty { signals::window_changes() } else { None };
    while let Some(changes) = &mut changes {
        let (rows, columns) = terminal::size();
        if rows > 0 {
            // A command that has just ended has no terminal any more.
            let _ = client.resize_exec(id, rows, columns).await;
        }
        if changes.recv().await.is_none() {
            break;
        }
    }
    std::future::pending::<()>().await;
}
