//! `compose down`, and what becomes of containers otherwise: `start stop restart kill pause unpause rm`.

use corten_api::container::Summary;
use corten_compose::{
    Project,
    execute::Options,
    plan::{self, Change, Down, Images, Observed, Target},
};

use super::{
    open::{Keep, Open},
    providers,
};
use crate::{
    cli::Cli,
    command::{Command, Flag},
    error::{Error, Result},
    flags::Matches,
};

const DRY: Flag = Flag::switch("dry-run", "Only show what would be done");
const TIMEOUT: Flag = Flag::int("timeout", "Seconds that containers have to stop")
    .short('t')
    .default("0");

/// `compose down`.
pub(crate) static DOWN: Command = Command::new("[OPTIONS] [SERVICES]", "Stop and remove containers and networks", down)
    .paths(&["compose down"])
    .flags(&[&[
        DRY,
        Flag::switch("remove-orphans", "Remove containers of services that are gone"),
        Flag::string(
            "rmi",
            "Remove images: \"local\" for those without a name of their own, \"all\"",
        ),
        TIMEOUT,
        Flag::switch("volumes", "Remove volumes that the project names, and anonymous ones").short('v'),
    ]]);

/// `compose start`.
pub(crate) static START: Command = Command::new("[SERVICE...]", "Start containers that are there", |cli, m| {
    all(cli, m, &Change::Start)
})
.paths(&["compose start"])
.flags(&[&[DRY]]);

/// `compose stop`.
pub(crate) static STOP: Command = Command::new("[OPTIONS] [SERVICE...]", "Stop containers", |cli, m| {
    all(cli, m, &Change::Stop)
})
.paths(&["compose stop"])
.flags(&[&[DRY, TIMEOUT]]);

/// `compose restart`.
pub(crate) static RESTART: Command = Command::new("[OPTIONS] [SERVICE...]", "Stop and start containers", restart)
    .paths(&["compose restart"])
    .flags(&[&[
        DRY,
        Flag::switch("no-deps", "Leave out services that are to be restarted with them"),
        TIMEOUT,
    ]]);

/// `compose kill`.
pub(crate) static KILL: Command = Command::new("[OPTIONS] [SERVICE...]", "Send a signal to containers", |cli, m| {
    all(cli, m, &Change::Kill(m.get("signal").to_owned()))
})
.paths(&["compose kill"])
.flags(&[&[
    DRY,
    Flag::switch("remove-orphans", "Those of services that are gone, too"),
    Flag::string("signal", "The signal").short('s').default("SIGKILL"),
]]);

/// `compose pause`.
pub(crate) static PAUSE: Command = Command::new("[SERVICE...]", "Freeze containers", |cli, m| {
    all(cli, m, &Change::Pause)
})
.paths(&["compose pause"])
.flags(&[&[DRY]]);

/// `compose unpause`.
pub(crate) static UNPAUSE: Command = Command::new("[SERVICE...]", "Let frozen containers go on", |cli, m| {
    all(cli, m, &Change::Unpause)
})
.paths(&["compose unpause"])
.flags(&[&[DRY]]);

/// `compose rm`.
pub(crate) static REMOVE: Command =
    Command::new("[OPTIONS] [SERVICE...]", "Remove containers that have stopped", remove)
        .paths(&["compose rm"])
        .flags(&[&[
            Flag::switch("all", "Older flag without effect").deprecated("'all' is always so"),
            DRY,
            Flag::switch("force", "Ask nothing").short('f'),
            Flag::switch("stop", "Stop them first").short('s'),
            Flag::switch("volumes", "Remove their anonymous volumes, too").short('v'),
        ]]);

fn down(cli: &Cli, m: &Matches) -> Result<()> {
    let images = match m.get("rmi") {
        "" => Images::None,
        "local" => Images::Local,
        "all" => Images::All,
        other => {
            return Err(Error::new(format!(
                "invalid value for --rmi: {}",
                crate::opts::quote(other)
            )));
        }
    };
    let open = Open::by_name(cli, m)?;
    open.check_services(&m.args)?;
    let wanted = Down {
        services: m.args.clone(),
        volumes: m.on("volumes"),
        images,
        remove_orphans: m.on("remove-orphans"),
    };
    cli.wait(async {
        let observed = open.observe().await?;
        let plan = plan::down(&open.project, &observed, &wanted);
        if plan.steps.is_empty() {
            let name = &open.project.name;
            open.progress
                .warn(&format!("Warning: No resource found to remove for project {name:?}."));
        }
        open.carry_out(&plan, &observed, options(&open)).await
    })?;
    providers::down(&open, &m.args)
}

