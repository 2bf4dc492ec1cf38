//! `build`, and `builder`: images from Dockerfiles.

mod agents;
mod builders;
mod caches;
mod checks;
mod context;
mod order;
mod outputs;
mod past;
mod plain;
mod raw;
mod show;
mod tar;
mod tty;
mod usage;

use std::io::IsTerminal as _;

use corten_api::{
    build::{Event, TRACE, Warning},
    image::Progress,
};
use corten_client::Messages;

pub(crate) use self::{builders::BAKE, usage::record};
use self::{
    context::{Source, Way},
    order::Order,
    outputs::Receiver,
    plain::Plain,
    show::{Quiet, Show, pass},
};
use crate::{
    cli::Cli,
    command::{Arity, Command, Entry, Flag},
    error::{Error, Result},
    flags::Matches,
    opts::{limits::check_ulimit, size},
    progress::{To, show},
    prune,
};

/// `build`.
pub(crate) static COMMAND: Command =
    Command::new("[OPTIONS] PATH | URL | -", "Build an image from a Dockerfile", build)
        .paths(&["image build", "build", "builder build", "buildx build"])
        .arity(Arity::Exactly(1))
        .flags(&[
            &[
                Flag::strings("add-host", "Entry for the hosts file of commands (\"host:ip\")"),
                Flag::list("allow", "What steps may do: \"network.host\", \"security.insecure\""),
                Flag::list(
                    "annotation",
                    "Annotation of the image (\"[manifest|index|…[os/arch]:]key=value\")",
                ),
                Flag::list(
                    "attest",
                    "Statement about the image (\"type=provenance,mode=max\", \"type=sbom\")",
                ),
                Flag::list(
                    "build-arg",
                    "Value of a build argument (\"NAME=value\", or NAME for the environment's)",
                ),
                Flag::list(
                    "build-context",
                    "What stands for a name (\"name=path\", address or docker-image://…)",
                ),
                Flag::list(
                    "cache-from",
                    "Where steps may come from (\"name\", \"type=local,src=path\")",
                ),
                Flag::list("cache-to", "Where steps go (\"type=inline|local|registry,…\")"),
                Flag::string("call", "What to do: \"build\", \"check\", \"outline\" or \"targets\"").default("build"),
                Flag::string("cgroup-parent", "Parent cgroup of commands"),
                Flag::switch("check", "Check the Dockerfile only: short for --call=check"),
                Flag::switch("explain", "Say of each step that is not cached what differs"),
                Flag::string("file", "Name of the Dockerfile (default PATH/Dockerfile)").short('f'),
                Flag::string("iidfile", "File to write the image's id to"),
                Flag::string("isolation", "Isolation of commands; there is only \"default\"")
                    .checked(the_isolation)
                    .hidden(),
                Flag::list("label", "Label for the image"),
                Flag::switch("load", "Keep the image in the engine: short for --output=type=docker"),
                Flag::string("metadata-file", "File to write what is known of the result to"),
                Flag::string("network", "Network of commands").default("default"),
                Flag::switch("no-cache", "Take nothing from the cache"),
                Flag::list("no-cache-filter", "Stage of which nothing is taken from the cache"),
                Flag::list("output", "What becomes of the result (\"type=local,dest=path\")").short('o'),
                Flag::string("platform", "Platform of the image"),
                Flag::string(
                    "progress",
                    "How to show what happens: \"auto\", \"plain\", \"tty\", \"rawjson\" or \"quiet\"",
                )
                .default("auto"),
                Flag::string("print", "Older name of --call").hidden(),
                Flag::string(
                    "provenance",
                    "Statement of where the image comes from (\"true\", \"mode=max,version=v1\")",
                ),
                Flag::switch("pull", "Fetch base images even if they are here"),
                Flag::switch("push", "Push the image: short for --output=type=registry"),
                Flag::switch("quiet", "Say the image's id only").short('q'),
                Flag::switch(
                    "rebuild-and-compare",
                    "Build twice, the second time without the cache, and compare",
                ),
                Flag::string("sbom", "List of the packages that are in the image (\"true\")"),
                Flag::list(
                    "secret",
                    "Secret for steps (\"id=name,src=path\" or \"id=name,env=VARIABLE\")",
                ),
                Flag::list("security-opt", "Option of commands' confinement").hidden(),
                Flag::value("shm-size", "bytes", size::check, "Size of commands' /dev/shm"),
                Flag::switch("squash", "Make one layer of all that the build adds"),
                Flag::list("ssh", "Agent or keys for steps (\"default\" or \"id=socket|key\")"),
                Flag::list("tag", "Name for the image (\"name:tag\")").short('t'),
                Flag::string("target", "Stage to build"),
                Flag::value("ulimit", "ulimit", check_ulimit, "Limit of commands"),
            ],
            BUILDER,
            LIMITS,
        ]);

