//! `compose up`, `create`, `scale` and `plan`.

use corten_compose::{
    execute::Options,
    plan::{self, ChangedVolumes, Recreate, Start, Up},
};

use super::{
    attached, diff,
    images::{self, Wanted},
    open::{Keep, Open},
    questions, rolling,
};
use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
};

/// Flags of all that makes containers.
const MAKING: &[Flag] = &[
    Flag::switch("build", "Build images before containers are made"),
    Flag::switch("dry-run", "Only show what would be done"),
    Flag::switch("force-recreate", "Make containers anew although nothing changed"),
    Flag::switch("no-build", "Build no image, even one that is missing"),
    Flag::switch("no-recreate", "Leave containers as they are although something changed"),
    Flag::string("pull", "When to fetch images (\"always\"|\"missing\"|\"never\")"),
    Flag::switch("quiet-pull", "Show no progress of pulls"),
    Flag::switch("remove-orphans", "Remove containers of services that are gone"),
    Flag::value(
        "scale",
        "scale",
        super::any,
        "How many containers a service has (\"service=number\")",
    ),
    Flag::switch(
        "yes",
        "Make volumes anew whose definition changed, unasked: what is in them is lost",
    )
    .short('y'),
];

/// `compose up`.
pub(crate) static UP: Command = Command::new("[OPTIONS] [SERVICE...]", "Make and start what the project says", up)
    .paths(&["compose up"])
    .flags(&[
        MAKING,
        &[
            Flag::switch("abort-on-container-exit", "Stop all when one ends; not with --detach"),
            Flag::switch(
                "abort-on-container-failure",
                "Stop all when one fails; not with --detach",
            ),
            Flag::switch("always-recreate-deps", "Make anew what services depend on, too"),
            Flag::value(
                "attach",
                "stringArray",
                super::any,
                "Show the output of these services only",
            ),
            Flag::switch("attach-dependencies", "Show the output of what services depend on, too"),
            Flag::switch("detach", "Leave everything running in the background").short('d'),
            Flag::string("exit-code-from", "End as the container of this service does"),
            Flag::switch("menu", "Offer keys on a terminal; not with --detach (COMPOSE_MENU)"),
            Flag::value(
                "no-attach",
                "stringArray",
                super::any,
                "Do not show the output of these services",
            ),
            Flag::switch("no-color", "Write without colours"),
            Flag::switch("no-deps", "Leave out what services depend on"),
            Flag::switch("no-log-prefix", "Write output without the container's name"),
            Flag::switch("no-start", "Only make what the project says"),
            Flag::switch("quiet-build", "Show no output of builds"),
            Flag::switch(
                "renew-anon-volumes",
                "Give containers that are made anew new anonymous volumes",
            )
            .short('V'),
            Flag::int("timeout", "Seconds that containers have to stop")
                .short('t')
                .default("0"),
            Flag::switch(
                "rolling",
                "Replace containers one by one while they serve, back to the old ones when a new one is not well; implies\n--detach",
            ),
            Flag::switch("timestamps", "Show the time of each line"),
            Flag::switch("wait", "Wait until services run or are healthy; implies --detach"),
            Flag::int(
                "wait-timeout",
                "Seconds to wait for that; with --rolling those that each new container has, 120 unless said",
            )
            .default("0"),
            Flag::switch("watch", "Bring changes of sources into services as they are made").short('w'),
        ],
    ]);

/// `compose create`.
pub(crate) static CREATE: Command = Command::new(
    "[OPTIONS] [SERVICE...]",
    "Make what the project says without starting it",
    create,
)
.paths(&["compose create"])
.flags(&[MAKING]);

/// `compose scale`.
pub(crate) static SCALE: Command =
    Command::new("[SERVICE=REPLICAS...]", "Say how many containers services have", scale)
        .paths(&["compose scale"])
        .arity(Arity::AtLeast(1))
        .flags(&[&[
            Flag::switch("dry-run", "Only show what would be done"),
            Flag::switch("no-deps", "Leave out what services depend on"),
        ]]);

/// `compose plan`.
pub(crate) static PLAN: Command = Command::new("[SERVICE...]", "Show what up would do, and why", show)
    .paths(&["compose plan"])
    .flags(&[&[
        Flag::switch("dry-run", "Only show what would be done, which is all it does"),
        Flag::switch("remove-orphans", "Remove containers of services that are gone"),
    ]]);

