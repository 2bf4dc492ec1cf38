//! `compose ps`, `ls`, `images`, `volumes`, `port`, `top` and `version`.

use std::collections::BTreeMap;

use corten_api::{container::Summary, filters::Filters};
use corten_compose::{labels, plan};
use corten_template::Value;

use super::open::Open;
use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    formatter::{self, Format, ago, container as rows, local_time, short_id},
    opts::{
        filter, quote,
        size::{float, human_digits},
    },
};

const DRY: Flag = Flag::switch("dry-run", "Without effect: nothing is changed").hidden();

/// `compose ps`.
pub(crate) static PS: Command = Command::new("[OPTIONS] [SERVICE...]", "List containers", ps)
    .paths(&["compose ps"])
    .flags(&[&[
        Flag::switch("all", "Those that have stopped, too").short('a'),
        DRY,
        Flag::value(
            "filter",
            "string",
            filter::check,
            "Only those of a status (\"status=exited\")",
        ),
        Flag::string("format", "How to write them: \"table\", \"json\" or a template"),
        Flag::switch("no-trunc", "Shorten nothing"),
        Flag::switch_on("orphans", "Those of services that are gone, too"),
        Flag::switch("quiet", "Show only ids").short('q'),
        Flag::switch("services", "Show the names of services"),
        Flag::value("status", "stringArray", super::any, "Only those of a status"),
    ]]);

/// `compose ls`.
pub(crate) static LS: Command = Command::new("[OPTIONS]", "List projects", ls)
    .paths(&["compose ls"])
    .arity(Arity::None)
    .flags(&[&[
        Flag::switch("all", "Those that have stopped, too").short('a'),
        DRY,
        Flag::filter("Only those of a name (\"name=shop\")"),
        Flag::string("format", "How to write them: \"table\" or \"json\"").default("table"),
        Flag::switch("quiet", "Show only names").short('q'),
    ]]);

/// `compose images`.
pub(crate) static IMAGES: Command = Command::new("[OPTIONS] [SERVICE...]", "List the images of containers", images)
    .paths(&["compose images"])
    .flags(&[&[
        DRY,
        Flag::string("format", "How to write them: \"table\" or \"json\"").default("table"),
        Flag::switch("quiet", "Show only ids").short('q'),
    ]]);

/// `compose volumes`.
pub(crate) static VOLUMES: Command = Command::new("[OPTIONS] [SERVICE...]", "List volumes", volumes)
    .paths(&["compose volumes"])
    .flags(&[&[
        DRY,
        Flag::string("format", "How to write them: \"table\", \"json\" or a template").default("table"),
        Flag::switch("quiet", "Show only names").short('q'),
    ]]);

/// `compose port`.
pub(crate) static PORT: Command =
    Command::new("[OPTIONS] SERVICE PRIVATE_PORT", "Show where a port is published", port)
        .paths(&["compose port"])
        .arity(Arity::Exactly(2))
        .flags(&[&[
            DRY,
            Flag::int("index", "The container of that number").default("0"),
            Flag::string("protocol", "tcp or udp").default("tcp"),
        ]]);

/// `compose top`.
pub(crate) static TOP: Command = Command::new("[SERVICES...]", "Show the processes of containers", top)
    .paths(&["compose top"])
    .flags(&[&[DRY]]);

/// `compose version`.
pub(crate) static VERSION: Command = Command::new("[OPTIONS]", "Show the version", version)
    .paths(&["compose version"])
    .arity(Arity::None)
    .flags(&[&[
        DRY,
        Flag::string("format", "How to write it: \"pretty\" or \"json\"").short('f'),
        Flag::switch("short", "Show only the number"),
    ]]);

const PS_TABLE: &str = "{{.Name}}\t{{.Image}}\t{{.Command}}\t{{.Service}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}";