/// Docker's older flags.
const LIMITS: &[Flag] = &[
    Flag::switch("compress", "Not supported").hidden(),
    Flag::int("cpu-period", "Period of the CPU scheduler").hidden(),
    Flag::int("cpu-quota", "Quota of the CPU scheduler").hidden(),
    Flag::int("cpu-shares", "Weight of the CPU scheduler")
        .short('c')
        .hidden(),
    Flag::string("cpuset-cpus", "Processors of commands").hidden(),
    Flag::string("cpuset-mems", "Memory nodes of commands").hidden(),
    Flag::switch(
        "force-rm",
        "Remove containers of commands even after failures, which is always done",
    )
    .hidden(),
    Flag::value("memory", "bytes", size::check, "Most memory of a command")
        .short('m')
        .hidden(),
    Flag::value("memory-swap", "bytes", size::check, "Most memory and swap of a command").hidden(),
    Flag::switch_on("rm", "Remove containers of commands, which is always done").hidden(),
];

/// What all commands of builds take: which builder, of which there is one, and `--debug`, for which there is
/// nothing to show.
pub(crate) const BUILDER: &[Flag] = &[
    Flag::string("builder", "The builder; there is only \"default\"").checked(the_builder),
    Flag::switch("debug", "Not supported")
        .short('D')
        .checked(no_debug)
        .hidden(),
];

fn no_debug(value: &str) -> std::result::Result<(), String> {
    match value {
        "false" | "0" => Ok(()),
        _ => Err("it is not supported here: what the engine does is logged by \"corten daemon --debug\"".to_owned()),
    }
}

fn the_builder(name: &str) -> std::result::Result<(), String> {
    match name {
        "" | "default" => Ok(()),
        name => Err(format!("no builder {name:?} found")),
    }
}

fn the_isolation(name: &str) -> std::result::Result<(), String> {
    match name {
        "" | "default" => Ok(()),
        name => Err(format!("invalid isolation: {name:?}: there is only \"default\"")),
    }
}

/// `builder`.
pub(crate) static GROUP: Command = Command::group("Manage builds", ENTRIES);

/// `buildx`, by whose name many call `build`.
pub(crate) static BUILDX: Command = Command::group("Build images", ENTRIES);

const ENTRIES: &[Entry] = &[
    Entry::new(&["bake", "f"], &BAKE),
    Entry::new(&["build", "b"], &COMMAND),
    Entry::new(&["create"], &builders::CREATE),
    Entry::new(&["dial-stdio"], &builders::DIAL),
    Entry::new(&["du"], &usage::COMMAND),
    Entry::new(&["history"], &past::GROUP),
    Entry::new(&["imagetools"], &crate::imagetools::GROUP),
    Entry::new(&["inspect"], &builders::INSPECT),
    Entry::new(&["install"], &builders::INSTALL),
    Entry::new(&["ls"], &builders::LIST),
    Entry::new(&["prune"], &prune::BUILDS),
    Entry::new(&["rm"], &builders::REMOVE),
    Entry::new(&["stop"], &builders::STOP),
    Entry::new(&["uninstall"], &builders::UNINSTALL),
    Entry::new(&["use"], &builders::USE),
    Entry::new(&["version"], &builders::VERSION),
];

