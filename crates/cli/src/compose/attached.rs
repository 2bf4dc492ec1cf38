//! `compose up` with the output of containers, until they end or the user has enough.
//!
//! ```text
//!   make ──► attach to each ──► start ──► output … ──► all ended, one ended, ctrl-C: stop ──► again: kill
//! ```

use std::{collections::BTreeSet, pin::Pin, time::Duration};

use corten_client::LogsOptions;
use corten_compose::{
    execute::Options,
    plan::{self, Change, Observed, Start, Up},
};

use super::{
    follow::{Follower, Next, Shown, exit_status, follow},
    menu::{self, Key, Menu},
    open::Open,
    printer::{Printer, Silent},
    watch::{self, Watching},
};
use crate::{
    error::{Error, Result},
    interrupts,
};

/// How long the output of containers that have been stopped may take to come.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Carries `up` out and shows output.
pub(crate) async fn up(open: &Open<'_>, wanted: &Up, options: Options) -> Result<()> {
    let observed = open.observe().await?;
    let making = Up {
        start: Start::Created,
        ..wanted.clone()
    };
    let plan = plan::up(&open.project, &observed, &making)?;
    open.make(&plan, &observed, options.clone()).await?;
    open.progress.join_output();
    let observed = open.observe().await?;
    let shown = shown(open, &observed)?;
    let names = shown.iter().map(|one| one.name.as_str());
    let printer = Printer::new(open.m, &open.project.name, names).timed(open.m.on("timestamps"));
    let names: Vec<_> = shown.iter().map(|one| printer.name(&one.name)).collect();
    open.cli.err(&format!("Attaching to {}", names.join(", ")));
    let logs = LogsOptions {
        stdout: true,
        stderr: true,
        ..LogsOptions::default()
    };
    let services = services(open)?;
    let mut follower = Follower::new(open.cli, &printer, &open.project.name, services, logs).await?;
    for one in &shown {
        follower.add(&one.id, follow(open.cli, &printer, one.clone()).await?);
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
        printer: &printer,
        stop_options: options.clone(),
        shown: shown.into_iter().map(|one| one.id).collect(),
    };
    let mut live = Live::default();
    if open.m.on("watch") {
        live.watching = Some(session.watching().await?);
    }
    live.menu = Menu::open(open);
    let result = session.run(&starting, &observed, options, follower, &mut live).await;
    printer.show_menu("");
    result
}

/// The services whose output is shown.
fn services(open: &Open<'_>) -> Result<BTreeSet<String>> {
    let m = open.m;
    let only: Vec<_> = m.all("attach").into_iter().map(str::to_owned).collect();
    let without = m.all("no-attach");
    open.check_services(&only)?;
    let dependencies = m.on("attach-dependencies") || m.args.is_empty();
    let asked = |name: &&String| match only.as_slice() {
        [] => dependencies || m.args.contains(name),
        only => only.contains(name),
    };
    let services = open.project.services.iter();
    let services = services
        .filter(|(name, service)| asked(name) && !without.contains(&name.as_str()) && service.attach != Some(false));
    Ok(services.map(|(name, _)| name.clone()).collect())
}

/// The containers whose output is shown.
fn shown(open: &Open<'_>, observed: &Observed) -> Result<Vec<Shown>> {
    let mut list = Vec::new();
    for name in services(open)? {
        for container in observed.of_service(&name) {
            list.push(Shown {
                id: container.id.clone(),
                name: plan::name_of(container).to_owned(),
                runs: matches!(container.state.as_str(), "running" | "paused" | "restarting"),
            });
        }
    }
    Ok(list)
}

/// What goes on beside the output, as the user wishes.
#[derive(Default)]
struct Live<'a> {
    menu: Option<Menu>,
    watching: Option<Pin<Box<dyn Future<Output = Result<()>> + 'a>>>,
}

impl Live<'_> {
    /// The next key.
    async fn key(menu: &mut Option<Menu>) -> Key {
        match menu {
            Some(menu) => menu.next().await,
            None => std::future::pending().await,
        }
    }

    /// Why sources are not watched any more.
    async fn broken(watching: &mut Option<Pin<Box<dyn Future<Output = Result<()>> + '_>>>) -> Option<Error> {
        match watching {
            Some(watching) => watching.await.err(),
            None => std::future::pending().await,
        }
    }
}

