//! Commands that do with a service's container what the program's own commands do with one: `exec`, `attach`, `stats`,
//! `export`, `commit`, `wait`; and with its image: `build`, `pull`, `push`.

use corten_api::{container::Summary, filters::Filters};
use corten_compose::{
    execute::{Options, Phase},
    labels,
    plan::{self, Down},
};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::{
    bake, builds,
    down::whole,
    images::{self, Extra},
    open::{Keep, Open, call},
    parallel,
};
use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    container,
    error::{Error, Result},
    flags::Matches,
    image,
};

const DRY: Flag = Flag::switch("dry-run", "Only show what would be done");
const INDEX: Flag = Flag::int("index", "The container of that number").default("0");

/// `compose exec`.
pub(crate) static EXEC: Command = Command::new(
    "[OPTIONS] SERVICE COMMAND [ARGS...]",
    "Run a command in a container that is running",
    exec,
)
.paths(&["compose exec"])
.arity(Arity::AtLeast(2))
.flags_first()
.flags(&[&[
    Flag::switch("detach", "Run the command in the background").short('d'),
    DRY,
    Flag::value("env", "stringArray", super::any, "Environment variable to set").short('e'),
    INDEX,
    Flag::switch_on("interactive", "Keep standard input open")
        .short('i')
        .hidden(),
    Flag::switch("no-tty", "Give it no terminal").short('T'),
    Flag::switch("privileged", "Give the command every right on the host"),
    Flag::switch_on("tty", "Give it a terminal").short('t').hidden(),
    Flag::string("user", "The user").short('u'),
    Flag::string("workdir", "Folder to start in").short('w'),
]]);

/// `compose attach`.
pub(crate) static ATTACH: Command = Command::new("[OPTIONS] SERVICE", "Attach to a container", attach)
    .paths(&["compose attach"])
    .arity(Arity::Exactly(1))
    .flags(&[&[
        Flag::string("detach-keys", "Keys that detach from the container"),
        DRY,
        INDEX,
        Flag::switch("no-stdin", "Do not pass standard input on"),
        Flag::switch_on("sig-proxy", "Pass signals on"),
    ]]);

/// `compose stats`.
pub(crate) static STATS: Command = Command::new("[OPTIONS] [SERVICE]", "Show what containers use", stats)
    .paths(&["compose stats"])
    .flags(&[&[
        Flag::switch("all", "Those that have stopped, too").short('a'),
        DRY,
        Flag::string("format", "How to write them"),
        Flag::switch("no-stream", "Show only the first values"),
        Flag::switch("no-trunc", "Shorten nothing"),
    ]]);

/// `compose export`.
pub(crate) static EXPORT: Command =
    Command::new("[OPTIONS] SERVICE", "Write a container's files as an archive", export)
        .paths(&["compose export"])
        .arity(Arity::Exactly(1))
        .flags(&[&[DRY, INDEX, Flag::string("output", "File to write to").short('o')]]);

/// `compose commit`.
pub(crate) static COMMIT: Command = Command::new(
    "[OPTIONS] SERVICE [REPOSITORY[:TAG]]",
    "Make an image of a container",
    commit,
)
.paths(&["compose commit"])
.arity(Arity::Between(1, 2))
.flags(&[&[
    Flag::string("author", "Author of the image").short('a'),
    Flag::list("change", "Dockerfile instruction to apply").short('c'),
    DRY,
    INDEX,
    Flag::string("message", "Message of the image").short('m'),
    Flag::switch_on("pause", "Pause the container meanwhile").short('p'),
]]);

/// `compose wait`.
pub(crate) static WAIT: Command = Command::new(
    "SERVICE [SERVICE...] [OPTIONS]",
    "Wait until containers have ended",
    wait,
)
.paths(&["compose wait"])
.arity(Arity::AtLeast(1))
.flags(&[&[
    Flag::switch("down-project", "Take the project down when they have"),
    DRY,
]]);

