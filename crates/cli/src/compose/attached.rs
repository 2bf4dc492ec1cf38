//! `compose up` with the output of containers, until they end or the user has enough.
//!
//! ```text
//!   make ──► attach to each ──► start ──► output … ──► all ended, one ended, ctrl-C: stop ──► again: kill
//! ```

use std::{pin::Pin, time::Duration};

use corten_compose::{
    execute::Options,
    plan::{self, Change, Observed, Start, Up},
};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    logs::{Printer, Shown, follow},
    open::Open,
};
use crate::error::{Error, Result};

/// How long the output of containers that have been stopped may take to come.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// The exit status after ctrl-C.
const INTERRUPTED: u8 = 130;

/// Carries `up` out and shows output.
pub(crate) async fn up(open: &Open<'_>, wanted: &Up, options: Options) -> Result<()> {
    let mut interrupts = Interrupts::catch()?;
    let observed = open.observe().await?;
    let making = Up {
        start: Start::Created,
        ..wanted.clone()
    };
    let plan = plan::up(&open.project, &observed, &making)?;
    tokio::select! {
        result = open.carry_out(&plan, &observed, options.clone()) => result?,
        () = interrupts.next() => return Err(Error::silent(INTERRUPTED)),
    }
    let observed = open.observe().await?;
    let shown = shown(open, &observed)?;
    let printer = Printer::new(open.m, &open.project.name, shown.iter().map(|one| one.name.as_str()));
    let names: Vec<_> = shown.iter().map(|one| printer.name(&one.name)).collect();
    open.cli.err(&format!("Attaching to {}", names.join(", ")));
    let outputs = FuturesUnordered::new();
    for one in &shown {
        outputs.push(follow(open.cli, &printer, one.clone()).await?);
    }
    let wanted = Up {
        recreate: plan::Recreate::Never,
        recreate_dependencies: plan::Recreate::Never,
        ignore_orphans: true,
        ..wanted.clone()
    };
    let mut starting = plan::up(&open.project, &observed, &wanted)?;
    starting.warnings.clear();
    starting.forget_kept();
    let session = Session {
        open,
        stop_options: options.clone(),
        shown: shown.into_iter().map(|one| one.id).collect(),
    };
    session
        .run(&starting, &observed, options, outputs, &mut interrupts)
        .await
}

/// The containers whose output is shown.
fn shown(open: &Open<'_>, observed: &Observed) -> Result<Vec<Shown>> {
    let m = open.m;
    let only: Vec<_> = m.all("attach").into_iter().map(str::to_owned).collect();
    let without = m.all("no-attach");
    open.check_services(&only)?;
    let dependencies = m.on("attach-dependencies") || m.args.is_empty();
    let mut list = Vec::new();
    for (name, service) in &open.project.services {
        let asked = match only.as_slice() {
            [] => dependencies || m.args.contains(name),
            only => only.contains(name),
        };
        if !asked || without.contains(&name.as_str()) || service.attach == Some(false) {
            continue;
        }
        for container in observed.of_service(name) {
            list.push(Shown {
                id: container.id.clone(),
                name: plan::name_of(container).to_owned(),
                runs: matches!(container.state.as_str(), "running" | "paused" | "restarting"),
            });
        }
    }
    Ok(list)
}

struct Session<'a> {
    open: &'a Open<'a>,
    stop_options: Options,
    /// The ids of the containers whose output is shown.
    shown: Vec<String>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Containers are started.
    Starting,
    /// All were started.
    Started,
    /// What runs is stopped.
    Stopping,
    /// It was stopped, and the rest of the output comes.
    Stopped,
}

/// What the user sees in the meantime.
#[derive(Default)]
struct Seen {
    /// The status of the container that ended first.
    first: Option<u8>,
    /// Whether the end of one ended the others.
    aborted: bool,
    /// How often ctrl-C was pressed.
    interrupts: u32,
}