fn options(open: &Open<'_>) -> Options {
    Options {
        timeout: open.timeout(),
        ..Options::default()
    }
}

/// Whether a change means anything to a container in its state.
fn is_meant(change: &Change, container: &Summary) -> bool {
    let state = container.state.as_str();
    match change {
        Change::Kill(_) => matches!(state, "running" | "paused" | "restarting"),
        Change::Pause => state == "running",
        Change::Unpause => state == "paused",
        Change::Start | Change::Stop | Change::Restart => !plan::is_one_off(container),
    }
}

fn all(cli: &Cli, m: &Matches, change: &Change) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    cli.wait(async {
        let observed = open.observe().await?;
        apply(&open, &observed, &m.args, change).await
    })
}

async fn apply(open: &Open<'_>, observed: &Observed, services: &[String], change: &Change) -> Result<()> {
    let mut containers = open.containers(observed, services)?;
    if *change == Change::Start {
        for service in open.project.services.keys() {
            let asked = services.is_empty() || services.contains(service);
            if asked && open.project.services[service].replicas() > 0 && observed.of_service(service).is_empty() {
                return Err(Error::new(format!("service {service:?} has no container to start")));
            }
        }
    }
    containers.retain(|c| is_meant(change, c));
    if matches!(change, Change::Kill(_)) && !open.m.on("remove-orphans") && !open.project.services.is_empty() {
        containers.retain(|c| plan::is_one_off(c) || !plan::is_orphan(&open.project, c));
    }
    let plan = plan::change(&open.project, observed, &containers, change);
    open.progress.titled(match change {
        Change::Stop => "Stopping",
        Change::Restart => "Restarting",
        Change::Kill(_) => "Killing",
        Change::Pause => "Pausing",
        Change::Start | Change::Unpause => "Running",
    });
    open.carry_out(&plan, observed, options(open)).await
}

fn restart(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    open.check_services(&m.args)?;
    let services = match m.on("no-deps") {
        true => m.args.clone(),
        false => with_dependents(&open.project, &m.args),
    };
    cli.wait(async {
        let observed = open.observe().await?;
        apply(&open, &observed, &services, &Change::Restart).await
    })
}

/// Services, and those that are to be restarted with them.
pub(crate) fn with_dependents(project: &Project, services: &[String]) -> Vec<String> {
    let dependents = project.services.iter().filter(|(_, service)| {
        let mut on = service.depends_on.iter();
        on.any(|(name, dependency)| dependency.restart && services.contains(name))
    });
    let dependents = dependents.map(|(name, _)| name.clone());
    services.iter().cloned().chain(dependents).collect()
}

fn remove(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    if m.on("stop") {
        all_of(&open, &Change::Stop)?;
    }
    let targets: Vec<Target> = cli.wait(async {
        let observed = open.observe().await?;
        let mut containers = open.containers(&observed, &m.args)?;
        containers.retain(|c| !matches!(c.state.as_str(), "running" | "paused" | "restarting"));
        Ok(containers.into_iter().map(Target::of).collect())
    })?;
    if targets.is_empty() {
        cli.err("No stopped containers");
        return Ok(());
    }
    let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
    let question = format!("Going to remove {}", names.join(", "));
    if m.on("force") || open.is_dry() {
        cli.out(&question);
    } else if !crate::prune::confirmed(cli, &question) {
        return Ok(());
    }
    let plan = plan::remove(targets, m.on("volumes"), m.on("force"));
    open.progress.titled("Removing");
    cli.wait(open.carry_out(&plan, &Observed::default(), Options::default()))
}

fn all_of(open: &Open<'_>, change: &Change) -> Result<()> {
    open.cli.wait(async {
        let observed = open.observe().await?;
        apply(open, &observed, &open.m.args, change).await
    })
}

/// The project with all its services.
pub(crate) fn whole<'a>(cli: &'a Cli, m: &'a Matches) -> Result<Open<'a>> {
    Open::new(cli, m, Keep::All)
}
