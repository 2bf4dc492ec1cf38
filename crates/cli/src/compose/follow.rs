//! The output of containers, from their start or from now on until they have ended for good.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    time::Duration,
};

use corten_api::{event::Event, filters::Filters};
use corten_client::{AttachOptions, LogsOptions, Messages};
use corten_compose::{
    labels,
    plan::{self, Observed},
};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::{io::AsyncReadExt as _, time::Instant};

use super::printer::{Lines, Printer};
use crate::{
    cli::Cli,
    container,
    error::{Error, Result},
};

pub(crate) async fn is_raw(cli: &Cli, id: &str) -> Result<bool> {
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

/// How a container ended whose output was shown.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    id: String,
    name: String,
    /// Its exit status.
    pub(crate) status: u8,
    /// Whether it runs again already.
    again: bool,
}

type Output<'a> = Pin<Box<dyn Future<Output = Result<Ended>> + 'a>>;

/// How long somebody who stopped a container may take to start it again, or one that takes its place.
const RETURN: Duration = Duration::from_secs(1);

/// What comes next.
#[derive(Debug)]
pub(crate) enum Next {
    /// A container has ended.
    Ended(Ended),
    /// All have.
    Done,
}

/// The output of a project's containers: of those that are there, and of those that are started meanwhile.
pub(crate) struct Follower<'a> {
    cli: &'a Cli,
    printer: &'a Printer,
    project: String,
    services: BTreeSet<String>,
    /// How others are read that are started meanwhile.
    options: LogsOptions,
    events: Messages<Event>,
    outputs: FuturesUnordered<Output<'a>>,
    followed: BTreeSet<String>,
    /// Those that were there in the beginning.
    first: BTreeSet<String>,
    /// Those that have ended, and whether somebody asked them to.
    ended: BTreeMap<String, bool>,
    died: BTreeSet<String>,
    asked: BTreeSet<String>,
    /// When nothing more is waited for.
    deadline: Option<Instant>,
    /// Whether it is done when all have ended.
    pub(crate) may_end: bool,
}

impl<'a> Follower<'a> {
    /// Listens from now on; whoever is there already is to be added.
    pub(crate) async fn new(
        cli: &'a Cli,
        printer: &'a Printer,
        project: &str,
        services: BTreeSet<String>,
        options: LogsOptions,
    ) -> Result<Self> {
        let mut filters = Filters::default();
        filters.add("type", "container");
        filters.add("label", format!("{}={project}", labels::PROJECT));
        for action in ["start", "die", "kill", "destroy"] {
            filters.add("event", action);
        }
        Ok(Self {
            cli,
            printer,
            project: project.to_owned(),
            services,
            options,
            events: cli.client()?.events("", "", &filters).await?,
            outputs: FuturesUnordered::new(),
            followed: BTreeSet::new(),
            first: BTreeSet::new(),
            ended: BTreeMap::new(),
            died: BTreeSet::new(),
            asked: BTreeSet::new(),
            deadline: None,
            may_end: false,
        })
    }

    /// How many containers have output that is shown.
    pub(crate) fn len(&self) -> usize {
        self.outputs.len()
    }

    /// Takes in a container that was there in the beginning.
    pub(crate) fn add(&mut self, id: &str, output: impl Future<Output = Result<Ended>> + 'a) {
        self.first.insert(id.to_owned());
        self.followed.insert(id.to_owned());
        self.outputs.push(Box::pin(output));
    }

    /// Takes in one that was started meanwhile.
    fn join(&mut self, id: &str, name: &str) {
        if self.followed.insert(id.to_owned()) {
            self.deadline = None;
            let shown = Shown {
                id: id.to_owned(),
                name: name.to_owned(),
                runs: true,
            };
            self.outputs
                .push(Box::pin(read(self.cli, self.printer, shown, self.options.clone())));
        }
    }

    /// Waits for the end of a container, or of all; nothing is lost when it is not waited for.
    pub(crate) async fn next(&mut self) -> Result<Next> {
        loop {
            if self.may_end && self.is_quiet() {
                if !self.returned().await? {
                    return Ok(Next::Done);
                }
                self.deadline = None;
            }
            let waits = self.may_end && self.outputs.is_empty() && self.deadline.is_some();
            let deadline = self.deadline.unwrap_or_else(Instant::now);
            tokio::select! {
                Some(ended) = self.outputs.next(), if !self.outputs.is_empty() => {
                    let ended = ended?;
                    self.followed.remove(&ended.id);
                    if ended.again {
                        self.join(&ended.id, &ended.name);
                    } else {
                        let asked = self.asked.contains(&ended.id);
                        self.ended.insert(ended.id.clone(), asked);
                        self.deadline = Some(Instant::now() + RETURN);
                    }
                    return Ok(Next::Ended(ended));
                }
                event = self.events.next() => match event? {
                    Some(event) => self.note(&event),
                    None => return Ok(Next::Done),
                },
                () = tokio::time::sleep_until(deadline), if waits => {}
            }
        }
    }

    /// Whether all have ended, and nobody is about to start one again.
    fn is_quiet(&self) -> bool {
        let by_itself = |(id, asked): (&String, &bool)| !asked && self.died.contains(id);
        let over = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.outputs.is_empty() && (over || self.ended.iter().all(by_itself))
    }

