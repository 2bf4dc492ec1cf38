//! `compose run`: one more container of a service, with another command.

use corten_api::container::{CreateRequest, PortBinding};
use corten_client::{Body, PutArchive, RemoveOptions};
use corten_compose::{
    convert::{self, Aliases, Around},
    execute, labels, names,
    plan::{self, Start, Up},
};

use super::{
    images::{self, Wanted},
    open::{Keep, Open, call},
};
use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    container,
    error::{Error, Result},
    flags::Matches,
    opts::{environment, pairs, port},
    terminal,
};

/// `compose run`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] SERVICE [COMMAND] [ARGS...]",
    "Run a command in a container of its own",
    run,
)
.paths(&["compose run"])
.arity(Arity::AtLeast(1))
.flags_first()
.flags(&[&[
    Flag::switch("build", "Build the image before"),
    Flag::list("cap-add", "Capability to add"),
    Flag::list("cap-drop", "Capability to take away"),
    Flag::switch("detach", "Run in the background and print the container's ID").short('d'),
    Flag::switch("dry-run", "Only show what would be done before the command runs"),
    Flag::string("entrypoint", "Entrypoint instead of the service's"),
    Flag::value("env", "stringArray", super::any, "Environment variable to set").short('e'),
    Flag::value(
        "env-from-file",
        "stringArray",
        super::any,
        "File of environment variables",
    ),
    Flag::switch_on("interactive", "Keep standard input open").short('i'),
    Flag::value("label", "stringArray", super::any, "Label of the container").short('l'),
    Flag::string("name", "Name of the container"),
    Flag::switch("no-TTY", "Give it no terminal").short('T'),
    Flag::switch("no-deps", "Leave out what the service depends on"),
    Flag::value("publish", "stringArray", super::any, "Port to publish").short('p'),
    Flag::string("pull", "When to fetch images (\"always\"|\"missing\"|\"never\")"),
    Flag::switch("quiet", "Say nothing but what the command says").short('q'),
    Flag::switch("quiet-build", "Show no output of builds"),
    Flag::switch("quiet-pull", "Show no progress of pulls"),
    Flag::switch("remove-orphans", "Remove containers of services that are gone"),
    Flag::switch("rm", "Remove the container when it ends"),
    Flag::switch("service-ports", "Publish the service's ports").short('P'),
    Flag::switch_on("tty", "Give it a terminal").short('t').hidden(),
    Flag::switch("use-aliases", "Be known by the service's names in its networks"),
    Flag::string("user", "The user").short('u'),
    Flag::value("volume", "stringArray", super::any, "Mount (\"source:target\")").short('v'),
    Flag::string("workdir", "Folder to start in").short('w'),
]]);

fn run(cli: &Cli, m: &Matches) -> Result<()> {
    let name = m.arg(0).to_owned();
    let only = [name.clone()];
    let mut open = Open::new(cli, m, Keep::With(&only))?;
    if m.on("quiet") {
        open.progress.hush();
    }
    let wanted = Wanted {
        pull: m.get("pull").to_owned(),
        build: m.on("build"),
        no_build: false,
        quiet_build: m.on("quiet-build") || m.on("quiet"),
        quiet_pull: m.on("quiet-pull") || m.on("quiet"),
    };
    if m.on("no-deps") {
        let service = open.project.services.get_mut(&name);
        service.into_iter().for_each(|service| service.depends_on.clear());
        open.project.select_alone(&only)?;
    }
    let images = images::ensure(&mut open, &wanted)?;
    bring_up(&mut open, &name, &images)?;
    if open.is_dry() {
        return match m.on("detach") {
            true => Ok(()),
            false => Err(Error::new("interactive run is not supported in dry-run mode")),
        };
    }
    let tty = m.on("tty") && !m.on("no-TTY") && cli.in_is_terminal() && cli.out_is_terminal() && !m.on("detach");
    let id = make(&open, &name, images.get(&name).map_or("", String::as_str), tty)?;
    if m.on("detach") {
        cli.wait(async { Ok(cli.client()?.start_container(&id, "").await?) })?;
        cli.out(&id);
        return Ok(());
    }
    // From here on they are the container's.
    cli.leave_interrupts();
    let mut words = vec!["--attach".to_owned()];
    if m.on("interactive") {
        words.push("--interactive".to_owned());
    }
    words.push(id.clone());
    let result = call(cli, &container::start::COMMAND, words);
    if m.on("rm") {
        let options = RemoveOptions {
            volumes: true,
            link: false,
            force: true,
        };
        cli.wait(async { Ok(cli.client()?.remove_container(&id, options).await?) })?;
    }
    result
}

/// Brings up what the service needs: networks, volumes and what it depends on.
fn bring_up(open: &mut Open<'_>, name: &str, images: &std::collections::BTreeMap<String, String>) -> Result<()> {
    let service = open.project.services.remove(name);
    let service = service.ok_or_else(|| Error::new(format!("no such service: {name}")))?;
    open.project.disabled.insert(name.to_owned(), service.clone());
    let wanted = Up {
        images: images.clone(),
        start: Start::Started,
        remove_orphans: open.m.on("remove-orphans"),
        keep_scale: true,
        wait_for: service.depends_on.clone(),
        ..Up::default()
    };
    let result = open.cli.wait(async {
        let observed = open.observe().await?;
        let plan = plan::up(&open.project, &observed, &wanted)?;
        open.make(
            &plan,
            &observed,
            execute::Options {
                images: images.clone(),
                ..Default::default()
            },
        )
        .await
    });
    open.project.disabled.remove(name);
    open.project.services.insert(name.to_owned(), service);
    result
}

