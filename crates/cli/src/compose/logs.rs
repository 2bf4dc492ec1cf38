//! `compose logs`, and the output of `compose up`: each line with its container's name, each name in a colour.

use corten_api::container::Summary;
use corten_client::LogsOptions;
use corten_compose::plan;

use super::{
    follow::{Ended, Follower, Next, end, show},
    open::Open,
    printer::Printer,
};
use crate::{
    cli::Cli,
    command::{Command, Flag},
    container,
    error::Result,
    flags::Matches,
};

/// `compose logs`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS] [SERVICE...]", "Show what containers have written", logs)
    .paths(&["compose logs"])
    .flags(&[&[
        Flag::switch("dry-run", "Only show what would be done, which is all it does"),
        Flag::switch("follow", "Go on with what is still written").short('f'),
        Flag::int("index", "The container of that number only").default("0"),
        Flag::switch("no-color", "Write without colours"),
        Flag::switch("no-log-prefix", "Write output without the container's name"),
        Flag::string("since", "Only from this time on, or so long ago (\"42m\")"),
        Flag::string("tail", "How many of the last lines")
            .short('n')
            .default("all"),
        Flag::switch("timestamps", "Show the time of each line").short('t'),
        Flag::string("until", "Only up to this time, or so long ago (\"42m\")"),
    ]]);

fn logs(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    let options = LogsOptions {
        stdout: true,
        stderr: true,
        follow: m.on("follow"),
        timestamps: m.on("timestamps"),
        details: false,
        since: container::logs::point(m, "since")?,
        until: container::logs::point(m, "until")?,
        tail: m.get("tail").to_owned(),
    };
    cli.wait(async {
        let observed = open.observe().await?;
        let mut containers = open.containers(&observed, &m.args)?;
        containers.retain(|c| !plan::is_one_off(c) && is_wanted(&open, plan::service_of(c)));
        let index = m.int("index");
        containers.retain(|c| index == 0 || i64::from(plan::number_of(c)) == index);
        let names = containers.iter().map(|c| plan::name_of(c));
        let printer = Printer::new(m, &open.project.name, names).merged();
        if m.on("follow") {
            return follow(&open, &printer, &containers, &options).await;
        }
        for container in containers {
            show(cli, &printer, &container.id, plan::name_of(container), &options).await?;
        }
        Ok(())
    })
}

/// Whether the output of a service is shown: one with `attach: false` only when it is named.
fn is_wanted(open: &Open<'_>, service: &str) -> bool {
    let service = open.project.services.get(service);
    !open.m.args.is_empty() || service.is_none_or(|service| service.attach != Some(false))
}

/// Shows what containers have written and still write, and what others write that are started meanwhile.
async fn follow(open: &Open<'_>, printer: &Printer, containers: &[&Summary], options: &LogsOptions) -> Result<()> {
    let services = match open.m.args.as_slice() {
        [] if open.project.services.is_empty() => containers.iter().map(|c| plan::service_of(c).to_owned()).collect(),
        [] => {
            let names = open.project.services.keys();
            names.filter(|name| is_wanted(open, name)).cloned().collect()
        }
        services => services.iter().cloned().collect(),
    };
    let cli = open.cli;
    let mut follower = Follower::new(cli, printer, &open.project.name, services, options.clone()).await?;
    // Those that are still to be started have said nothing yet, and come later.
    for container in containers.iter().filter(|c| c.state != "created") {
        let (id, name) = (container.id.clone(), plan::name_of(container).to_owned());
        let runs = matches!(container.state.as_str(), "running" | "paused" | "restarting");
        follower.add(&container.id, async move {
            show(cli, printer, &id, &name, options).await?;
            match runs {
                true => end(cli, printer, id, name).await,
                false => Ok(Ended::of(id, name, 0)),
            }
        });
    }
    follower.may_end = true;
    while let Next::Ended(_) = follower.next().await? {}
    Ok(())
}
