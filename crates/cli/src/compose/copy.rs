//! `compose cp`: files into a service's containers, and out of them.

use corten_api::container::Summary;
use corten_compose::plan::{self, Observed};

use super::{
    open::{Open, call},
    within::told,
};
use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    container,
    error::{Error, Result},
    flags::Matches,
};

/// `compose cp`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] SERVICE:SRC_PATH DEST_PATH|-\n[OPTIONS] SRC_PATH|- SERVICE:DEST_PATH",
    "Copy files between containers and this machine",
    cp,
)
.paths(&["compose cp"])
.arity(Arity::Exactly(2))
.flags(&[&[
    Flag::switch("all", "Into the containers of `run`, too"),
    Flag::switch("archive", "Give everything to the container's user").short('a'),
    Flag::switch("dry-run", "Only show what would be done"),
    Flag::switch("follow-link", "Copy what a link at the source's end leads to").short('L'),
    Flag::int("index", "The container of that number").default("0"),
]]);

/// Takes `service:path` apart; a path of this machine has no service.
fn place(argument: &str) -> Option<(&str, &str)> {
    let (service, path) = argument.split_once(':')?;
    (!service.starts_with(['/', '.'])).then_some((service, path))
}

fn cp(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    let (from, to) = (m.arg(0), m.arg(1));
    let observed = cli.wait(open.observe())?;
    match (place(from), place(to)) {
        (Some(_), Some(_)) => Err(Error::new("copying between services is not supported")),
        (None, None) => Err(Error::new("unknown copy direction")),
        (Some((service, path)), None) => {
            let containers = containers(&open, &observed, service)?;
            // All have the same; the first one gives it.
            let first = containers.first().into_iter();
            first.into_iter().try_for_each(|container| {
                let name = plan::name_of(container);
                let what = format!("copy {name}:{path} to {to}");
                one(&open, name, &what, format!("{}:{path}", container.id), to.to_owned())
            })
        }
        (None, Some((service, path))) => containers(&open, &observed, service)?.iter().try_for_each(|container| {
            let name = plan::name_of(container);
            let what = format!("copy {from} to {name}:{path}");
            one(&open, name, &what, from.to_owned(), format!("{}:{path}", container.id))
        }),
    }
}

/// The containers that are meant.
fn containers<'a>(open: &Open<'_>, observed: &'a Observed, service: &str) -> Result<Vec<&'a Summary>> {
    let index = open.m.int("index");
    let mut containers = observed.of_service(service);
    if index > 0 {
        containers.retain(|c| i64::from(plan::number_of(c)) == index);
        return match containers.is_empty() {
            true => Err(Error::new(format!(
                "service {service:?} is not running container #{index}"
            ))),
            false => Ok(containers),
        };
    }
    if open.m.on("all") {
        let all = observed.containers.iter();
        containers.extend(all.filter(|c| plan::is_one_off(c) && plan::service_of(c) == service));
    }
    match containers.is_empty() {
        true => Err(Error::new(format!("no container found for service {service:?}"))),
        false => Ok(containers),
    }
}

fn one(open: &Open<'_>, name: &str, what: &str, from: String, to: String) -> Result<()> {
    let mut words = vec!["--quiet".to_owned()];
    for flag in ["archive", "follow-link"] {
        words.extend(open.m.on(flag).then(|| format!("--{flag}")));
    }
    // A path may begin with a dash.
    words.extend(["--".to_owned(), from, to]);
    let work = || call(open.cli, &container::cp::COMMAND, words);
    told(open, "Copying", name, what, ["Copying", "Copied"], work)
}
