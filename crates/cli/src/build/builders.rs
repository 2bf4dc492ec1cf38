//! `buildx ls`, `inspect`, `du`, `version`: the one builder, and what its cache holds.

use corten_api::system::BuildCache;

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    opts::size::human,
};

/// The builder's name.
const NAME: &str = "default";

/// `buildx ls`.
pub(super) static LIST: Command = Command::new("", "List builders: there is one", list).arity(Arity::None);

/// `buildx inspect`.
pub(super) static INSPECT: Command = Command::new("[NAME]", "Show a builder", inspect)
    .arity(Arity::AtMost(1))
    .flags(&[&[Flag::switch("bootstrap", "See that it runs, which is always done")]]);

/// `buildx du`.
pub(super) static USAGE: Command = Command::new("", "Show what the cache of builds holds", usage)
    .arity(Arity::None)
    .flags(&[&[Flag::switch("verbose", "Show everything of each record")]]);

/// `buildx version`.
pub(super) static VERSION: Command = Command::new("", "Show the builder's version", version).arity(Arity::None);

/// The engine's version and platform.
fn about(cli: &Cli) -> Result<(String, String)> {
    let client = cli.client()?;
    let version = cli.wait(async { Ok(client.version().await?) })?;
    Ok((
        format!("v{}", version.version),
        format!("{}/{}", version.os, version.arch),
    ))
}

fn list(cli: &Cli, _: &Matches) -> Result<()> {
    let (version, platform) = about(cli)?;
    let row = |cells: [&str; 5]| {
        let [name, driver, status, version, platforms] = cells;
        let line = format!("{name:16}{driver:19}{status:10}{version:12}{platforms}");
        cli.out(line.trim_end());
    };
    row(["NAME/NODE", "DRIVER/ENDPOINT", "STATUS", "BUILDKIT", "PLATFORMS"]);
    row(["default*", cli.program, "", "", ""]);
    row([" \\_ default", " \\_ default", "running", &version, &platform]);
    Ok(())
}

fn inspect(cli: &Cli, m: &Matches) -> Result<()> {
    let name = m.arg(0);
    if !name.is_empty() && name != NAME {
        return Err(Error::new(format!("ERROR: no builder {name:?} found")));
    }
    let (version, platform) = about(cli)?;
    cli.out(&format!(
        "Name:          {NAME}\nDriver:        {}\n\nNodes:\nName:             {NAME}\nEndpoint:         {NAME}\n\
         Status:           running\nBuildKit version: {version}\nPlatforms:        {platform}",
        cli.program
    ));
    Ok(())
}

fn version(cli: &Cli, _: &Matches) -> Result<()> {
    let (version, _) = about(cli)?;
    cli.out(&format!("{}/buildx {version}", cli.program));
    Ok(())
}

fn usage(cli: &Cli, m: &Matches) -> Result<()> {
    let client = cli.client()?;
    let usage = cli.wait(async { Ok(client.disk_usage().await?) })?;
    let mut records = usage.build_cache.unwrap_or_default();
    records.sort_by_key(|record| std::cmp::Reverse(record.size));
    if m.on("verbose") {
        records.iter().for_each(|record| cli.out(&whole(record)));
    } else {
        cli.out(&format!("{:68}{:14}{:12}LAST ACCESSED", "ID", "RECLAIMABLE", "SIZE"));
        for record in &records {
            let used = record
                .last_used_at
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            let line = format!("{:68}{:14}{:12}{used}", record.id, !record.in_use, bytes(record.size));
            cli.out(line.trim_end());
        }
    }
    let sum = |wanted: fn(&BuildCache) -> bool| records.iter().filter(|r| wanted(r)).map(|r| r.size).sum::<i64>();
    cli.out(&format!("Shared:\t\t{}", bytes(sum(|record| record.shared))));
    cli.out(&format!("Private:\t{}", bytes(sum(|record| !record.shared))));
    cli.out(&format!(
        "Reclaimable:\t{}",
        bytes(sum(|record| !record.in_use && !record.shared))
    ));
    cli.out(&format!("Total:\t\t{}", bytes(sum(|_| true))));
    Ok(())
}

fn whole(record: &BuildCache) -> String {
    format!(
        "ID:\t\t{}\nCreated at:\t{}\nMutable:\tfalse\nReclaimable:\t{}\nShared:\t\t{}\nSize:\t\t{}\nDescription:\t{}\n\
         Usage count:\t{}\nType:\t\t{}\n",
        record.id,
        record.created_at,
        !record.in_use,
        record.shared,
        bytes(record.size),
        record.description,
        record.usage_count,
        record.kind
    )
}

#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
fn bytes(count: i64) -> String {
    human(count as f64)
}