struct Session<'a> {
    open: &'a Open<'a>,
    printer: &'a Printer,
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

impl<'a> Session<'a> {
    async fn run(
        &self,
        plan: &plan::Plan,
        observed: &Observed,
        options: Options,
        mut follower: Follower<'a>,
        live: &mut Live<'a>,
    ) -> Result<()> {
        let silent_report = Silent(self.printer);
        let starting = self.open.carry_out_by(plan, observed, options, &silent_report);
        tokio::pin!(starting);
        let mut ending: Pin<Box<dyn Future<Output = Result<usize>> + '_>> = Box::pin(std::future::pending());
        let (mut stage, mut seen) = (Stage::Starting, Seen::default());
        // Containers that were not started say nothing and do not end.
        let mut silent = 0;
        let mut deadline = tokio::time::Instant::now();
        self.show_menu(live);
        while stage != Stage::Stopped || follower.len() > silent {
            follower.may_end = stage == Stage::Started;
            tokio::select! {
                result = &mut starting, if stage == Stage::Starting => {
                    result?;
                    stage = Stage::Started;
                    if self.aborts(&seen) {
                        (stage, seen.aborted) = (Stage::Stopping, true);
                        ending = Box::pin(self.abort());
                    }
                }
                next = follower.next() => {
                    let Next::Ended(ended) = next? else { break };
                    seen.note(ended.status, self.open.m.on("abort-on-container-failure"));
                    if stage == Stage::Started && self.aborts(&seen) {
                        (stage, seen.aborted) = (Stage::Stopping, true);
                        ending = Box::pin(self.abort());
                    }
                }
                () = self.open.cli.interrupted() => {
                    seen.interrupts += 1;
                    stage = Stage::Stopping;
                    self.forget(live);
                    ending = match seen.interrupts {
                        1 => Box::pin(self.interrupted()),
                        2 => Box::pin(self.kill()),
                        _ => return Err(Error::silent(interrupts::STATUS)),
                    };
                }
                result = &mut ending, if stage == Stage::Stopping => {
                    silent = result?;
                    stage = Stage::Stopped;
                    deadline = tokio::time::Instant::now() + LAST_WORDS;
                }
                () = tokio::time::sleep_until(deadline), if stage == Stage::Stopped => break,
                key = Live::key(&mut live.menu) => self.press(key, live).await,
                error = Live::broken(&mut live.watching) => {
                    live.watching = None;
                    let error = error.map_or_else(String::new, |error| error.message);
                    self.printer.remark(&format!("Watch disabled with errors: {error}"));
                    self.show_menu(live);
                }
            }
        }
        self.status(&seen).await
    }

    /// Begins to watch sources.
    async fn watching(&self) -> Result<Pin<Box<dyn Future<Output = Result<()>> + 'a>>> {
        let watching = Watching::new(self.open, self.printer).await?;
        Ok(Box::pin(watching.run()))
    }

    async fn press(&self, key: Key, live: &mut Live<'a>) {
        match key {
            Key::Enter => self.printer.pass(b"\n"),
            Key::Watch if live.watching.is_some() => {
                live.watching = None;
                self.printer.remark("Watch disabled");
            }
            Key::Watch if !watch::is_configured(&self.open.project) => self
                .printer
                .remark("watch is not yet configured. Learn more: https://docs.docker.com/compose/file-watch/"),
            Key::Watch => match self.watching().await {
                Ok(watching) => live.watching = Some(watching),
                Err(error) => self.printer.remark(&error.message),
            },
        }
        self.show_menu(live);
    }

    fn show_menu(&self, live: &Live<'a>) {
        if live.menu.is_some() {
            self.printer.show_menu(&menu::text(live.watching.is_some()));
        }
    }

    /// Ends what goes on beside the output.
    fn forget(&self, live: &mut Live<'a>) {
        live.menu = None;
        self.printer.show_menu("");
        if live.watching.take().is_some() {
            self.printer.remark("Watch disabled");
        }
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
            (_, seen) if seen.interrupts > 0 => interrupts::STATUS,
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
        exit_status(self.open.cli, &container.id).await
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
