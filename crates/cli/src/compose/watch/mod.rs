//! `compose watch` and `up --watch`: what happens to services when their sources change.
//!
//! ```text
//!   tree (inotify) ── changed paths ──► rules ── work ──► rebuild, sync, restart, commands
//! ```
//! While one batch is worked on, the next is gathered.

mod rules;
mod sync;
mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Stdio,
};

use corten_api::{container::Summary, filters::Filters};
use corten_compose::{
    Project,
    execute::{Event, Executor, Options, Report},
    labels,
    plan::{self, Change, Recreate, Up},
};
use corten_sys::fs;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader},
    process::{ChildStdin, Command as Process},
};

use super::{
    images::{self, Wanted},
    open::{Keep, Open},
    printer::Printer,
};
use crate::{
    cli::Cli,
    command::{Command, Flag},
    error::{Error, Result},
    flags::Matches,
};
use rules::{Mapping, Rule, Work};
use sync::Changes;
use tree::Tree;

/// `compose watch`.
pub(crate) static COMMAND: Command = Command::new(
    "[SERVICE...]",
    "Bring changes of sources into services as they are made",
    watch,
)
.paths(&["compose watch"])
.flags(&[&[
    Flag::switch("dry-run", "Only show what would be done before watching"),
    Flag::switch("no-up", "Do not build and start services before"),
    Flag::switch_on("prune", "Remove images that a rebuild leaves without a name"),
    Flag::switch("quiet", "Show no output of builds"),
]]);

/// Whether some service says what to do about changes.
pub(crate) fn is_configured(project: &Project) -> bool {
    let mut services = project.services.values();
    services.any(|service| {
        service
            .develop
            .as_ref()
            .is_some_and(|develop| !develop.watch.is_empty())
    })
}

fn watch(cli: &Cli, m: &Matches) -> Result<()> {
    let keep = match m.args.as_slice() {
        [] => Keep::All,
        services => Keep::With(services),
    };
    let mut open = Open::new(cli, m, keep)?;
    let mut wanted = Up {
        services: m.args.clone(),
        recreate_dependencies: Recreate::Never,
        ..Up::default()
    };
    if !m.on("no-up") {
        for (_, service) in open.project.services.iter_mut() {
            if service.build.is_some() && service.develop.is_some() {
                "build".clone_into(&mut service.pull_policy);
            }
        }
        let quiet = Wanted {
            quiet_build: m.on("quiet"),
            quiet_pull: m.on("quiet"),
            ..Wanted::default()
        };
        wanted.images = images::ensure(&mut open, &quiet)?;
    }
    let printer = Printer::bare(&open.project.name);
    cli.catch_interrupts()?;
    cli.wait(async {
        let work = async {
            if !m.on("no-up") {
                let observed = open.observe().await?;
                let plan = plan::up(&open.project, &observed, &wanted)?;
                let options = Options {
                    images: wanted.images.clone(),
                    ..Options::default()
                };
                open.make(&plan, &observed, options).await?;
            }
            if open.is_dry() {
                cli.out("end of 'compose watch' output, interactive run is not supported in dry-run mode");
                return Ok(());
            }
            Watching::new(&open, &printer).await?.run().await
        };
        tokio::select! {
            result = work => result,
            () = cli.interrupted() => {
                printer.remark("Watch disabled");
                Err(Error::silent(crate::interrupts::STATUS))
            }
        }
    })
}

/// Sources that are watched, and what is done when they change.
pub(crate) struct Watching<'a> {
    tree: Tree,
    worker: Worker<'a>,
}

struct Worker<'a> {
    open: &'a Open<'a>,
    printer: &'a Printer,
    rules: Vec<Rule>,
}

impl<'a> Watching<'a> {
    /// Begins to watch, and sends what is to be sent at the beginning.
    pub(crate) async fn new(open: &'a Open<'a>, printer: &'a Printer) -> Result<Self> {
        let read = |path: &std::path::Path| fs::read_to_string(path).ok();
        let rules = rules::rules(&open.project, &|text| open.progress.warn(text), &read)?;
        if rules.is_empty() {
            return Err(Error::new(
                "none of the selected services is configured for watch, consider setting a 'develop' section",
            ));
        }
        let roots: Vec<PathBuf> = rules.iter().map(|rule| rule.path.clone()).collect();
        let skipping = rules.clone();
        let skip = move |folder: &std::path::Path| skipping.iter().all(|rule| rule.skips(folder));
        let watching = Self {
            tree: Tree::new(roots, Box::new(skip))?,
            worker: Worker { open, printer, rules },
        };
        watching.send_first().await?;
        Ok(watching)
    }