fn build(cli: &Cli, m: &Matches) -> Result<()> {
    let failed = |error: Error| Error {
        message: match error.message.as_str() {
            "" => String::new(),
            message => format!("ERROR: failed to build: {message}"),
        },
        ..error
    };
    refuse(m).map_err(failed)?;
    let mut source = Source::find(m.arg(0), m.get("file")).map_err(failed)?;
    match call(m) {
        _ if m.on("check") => return checks::check(cli, &source).map_err(failed),
        "check" | "lint" => return checks::check(cli, &source).map_err(failed),
        "targets" => return checks::targets(cli, &source).map_err(failed),
        "outline" => return checks::outline(cli, &source, m.get("target")).map_err(failed),
        _ => {}
    }
    let mut order = Order::read(cli, m).map_err(failed)?;
    if cli.variable("DOCKER_BUILDKIT").as_deref() == Some("0") && !order.is_extended() && !m.on("quiet") {
        let image = cli.wait(told_classically(cli, &order, &mut source))?;
        return write(m, "iidfile", &image);
    }
    let mode = if m.on("quiet") { "quiet" } else { m.get("progress") };
    if m.on("rebuild-and-compare") {
        // Times are the same in both.
        order.argument("SOURCE_DATE_EPOCH", "0");
    }
    let made = cli.wait(shown(cli, &order, &mut source, mode))?;
    if m.on("rebuild-and-compare") {
        order.fresh();
        let again = cli.wait(shown(cli, &order, &mut source, mode))?;
        compare(cli, &made, &again).map_err(failed)?;
    }
    if mode == "quiet" && !made.image.is_empty() {
        cli.out(&made.image);
    }
    write(m, "iidfile", made.id())?;
    if m.given("metadata-file") {
        let mut text = serde_json::to_string_pretty(&made.answers).unwrap_or_default();
        text.push('\n');
        write(m, "metadata-file", &text)?;
    }
    Ok(())
}

/// Writes what a flag wants in a file.
fn write(m: &Matches, flag: &str, text: &str) -> Result<()> {
    match m.opt(flag) {
        Some(path) => corten_sys::fs::write_atomic_mode(path, text, 0o644).map_err(|error| {
            let why = outputs::reason(error).message;
            Error::new(format!("ERROR: failed to build: cannot write --{flag} {path}: {why}"))
        }),
        None => Ok(()),
    }
}

/// Says whether two builds gave the same.
fn compare(cli: &Cli, first: &Made, second: &Made) -> Result<()> {
    if first.id() == second.id() {
        cli.err(&format!("The build is reproducible: twice {}", first.id()));
        return Ok(());
    }
    Err(Error::new(format!(
        "the build is not reproducible: {} and {}",
        first.id(),
        second.id()
    )))
}

/// What is to be done: by `--call`, or as it was called before.
fn call(m: &Matches) -> &str {
    m.opt("print").unwrap_or_else(|| m.get("call"))
}

/// Names what does not work yet.
fn refuse(m: &Matches) -> Result<()> {
    if m.on("compress") {
        return Err(Error::new(
            "--compress is not supported: folders of this machine are read in place, and buildx takes no notice of the \
             flag either",
        ));
    }
    match m.get("progress") {
        "auto" | "plain" | "quiet" | "none" | "tty" | "rawjson" => {}
        other => return Err(Error::new(format!("invalid progress mode {other:?}"))),
    }
    match call(m) {
        "build" | "check" | "lint" | "outline" | "targets" => Ok(()),
        other => Err(Error::new(format!(
            "--call={other} is not supported: try build, check, outline or targets"
        ))),
    }
}

/// Sends a build to the engine. A folder of this machine is read in place when the engine sees the same.
async fn begin(cli: &Cli, order: &Order, source: &mut Source, output: &str) -> Result<Messages<Progress>> {
    let in_place =
        output == "trace" && cli.default_host().starts_with("unix://") && rustix::process::geteuid().is_root();
    if in_place && source.is_folder() {
        let (mut options, body) = order.options(cli, source, Way::InPlace)?;
        output.clone_into(&mut options.output);
        match cli.client()?.build(&options, body).await {
            Err(error) if error.kind() == corten_client::Kind::Conflict => {}
            result => return Ok(result?),
        }
    }
    let (mut options, body) = order.options(cli, source, Way::Sent)?;
    output.clone_into(&mut options.output);
    Ok(cli.client()?.build(&options, body).await?)
}

