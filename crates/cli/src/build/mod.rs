//! `build`, and `builder`: images from Dockerfiles.

mod context;
mod order;
mod plain;
mod raw;
mod show;
mod tar;
mod tty;

use std::io::IsTerminal as _;

use corten_api::{
    build::{Event, TRACE, Warning},
    image::Progress,
};
use corten_client::Messages;

use self::{
    context::Source,
    order::Order,
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
                Flag::list(
                    "build-arg",
                    "Value of a build argument (\"NAME=value\", or NAME for the environment's)",
                ),
                Flag::list("cache-from", "Image whose layers may be used again"),
                Flag::string("call", "What to do: \"build\" or \"check\"").default("build"),
                Flag::string("cgroup-parent", "Parent cgroup of commands"),
                Flag::switch("check", "Check the Dockerfile only: short for --call=check"),
                Flag::string("file", "Name of the Dockerfile (default PATH/Dockerfile)").short('f'),
                Flag::string("iidfile", "File to write the image's id to"),
                Flag::list("label", "Label for the image"),
                Flag::switch("load", "Keep the image in the engine, which is always done").hidden(),
                Flag::string("network", "Network of commands").default("default"),
                Flag::switch("no-cache", "Take nothing from the cache"),
                Flag::string("platform", "Platform of the image"),
                Flag::string("progress", "How to show what happens: \"auto\", \"plain\" or \"quiet\"").default("auto"),
                Flag::switch("pull", "Fetch base images even if they are here"),
                Flag::switch("quiet", "Say the image's id only").short('q'),
                Flag::value("shm-size", "bytes", size::check, "Size of commands' /dev/shm"),
                Flag::list("tag", "Name for the image (\"name:tag\")").short('t'),
                Flag::string("target", "Stage to build"),
                Flag::value("ulimit", "ulimit", check_ulimit, "Limit of commands"),
            ],
            LIMITS,
            LATER,
        ]);