    /// Sends files that are newer than the image, for rules that want that.
    async fn send_first(&self) -> Result<()> {
        let worker = &self.worker;
        for rule in worker.rules.iter().filter(|rule| rule.initial) {
            let made = worker.image_made(&rule.service).await?;
            let is_newer = |mapping: &Mapping| {
                let metadata = fs::symlink_metadata(&mapping.host).ok().filter(|m| !m.is_dir());
                let modified = metadata.and_then(|metadata| metadata.modified().ok());
                let modified = modified.and_then(|time| jiff::Timestamp::try_from(time).ok());
                modified.is_some_and(|time| time >= made)
            };
            let all = self.tree.known().filter_map(|path| rule.mapping(path));
            let newer: BTreeSet<_> = all.filter(is_newer).collect();
            worker.send(&rule.service, &newer).await?;
        }
        Ok(())
    }

    /// Watches until something goes wrong.
    pub(crate) async fn run(self) -> Result<()> {
        let Self { mut tree, worker } = self;
        worker.printer.remark("Watch enabled");
        loop {
            let changes = tree.next().await?;
            let work = rules::plan(&worker.rules, &changes);
            let doing = worker.carry_out(&work);
            tokio::pin!(doing);
            let result = loop {
                tokio::select! {
                    result = &mut doing => break result,
                    result = tree.gather() => result?,
                }
            };
            if let Err(error) = result {
                let text = format!("Error handling changed files: {error}");
                worker.open.progress.warn(&text);
            }
        }
    }
}