fn open<'a>(cli: &'a Cli, m: &'a Matches) -> Result<Open<'a>> {
    let keep = match (m.args.as_slice(), m.on("no-deps")) {
        ([], _) => Keep::All,
        (services, true) => Keep::Alone(services),
        (services, false) => Keep::With(services),
    };
    let mut open = Open::new(cli, m, keep)?;
    for text in m.all("scale") {
        set_scale(&mut open, text)?;
    }
    Ok(open)
}

fn set_scale(open: &mut Open<'_>, text: &str) -> Result<()> {
    let wrong = || Error::new(format!("invalid --scale option {text:?}. Should be SERVICE=NUM"));
    let (name, number) = text.split_once('=').ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    open.check_services(&[name.to_owned()])?;
    let Some(service) = open.project.services.get_mut(name) else {
        return Err(Error::new(format!("no such service: {name}")));
    };
    service.scale = Some(i64::from(number));
    if let Some(deploy) = &mut service.deploy {
        deploy.replicas = Some(i64::from(number));
    }
    Ok(())
}

/// What flags ask for.
fn wanted(m: &Matches, start: Start) -> Result<Up> {
    if m.on("force-recreate") && m.on("no-recreate") {
        return Err(Error::new("--force-recreate and --no-recreate are incompatible"));
    }
    if m.on("build") && m.on("no-build") {
        return Err(Error::new("--build and --no-build are incompatible"));
    }
    let recreate = match (m.on("force-recreate"), m.on("no-recreate")) {
        (true, _) => Recreate::Always,
        (_, true) => Recreate::Never,
        _ => Recreate::Diverged,
    };
    let ignore = std::env::var("COMPOSE_IGNORE_ORPHANS").is_ok_and(|value| matches!(value.as_str(), "1" | "true"));
    let remove = std::env::var("COMPOSE_REMOVE_ORPHANS").is_ok_and(|value| matches!(value.as_str(), "1" | "true"));
    Ok(Up {
        services: m.args.clone(),
        recreate,
        recreate_dependencies: match m.on("always-recreate-deps") {
            true => Recreate::Always,
            false if m.on("no-recreate") => Recreate::Never,
            false => Recreate::Diverged,
        },
        start,
        remove_orphans: m.on("remove-orphans") || remove,
        ignore_orphans: ignore,
        changed_volumes: match m.on("yes") {
            true => ChangedVolumes::Remade,
            false => ChangedVolumes::Kept,
        },
        ..Up::default()
    })
}

fn images_wanted(m: &Matches) -> Result<Wanted> {
    let pull = m.get("pull");
    if !matches!(pull, "" | "always" | "missing" | "never" | "build" | "if_not_present") {
        return Err(Error::new(format!("invalid pull policy {pull:?}")));
    }
    Ok(Wanted {
        pull: pull.to_owned(),
        build: m.on("build"),
        no_build: m.on("no-build"),
        quiet_build: m.on("quiet-build"),
        quiet_pull: m.on("quiet-pull"),
    })
}

