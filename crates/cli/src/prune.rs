//! `… prune`: removes what nothing uses, after a warning.

use std::io::{BufRead as _, Write as _};

use corten_api::filters::Filters;
use corten_client::BuildPrune;

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::Result,
    flags::Matches,
    opts::{
        filter,
        size::{self, human},
    },
};

const FORCE: Flag = Flag::switch("force", "Do not ask").short('f');
const FILTER: Flag = Flag::filter("Remove only what fits the condition (for example \"until=<timestamp>\")");

/// `container prune`.
pub(crate) static CONTAINERS: Command =
    Command::new("[OPTIONS]", "Remove every container that has stopped", prune_containers)
        .arity(Arity::None)
        .flags(&[&[FILTER, FORCE]]);

/// `image prune`.
pub(crate) static IMAGES: Command = Command::new("[OPTIONS]", "Remove unused images", prune_images)
    .arity(Arity::None)
    .flags(&[&[
        Flag::switch("all", "Remove every unused image, not just those without a name").short('a'),
        FILTER,
        FORCE,
    ]]);

/// `network prune`.
pub(crate) static NETWORKS: Command = Command::new("[OPTIONS]", "Remove every unused network", prune_networks)
    .arity(Arity::None)
    .flags(&[&[FILTER, FORCE]]);

/// `volume prune`.
pub(crate) static VOLUMES: Command = Command::new("[OPTIONS]", "Remove unused local volumes", prune_volumes)
    .arity(Arity::None)
    .flags(&[&[
        Flag::switch("all", "Remove every unused volume, not just those without a name").short('a'),
        FILTER,
        FORCE,
    ]]);

/// `builder prune`.
pub(crate) static BUILDS: Command = Command::new("[OPTIONS]", "Forget steps of builds", prune_builds)
    .paths(&["builder prune", "buildx prune"])
    .arity(Arity::None)
    .flags(&[
        &[
            Flag::switch("all", "Forget every step, not just those that no image has").short('a'),
            FILTER,
            FORCE,
            Flag::value("keep-storage", "bytes", size::check, "Older name of --reserved-space").hidden(),
            Flag::value(
                "max-used-space",
                "bytes",
                size::check,
                "Most bytes of the cache to keep",
            ),
            Flag::value(
                "min-free-space",
                "bytes",
                size::check,
                "Bytes of the disk that shall be free",
            ),
            Flag::value(
                "reserved-space",
                "bytes",
                size::check,
                "Bytes of the cache to keep in any case",
            ),
            Flag::switch("verbose", "Show more of each record that is forgotten"),
        ],
        crate::build::BUILDER,
    ]);

/// `system prune`.
pub(crate) static SYSTEM: Command = Command::new("[OPTIONS]", "Remove all that nothing uses", prune_system)
    .arity(Arity::None)
    .flags(&[&[
        Flag::switch("all", "Remove every unused image, not just those without a name").short('a'),
        FILTER,
        FORCE,
        Flag::switch("volumes", "Remove volumes without a name, too"),
    ]]);

/// What was removed.
#[derive(Debug, Default)]
struct Removed {
    text: String,
    bytes: u64,
}

/// Asks the user; yes is only `y`.
pub(crate) fn confirmed(cli: &Cli, warning: &str) -> bool {
    cli.print(&format!("{warning}\nAre you sure you want to continue? [y/N] "));
    let mut answer = String::new();
    // No answer is a no.
    let _ = std::io::stdin().lock().read_line(&mut answer);
    // The next line starts on its own.
    let _ = std::io::stdout().flush();
    answer.trim().eq_ignore_ascii_case("y")
}

fn filters(cli: &Cli, m: &Matches) -> Filters {
    let mut values = m.all("filter");
    values.extend(cli.config().prune_filters.iter().map(String::as_str));
    filter::parse(&values)
}

#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
fn total(bytes: u64) -> String {
    format!("Total reclaimed space: {}", human(bytes as f64))
}

/// Warns, removes and reports.
fn prune<F: Future<Output = Result<Removed>>>(
    cli: &Cli,
    m: &Matches,
    warning: &str,
    remove: impl FnOnce() -> F,
    with_total: bool,
) -> Result<()> {
    if !m.on("force") && !confirmed(cli, warning) {
        return Ok(());
    }
    let removed = cli.wait(remove())?;
    cli.print(&removed.text);
    if with_total {
        cli.out(&total(removed.bytes));
    }
    Ok(())
}

/// `Deleted Containers:`, a line each, and an empty line.
fn section(title: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!("Deleted {title}:\n{}\n\n", lines.join("\n"))
}

fn prune_containers(cli: &Cli, m: &Matches) -> Result<()> {
    let filters = filters(cli, m);
    prune(
        cli,
        m,
        "WARNING! This will remove all stopped containers.",
        || remove_containers(cli, &filters),
        true,
    )
}