impl Worker<'_> {
    async fn carry_out(&self, work: &Work) -> Result<()> {
        if !work.rebuild.is_empty() {
            self.rebuild(&work.rebuild).await?;
        }
        for (service, mappings) in &work.sync {
            let count = mappings.len();
            self.printer.remark(&format!(
                "Syncing service {service:?} after {count} changes were detected"
            ));
            self.send(service, mappings).await?;
        }
        if !work.restart.is_empty() {
            self.restart(&work.restart).await?;
            self.printer
                .remark(&format!("service(s) {} restarted", quoted(&work.restart)));
        }
        for (service, rules) in &work.hooks {
            self.hooks(service, rules).await?;
        }
        Ok(())
    }

    /// Sends files to a service's containers.
    async fn send(&self, service: &str, mappings: &BTreeSet<Mapping>) -> Result<()> {
        if mappings.is_empty() {
            return Ok(());
        }
        let changes = Changes::of(mappings)?;
        let observed = self.open.observe().await?;
        let mut errors = Vec::new();
        for container in observed.of_service(service) {
            if let Err(error) = changes.send(self.open.cli.client()?, container).await {
                errors.push(error);
            }
        }
        Error::all(errors)
    }

    async fn restart(&self, services: &BTreeSet<String>) -> Result<()> {
        let project = &self.open.project;
        let observed = self.open.observe().await?;
        let names: Vec<String> = services.iter().cloned().collect();
        let asked = super::down::with_dependents(project, &names);
        let mut containers = self.open.containers(&observed, &asked)?;
        containers.retain(|c| !plan::is_one_off(c));
        let plan = plan::change(project, &observed, &containers, &Change::Restart);
        let executor = self.executor(project, Options::default())?;
        Ok(executor.run(&plan).await?)
    }

    async fn hooks(&self, service: &str, rules: &BTreeSet<usize>) -> Result<()> {
        let observed = self.open.observe().await?;
        let executor = self.executor(&self.open.project, Options::default())?;
        for rule in rules.iter().filter_map(|index| self.rules.get(*index)) {
            for container in observed.of_service(service).iter().filter(|c| c.state == "running") {
                let name = plan::name_of(container);
                executor.hook(service, name, &container.id, &rule.hook).await?;
            }
        }
        Ok(())
    }

    async fn rebuild(&self, services: &BTreeSet<String>) -> Result<()> {
        let names = quoted(services);
        let printer = self.printer;
        printer.remark(&format!("Rebuilding service(s) {names} after changes were detected..."));
        if let Err(error) = self.build(services).await {
            printer.remark(&format!("Build failed. Error: {error}"));
            return Err(error);
        }
        let images = self.images(services).await?;
        printer.remark(&format!("service(s) {names} successfully built"));
        if let Err(error) = self.recreate(services, images.clone()).await {
            printer.remark(&format!("Failed to recreate services after update. Error: {error}"));
            return Err(error);
        }
        // The containers of the old image are gone by now.
        if self.open.m.opt("prune").is_none() || self.open.m.on("prune") {
            self.prune(images.values()).await;
        }
        Ok(())
    }

    /// Builds by a program of its own, whose output comes in lines, and which ends with this one.
    async fn build(&self, services: &BTreeSet<String>) -> Result<()> {
        let (cli, m) = (self.open.cli, self.open.m);
        let mut words = cli.words();
        words.push("compose".to_owned());
        words.extend(m.parent().words());
        words.push("build".to_owned());
        if m.on("quiet") || m.on("quiet-build") {
            words.push("--quiet".to_owned());
        }
        words.extend(services.iter().cloned());
        let failed = |error: std::io::Error| Error::new(format!("cannot run the build: {error}"));
        let mut child = Process::new("/proc/self/exe")
            .arg0(cli.program)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (input, out, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        tokio::join!(self.give(input), self.lines(out), self.lines(errors));
        let status = child.wait().await.map_err(failed)?;
        match status.code() {
            Some(0) => Ok(()),
            Some(code) => Err(Error::new(format!("exit status {code}"))),
            None => Err(Error::new("the build was killed")),
        }
    }

    /// Gives the program the project's file that came on standard input.
    async fn give(&self, stream: Option<ChildStdin>) {
        if let (Some(mut stream), Some(text)) = (stream, &self.open.project.input) {
            // A program that does not read it says why.
            let _ = stream.write_all(text.as_bytes()).await;
        }
    }

    async fn lines(&self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(stream) = stream else { return };
        let mut lines = BufReader::new(stream).lines();
        // Output that is no text ends it, and the status tells the rest.
        while let Ok(Some(line)) = lines.next_line().await {
            self.printer.remark(&line);
        }
    }

    /// The ids of the services' images.
    async fn images(&self, services: &BTreeSet<String>) -> Result<BTreeMap<String, String>> {
        let mut ids = BTreeMap::new();
        for name in services {
            let image = self.image(&self.open.project.image_of(name)).await?;
            ids.insert(name.clone(), image.id);
        }
        Ok(ids)
    }

    async fn image(&self, name: &str) -> Result<corten_api::image::Inspect> {
        let bytes = self.open.cli.client()?.inspect_image(name, "").await?;
        corten_api::decode(&bytes).map_err(|error| Error::new(error.to_string()))
    }

    /// When the image of a service's containers was made.
    async fn image_made(&self, service: &str) -> Result<jiff::Timestamp> {
        let observed = self.open.observe().await?;
        let containers = observed.of_service(service);
        let unknown = || Error::new("could not get created time for service's image");
        let image = self.image(&containers.first().ok_or_else(unknown)?.image_id).await?;
        image.created.parse().map_err(|_| unknown())
    }

    /// Removes images of the project that have no name any more.
    async fn prune(&self, new: impl Iterator<Item = &String>) {
        let new: BTreeSet<&String> = new.collect();
        let mut filters = Filters::default();
        filters.add("dangling", "true");
        filters.add("label", format!("{}={}", labels::PROJECT, self.open.project.name));
        let Ok(client) = self.open.cli.client() else { return };
        let Ok(list) = client.images(corten_client::ListOptions::default(), &filters).await else {
            return;
        };
        for image in list.iter().filter(|image| !new.contains(&image.id)) {
            // One that a container still uses stays.
            let _ = client.remove_image(&image.id, false, false, &[]).await;
        }
    }

    /// Makes the containers of services anew, and starts them.
    async fn recreate(&self, services: &BTreeSet<String>, images: BTreeMap<String, String>) -> Result<()> {
        let names: Vec<String> = services.iter().cloned().collect();
        let mut project = self.open.project.clone();
        project.select_alone(&names)?;
        let wanted = Up {
            services: names,
            recreate: Recreate::Always,
            recreate_dependencies: Recreate::Never,
            images: images.clone(),
            ignore_orphans: true,
            keep_scale: true,
            ..Up::default()
        };
        let observed = self.open.observe().await?;
        let plan = plan::up(&project, &observed, &wanted)?;
        let options = Options {
            images,
            ..Options::default()
        };
        let executor = self.executor(&project, options)?;
        let others = observed.containers.iter().filter(|c: &&Summary| !plan::is_one_off(c));
        for container in others {
            executor.know(plan::service_of(container), plan::number_of(container), &container.id);
        }
        Ok(executor.run(&plan).await?)
    }

    fn executor<'b>(&'b self, project: &'b Project, options: Options) -> Result<Executor<'b>> {
        Ok(Executor::new(self.open.cli.client()?, project, self, options))
    }
}

impl Report for Worker<'_> {
    /// What is done is told in a line of its own.
    fn event(&self, _: Event) {}

    fn output(&self, _: &str, text: &[u8]) {
        self.printer.pass(text);
    }
}

/// Names as Compose writes a list of them.
fn quoted(names: &BTreeSet<String>) -> String {
    let names: Vec<_> = names.iter().map(|name| crate::opts::quote(name)).collect();
    format!("[{}]", names.join(" "))
}
