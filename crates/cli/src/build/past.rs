//! `buildx history`: builds that have ended, and those that go on.

use corten_api::build::Past;
use corten_template::Value;
use jiff::Timestamp;

use super::{plain::Plain, raw, show::Show};
use crate::{
    cli::Cli,
    command::{Arity, Command, Entry, Flag},
    error::{Error, Result},
    flags::Matches,
    formatter::{Format, ago},
};

const DESKTOP: &str =
    "it is a bundle for Docker Desktop; \"buildx history logs\" and \"inspect\" show what is kept of a build";

/// `buildx history`.
pub(super) static GROUP: Command = Command::group(
    "Show builds of the past",
    &[
        Entry::new(&["export"], &EXPORT),
        Entry::new(&["import"], &IMPORT),
        Entry::new(&["inspect"], &INSPECT),
        Entry::new(&["logs"], &LOGS),
        Entry::new(&["ls"], &LIST),
        Entry::new(&["open"], &OPEN),
        Entry::new(&["rm"], &REMOVE),
        Entry::new(&["trace"], &TRACE),
    ],
);

static EXPORT: Command = Command::refused("Write builds into a bundle", DESKTOP);
static IMPORT: Command = Command::refused("Read builds of a bundle", DESKTOP);
static OPEN: Command = Command::refused("Show a build in Docker Desktop", DESKTOP);
static TRACE: Command = Command::refused(
    "Show a build's traces in a browser",
    "builds keep no traces; \"buildx history logs\" has the time that each step took",
);

static LIST: Command = Command::new("[OPTIONS]", "List builds", list)
    .arity(Arity::None)
    .flags(&[
        &[
            Flag::list(
                "filter",
                "Show only builds that fit (\"status=completed\", \"ref=…\", \"name=…\")",
            ),
            Flag::string("format", "How to write the list, by a Go template, or \"json\"").default("table"),
            Flag::switch("local", "Show only builds of the current folder and below"),
            Flag::switch("no-trunc", "Cut nothing off"),
        ],
        super::BUILDER,
    ]);

static INSPECT: Command = Command::new("[OPTIONS] [REF]", "Show a build; the last one unless named", inspect)
    .arity(Arity::AtMost(2))
    .flags(&[
        &[Flag::string("format", "How to write it: \"pretty\", \"json\" or a Go template").default("pretty")],
        super::BUILDER,
    ]);

static LOGS: Command = Command::new("[OPTIONS] [REF]", "Show what a build told", logs)
    .arity(Arity::AtMost(1))
    .flags(&[
        &[Flag::string("progress", "How: \"plain\" or \"rawjson\"").default("plain")],
        super::BUILDER,
    ]);

static REMOVE: Command = Command::new("[OPTIONS] [REF...]", "Forget builds", remove)
    .flags(&[&[Flag::switch("all", "Forget every build")], super::BUILDER]);

const TABLE: &str = "{{.Ref}}\t{{.Name}}\t{{.Status}}\t{{.CreatedAt}}\t{{.Duration}}";
const HEADINGS: [(&str, &str); 5] = [
    ("Ref", "BUILD ID"),
    ("Name", "NAME"),
    ("Status", "STATUS"),
    ("CreatedAt", "CREATED AT"),
    ("Duration", "DURATION"),
];
/// Letters of a name that are shown.
const SHOWN: usize = 60;

fn builds(cli: &Cli) -> Result<Vec<Past>> {
    let client = cli.client()?;
    cli.wait(async { Ok(client.builds().await?) })
}