async fn remove_containers(cli: &Cli, filters: &Filters) -> Result<Removed> {
    let pruned = cli.client()?.prune_containers(filters).await?;
    Ok(Removed {
        text: section("Containers", &pruned.containers_deleted.unwrap_or_default()),
        bytes: pruned.space_reclaimed,
    })
}

fn prune_images(cli: &Cli, m: &Matches) -> Result<()> {
    let mut filters = filters(cli, m);
    filters.add("dangling", (!m.on("all")).to_string());
    let warning = if m.on("all") {
        "WARNING! This will remove all images without at least one container associated to them."
    } else {
        "WARNING! This will remove all dangling images."
    };
    prune(cli, m, warning, || remove_images(cli, &filters), true)
}

async fn remove_images(cli: &Cli, filters: &Filters) -> Result<Removed> {
    let pruned = cli.client()?.prune_images(filters).await?;
    let lines: Vec<_> = pruned
        .images_deleted
        .unwrap_or_default()
        .into_iter()
        .map(|item| {
            if item.untagged.is_empty() {
                format!("deleted: {}", item.deleted)
            } else {
                format!("untagged: {}", item.untagged)
            }
        })
        .collect();
    Ok(Removed {
        text: section("Images", &lines),
        bytes: pruned.space_reclaimed,
    })
}

fn prune_networks(cli: &Cli, m: &Matches) -> Result<()> {
    let filters = filters(cli, m);
    prune(
        cli,
        m,
        "WARNING! This will remove all custom networks not used by at least one container.",
        || remove_networks(cli, &filters),
        false,
    )
}

async fn remove_networks(cli: &Cli, filters: &Filters) -> Result<Removed> {
    let pruned = cli.client()?.prune_networks(filters).await?;
    Ok(Removed {
        text: section("Networks", &pruned.networks_deleted.unwrap_or_default()),
        bytes: 0,
    })
}

fn prune_volumes(cli: &Cli, m: &Matches) -> Result<()> {
    let mut filters = filters(cli, m);
    let warning = if m.on("all") {
        filters.add("all", "true");
        "WARNING! This will remove all local volumes not used by at least one container."
    } else {
        "WARNING! This will remove anonymous local volumes not used by at least one container."
    };
    prune(cli, m, warning, || remove_volumes(cli, &filters), true)
}

async fn remove_volumes(cli: &Cli, filters: &Filters) -> Result<Removed> {
    let pruned = cli.client()?.prune_volumes(filters).await?;
    Ok(Removed {
        text: section("Volumes", &pruned.volumes_deleted.unwrap_or_default()),
        bytes: pruned.space_reclaimed,
    })
}

fn prune_builds(cli: &Cli, m: &Matches) -> Result<()> {
    let order = BuildPrune {
        all: m.on("all"),
        reserved: m.bytes("keep-storage").max(m.bytes("reserved-space")),
        most: m.bytes("max-used-space"),
        free: m.bytes("min-free-space"),
        filters: filters(cli, m),
    };
    let warning = match order.all {
        true => "WARNING! This will remove all build cache.",
        false => "WARNING! This will remove all dangling build cache.",
    };
    let removal = || async {
        let client = cli.client()?;
        let before = match m.on("verbose") {
            true => client.disk_usage().await?.build_cache.unwrap_or_default(),
            false => Vec::new(),
        };
        let pruned = client.prune_builds(&order).await?;
        let ids = pruned.caches_deleted.unwrap_or_default();
        let shown: Vec<String> = ids.iter().map(|id| crate::build::record(id, &before)).collect();
        let text = match shown.is_empty() {
            true => String::new(),
            false => format!("Deleted build cache objects:\n{}\n\n", shown.join("\n")),
        };
        Ok(Removed {
            text,
            bytes: pruned.space_reclaimed,
        })
    };
    prune(cli, m, warning, removal, true)
}

fn prune_system(cli: &Cli, m: &Matches) -> Result<()> {
    let (all, volumes) = (m.on("all"), m.on("volumes"));
    let given = filters(cli, m);
    let mut images = given.clone();
    images.add("dangling", (!all).to_string());
    let removal = || async {
        let mut whole = Removed::default();
        let mut add = |part: Removed| {
            whole.text.push_str(&part.text);
            whole.bytes = whole.bytes.saturating_add(part.bytes);
        };
        add(remove_containers(cli, &given).await?);
        add(remove_networks(cli, &given).await?);
        if volumes {
            add(remove_volumes(cli, &given).await?);
        }
        add(remove_images(cli, &images).await?);
        Ok(whole)
    };
    prune(cli, m, &system_warning(m, all, volumes), removal, true)
}

fn system_warning(m: &Matches, all: bool, volumes: bool) -> String {
    let mut warning = String::from(
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n",
    );
    if volumes {
        warning.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    warning.push_str(if all {
        "  - all images without at least one container associated to them\n"
    } else {
        "  - all dangling images\n"
    });
    let filters = m.all("filter");
    if !filters.is_empty() {
        warning.push_str("\n  Items to be pruned will be filtered with:\n");
        for filter in filters {
            warning.push_str(&format!("  - {filter}\n"));
        }
    }
    warning
}