fn make(open: &Open<'_>, name: &str, image: &str, tty: bool) -> Result<String> {
    let m = open.m;
    let mut service = open.project.service(name)?.clone();
    let mut random = [0_u8; 32];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Error::new(format!("cannot make a name: {error}")))?;
    let slug: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    if !m.on("service-ports") {
        service.ports.clear();
    }
    service.container_name.clear();
    let container = match m.get("name") {
        "" => names::one_off(&open.project, name, &slug),
        given => given.to_owned(),
    };
    service.restart.clear();
    open.cli.wait(async {
        let observed = open.observe().await?;
        let mut others: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
        for other in observed.containers.iter().filter(|c| !plan::is_one_off(c)) {
            let list = others.entry(plan::service_of(other).to_owned()).or_default();
            list.push(other.id.clone());
        }
        let around = Around {
            name: container.clone(),
            image_id: image.to_owned(),
            containers: others,
            aliases: if m.on("use-aliases") {
                Aliases::All
            } else {
                Aliases::Own
            },
            ..Around::default()
        };
        let mut request = convert::container(&open.project, name, &service, &around)?;
        request.config.labels.insert(labels::SLUG.to_owned(), slug.clone());
        request
            .config
            .labels
            .insert(labels::ONE_OFF.to_owned(), "True".to_owned());
        change(open, &mut request, tty)?;
        let client = open.cli.client()?;
        let id = execute::create_container(client, &open.project, &service, &container, request).await?;
        if convert::has_content(&open.project, &service) {
            let archive = convert::archive(&open.project, &service)?;
            let options = PutArchive {
                overwrite_kind: true,
                keep_owners: true,
            };
            client
                .put_archive(&id, "/", options, Body::Bytes(archive.into()))
                .await?;
        }
        Ok(id)
    })
}

/// Changes a request as flags say.
fn change(open: &Open<'_>, request: &mut CreateRequest, tty: bool) -> Result<()> {
    let m = open.m;
    let config = &mut request.config;
    let stdin = m.on("interactive") && !m.on("detach");
    config.tty = tty;
    config.open_stdin = m.on("interactive");
    (config.attach_stdin, config.stdin_once) = (stdin, stdin);
    if tty {
        let (rows, columns) = terminal::size();
        request.host_config.console_size = [rows, columns];
    }
    if let Some(entrypoint) = m.opt("entrypoint") {
        config.entrypoint = Some(entrypoint.split_whitespace().map(str::to_owned).collect());
        config.cmd = None;
    }
    if m.args.len() > 1 {
        config.cmd = Some(m.args[1..].to_vec());
    }
    let variable = |name: &str| std::env::var(name).ok();
    let env = config.env.get_or_insert_default();
    for path in m.all("env-from-file") {
        let contents =
            corten_sys::fs::read(path).map_err(|e| Error::new(crate::error::file_error("open", path, &e)))?;
        env.extend(environment::parse_file(&contents, variable)?);
    }
    env.extend(
        m.all("env")
            .into_iter()
            .map(|text| environment::resolve(text, variable)),
    );
    config.labels.extend(pairs(&m.all("label")));
    for (flag, field) in [("user", &mut config.user), ("workdir", &mut config.working_dir)] {
        if let Some(value) = m.opt(flag) {
            value.clone_into(field);
        }
    }
    let host = &mut request.host_config;
    host.restart_policy = corten_api::container::RestartPolicy::default();
    host.auto_remove = m.on("rm") && m.on("detach");
    for (flag, list) in [("cap-add", &mut host.cap_add), ("cap-drop", &mut host.cap_drop)] {
        let given = m.all(flag);
        if !given.is_empty() {
            list.get_or_insert_default()
                .extend(given.into_iter().map(str::to_owned));
        }
    }
    for volume in m.all("volume") {
        let text = match volume.split_once(':') {
            Some((source, rest)) if source.starts_with(['.', '/', '~']) => {
                format!("{}:{rest}", crate::opts::volume::absolute(source))
            }
            Some((source, rest)) if let Some(known) = open.project.volumes.get(source) => {
                format!("{}:{rest}", known.name)
            }
            _ => volume.to_owned(),
        };
        host.binds.get_or_insert_default().push(text);
    }
    let (exposed, bindings) = port::parse(&m.all("publish"), &[])?;
    if !exposed.is_empty() {
        let ports = config.exposed_ports.get_or_insert_default();
        ports.extend(exposed);
    }
    for (key, list) in bindings {
        let published: &mut Vec<PortBinding> = host.port_bindings.entry(key).or_default().get_or_insert_default();
        published.extend(list.unwrap_or_default());
    }
    Ok(())
}