/// The build that is named: by its id or the beginning of it, `^1` for the last but one, nothing for the last.
fn find(cli: &Cli, name: &str) -> Result<Past> {
    let mut all = builds(cli)?;
    all.retain(|build| build.status != "Running");
    let absent = || Error::new(format!("ERROR: no record found for {name:?}"));
    let id = name.rsplit('/').next().unwrap_or_default();
    if let Some(back) = id.strip_prefix('^').or_else(|| id.is_empty().then_some("0")) {
        let back: usize = back.parse().map_err(|_| absent())?;
        return all.into_iter().nth(back).ok_or_else(|| match name {
            "" => Error::new("ERROR: no records found"),
            _ => absent(),
        });
    }
    let mut found = all.into_iter().filter(|build| build.reference.starts_with(id));
    match (found.next(), found.next()) {
        (Some(build), None) => Ok(build),
        (Some(_), Some(_)) => Err(Error::new(format!(
            "ERROR: {name:?} is the beginning of several builds' ids"
        ))),
        (None, _) => Err(absent()),
    }
}

/// What a build is called: its folder and Dockerfile, and the target.
fn name(build: &Past) -> String {
    let attribute = |name: &str| build.attributes.get(name).map(String::as_str).unwrap_or_default();
    let context = attribute("context").trim_end_matches('/');
    let folder = context.rsplit('/').next().unwrap_or_default();
    let file = match attribute("filename") {
        "" | "Dockerfile" => "",
        file => file,
    };
    let mut text = [folder, file]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("/");
    if !attribute("target").is_empty() {
        text.push_str(&format!(" ({})", attribute("target")));
    }
    text
}

/// How long it took, or has taken so far.
fn duration(build: &Past) -> String {
    let Ok(began) = build.created.parse::<Timestamp>() else {
        return String::new();
    };
    let ended = build.completed.parse().unwrap_or_else(|_| Timestamp::now());
    let tenths = ended.duration_since(began).as_millis() / 100;
    match tenths / 600 {
        0 => format!("{}.{}s", tenths / 10, tenths % 10),
        minutes => format!("{minutes}m {}s", tenths / 10 % 60),
    }
}

fn row(build: &Past, whole: bool) -> Value {
    let began = build
        .created
        .parse::<Timestamp>()
        .map(Timestamp::as_second)
        .unwrap_or_default();
    let name = name(build);
    let name = match !whole && name.chars().count() > SHOWN {
        true => name.chars().take(SHOWN - 1).chain(['…']).collect(),
        false => name,
    };
    Value::record(
        "*history.lsContext",
        vec![
            ("Ref", build.reference.as_str().into()),
            ("Name", name.into()),
            ("Status", build.status.as_str().into()),
            ("CreatedAt", ago(began).into()),
            ("Duration", duration(build).into()),
            ("TotalSteps", build.total_steps.to_string().into()),
            ("CompletedSteps", build.completed_steps.to_string().into()),
            ("CachedSteps", build.cached_steps.to_string().into()),
        ],
    )
}

fn list(cli: &Cli, m: &Matches) -> Result<()> {
    let mut all = builds(cli)?;
    for filter in m.all("filter") {
        let (field, value) = filter.split_once('=').unwrap_or((filter, ""));
        match field {
            "status" => all.retain(|build| build.status.eq_ignore_ascii_case(value)),
            "ref" => all.retain(|build| build.reference.starts_with(value)),
            "name" => all.retain(|build| name(build).contains(value)),
            field => return Err(Error::new(format!("ERROR: unsupported filter {field:?}"))),
        }
    }
    if m.on("local") {
        let here = std::env::current_dir().map_err(|error| Error::new(error.to_string()))?;
        let context = |build: &Past| build.attributes.get("context").cloned().unwrap_or_default();
        all.retain(|build| std::path::Path::new(&context(build)).starts_with(&here));
    }
    let rows: Vec<Value> = all.iter().map(|build| row(build, m.on("no-trunc"))).collect();
    cli.print(&Format::new(m.get("format"), TABLE).render(&HEADINGS, &rows)?);
    Ok(())
}

fn inspect(cli: &Cli, m: &Matches) -> Result<()> {
    if m.arg(0) == "attachment" {
        return Err(Error::new(
            "ERROR: buildx history inspect attachment is not supported: Docker's plugin buildx shows attachments of its builds",
        ));
    }
    let build = find(cli, m.arg(0))?;
    match m.get("format") {
        "pretty" => cli.print(&pretty(&build)),
        format => {
            let template = if format == "json" { "{{json .}}" } else { format };
            cli.print(&Format::plain(template).render(&[], &[details(&build)])?);
        }
    }
    Ok(())
}

