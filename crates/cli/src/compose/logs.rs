//! `compose logs`, and the output of `compose up`: each line with its container's name, each name in a colour.

use std::{cell::RefCell, io::Write as _};

use corten_api::stream::{Decoder, Stream};
use corten_client::{AttachOptions, LogsOptions};
use corten_compose::{names, plan};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::AsyncReadExt as _;

use super::open::Open;
use crate::{
    cli::{Cli, write_or_exit},
    command::{Command, Flag},
    container,
    error::{Error, Result},
    flags::Matches,
};

/// `compose logs`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS] [SERVICE...]", "Show what containers have written", logs)
    .paths(&["compose logs"])
    .flags(&[&[
        Flag::switch("dry-run", "Not supported for this command").hidden(),
        Flag::switch("follow", "Go on with what is still written").short('f'),
        Flag::int("index", "The container of that number only").default("0"),
        Flag::switch("no-color", "Write without colours"),
        Flag::switch("no-log-prefix", "Write output without the container's name"),
        Flag::string("since", "Only from this time on, or so long ago (\"42m\")"),
        Flag::string("tail", "How many of the last lines")
            .short('n')
            .default("all"),
        Flag::switch("timestamps", "Show the time of each line").short('t'),
        Flag::string("until", "Only up to this time, or so long ago (\"42m\")"),
    ]]);

/// The colours of names, one after the other.
const COLOURS: [u8; 10] = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

/// Writes lines with their container's name.
pub(crate) struct Printer {
    project: String,
    prefix: bool,
    coloured: bool,
    width: usize,
    /// Names in the order of their colours.
    names: RefCell<Vec<String>>,
}

impl Printer {
    pub(crate) fn new<'a>(m: &Matches, project: &str, containers: impl Iterator<Item = &'a str>) -> Self {
        let width = containers.map(|name| names::short(project, name).len()).max();
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        Self {
            project: project.to_owned(),
            prefix: !m.on("no-log-prefix"),
            coloured: !m.on("no-color") && super::progress::is_coloured(m.parent(), terminal),
            width: width.unwrap_or(0),
            names: RefCell::default(),
        }
    }

    /// A container's name as lines have it.
    pub(crate) fn name(&self, container: &str) -> String {
        names::short(&self.project, container).to_owned()
    }

    fn head(&self, container: &str) -> String {
        if !self.prefix {
            return String::new();
        }
        let name = self.name(container);
        let text = format!("{name:width$}  | ", width = self.width);
        if !self.coloured {
            return text;
        }
        let mut names = self.names.borrow_mut();
        let index = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        format!("\x1b[{}m{text}\x1b[0m", COLOURS[index % COLOURS.len()])
    }

    fn write(&self, container: &str, stream: Stream, line: &[u8]) {
        let mut text = self.head(container).into_bytes();
        text.extend_from_slice(line);
        text.push(b'\n');
        if stream == Stream::Stderr {
            // Nobody can be told that standard error is gone.
            let _ = std::io::stderr().lock().write_all(&text);
        } else {
            write_or_exit(&mut std::io::stdout().lock(), &text);
        }
    }
}

/// Takes pieces of output apart into lines.
struct Lines<'a> {
    printer: &'a Printer,
    container: &'a str,
    decoder: Option<Decoder>,
    pending: [Vec<u8>; 2],
}

impl<'a> Lines<'a> {
    fn new(printer: &'a Printer, container: &'a str, raw: bool) -> Self {
        Self {
            printer,
            container,
            decoder: (!raw).then(Decoder::default),
            pending: [Vec::new(), Vec::new()],
        }
    }

    fn take(&mut self, mut piece: &[u8]) -> Result<()> {
        if self.decoder.is_none() {
            self.add(Stream::Stdout, piece);
            return Ok(());
        }
        while let Some(decoder) = &mut self.decoder
            && let Some((stream, data)) = decoder.next(&mut piece).map_err(|e| Error::new(e.to_string()))?
        {
            self.add(stream, data);
        }
        Ok(())
    }

    fn add(&mut self, stream: Stream, data: &[u8]) {
        let pending = &mut self.pending[usize::from(stream == Stream::Stderr)];
        pending.extend_from_slice(data);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            self.printer
                .write(self.container, stream, line.strip_suffix(b"\r").unwrap_or(line));
        }
    }

    /// Writes what no line break ended.
    fn finish(&mut self) {
        for (index, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            let rest = std::mem::take(&mut self.pending[index]);
            if !rest.is_empty() {
                self.printer.write(self.container, stream, &rest);
            }
        }
    }
}

async fn is_raw(cli: &Cli, id: &str) -> Result<bool> {
    let inspect = container::inspect(cli.client()?, id).await?;
    Ok(inspect.get("Config").is_some_and(|config| config.on("Tty")))
}