impl Session<'_> {
    async fn run(
        &self,
        plan: &plan::Plan,
        observed: &Observed,
        options: Options,
        mut outputs: FuturesUnordered<impl Future<Output = Result<(String, u8)>>>,
        interrupts: &mut Interrupts,
    ) -> Result<()> {
        let starting = self.open.carry_out(plan, observed, options);
        tokio::pin!(starting);
        let mut ending: Pin<Box<dyn Future<Output = Result<usize>> + '_>> = Box::pin(std::future::pending());
        let (mut stage, mut seen) = (Stage::Starting, Seen::default());
        // Containers that were not started say nothing and do not end.
        let mut silent = 0;
        let mut deadline = tokio::time::Instant::now();
        while stage == Stage::Starting || stage == Stage::Stopping || outputs.len() > silent {
            tokio::select! {
                result = &mut starting, if stage == Stage::Starting => {
                    result?;
                    stage = Stage::Started;
                    if self.aborts(&seen) {
                        (stage, seen.aborted) = (Stage::Stopping, true);
                        ending = Box::pin(self.abort());
                    }
                }
                Some(ended) = outputs.next(), if !outputs.is_empty() => {
                    let (_, status) = ended?;
                    seen.note(status, self.open.m.on("abort-on-container-failure"));
                    if stage == Stage::Started && self.aborts(&seen) {
                        (stage, seen.aborted) = (Stage::Stopping, true);
                        ending = Box::pin(self.abort());
                    }
                }
                () = interrupts.next() => {
                    seen.interrupts += 1;
                    stage = Stage::Stopping;
                    ending = match seen.interrupts {
                        1 => Box::pin(self.interrupted()),
                        2 => Box::pin(self.kill()),
                        _ => return Err(Error::silent(INTERRUPTED)),
                    };
                }
                result = &mut ending, if stage == Stage::Stopping => {
                    silent = result?;
                    stage = Stage::Stopped;
                    deadline = tokio::time::Instant::now() + LAST_WORDS;
                }
                () = tokio::time::sleep_until(deadline), if stage == Stage::Stopped => break,
            }
        }
        self.status(&seen).await
    }

    /// Whether the end of a container is to end the others.
    fn aborts(&self, seen: &Seen) -> bool {
        let m = self.open.m;
        let on_exit = m.on("abort-on-container-exit") || !m.get("exit-code-from").is_empty();
        match seen.first {
            Some(status) => on_exit || m.on("abort-on-container-failure") && status != 0,
            None => false,
        }
    }

    /// What the program ends with.
    async fn status(&self, seen: &Seen) -> Result<()> {
        let status = match (self.open.m.get("exit-code-from"), seen) {
            (_, seen) if seen.interrupts > 0 => INTERRUPTED,
            ("", seen) if seen.aborted => seen.first.unwrap_or(0),
            ("", _) => 0,
            (service, _) => self.status_of(service).await?,
        };
        match status {
            0 => Ok(()),
            status => Err(Error::silent(status)),
        }
    }

    async fn status_of(&self, service: &str) -> Result<u8> {
        let observed = self.open.observe().await?;
        let containers = observed.of_service(service);
        let container = containers
            .first()
            .ok_or_else(|| Error::new(format!("no such service: {service}")))?;
        super::logs::exit_status(self.open.cli, &container.id).await
    }

    async fn abort(&self) -> Result<usize> {
        self.open.cli.err("Aborting on container exit...");
        self.stop().await
    }

    async fn interrupted(&self) -> Result<usize> {
        self.open.cli.err("Gracefully Stopping... press Ctrl+C again to force");
        self.stop().await
    }

    /// Stops what runs, and what was being started meanwhile; tells how many will never have run.
    async fn stop(&self) -> Result<usize> {
        self.end(&Change::Stop, &self.stop_options).await
    }

    async fn kill(&self) -> Result<usize> {
        self.end(&Change::Kill("SIGKILL".to_owned()), &Options::default()).await
    }

    async fn end(&self, change: &Change, options: &Options) -> Result<usize> {
        // One that is being started is not known to run yet; the engine stops it once it has been.
        let mut any = *change == Change::Stop;
        loop {
            let observed = self.open.observe().await?;
            let mut containers: Vec<_> = observed.containers.iter().filter(|c| !plan::is_one_off(c)).collect();
            containers.retain(|c| any || matches!(c.state.as_str(), "running" | "paused" | "restarting"));
            any = false;
            containers.retain(|c| self.open.project.services.contains_key(plan::service_of(c)));
            if containers.is_empty() {
                let mut ours = observed.containers.iter().filter(|c| self.shown.contains(&c.id));
                return Ok(ours.by_ref().filter(|c| c.state == "created").count());
            }
            let plan = plan::change(&self.open.project, &observed, &containers, change);
            if let Err(error) = self.open.carry_out(&plan, &observed, options.clone()).await {
                // One that ended by itself needs no end.
                let left = self.open.observe().await?;
                if left.containers.iter().any(|c| c.state == "running") {
                    return Err(error);
                }
            }
        }
    }
}

impl Seen {
    /// Notes that a container has ended.
    fn note(&mut self, status: u8, only_failures: bool) {
        if self.first.is_none() && (status != 0 || !only_failures) {
            self.first = Some(status);
        }
    }
}

/// Signals that ask to end.
struct Interrupts([Signal; 2]);

impl Interrupts {
    fn catch() -> Result<Self> {
        let catch = |kind| signal(kind).map_err(|error| Error::new(format!("cannot catch signals: {error}")));
        Ok(Self([catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