fn attribute<'a>(build: &'a Past, name: &str) -> &'a str {
    build.attributes.get(name).map(String::as_str).unwrap_or_default()
}

fn details(build: &Past) -> Value {
    Value::record(
        "history.inspectOutput",
        vec![
            ("Name", name(build).into()),
            ("Ref", build.reference.as_str().into()),
            ("Context", attribute(build, "context").into()),
            ("Dockerfile", dockerfile(build).into()),
            ("Target", attribute(build, "target").into()),
            ("StartedAt", build.created.as_str().into()),
            ("CompletedAt", build.completed.as_str().into()),
            ("Duration", duration(build).into()),
            ("Status", build.status.as_str().into()),
            ("Error", build.error.as_str().into()),
            ("NumCompletedSteps", build.completed_steps.to_string().into()),
            ("NumTotalSteps", build.total_steps.to_string().into()),
            ("NumCachedSteps", build.cached_steps.to_string().into()),
            ("NumWarnings", build.warnings.to_string().into()),
            ("Image", build.image.as_str().into()),
            ("Tags", build.names.as_str().into()),
        ],
    )
}

fn dockerfile(build: &Past) -> &str {
    match attribute(build, "filename") {
        "" => "Dockerfile",
        file => file,
    }
}

fn pretty(build: &Past) -> String {
    let steps = format!(
        "{}/{} ({}% cached)",
        build.completed_steps,
        build.total_steps,
        100 * build.cached_steps / build.total_steps.max(1)
    );
    let name = name(build);
    let lines = [
        ("Name", name.as_str()),
        ("Ref", &build.reference),
        ("Context", attribute(build, "context")),
        ("Dockerfile", dockerfile(build)),
        ("Target", attribute(build, "target")),
        ("Platform", attribute(build, "platform")),
        ("Started", &build.created),
        ("Duration", &duration(build)),
        ("Status", &build.status),
        ("Error", &build.error),
        ("Build Steps", &steps),
        ("Image", &build.image),
        ("Tags", &build.names),
    ];
    let given = lines.iter().filter(|(_, value)| !value.is_empty());
    given
        .map(|(title, value)| format!("{:<14}{value}\n", format!("{title}:")))
        .collect()
}

fn logs(cli: &Cli, m: &Matches) -> Result<()> {
    let mut show: Box<dyn Show> = match m.get("progress") {
        "plain" | "auto" => Box::new(Plain::again()),
        "rawjson" => Box::new(raw::Raw),
        other => return Err(Error::new(format!("ERROR: invalid progress mode {other:?}"))),
    };
    let build = find(cli, m.arg(0))?;
    let client = cli.client()?;
    let events = cli.wait(async { Ok(client.build_log(&build.reference).await?) })?;
    events.iter().for_each(|event| super::show::pass(show.as_mut(), event));
    show.finish();
    if build.error.is_empty() {
        return Ok(());
    }
    cli.err(&format!("ERROR: {}", build.error));
    Ok(())
}

fn remove(cli: &Cli, m: &Matches) -> Result<()> {
    let names = match (m.on("all"), m.args.as_slice()) {
        (true, []) => {
            let mut all = builds(cli)?;
            all.retain(|build| build.status != "Running");
            all.into_iter().map(|build| build.reference).collect()
        }
        (true, _) => return Err(Error::new("ERROR: cannot specify refs when using --all")),
        (false, []) => return Err(Error::new("ERROR: specify at least one reference or use --all")),
        (false, names) => {
            let found = names.iter().map(|name| Ok(find(cli, name)?.reference));
            found.collect::<Result<Vec<_>>>()?
        }
    };
    let client = cli.client()?;
    for name in names {
        cli.wait(async { Ok(client.forget_build(&name).await?) })?;
    }
    Ok(())
}
