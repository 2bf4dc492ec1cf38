//! What commands that act have at hand: the project, the engine, and who is told of progress.

use corten_api::container::Summary;
use corten_compose::{
    Project,
    execute::{Executor, Options, Report},
    plan::{self, Observed, Plan},
};

use super::{
    globals::{Globals, Level, log},
    progress::Progress,
};
use crate::{
    cli::Cli,
    error::{Error, Result},
    flags::Matches,
    interrupts,
};

/// A project that is worked on.
pub(crate) struct Open<'a> {
    pub(crate) cli: &'a Cli,
    pub(crate) m: &'a Matches,
    pub(crate) project: Project,
    pub(crate) progress: Progress<'a>,
    parallel: Option<usize>,
}

/// Which services of a project are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep<'a> {
    /// All that are enabled.
    All,
    /// These, and what they depend on.
    With(&'a [String]),
    /// These alone.
    Alone(&'a [String]),
}

impl<'a> Open<'a> {
    /// Loads the project.
    pub(crate) fn new(cli: &'a Cli, m: &'a Matches, keep: Keep<'_>) -> Result<Self> {
        let globals = Globals::of(m)?;
        let mut project = match keep {
            Keep::All => globals.project(cli, &[], &[])?,
            Keep::With(services) => globals.project(cli, services, &[])?,
            Keep::Alone(services) => {
                let mut project = globals.project(cli, services, &[])?;
                project.select_alone(services)?;
                project
            }
        };
        if !globals.keeps_all_resources() {
            project.drop_unused_resources();
        }
        Ok(Self::with(cli, m, project))
    }

    /// Loads the project, or takes its name alone when there is one and no file.
    pub(crate) fn by_name(cli: &'a Cli, m: &'a Matches) -> Result<Self> {
        let name = m.parent().get("project-name");
        let given = m.parent().given("file") || cli.variable("COMPOSE_FILE").is_some();
        if name.is_empty() || given {
            return Self::new(cli, m, Keep::All);
        }
        match Self::new(cli, m, Keep::All) {
            Err(error) if error.not_found => {
                let mut project = Project::default();
                name.clone_into(&mut project.name);
                Ok(Self::with(cli, m, project))
            }
            result => result,
        }
    }

    fn with(cli: &'a Cli, m: &'a Matches, project: Project) -> Self {
        let limit = match m.parent().opt("parallel") {
            Some(limit) => limit.parse::<i64>().ok(),
            None => cli
                .variable("COMPOSE_PARALLEL_LIMIT")
                .and_then(|limit| limit.parse().ok()),
        };
        let parallel = limit
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|limit| *limit > 0);
        let dry = m.on("dry-run") || m.parent().on("dry-run");
        Self {
            cli,
            m,
            project,
            progress: Progress::new(cli, m.parent(), dry),
            parallel,
        }
    }

    /// Whether nothing is to be done but shown.
    pub(crate) fn is_dry(&self) -> bool {
        self.progress.is_dry()
    }

    /// How many of so many things to do at once.
    pub(crate) fn limit(&self, count: usize) -> usize {
        self.parallel.unwrap_or(count).clamp(1, count.max(1))
    }

    /// What there is of the project.
    pub(crate) async fn observe(&self) -> Result<Observed> {
        Ok(Observed::ask(self.cli.client()?, &self.project.name).await?)
    }

    /// Carries a plan out, or shows it.
    pub(crate) async fn carry_out(&self, plan: &Plan, observed: &Observed, options: Options) -> Result<()> {
        for warning in &plan.warnings {
            self.progress.warn(warning);
        }
        if self.is_dry() {
            self.explain(plan);
            self.progress.pretend(plan);
            self.progress.finish();
            return Ok(());
        }
        let work = self.carry_out_by(plan, observed, options, &self.progress);
        self.progress.during(work).await
    }

    /// Makes what a plan says until the user has had enough; then it is told how far it came.
    pub(crate) async fn make(&self, plan: &Plan, observed: &Observed, options: Options) -> Result<()> {
        if self.is_dry() {
            return self.carry_out(plan, observed, options).await;
        }
        for warning in &plan.warnings {
            self.progress.warn(warning);
        }
        self.explain(plan);
        let executor = self.executor(observed, options, &self.progress)?;
        let result = {
            let work = self.progress.during(executor.run(plan));
            tokio::select! {
                result = work => result.map_err(Error::from),
                () = self.cli.interrupted() => Err(Error::with_status(interrupts::STATUS, "interrupted")),
            }
        };
        self.progress.finish();
        result.map_err(|error| with_account(error, &executor, plan))
    }

    /// Carries a plan out and tells somebody else of it.
    pub(crate) async fn carry_out_by(
        &self,
        plan: &Plan,
        observed: &Observed,
        options: Options,
        report: &dyn Report,
    ) -> Result<()> {
        self.explain(plan);
        let executor = self.executor(observed, options, report)?;
        let result = executor.run(plan).await;
        result.map_err(|error| with_account(error.into(), &executor, plan))
    }

    /// With `--verbose`, tells the steps of a plan, each with its cause.
    fn explain(&self, plan: &Plan) {
        if !self.m.parent().on("verbose") {
            return;
        }
        self.progress.step_aside();
        for step in &plan.steps {
            log(self.cli, Level::Debug, &format!("{}: {}", step.action, step.cause));
        }
    }

    fn executor<'b>(&'b self, observed: &Observed, options: Options, report: &'b dyn Report) -> Result<Executor<'b>> {
        let options = Options {
            parallel: self.parallel,
            ..options
        };
        let executor = Executor::new(self.cli.client()?, &self.project, report, options);
        for container in &observed.containers {
            if !plan::is_one_off(container) {
                executor.know(plan::service_of(container), plan::number_of(container), &container.id);
            }
        }
        Ok(executor)
    }

    /// `--timeout`, when it was given.
    pub(crate) fn timeout(&self) -> Option<i64> {
        self.m.opt("timeout").map(|_| self.m.int("timeout"))
    }

    /// The containers of services; of all when none is named.
    pub(crate) fn containers<'b>(&self, observed: &'b Observed, services: &[String]) -> Result<Vec<&'b Summary>> {
        self.check_services(services)?;
        let mut list: Vec<_> = observed
            .containers
            .iter()
            .filter(|c| services.is_empty() || services.iter().any(|s| s == plan::service_of(c)))
            .collect();
        list.sort_by(|a, b| plan::name_of(a).cmp(plan::name_of(b)));
        Ok(list)
    }

    /// Refuses services that the project does not have.
    pub(crate) fn check_services(&self, services: &[String]) -> Result<()> {
        let known =
            |name: &String| self.project.services.contains_key(name) || self.project.disabled.contains_key(name);
        match services.iter().find(|name| !known(name)) {
            Some(name) if !self.project.services.is_empty() => Err(Error::new(format!("no such service: {name}"))),
            _ => Ok(()),
        }
    }

    /// The running container of a service with that number; the first one when it is 0.
    pub(crate) async fn running(&self, service: &str, index: i64) -> Result<Summary> {
        let observed = self.observe().await?;
        let mut list = observed.of_service(service);
        list.retain(|c| c.state == "running" || c.state == "paused");
        let found = list
            .iter()
            .find(|c| index <= 0 || i64::from(plan::number_of(c)) == index);
        match found {
            Some(container) => Ok((*container).clone()),
            None if index > 0 => Err(Error::new(format!(
                "service {service:?} is not running container #{index}"
            ))),
            None => Err(Error::new(format!("service {service:?} is not running"))),
        }
    }
}

/// An error with how far the plan was carried out.
fn with_account(error: Error, executor: &Executor<'_>, plan: &Plan) -> Error {
    match executor.account(plan) {
        Some(account) => Error {
            message: format!("{}\n{account}", error.message),
            ..error
        },
        None => error,
    }
}

/// Calls a command of the program by itself.
pub(crate) fn call(cli: &Cli, command: &'static crate::command::Command, arguments: Vec<String>) -> Result<()> {
    let path = format!("{} {}", cli.program, command.paths.first().unwrap_or(&""));
    let matches = crate::flags::parse(command, path, &arguments).map_err(Error::new)?;
    match command.action {
        crate::command::Action::Run(run) => run(cli, &matches),
        crate::command::Action::Group(_) | crate::command::Action::Refused(_) => Err(Error::new("not a command")),
    }
}