fn up(cli: &Cli, m: &Matches) -> Result<()> {
    let attached_flags = [
        "abort-on-container-exit",
        "abort-on-container-failure",
        "attach-dependencies",
    ];
    let abort = attached_flags.iter().any(|flag| m.on(flag)) || m.given("attach") || m.on("watch");
    let detached = m.on("detach") || m.on("wait") || m.on("no-start") || m.on("rolling");
    if detached && (abort || m.given("exit-code-from")) {
        let flag = if m.on("wait") { "wait" } else { "detach" };
        return Err(Error::new(format!(
            "--{flag} cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, --attach-dependencies or --watch"
        )));
    }
    if m.on("rolling") && m.on("no-start") {
        return Err(Error::new("--rolling and --no-start are incompatible"));
    }
    let start = match () {
        () if m.on("no-start") => Start::Created,
        () if m.on("wait") => Start::Awaited,
        () => Start::Started,
    };
    let mut open = open(cli, m)?;
    if m.on("watch") {
        check_watch(&open)?;
    }
    let mut wanted = wanted(m, start)?;
    if open.project.services.is_empty() {
        return Err(Error::new("no service selected"));
    }
    wanted.images = images::ensure(&mut open, &images_wanted(m)?)?;
    questions::ask_of_volumes(&open, &mut wanted)?;
    let mut options = options(&open, &wanted);
    if m.on("rolling") {
        (wanted.rolling, options.rolling) = (true, rolling::options(&open)?);
    }
    if !detached && !open.is_dry() {
        return cli.wait(attached::up(&open, &wanted, options));
    }
    cli.wait(async {
        let observed = open.observe().await?;
        let plan = plan::up(&open.project, &observed, &wanted)?;
        if wanted.rolling {
            rolling::check(&open, &plan, &options)?;
            return open.make(&plan, &observed, options).await;
        }
        let work = async {
            open.make(&plan, &observed, options).await?;
            if open.is_dry() && !detached {
                cli.out("end of 'compose up' output, interactive run is not supported in dry-run mode");
            }
            Ok(())
        };
        match u64::try_from(m.int("wait-timeout")) {
            Ok(seconds) if seconds > 0 => tokio::time::timeout(std::time::Duration::from_secs(seconds), work)
                .await
                .map_err(|_| {
                    Error::new(format!(
                        "timeout of {seconds}s exceeded: application not healthy after {seconds}s"
                    ))
                })?,
            _ => work.await,
        }
    })
}

fn check_watch(open: &Open<'_>) -> Result<()> {
    if open.m.on("no-build") {
        return Err(Error::new("--no-build and --watch are incompatible"));
    }
    if !super::watch::is_configured(&open.project) {
        return Err(Error::new(
            "none of the selected services is configured for watch, see https://docs.docker.com/compose/how-tos/file-watch/",
        ));
    }
    Ok(())
}

fn options(open: &Open<'_>, wanted: &Up) -> Options {
    Options {
        timeout: open.timeout(),
        images: wanted.images.clone(),
        renew_volumes: open.m.on("renew-anon-volumes"),
        ..Options::default()
    }
}

fn create(cli: &Cli, m: &Matches) -> Result<()> {
    let mut open = open(cli, m)?;
    let mut wanted = wanted(m, Start::Created)?;
    wanted.images = images::ensure(&mut open, &images_wanted(m)?)?;
    questions::ask_of_volumes(&open, &mut wanted)?;
    open.progress.titled("Creating");
    act(&open, &wanted)
}

fn act(open: &Open<'_>, wanted: &Up) -> Result<()> {
    open.cli.wait(async {
        let observed = open.observe().await?;
        let plan = plan::up(&open.project, &observed, wanted)?;
        open.make(&plan, &observed, options(open, wanted)).await
    })
}

fn scale(cli: &Cli, m: &Matches) -> Result<()> {
    let wrong = |text: &String| Error::new(format!("invalid scale specifier: {text}"));
    let names = m.args.iter().map(|text| {
        let (name, _) = text.split_once('=').ok_or_else(|| wrong(text))?;
        Ok(name.to_owned())
    });
    let names = names.collect::<Result<Vec<_>>>()?;
    let keep = if m.on("no-deps") {
        Keep::Alone(&names)
    } else {
        Keep::With(&names)
    };
    let mut open = Open::new(cli, m, keep)?;
    for text in &m.args {
        set_scale(&mut open, text)?;
    }
    let mut wanted = Up {
        ignore_orphans: true,
        ..Up::default()
    };
    wanted.images = images::ensure(&mut open, &Wanted::default())?;
    act(&open, &wanted)
}

fn show(cli: &Cli, m: &Matches) -> Result<()> {
    let mut open = open(cli, m)?;
    images::foresee(&mut open)?;
    let mut wanted = wanted(m, Start::Started)?;
    for name in open.project.services.keys() {
        if let Some(id) = images::find(&open, &open.project.image_of(name))? {
            wanted.images.insert(name.clone(), id);
        }
    }
    cli.wait(async {
        let observed = open.observe().await?;
        let mut plan = plan::up(&open.project, &observed, &wanted)?;
        diff::explain(&open, &observed, &mut plan).await?;
        for warning in &plan.warnings {
            open.progress.warn(warning);
        }
        cli.print(&plan.to_string());
        Ok(())
    })
}