/// `compose build`.
pub(crate) static BUILD: Command = Command::new("[OPTIONS] [SERVICE...]", "Build the images of services", build)
    .paths(&["compose build"])
    .flags(&[&[
        Flag::value("build-arg", "stringArray", super::any, "Value of a build argument"),
        Flag::string("builder", "The builder; there is only \"default\""),
        Flag::switch("check", "Check the Dockerfile only"),
        DRY,
        Flag::value("memory", "bytes", crate::opts::size::check, "Most memory of a command").short('m'),
        Flag::switch("no-cache", "Take nothing from the cache"),
        Flag::switch("compress", "Not supported").hidden(),
        Flag::switch(
            "force-rm",
            "Remove containers of commands even after failures, which is always done",
        )
        .hidden(),
        Flag::switch("no-rm", "Not supported").hidden(),
        Flag::switch_on("parallel", "Do at once what can be, which the engine decides").hidden(),
        Flag::switch("print", "Show the file of targets that \"buildx bake\" would build"),
        Flag::string("progress", "How to show what happens").hidden(),
        Flag::string("provenance", "Statement of where images come from"),
        Flag::switch("pull", "Fetch base images even if they are here"),
        Flag::switch("push", "Push the images"),
        Flag::switch("quiet", "Show no output").short('q'),
        Flag::string("sbom", "List of the image's parts"),
        Flag::string("ssh", "Agent or keys for steps"),
        Flag::switch("with-dependencies", "Build what services depend on, too"),
    ]]);

/// `compose pull`.
pub(crate) static PULL: Command = Command::new("[OPTIONS] [SERVICE...]", "Fetch the images of services", pull)
    .paths(&["compose pull"])
    .flags(&[&[
        DRY,
        Flag::switch("ignore-buildable", "Leave out images that can be built"),
        Flag::switch("ignore-pull-failures", "Go on when one cannot be fetched"),
        Flag::switch("include-deps", "Those of what services depend on, too"),
        Flag::switch(
            "no-parallel",
            "Has no effect: --parallel of compose says how many at once",
        )
        .hidden(),
        Flag::switch("parallel", "Has no effect: they are fetched at once").hidden(),
        Flag::string("policy", "Which to fetch (\"missing\"|\"always\")"),
        Flag::switch("quiet", "Show no progress").short('q'),
    ]]);

/// `compose push`.
pub(crate) static PUSH: Command = Command::new("[OPTIONS] [SERVICE...]", "Push the images of services", push)
    .paths(&["compose push"])
    .flags(&[&[
        DRY,
        Flag::switch("ignore-push-failures", "Go on when one cannot be pushed"),
        Flag::switch("include-deps", "Those of what services depend on, too"),
        Flag::switch("quiet", "Show no progress").short('q'),
    ]]);

/// The flags that were given, as words for another command.
fn passed(m: &Matches, texts: &[&str], switches: &[&str]) -> Vec<String> {
    let mut words = Vec::new();
    for name in texts {
        for value in m.all(name) {
            words.push(format!("--{name}={value}"));
        }
    }
    for name in switches.iter().filter(|name| m.given(name)) {
        words.push(format!("--{name}={}", m.on(name)));
    }
    words
}

/// The running container that a command is for.
fn target(open: &Open<'_>) -> Result<Summary> {
    open.cli.wait(open.running(open.m.arg(0), open.m.int("index")))
}

fn exec(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    let id = target(&open)?.id;
    if open.is_dry() {
        if !m.on("detach") {
            return Err(Error::new("interactive exec is not supported in dry-run mode"));
        }
        let command: Vec<_> = m.args.iter().skip(1).map(|word| crate::opts::quote(word)).collect();
        let command = command.join(" ");
        cli.out(&format!(
            " DRY-RUN MODE - Executing command [{command}] in {id} (detached mode)"
        ));
        return Ok(());
    }
    let mut words = passed(m, &["env", "user", "workdir"], &["detach", "privileged"]);
    if m.on("interactive") && !m.on("detach") {
        words.push("--interactive".to_owned());
    }
    if m.on("tty") && !m.on("no-tty") && cli.out_is_terminal() && cli.in_is_terminal() {
        words.push("--tty".to_owned());
    }
    words.push(id);
    words.extend(m.args.iter().skip(1).cloned());
    call(cli, &container::exec::COMMAND, words)
}

