//! `volume …`.

mod cluster;

use corten_api::volume::CreateRequest;

use crate::{
    cli::Cli,
    command::{Arity, Command, Entry, Flag},
    container::list::FORMAT_HELP,
    error::{Error, Result},
    flags::Matches,
    formatter::{BuiltIn, Format, natural_order, volume as rows},
    inspect,
    opts::{self, environment, filter},
    prune,
};

/// `volume`.
pub(crate) static GROUP: Command = Command::group(
    "Manage volumes",
    &[
        Entry::new(&["create"], &CREATE),
        Entry::new(&["inspect"], &inspect::VOLUME),
        Entry::new(&["ls", "list"], &LIST),
        Entry::new(&["prune"], &prune::VOLUMES),
        Entry::new(&["rm", "remove"], &REMOVE),
        Entry::new(&["update"], &UPDATE),
    ],
);

static CREATE: Command = Command::new("[OPTIONS] [VOLUME]", "Make a volume", create)
    .arity(Arity::AtMost(1))
    .flags(&[
        &[
            Flag::string("driver", "Driver of the volume")
                .short('d')
                .default("local"),
            Flag::list("label", "Metadata to set").checked(environment::check_label),
            Flag::string("name", "Name of the volume").hidden(),
            Flag::map("opt", "Option for the driver").short('o'),
        ],
        &cluster::FLAGS,
    ]);

static LIST: Command = Command::new("[OPTIONS]", "List volumes", list)
    .paths(&["volume ls", "volume list"])
    .arity(Arity::None)
    .flags(&[&[
        Flag::switch(
            "cluster",
            "Show only volumes of a cluster, and what is particular to them",
        ),
        Flag::filter("Show only what fits the condition").short('f'),
        Flag::string("format", FORMAT_HELP),
        Flag::switch("quiet", "Show only names").short('q'),
    ]]);

static REMOVE: Command = Command::new("[OPTIONS] VOLUME [VOLUME...]", "Remove volumes", remove)
    .paths(&["volume rm", "volume remove"])
    .arity(Arity::AtLeast(1))
    .flags(&[&[Flag::switch("force", "Say nothing if it is not there").short('f')]]);

static UPDATE: Command = Command::new("[OPTIONS] [VOLUME]", "Change a volume of a cluster", update)
    .arity(Arity::Exactly(1))
    .flags(&[&[Flag::string("availability", "Availability in the cluster: active, pause or drain").default("active")]]);

fn update(cli: &Cli, m: &Matches) -> Result<()> {
    cli.wait(async { Ok(cli.client()?.inspect_volume(m.arg(0)).await?) })?;
    // There is no cluster, so no volume is of one.
    Err(Error::new("Can only update cluster volumes"))
}

fn create(cli: &Cli, m: &Matches) -> Result<()> {
    if m.given("name") && !m.args.is_empty() {
        return Err(Error::new(
            "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
        ));
    }
    let name = if m.given("name") { m.get("name") } else { m.arg(0) };
    let request = CreateRequest {
        name: name.to_owned(),
        driver: m.get("driver").to_owned(),
        driver_opts: opts::pairs(&m.all("opt")),
        labels: opts::pairs(&m.all("label")),
        cluster_volume_spec: cluster::spec(m),
    };
    let volume = cli.wait(async { Ok(cli.client()?.create_volume(&request).await?) })?;
    cli.out(&volume.name);
    Ok(())
}

fn list(cli: &Cli, m: &Matches) -> Result<()> {
    if m.on("cluster") {
        return cluster::list(cli, m);
    }
    let given = match m.get("format") {
        "" if !m.on("quiet") => cli.config().volumes_format.as_str(),
        given => given,
    };
    let format = Format::choose(
        given,
        m.on("quiet"),
        &BuiltIn {
            table: rows::TABLE,
            quiet: "{{.Name}}",
            raw_id: "name",
            raw: "driver: {{.Driver}}\n",
        },
    );
    let filters = filter::parse(&m.all("filter"));
    let mut volumes = cli.wait(async { Ok(cli.client()?.volumes(&filters).await?) })?.volumes;
    volumes.sort_by(|a, b| natural_order(&a.name, &b.name));
    let list: Vec<_> = volumes.iter().map(rows::row).collect();
    cli.print(&format.render(&rows::HEADINGS, &list)?);
    Ok(())
}

fn remove(cli: &Cli, m: &Matches) -> Result<()> {
    cli.wait(async {
        let client = cli.client()?;
        let mut errors = Vec::new();
        for name in &m.args {
            match client.remove_volume(name, m.on("force")).await {
                Ok(()) => cli.out(name),
                Err(error) => errors.push(Error::from(error)),
            }
        }
        Error::all(errors)
    })
}