    fn note(&mut self, event: &Event) {
        let (id, attributes) = (&event.actor.id, &event.actor.attributes);
        let label = |name: &str| attributes.get(name).map_or("", String::as_str);
        if !self.services.contains(label(labels::SERVICE)) || label(labels::ONE_OFF).eq_ignore_ascii_case("true") {
            return;
        }
        match event.action.as_str() {
            "kill" => drop(self.asked.insert(id.clone())),
            "die" => {
                self.died.insert(id.clone());
                if let Some(asked) = self.ended.get_mut(id) {
                    *asked = self.asked.contains(id);
                }
            }
            "start" => {
                self.died.remove(id);
                self.asked.remove(id);
                self.ended.remove(id);
                self.join(id, label("name"));
            }
            _ => {}
        }
    }

    /// Whether there are containers to wait for although all have ended that were followed.
    async fn returned(&mut self) -> Result<bool> {
        let observed = Observed::ask(self.cli.client()?, &self.project).await?;
        let ours = |service: &str| self.services.contains(service);
        let containers = observed.containers.iter().filter(|c| !plan::is_one_off(c));
        let mut runs = Vec::new();
        let mut comes = false;
        for container in containers.filter(|c| ours(plan::service_of(c))) {
            match container.state.as_str() {
                "running" | "paused" => runs.push((container.id.clone(), plan::name_of(container).to_owned())),
                "restarting" => comes = true,
                "created" => comes |= !self.first.contains(&container.id),
                _ => {}
            }
        }
        let returned = comes || !runs.is_empty();
        for (id, name) in runs {
            self.join(&id, &name);
        }
        Ok(returned)
    }
}

/// Attaches to a container that is not started yet, or runs already; the future that comes back writes its output until it has
/// ended for good, and gives its status.
pub(crate) async fn follow<'a>(
    cli: &'a Cli,
    printer: &'a Printer,
    Shown { id, name, runs }: Shown,
) -> Result<impl Future<Output = Result<Ended>> + 'a> {
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
            printer.status(&name, &format!("exited with code {last}"));
            return Ok(Ended::of(id, name, last));
        }
        loop {
            let (waiting, attached) = match watched.take() {
                Some(watched) => watched,
                None => {
                    let waiting = cli.client()?.wait_container(&id, "next-exit").await?;
                    if !is_restarting(cli, &id).await? {
                        return Ok(Ended::of(id, name, last));
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
            if !is_restarting(cli, &id).await? {
                printer.status(&name, &format!("exited with code {last}"));
                let again = is_restarting(cli, &id).await?;
                return Ok(Ended {
                    again,
                    ..Ended::of(id, name, last)
                });
            }
            printer.status(&name, &format!("exited with code {last} (restarting)"));
        }
    })
}

impl Ended {
    pub(crate) fn of(id: String, name: String, status: u8) -> Self {
        Self {
            id,
            name,
            status,
            again: false,
        }
    }
}

/// Reads what a container has written since it was started, until it ends.
async fn read(cli: &Cli, printer: &Printer, shown: Shown, options: LogsOptions) -> Result<Ended> {
    let Shown { id, name, .. } = shown;
    let inspect = match container::inspect(cli.client()?, &id).await {
        Err(error) if error.not_found => return Ok(Ended::of(id, name, 0)),
        result => result?,
    };
    // Since its last end, not since its start: an engine may note that after the first line.
    let state = inspect.get("State");
    let before = state.map_or("", |state| state.text("FinishedAt"));
    let since = match before {
        "" => String::new(),
        never if never.starts_with("0001-") => String::new(),
        time => moment(time)?,
    };
    let options = LogsOptions {
        follow: true,
        since,
        tail: "all".to_owned(),
        ..options
    };
    show(cli, printer, &id, &name, &options).await?;
    end(cli, printer, id, name).await
}

fn moment(time: &str) -> Result<String> {
    crate::opts::time::parse(time, jiff::Timestamp::now(), &jiff::tz::TimeZone::UTC).map_err(Error::new)
}

/// Writes a container's log.
pub(crate) async fn show(cli: &Cli, printer: &Printer, id: &str, name: &str, options: &LogsOptions) -> Result<()> {
    let raw = is_raw(cli, id).await?;
    let mut stream = cli.client()?.container_logs(id, options).await?;
    let mut lines = Lines::new(printer, name, raw);
    while let Some(piece) = stream.next().await? {
        lines.take(&piece)?;
    }
    lines.finish();
    Ok(())
}

/// Waits for the end of a container whose output has ended, and tells of it.
pub(crate) async fn end(cli: &Cli, printer: &Printer, id: String, name: String) -> Result<Ended> {
    let waiting = match cli.client()?.wait_container(&id, "not-running").await {
        Ok(waiting) => waiting.result().await,
        Err(error) => Err(error),
    };
    let status = match waiting {
        Ok(result) => u8::try_from(result.status_code & 0xff).unwrap_or(1),
        Err(error) if error.is_not_found() => 0,
        Err(error) => return Err(error.into()),
    };
    let again = is_restarting(cli, &id).await?;
    let more = if again { " (restarting)" } else { "" };
    printer.status(&name, &format!("exited with code {status}{more}"));
    Ok(Ended {
        again,
        ..Ended::of(id, name, status)
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