fn attach(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    let id = target(&open)?.id;
    if open.is_dry() {
        return Err(Error::new("interactive run is not supported in dry-run mode"));
    }
    let mut words = passed(m, &["detach-keys"], &["no-stdin", "sig-proxy"]);
    words.push(id);
    call(cli, &container::attach::COMMAND, words)
}

fn stats(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    let mut filters = Filters::default();
    filters.add("label", format!("{}={}", labels::PROJECT, open.project.name));
    for service in &m.args {
        filters.add("label", format!("{}={service}", labels::SERVICE));
    }
    container::stats::labelled(cli, m, filters)
}

fn export(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    let container = target(&open)?;
    let name = plan::name_of(&container).to_owned();
    let output = m.get("output");
    let mut words = passed(m, &["output"], &[]);
    words.push(container.id);
    let what = format!("export {name} to {output}");
    let work = || call(cli, &container::export::COMMAND, words);
    if output.is_empty() && !open.is_dry() {
        return work();
    }
    told(&open, "Exporting", &name, &what, ["Exporting", "Exported"], work)
}

fn commit(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    let container = target(&open)?;
    let name = plan::name_of(&container).to_owned();
    let mut words = passed(m, &["author", "change", "message"], &["pause"]);
    words.push(container.id);
    words.extend(m.args.iter().skip(1).cloned());
    let what = format!("Commit {name}");
    let work = || call(cli, &container::commit::COMMAND, words);
    told(&open, "Committing", &name, &what, ["Committing", "Committed"], work)
}

/// Tells that something begins, does it unless nothing is to be done, and tells that it is done.
pub(crate) fn told(
    open: &Open<'_>,
    title: &'static str,
    object: &str,
    what: &str,
    [begin, end]: [&str; 2],
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let progress = &open.progress;
    progress.titled(title);
    progress.tell_of(object, what, begin, Phase::Working);
    if !open.is_dry() {
        progress.step_aside();
        if let Err(error) = work() {
            progress.tell_of(object, what, "Error", Phase::Failed);
            return Err(error);
        }
    }
    progress.tell_of(object, what, end, Phase::Done);
    Ok(())
}

fn wait(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    let status = cli.wait(async {
        let observed = open.observe().await?;
        let mut containers = open.containers(&observed, &m.args)?;
        containers.retain(|c| matches!(c.state.as_str(), "running" | "paused" | "restarting"));
        if containers.is_empty() {
            return Err(Error::new(format!("no containers for project {:?}", open.project.name)));
        }
        let mut ends: FuturesUnordered<_> = containers.iter().map(|c| ended(cli, &c.id)).collect();
        let mut last = 0;
        while let Some(status) = ends.next().await {
            last = status?;
        }
        Ok(last)
    })?;
    if m.on("down-project") {
        cli.wait(async {
            let observed = open.observe().await?;
            let wanted = Down {
                remove_orphans: true,
                ..Down::default()
            };
            let plan = plan::down(&open.project, &observed, &wanted);
            open.carry_out(&plan, &observed, Options::default()).await
        })?;
    }
    match u8::try_from(status & 0xff).unwrap_or(1) {
        0 => Ok(()),
        status => Err(Error::silent(status)),
    }
}

/// Waits for a container's end, and tells of it.
async fn ended(cli: &Cli, id: &str) -> Result<i64> {
    let waiting = cli.client()?.wait_container(id, "not-running").await?;
    let status = waiting.result().await?.status_code;
    cli.out(&format!("container {id:?} exited with status code {status}"));
    Ok(status)
}