/// How a container ended.
pub(crate) async fn exit_status(cli: &Cli, id: &str) -> Result<u8> {
    let inspect = container::inspect(cli.client()?, id).await?;
    let code = inspect.get("State").map_or(0, |state| state.int("ExitCode"));
    Ok(u8::try_from(code & 0xff).unwrap_or(1))
}

/// A container whose output is shown.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// Its id.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Whether it runs and is not started.
    pub(crate) runs: bool,
}

/// Attaches to a container that is not started yet, or runs already; the future that comes back writes its output until it has
/// ended for good, and gives its status.
pub(crate) async fn follow<'a>(
    cli: &'a Cli,
    printer: &'a Printer,
    Shown { id, name, runs }: Shown,
) -> Result<impl Future<Output = Result<(String, u8)>> + 'a> {
    let attach = AttachOptions {
        stream: true,
        stdout: true,
        stderr: true,
        ..AttachOptions::default()
    };
    let raw = is_raw(cli, &id).await?;
    // The wait comes first: whoever asks after the end may ask too late, or before the start.
    let waiting = cli.client()?.wait_container(&id, "next-exit").await?;
    let ended = runs && !is_restarting(cli, &id).await?;
    let mut watched = Some((waiting, cli.client()?.attach_container(&id, &attach).await?));
    Ok(async move {
        let mut last = 0;
        if ended {
            last = exit_status(cli, &id).await?;
            cli.out(&format!("{} exited with code {last}", printer.name(&name)));
            return Ok((name, last));
        }
        loop {
            let (waiting, attached) = match watched.take() {
                Some(watched) => watched,
                None => {
                    let waiting = cli.client()?.wait_container(&id, "next-exit").await?;
                    if !is_restarting(cli, &id).await? {
                        return Ok((name, last));
                    }
                    (waiting, cli.client()?.attach_container(&id, &attach).await?)
                }
            };
            let (mut reader, _writer) = attached.split();
            let mut lines = Lines::new(printer, &name, raw);
            let mut buffer = vec![0; 32 * 1024];
            while let Ok(length @ 1..) = reader.read(&mut buffer).await {
                lines.take(&buffer[..length])?;
            }
            lines.finish();
            let status = match waiting.result().await {
                Ok(result) => result.status_code,
                // It was removed meanwhile.
                Err(error) if error.is_not_found() => 0,
                Err(error) => return Err(error.into()),
            };
            last = u8::try_from(status & 0xff).unwrap_or(1);
            cli.out(&format!("{} exited with code {last}", printer.name(&name)));
            if !is_restarting(cli, &id).await? {
                return Ok((name, last));
            }
        }
    })
}

/// Whether a container that has ended is started again by its policy.
async fn is_restarting(cli: &Cli, id: &str) -> Result<bool> {
    match container::inspect(cli.client()?, id).await {
        Ok(inspect) => Ok(inspect
            .get("State")
            .is_some_and(|state| state.on("Restarting") || state.on("Running"))),
        Err(error) if error.not_found => Ok(false),
        Err(error) => Err(error),
    }
}

fn logs(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    open.refuse_dry()?;
    let options = LogsOptions {
        stdout: true,
        stderr: true,
        follow: m.on("follow"),
        timestamps: m.on("timestamps"),
        details: false,
        since: container::logs::point(m, "since")?,
        until: container::logs::point(m, "until")?,
        tail: m.get("tail").to_owned(),
    };
    cli.wait(async {
        let observed = open.observe().await?;
        let mut containers = open.containers(&observed, &m.args)?;
        containers.retain(|c| !plan::is_one_off(c));
        let index = m.int("index");
        containers.retain(|c| index == 0 || i64::from(plan::number_of(c)) == index);
        let printer = Printer::new(m, &open.project.name, containers.iter().map(|c| plan::name_of(c)));
        let mut outputs = FuturesUnordered::new();
        for container in containers {
            let work = one(cli, &printer, &container.id, plan::name_of(container), &options);
            if options.follow {
                outputs.push(work);
            } else {
                work.await?;
            }
        }
        while let Some(result) = outputs.next().await {
            result?;
        }
        Ok(())
    })
}

async fn one(cli: &Cli, printer: &Printer, id: &str, name: &str, options: &LogsOptions) -> Result<()> {
    let raw = is_raw(cli, id).await?;
    let mut stream = cli.client()?.container_logs(id, options).await?;
    let mut lines = Lines::new(printer, name, raw);
    while let Some(piece) = stream.next().await? {
        lines.take(&piece)?;
    }
    lines.finish();
    Ok(())
}