/// Docker's older flags.
const LIMITS: &[Flag] = &[
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

/// Flags that Docker has, and that are refused until they work.
const LATER: &[Flag] = &[
    Flag::list("allow", "Not supported yet").hidden(),
    Flag::list("annotation", "Not supported yet").hidden(),
    Flag::list("attest", "Not supported yet").hidden(),
    Flag::list("build-context", "Not supported yet").hidden(),
    Flag::string("builder", "Not supported yet").hidden(),
    Flag::list("cache-to", "Not supported yet").hidden(),
    Flag::string("isolation", "Not supported yet").hidden(),
    Flag::string("metadata-file", "Not supported yet").hidden(),
    Flag::list("no-cache-filter", "Not supported yet").hidden(),
    Flag::list("output", "Not supported yet").short('o').hidden(),
    Flag::string("provenance", "Not supported yet").hidden(),
    Flag::switch("push", "Not supported yet").hidden(),
    Flag::string("sbom", "Not supported yet").hidden(),
    Flag::list("secret", "Not supported yet").hidden(),
    Flag::list("security-opt", "Not supported yet").hidden(),
    Flag::switch("squash", "Not supported yet").hidden(),
    Flag::list("ssh", "Not supported yet").hidden(),
];

/// `builder`.
pub(crate) static GROUP: Command = Command::group(
    "Manage builds",
    &[
        Entry::new(&["build"], &COMMAND),
        Entry::new(&["prune"], &prune::BUILDS),
        Entry::new(&["imagetools"], &crate::imagetools::GROUP),
    ],
);

/// `buildx`, by whose name many call `build`.
pub(crate) static BUILDX: Command = Command::group(
    "Build images",
    &[
        Entry::new(&["build"], &COMMAND),
        Entry::new(&["imagetools"], &crate::imagetools::GROUP),
    ],
);

fn build(cli: &Cli, m: &Matches) -> Result<()> {
    let failed = |error: Error| Error {
        message: format!("ERROR: failed to build: {}", error.message),
        ..error
    };
    refuse(m).map_err(failed)?;
    let order = Order::read(cli, m).map_err(failed)?;
    let source = Source::find(m.arg(0), m.get("file")).map_err(failed)?;
    let quiet = m.on("quiet") || m.get("progress") == "quiet";
    if m.on("check") || m.get("call") == "check" {
        return check(cli, &source).map_err(failed);
    }
    let classic = cli.variable("DOCKER_BUILDKIT").as_deref() == Some("0");
    let image = match (classic, quiet) {
        (true, false) => cli.wait(told_classically(cli, &order, source))?,
        (_, true) => cli.wait(quietly(cli, &order, source)).map_err(failed)?,
        (false, false) => cli.wait(shown(cli, &order, source, m.get("progress")))?.image,
    };
    if let Some(path) = m.opt("iidfile") {
        corten_sys::fs::write(path, &image).map_err(|error| Error::new(error.to_string()))?;
    }
    Ok(())
}

/// Names what does not work yet.
fn refuse(m: &Matches) -> Result<()> {
    if let Some(flag) = LATER.iter().find(|flag| m.given(flag.long)) {
        let is_default = flag.long == "builder" && m.get("builder") == "default";
        if !is_default {
            return Err(Error::new(format!("--{} is not supported yet", flag.long)));
        }
    }
    match m.get("progress") {
        "auto" | "plain" | "quiet" | "tty" | "rawjson" => {}
        other => return Err(Error::new(format!("invalid progress mode {other:?}"))),
    }
    match m.get("call") {
        "build" | "check" => Ok(()),
        other => Err(Error::new(format!("--call={other} is not supported yet"))),
    }
}

/// Sends a build to the engine.
async fn begin(cli: &Cli, order: &Order, source: Source, output: &str) -> Result<Messages<Progress>> {
    let (mut options, body) = order.options(cli, source)?;
    output.clone_into(&mut options.output);
    Ok(cli.client()?.build(&options, body).await?)
}

/// What shows the build.
fn display(cli: &Cli, mode: &str) -> Box<dyn Show> {
    let is_terminal = std::io::stderr().is_terminal() && cli.variable("TERM").as_deref() != Some("dumb");
    match mode {
        "quiet" => Box::new(Quiet),
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

/// Shows vertices on standard error.
async fn shown(cli: &Cli, order: &Order, source: Source, mode: &str) -> Result<Made> {
    let mut display = display(cli, mode);
    let mut messages = begin(cli, order, source, "trace").await.map_err(|error| Error {
        message: format!("ERROR: failed to build: failed to solve: {}", error.message),
        ..error
    })?;
    let mut made = Made::default();
    let mut is_over = false;
    while let Some(message) = messages.next().await? {
        match message.aux {
            Some(event) if message.id == TRACE => {
                let event = serde_json::from_value(event).map_err(|error| Error::new(error.to_string()))?;
                pass(display.as_mut(), &event);
                match event {
                    Event::Loaded { warnings, .. } => made.warnings = warnings,
                    Event::Built(image) => made.image = image,
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

async fn quietly(cli: &Cli, order: &Order, source: Source) -> Result<String> {
    let mut messages = begin(cli, order, source, "").await?;
    let mut id = String::new();
    while let Some(message) = messages.next().await? {
        if !message.error.is_empty() {
            return Err(Error::new(format!("failed to solve: {}", message.error)));
        }
        if message.stream.starts_with("sha256:") {
            id = message.stream.trim().to_owned();
        }
    }
    cli.out(&id);
    Ok(id)
}

/// The text of the classic builder, as the engine sends it.
async fn told_classically(cli: &Cli, order: &Order, source: Source) -> Result<String> {
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

/// Checks a Dockerfile here, without the engine.
fn check(cli: &Cli, source: &Source) -> Result<()> {
    let text = source.dockerfile()?;
    let file = corten_dockerfile::Dockerfile::parse(text.as_bytes())
        .map_err(|error| Error::new(format!("failed to solve: {error}")))?;
    let count = file.warnings.len();
    if count == 0 {
        cli.out("Check complete, no warnings found.");
        return Ok(());
    }
    let noun = if count == 1 { "warning has" } else { "warnings have" };
    cli.out(&format!("Check complete, {count} {noun} been found!"));
    for warning in &file.warnings {
        let rule = warning.rule;
        cli.print(&format!(
            "\nWARNING: {} - https://docs.docker.com/go/dockerfile/rule/{}/\n{}\n{}",
            rule.name(),
            rule.slug(),
            warning.message,
            corten_dockerfile::excerpt(source.name(), &text, warning.lines)
        ));
    }
    Err(Error::silent(1))
}