fn build(cli: &Cli, m: &Matches) -> Result<()> {
    let open = match (m.args.as_slice(), m.on("with-dependencies") || m.on("print")) {
        ([], _) => whole(cli, m)?,
        (services, true) => Open::new(cli, m, Keep::With(services))?,
        (services, false) => Open::new(cli, m, Keep::Alone(services))?,
    };
    refuse_compression(cli, m)?;
    let texts = ["builder", "memory", "progress", "provenance", "sbom", "ssh"];
    let extra = Extra {
        arguments: m.all("build-arg").into_iter().map(str::to_owned).collect(),
        flags: passed(m, &texts, &["check", "no-cache", "pull", "push", "quiet"]),
        to_run: false,
    };
    if m.on("print") {
        let wanted = if m.on("with-dependencies") {
            &[]
        } else {
            m.args.as_slice()
        };
        cli.print(&bake::render(&open.project, wanted, &extra)?);
        return Ok(());
    }
    let order = open.project.in_order()?;
    let built = |name: &&String| open.project.services[*name].build.is_some();
    let names: Vec<&String> = order.iter().filter(built).collect();
    if names.is_empty() {
        open.progress.warn("No services to build");
    }
    if open.is_dry() {
        for name in names {
            open.progress.tell(name, "Building", Phase::Working);
            open.progress.tell(name, "Built", Phase::Done);
        }
        return Ok(());
    }
    images::build_sources(&open, &names, &extra)?;
    let mut builds = Vec::new();
    for name in names {
        let service = &open.project.services[name];
        if let Some(definition) = &service.build {
            builds.push(images::prepare(&open, name, service, definition, &extra)?);
        }
    }
    builds::build_all(&open, builds)
}

/// Docker's older flags of builds: two ask for what is not done, and one has moved.
fn refuse_compression(cli: &Cli, m: &Matches) -> Result<()> {
    for flag in ["compress", "no-rm"] {
        if m.on(flag) {
            return Err(Error::new(format!("compose build --{flag} is not supported")));
        }
    }
    if m.given("progress") {
        cli.err("--progress is a global compose flag, better use `docker compose --progress xx build ...");
    }
    Ok(())
}

fn pull(cli: &Cli, m: &Matches) -> Result<()> {
    let open = match (m.args.as_slice(), m.on("include-deps")) {
        ([], _) => whole(cli, m)?,
        (services, true) => Open::new(cli, m, Keep::With(services))?,
        (services, false) => Open::new(cli, m, Keep::Alone(services))?,
    };
    for flag in ["parallel", "no-parallel"].iter().filter(|flag| m.given(flag)) {
        cli.err(&format!("option '--{flag}' is DEPRECATED and will be ignored."));
    }
    open.progress.titled("Pulling");
    let mut done = std::collections::BTreeSet::new();
    let mut wanted = Vec::new();
    for (name, service) in &open.project.services {
        let buildable = service.build.is_some() && (m.on("ignore-buildable") || service.image.is_empty());
        let image = open.project.image_of(name);
        let kept = m.get("policy") == "missing" && images::find(&open, &image)?.is_some();
        if buildable || kept || service.pull_policy == "never" || !done.insert(images::whole(&image)) {
            continue;
        }
        wanted.push((name, service));
    }
    let mut failed = Ok(());
    for (name, error) in parallel::fetch_all(&open, wanted, m.on("quiet"))? {
        if m.on("ignore-pull-failures") || open.project.services[&name].build.is_some() {
            cli.err(&error.message);
        } else {
            failed = failed.and(Err(error));
        }
    }
    failed
}

fn push(cli: &Cli, m: &Matches) -> Result<()> {
    let open = match (m.args.as_slice(), m.on("include-deps")) {
        ([], _) => whole(cli, m)?,
        (services, true) => Open::new(cli, m, Keep::With(services))?,
        (services, false) => Open::new(cli, m, Keep::Alone(services))?,
    };
    open.progress.titled("Pushing");
    for (name, service) in &open.project.services {
        let Some(definition) = &service.build else {
            open.progress.tell_of(name, "Skipped", "", Phase::Done);
            continue;
        };
        if service.image.is_empty() {
            return Err(Error::new(format!("service {name:?} has no image of its own to push")));
        }
        for image in std::iter::once(&service.image).chain(&definition.tags) {
            let mut words = passed(m, &[], &["quiet"]);
            words.push(image.clone());
            let push = || call(cli, &image::push::COMMAND, words);
            match told(&open, "Pushing", name, image, ["Pushing", "Pushed"], push) {
                Err(error) if m.on("ignore-push-failures") => cli.err(&error.message),
                result => result?,
            }
        }
    }
    Ok(())
}