/// What shows the build.
fn display(cli: &Cli, mode: &str) -> Box<dyn Show> {
    let is_terminal = std::io::stderr().is_terminal() && cli.variable("TERM").as_deref() != Some("dumb");
    match mode {
        "quiet" | "none" => Box::new(Quiet),
        "rawjson" => Box::new(raw::Raw),
        "tty" => Box::new(tty::Tty::new(width())),
        "auto" | "" if is_terminal => Box::new(tty::Tty::new(width())),
        _ => Box::new(Plain::new(cli.program)),
    }
}

fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.map_or(80, |size| usize::from(size.ws_col))
}

/// What a build gave.
#[derive(Debug, Default)]
struct Made {
    image: String,
    answers: std::collections::BTreeMap<String, String>,
    warnings: Vec<Warning>,
}

impl Made {
    /// The image's id, also of one that is not the engine's.
    fn id(&self) -> &str {
        match self.image.as_str() {
            "" => self
                .answers
                .get("containerimage.config.digest")
                .map_or("", String::as_str),
            image => image,
        }
    }
}

/// Shows vertices on standard error.
async fn shown(cli: &Cli, order: &Order, source: &mut Source, mode: &str) -> Result<Made> {
    let mut display = display(cli, mode);
    let mut messages = begin(cli, order, source, "trace").await.map_err(|error| Error {
        message: format!("ERROR: failed to build: failed to solve: {}", error.message),
        ..error
    })?;
    let mut made = Made::default();
    let mut receiver = Receiver::default();
    let mut is_over = false;
    while let Some(message) = messages.next().await? {
        match message.aux {
            Some(event) if message.id == TRACE => {
                let event = serde_json::from_value(event).map_err(|error| Error::new(error.to_string()))?;
                pass(display.as_mut(), &event);
                match event {
                    Event::Loaded { warnings, .. } => made.warnings = warnings,
                    Event::Warned(warning) => made.warnings.push(warning),
                    Event::Built(image) => made.image = image,
                    Event::Exported(number, piece) => {
                        receiver.take(&order.destinations, number, piece.as_deref())?;
                    }
                    Event::Finished(answers) => (made.answers, is_over) = (answers, true),
                    Event::Failed(failed) => {
                        let message = failed.message;
                        return Err(Error::new(format!(
                            "ERROR: failed to build: failed to solve: {message}"
                        )));
                    }
                    _ => {}
                }
            }
            _ if !message.error.is_empty() => {
                return Err(Error::new(format!(
                    "ERROR: failed to build: failed to solve: {}",
                    message.error
                )));
            }
            _ => display.pulling(&message),
        }
    }
    display.finish();
    if !is_over {
        return Err(Error::new(
            "ERROR: failed to build: the engine ended the build without a word",
        ));
    }
    if let Some(text) = found(cli, &made.warnings) {
        display.message(&text);
    }
    Ok(made)
}

/// What is said of warnings at the end.
fn found(cli: &Cli, warnings: &[Warning]) -> Option<String> {
    let count = warnings.len();
    if count == 0 {
        return None;
    }
    let noun = if count == 1 { "warning" } else { "warnings" };
    let lines: String = warnings
        .iter()
        .map(|warning| format!(" - {}: {} (line {})\n", warning.rule, warning.message, warning.line))
        .collect();
    Some(format!(
        "\n \u{1b}[33m{count} {noun} found (use {} --debug to expand):\n\u{1b}[0m{lines}",
        cli.program
    ))
}

/// The text of the classic builder, as the engine sends it.
async fn told_classically(cli: &Cli, order: &Order, source: &mut Source) -> Result<String> {
    let messages = begin(cli, order, source, "").await?;
    let mut id = String::new();
    let told = show(messages, To::Stdout, |aux| {
        if let Some(found) = aux.get("ID").and_then(|id| id.as_str()) {
            found.clone_into(&mut id);
        }
    });
    told.await?;
    Ok(id)
}