const PS_HEADINGS: [(&str, &str); 20] = [
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("Service", "SERVICE"),
    ("Project", "PROJECT"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("Publishers", "PUBLISHERS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Health", "HEALTH"),
    ("ExitCode", "EXIT CODE"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
];

fn ps(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    let mut states: Vec<String> = m.all("status").into_iter().map(str::to_owned).collect();
    for text in m.all("filter") {
        match text.split_once('=') {
            Some(("status", state)) => states.push(state.to_owned()),
            Some(("source", _)) => return Err(Error::new("not implemented")),
            Some((name, _)) => return Err(Error::new(format!("unknown filter {name}"))),
            None => return Err(Error::new("arguments to --filter should be in form KEY=VAL")),
        }
    }
    let observed = cli.wait(open.observe())?;
    let mut list = open.containers(&observed, &m.args)?;
    let all = m.on("all") || !states.is_empty();
    list.retain(|c| all || matches!(c.state.as_str(), "running" | "paused" | "restarting"));
    list.retain(|c| states.is_empty() || states.contains(&c.state));
    list.retain(|c| !plan::is_one_off(c) || m.on("all"));
    if !m.on("orphans") {
        list.retain(|c| !plan::is_orphan(&open.project, c));
    }
    if m.on("quiet") {
        for container in list {
            cli.out(&container.id);
        }
        return Ok(());
    }
    if m.on("services") {
        let mut names: Vec<_> = list.into_iter().map(plan::service_of).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().for_each(|name| cli.out(name));
        return Ok(());
    }
    let format = Format::new(m.get("format"), PS_TABLE);
    let rows: Vec<_> = list.iter().map(|c| ps_row(c, !m.on("no-trunc"))).collect();
    cli.print(&format.render(&PS_HEADINGS, &rows)?);
    Ok(())
}

fn ps_row(container: &Summary, truncate: bool) -> Value {
    let command = match truncate {
        true => formatter::ellipsis(&container.command, 20),
        false => container.command.clone(),
    };
    let inner = |open: &str| {
        let (_, rest) = container.status.split_once(open)?;
        Some(rest.split_once(')')?.0.to_owned())
    };
    let exit_code = container.status.starts_with("Exited").then(|| inner("("));
    let exit_code: i64 = exit_code.flatten().and_then(|code| code.parse().ok()).unwrap_or(0);
    let health = match inner("(health: ").or_else(|| inner("(")) {
        Some(health) if matches!(health.as_str(), "starting" | "healthy" | "unhealthy") => health,
        _ => String::new(),
    };
    let mounts = container.mounts.iter();
    let mounts: Vec<_> = mounts
        .map(|mount| {
            if mount.name.is_empty() {
                &mount.source
            } else {
                &mount.name
            }
        })
        .map(|name| {
            if truncate {
                formatter::ellipsis(name, 15)
            } else {
                name.clone()
            }
        })
        .collect();
    let networks: Vec<_> = container.network_settings.networks.keys().cloned().collect();
    let publishers = container.ports.iter().map(|port| {
        Value::map([
            ("URL", port.ip.as_str().into()),
            ("TargetPort", Value::Int(port.private_port.into())),
            ("PublishedPort", Value::Int(port.public_port.into())),
            ("Protocol", port.protocol.as_str().into()),
        ])
    });
    let id = if truncate {
        short_id(&container.id)
    } else {
        &container.id
    };
    let local = container.mounts.iter().filter(|mount| mount.driver == "local").count();
    let name = plan::name_of(container);
    formatter::labelled_row(
        "*formatter.ContainerContext",
        vec![
            ("Command", quote(&command).into()),
            ("CreatedAt", local_time(container.created).into()),
            ("ExitCode", Value::Int(exit_code)),
            ("Health", health.into()),
            ("ID", id.into()),
            ("Image", container.image.as_str().into()),
            ("Labels", formatter::join_labels(&container.labels).into()),
            ("LocalVolumes", local.to_string().into()),
            ("Mounts", mounts.join(",").into()),
            ("Name", name.into()),
            ("Names", name.into()),
            ("Networks", networks.join(",").into()),
            ("Ports", rows::ports(&container.ports).into()),
            (
                "Project",
                container.labels.get(labels::PROJECT).map_or("", String::as_str).into(),
            ),
            ("Publishers", Value::list(publishers)),
            ("RunningFor", ago(container.created).into()),
            ("Service", plan::service_of(container).into()),
            ("Size", human_digits(float(container.size_rw.unwrap_or(0)), 3).into()),
            ("State", container.state.as_str().into()),
            ("Status", container.status.as_str().into()),
        ],
        &container.labels,
    )
}

fn ls(cli: &Cli, m: &Matches) -> Result<()> {
    let mut filters = Filters::default();
    filters.add("label", labels::PROJECT);
    let wanted: Vec<_> = m.all("filter");
    let containers = cli.wait(async { Ok(cli.client()?.containers(m.on("all"), 0, false, &filters).await?) })?;
    let mut projects: BTreeMap<&str, Vec<&Summary>> = BTreeMap::new();
    for container in &containers {
        if let Some(name) = container.labels.get(labels::PROJECT) {
            projects.entry(name).or_default().push(container);
        }
    }
    for filter in wanted {
        let Some(("name", part)) = filter.split_once('=') else {
            return Err(Error::new(format!("invalid filter {filter:?}: only name=… is known")));
        };
        projects.retain(|name, _| name.contains(part));
    }
    if m.on("quiet") {
        projects.keys().for_each(|name| cli.out(name));
        return Ok(());
    }
    let rows = projects.iter().map(|(name, containers)| {
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        for container in containers {
            *states.entry(container.state.as_str()).or_default() += 1;
        }
        let states: Vec<_> = states
            .iter()
            .map(|(state, count)| format!("{state}({count})"))
            .collect();
        let files = containers.iter().find_map(|c| c.labels.get(labels::CONFIG_FILES));
        [
            (*name).to_owned(),
            states.join(", "),
            files.cloned().unwrap_or_else(|| "N/A".to_owned()),
        ]
    });
    let rows: Vec<_> = rows.collect();
    table_or_json(
        cli,
        m.get("format"),
        &["NAME", "STATUS", "CONFIG FILES"],
        &["Name", "Status", "ConfigFiles"],
        &rows,
    )
}

/// Writes rows as Compose's older commands do.
fn table_or_json<const N: usize>(
    cli: &Cli,
    format: &str,
    headings: &[&str; N],
    keys: &[&str; N],
    rows: &[[String; N]],
) -> Result<()> {
    match format {
        "" | "table" => {
            let mut text = format!("{}\n", headings.join("\t"));
            rows.iter()
                .for_each(|row| text.push_str(&format!("{}\n", row.join("\t"))));
            cli.print(&formatter::align(&text, 20, 1));
        }
        "json" => {
            let objects = rows.iter().map(|row| {
                let fields = keys.iter().zip(row);
                serde_json::Value::Object(
                    fields
                        .map(|(key, value)| ((*key).to_owned(), value.as_str().into()))
                        .collect(),
                )
            });
            cli.out(&serde_json::Value::Array(objects.collect()).to_string());
        }
        other => return Err(Error::new(format!("unsupported format {other:?}"))),
    }
    Ok(())
}

fn images(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    let observed = cli.wait(open.observe())?;
    let containers = open.containers(&observed, &m.args)?;
    if m.on("quiet") {
        let mut ids: Vec<_> = containers
            .iter()
            .map(|c| c.image_id.trim_start_matches("sha256:"))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().for_each(|id| cli.out(id));
        return Ok(());
    }
    let rows = cli.wait(async {
        let mut rows = Vec::new();
        for container in containers {
            let bytes = cli.client()?.inspect_image(&container.image_id, "").await?;
            let image: corten_api::image::Inspect =
                corten_api::decode(&bytes).map_err(|error| Error::new(error.to_string()))?;
            let tag = image
                .repo_tags
                .iter()
                .find(|tag| tag.contains(container.image.as_str()));
            let tag = tag.or(image.repo_tags.first());
            let (repository, tag) = tag.and_then(|tag| tag.rsplit_once(':')).unwrap_or(("<none>", "<none>"));
            let created = image
                .created
                .parse::<jiff::Timestamp>()
                .map_or(0, |time| time.as_second());
            rows.push([
                plan::name_of(container).to_owned(),
                repository.to_owned(),
                tag.to_owned(),
                format!("{}/{}", image.os, image.architecture),
                short_id(&image.id).to_owned(),
                human_digits(float(image.size), 3),
                if created == 0 { "N/A".to_owned() } else { ago(created) },
            ]);
        }
        Ok(rows)
    })?;
    table_or_json(
        cli,
        m.get("format"),
        &[
            "CONTAINER",
            "REPOSITORY",
            "TAG",
            "PLATFORM",
            "IMAGE ID",
            "SIZE",
            "CREATED",
        ],
        &[
            "ContainerName",
            "Repository",
            "Tag",
            "Platform",
            "ID",
            "Size",
            "Created",
        ],
        &rows,
    )
}

fn volumes(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    open.check_services(&m.args)?;
    let observed = cli.wait(open.observe())?;
    let containers = open.containers(&observed, &m.args)?;
    let used = |name: &str| {
        let mut mounts = containers.iter().flat_map(|c| &c.mounts);
        m.args.is_empty() || mounts.any(|mount| mount.name == name)
    };
    let mut list: Vec<_> = observed
        .volumes
        .iter()
        .filter(|volume| {
            let labels = volume.labels.as_ref();
            labels.and_then(|labels| labels.get(labels::PROJECT)) == Some(&open.project.name) && used(&volume.name)
        })
        .collect();
    list.sort_by(|a, b| a.name.cmp(&b.name));
    if m.on("quiet") {
        list.iter().for_each(|volume| cli.out(&volume.name));
        return Ok(());
    }
    let rows: Vec<_> = list
        .iter()
        .map(|volume| {
            let labels = volume.labels.clone().unwrap_or_default();
            let fields = vec![
                ("Driver", volume.driver.as_str().into()),
                ("Labels", formatter::join_labels(&labels).into()),
                ("Mountpoint", volume.mountpoint.as_str().into()),
                ("Name", volume.name.as_str().into()),
                ("Scope", volume.scope.as_str().into()),
            ];
            formatter::labelled_row("*formatter.volumeContext", fields, &labels)
        })
        .collect();
    let headings = [
        ("Name", "VOLUME NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("Labels", "LABELS"),
        ("Mountpoint", "MOUNTPOINT"),
    ];
    cli.print(&Format::new(m.get("format"), "{{.Driver}}\t{{.Name}}").render(&headings, &rows)?);
    Ok(())
}

fn port(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    let wanted = m.arg(1);
    let number: u16 = wanted
        .parse()
        .map_err(|_| Error::new(format!("strconv.ParseUint: parsing {wanted:?}: invalid syntax")))?;
    let container = cli.wait(open.running(m.arg(0), m.int("index")))?;
    let protocol = m.get("protocol").to_lowercase();
    let mut ports = container.ports.iter();
    let found = ports.find(|port| port.private_port == number && port.protocol == protocol && port.public_port != 0);
    match found {
        Some(port) => cli.out(&rows::host_port(&port.ip, &port.public_port.to_string())),
        None => {
            return Err(Error::new(format!(
                "no port {number}/{protocol} for container {}",
                plan::name_of(&container)
            )));
        }
    }
    Ok(())
}

fn top(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    let text = cli.wait(async {
        let observed = open.observe().await?;
        let mut containers = open.containers(&observed, &m.args)?;
        containers.retain(|c| c.state == "running");
        let mut text = String::new();
        for container in containers {
            let list = cli.client()?.container_top(&container.id, "").await?;
            if text.is_empty() {
                text = format!("SERVICE\t#\t{}\n", list.titles.join("\t"));
            }
            let (service, number) = (plan::service_of(container), plan::number_of(container));
            for process in &list.processes {
                text.push_str(&format!("{service}\t{number}\t{}\n", process.join("\t")));
            }
        }
        Ok(text)
    })?;
    cli.print(&formatter::align(&text, 4, 2));
    Ok(())
}

fn version(cli: &Cli, m: &Matches) -> Result<()> {
    let version = labels::VERSION_VALUE;
    match (m.on("short"), m.get("format")) {
        (true, _) => cli.out(version),
        (false, "json") => cli.out(&serde_json::json!({ "version": version }).to_string()),
        (false, "" | "pretty") => cli.out(&format!("Docker Compose version {version}")),
        (false, other) => return Err(Error::new(format!("unsupported format {other:?}"))),
    }
    Ok(())
}
