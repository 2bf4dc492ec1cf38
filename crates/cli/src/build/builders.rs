//! `buildx ls`, `inspect`, `use`, `version`: the one builder, which is the engine. What would make, end or
//! replace builders is refused.

use corten_template::Value;

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    formatter::Format,
};

/// The builder's name.
const NAME: &str = "default";

const ONE_BUILDER: &str = "there is one builder, \"default\", which is the engine itself; Docker's plugin buildx makes \
                           others, and builds with this engine too";
const SAME: &str = "\"build\" and \"buildx build\" are the same command here";

/// `buildx bake`.
pub(crate) static BAKE: Command = Command::refused(
    "Build what a file of targets says",
    "Docker's plugin buildx reads bake files and builds their targets with this engine: docker buildx bake",
);
/// `buildx create`.
pub(super) static CREATE: Command = Command::refused("Make a builder", ONE_BUILDER);
/// `buildx rm`.
pub(super) static REMOVE: Command = Command::refused("Remove builders", ONE_BUILDER);
/// `buildx stop`.
pub(super) static STOP: Command = Command::refused(
    "Stop a builder",
    "the builder is the engine itself: stop that, if you mean it",
);
/// `buildx install`.
pub(super) static INSTALL: Command = Command::refused("Make \"build\" mean \"buildx build\"", SAME);
/// `buildx uninstall`.
pub(super) static UNINSTALL: Command = Command::refused("Make \"build\" mean the older builder", SAME);
/// `buildx dial-stdio`.
pub(super) static DIAL: Command = Command::refused(
    "Connect standard input and output with the builder",
    "\"system dial-stdio\" reaches the engine, and with POST /grpc its builder",
);

/// `buildx ls`.
pub(super) static LIST: Command = Command::new("", "List builders: there is one", list)
    .arity(Arity::None)
    .flags(&[
        &[
            Flag::string("format", "How to write the list, by a Go template").default("table"),
            Flag::switch("no-trunc", "Cut nothing off, which is never done"),
        ],
        super::BUILDER,
    ]);

/// `buildx inspect`.
pub(super) static INSPECT: Command = Command::new("[NAME]", "Show a builder", inspect)
    .arity(Arity::AtMost(1))
    .flags(&[
        &[Flag::switch("bootstrap", "See that it runs, which is always done")],
        super::BUILDER,
    ]);

/// `buildx use`.
pub(super) static USE: Command = Command::new("[OPTIONS] NAME", "Choose the builder: there is one", choose)
    .arity(Arity::Exactly(1))
    .flags(&[
        &[
            Flag::switch("default", "For this context, which is how it is"),
            Flag::switch("global", "For all contexts, which is how it is"),
        ],
        super::BUILDER,
    ]);

/// `buildx version`.
pub(super) static VERSION: Command = Command::new("", "Show the builder's version", version)
    .arity(Arity::None)
    .flags(&[super::BUILDER]);

/// The default table.
const TABLE: &str = "{{.Name}}\t{{.DriverEndpoint}}\t{{.Status}}\t{{.Buildkit}}\t{{.Platforms}}";
const HEADINGS: [(&str, &str); 5] = [
    ("Name", "NAME/NODE"),
    ("DriverEndpoint", "DRIVER/ENDPOINT"),
    ("Status", "STATUS"),
    ("Buildkit", "BUILDKIT"),
    ("Platforms", "PLATFORMS"),
];

/// The engine's version and platform.
fn about(cli: &Cli) -> Result<(String, String)> {
    let client = cli.client()?;
    let version = cli.wait(async { Ok(client.version().await?) })?;
    Ok((
        format!("v{}", version.version),
        format!("{}/{}", version.os, version.arch),
    ))
}

fn known(name: &str) -> Result<()> {
    match name {
        "" | NAME => Ok(()),
        name => Err(Error::new(format!("ERROR: no builder {name:?} found"))),
    }
}

fn list(cli: &Cli, m: &Matches) -> Result<()> {
    let (version, platform) = about(cli)?;
    let row = |[name, driver, status, version, platforms]: [&str; 5]| {
        Value::record(
            "*commands.lsContext",
            vec![
                ("Name", name.into()),
                ("DriverEndpoint", driver.into()),
                ("Status", status.into()),
                ("Buildkit", version.into()),
                ("Platforms", platforms.into()),
            ],
        )
    };
    let builder = row(["default*", cli.program, "", "", ""]);
    let node = row([" \\_ default", " \\_ default", "running", &version, &platform]);
    let text = Format::new(m.get("format"), TABLE).render(&HEADINGS, &[builder, node])?;
    cli.print(&text);
    Ok(())
}

fn inspect(cli: &Cli, m: &Matches) -> Result<()> {
    known(m.arg(0))?;
    let (version, platform) = about(cli)?;
    cli.out(&format!(
        "Name:          {NAME}\nDriver:        {}\n\nNodes:\nName:             {NAME}\nEndpoint:         {NAME}\n\
         Status:           running\nBuildKit version: {version}\nPlatforms:        {platform}",
        cli.program
    ));
    Ok(())
}

fn choose(_: &Cli, m: &Matches) -> Result<()> {
    known(m.arg(0))
}

fn version(cli: &Cli, _: &Matches) -> Result<()> {
    let (version, _) = about(cli)?;
    cli.out(&format!("{}/buildx {version}", cli.program));
    Ok(())
}
