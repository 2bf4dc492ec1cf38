//! `compose up` with the output of containers, until they end or the user has enough.
//!
//! ```text
//!   make ──► attach to each ──► start ──► output … ──► all ended, one ended, ctrl-C: stop ──► again: kill
//! ```

use std::cell::Cell;

use corten_compose::{
    execute::Options,
    plan::{self, Change, Observed, Start, Up},
};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    logs::{Printer, follow},
    open::Open,
};
use crate::error::{Error, Result};

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
    let printer = Printer::new(open.m, &open.project.name, shown.iter().map(|(_, name)| name.as_str()));
    let names: Vec<_> = shown.iter().map(|(_, name)| printer.name(name)).collect();
    open.cli.err(&format!("Attaching to {}", names.join(", ")));
    let outputs = FuturesUnordered::new();
    for (id, name) in &shown {
        outputs.push(follow(open.cli, &printer, id.clone(), name.clone()).await?);
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
        first: Cell::new(None),
    };
    tokio::select! {
        result = session.run(&starting, &observed, options, outputs) => result,
        () = interrupts.next() => session.interrupted(&mut interrupts).await,
    }
}

/// The containers whose output is shown.
fn shown(open: &Open<'_>, observed: &Observed) -> Result<Vec<(String, String)>> {
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
            list.push((container.id.clone(), plan::name_of(container).to_owned()));
        }
    }
    Ok(list)
}

struct Session<'a> {
    open: &'a Open<'a>,
    stop_options: Options,
    /// The status of the container that ended first.
    first: Cell<Option<u8>>,
}

impl Session<'_> {
    async fn run(
        &self,
        plan: &plan::Plan,
        observed: &Observed,
        options: Options,
        mut outputs: FuturesUnordered<impl Future<Output = Result<(String, u8)>>>,
    ) -> Result<()> {
        let m = self.open.m;
        let (on_exit, on_failure) = (m.on("abort-on-container-exit"), m.on("abort-on-container-failure"));
        let from = m.get("exit-code-from");
        let starting = self.open.carry_out(plan, observed, options);
        tokio::pin!(starting);
        let mut started = false;
        let mut aborted = false;
        loop {
            tokio::select! {
                result = &mut starting, if !started => {
                    result?;
                    started = true;
                }
                ended = outputs.next(), if !outputs.is_empty() => {
                    let Some(ended) = ended else { continue };
                    let (_, status) = ended?;
                    if self.first.get().is_none() {
                        self.first.set(Some(status));
                    }
                    if !aborted && started && (on_exit || !from.is_empty() || on_failure && status != 0) {
                        aborted = true;
                        self.open.cli.err("Aborting on container exit...");
                        self.stop().await?;
                    }
                }
            }
            if started && outputs.is_empty() {
                break;
            }
        }
        match (from, self.first.get()) {
            ("", Some(status)) if aborted && status != 0 => Err(Error::silent(status)),
            ("", _) => Ok(()),
            (service, _) => match self.status_of(service).await? {
                0 => Ok(()),
                status => Err(Error::silent(status)),
            },
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

    async fn stop(&self) -> Result<()> {
        let observed = self.open.observe().await?;
        let mut containers: Vec<_> = observed.containers.iter().filter(|c| !plan::is_one_off(c)).collect();
        containers.retain(|c| self.open.project.services.contains_key(plan::service_of(c)));
        let plan = plan::change(&self.open.project, &observed, &containers, &Change::Stop);
        self.open.carry_out(&plan, &observed, self.stop_options.clone()).await
    }

    /// Stops what runs; once more, and it is killed.
    async fn interrupted(&self, interrupts: &mut Interrupts) -> Result<()> {
        self.open.cli.err("Gracefully Stopping... press Ctrl+C again to force");
        tokio::select! {
            result = self.stop() => result?,
            () = interrupts.next() => {
                let observed = self.open.observe().await?;
                let mut containers = observed.containers.iter().filter(|c| c.state == "running").collect::<Vec<_>>();
                containers.retain(|c| !plan::is_one_off(c));
                let kill = Change::Kill("SIGKILL".to_owned());
                let plan = plan::change(&self.open.project, &observed, &containers, &kill);
                self.open.carry_out(&plan, &observed, Options::default()).await?;
            }
        }
        Err(Error::silent(INTERRUPTED))
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
