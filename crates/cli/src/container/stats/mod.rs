//! `stats`: each container's figures come as a stream of their own, all at once, and the newest of each are
//! painted twice a second.

mod board;
mod read;

use std::time::Duration;

use corten_api::{event::Event, filters::Filters};
use corten_client::{Client, Messages, StatsOptions};
use futures_util::stream::{FuturesOrdered, FuturesUnordered, StreamExt};
use tokio::time::{Instant, MissedTickBehavior};

use self::board::Board;
use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    formatter::{
        Format,
        stats::{HEADINGS, Sample, TABLE, row},
    },
};

/// Between two paintings.
const REPAINT: Duration = Duration::from_millis(500);
/// How long the first painting waits for containers that have not answered.
const PATIENCE: Duration = Duration::from_secs(2);

/// `stats`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] [CONTAINER...]",
    "Show what containers use, again and again",
    stats,
)
.paths(&["container stats", "stats"])
.arity(Arity::Any)
.flags(&[&[
    Flag::switch("all", "Show every container (without it, only running ones)").short('a'),
    Flag::string("format", super::list::FORMAT_HELP),
    Flag::switch("no-stream", "Show it once and end"),
    Flag::switch("no-trunc", "Show IDs in full"),
]]);

fn stats(cli: &Cli, m: &Matches) -> Result<()> {
    show(cli, m, &m.args, Filters::default())
}

/// Shows the containers that a filter lets through, with the command's flags.
pub(crate) fn labelled(cli: &Cli, m: &Matches, filters: Filters) -> Result<()> {
    show(cli, m, &[], filters)
}

fn show(cli: &Cli, m: &Matches, named: &[String], filters: Filters) -> Result<()> {
    let given = match m.get("format") {
        "" => cli.config().stats_format.as_str(),
        given => given,
    };
    let view = View {
        format: Format::new(given, TABLE),
        truncate: !m.on("no-trunc"),
        all: m.on("all"),
        named,
        filters,
    };
    cli.wait(async {
        let client = cli.client()?;
        if m.on("no-stream") {
            once(cli, client, &view).await
        } else {
            live(cli, client, &view).await
        }
    })
}

/// What is to be seen, and how.
struct View<'a> {
    format: Format,
    truncate: bool,
    /// Containers that don't run, too.
    all: bool,
    /// Those that the user named; none is all of them.
    named: &'a [String],
    /// What those must be that nobody named.
    filters: Filters,
}

impl View<'_> {
    async fn containers(&self, client: &Client) -> Result<Vec<String>> {
        if !self.named.is_empty() {
            return Ok(self.named.to_vec());
        }
        let containers = client.containers(self.all, 0, false, &self.filters).await?;
        Ok(containers.into_iter().map(|c| c.id).collect())
    }

    /// Whether an error is only that a container nobody named has just gone.
    fn forgives(&self, error: &Error) -> bool {
        self.named.is_empty() && error.not_found
    }
}

async fn once(cli: &Cli, client: &Client, view: &View<'_>) -> Result<()> {
    let containers = view.containers(client).await?;
    let mut samples: FuturesOrdered<_> = containers.iter().map(|name| sample(client, name)).collect();
    let mut rows = Vec::new();
    while let Some(sample) = samples.next().await {
        match sample {
            Ok(sample) => rows.push(row(&sample, view.truncate)),
            Err(error) if view.forgives(&error) => {}
            Err(error) => return Err(error),
        }
    }
    cli.print(&view.format.render(&HEADINGS, &rows)?);
    Ok(())
}

async fn sample(client: &Client, name: &str) -> Result<Sample> {
    let mut stream = client.container_stats(name, StatsOptions::default()).await?;
    let document = stream
        .next()
        .await?
        .ok_or_else(|| Error::new(format!("no statistics of container {name}")))?;
    Ok(read::read(name, &document))
}

async fn live(cli: &Cli, client: &Client, view: &View<'_>) -> Result<()> {
    let board = Board::default();
    // Listened to before the list is taken, so that nobody is missed in between.
    let mut filters = view.filters.clone();
    filters.add("type", "container");
    let mut events = match view.named {
        [] => Some(client.events("", "", &filters).await?),
        _ => None,
    };
    let mut feeds = FuturesUnordered::new();
    for name in view.containers(client).await? {
        if board.add(&name) {
            feeds.push(feed(client, view, &board, name));
        }
    }
    let began = Instant::now();
    let mut painted = false;
    let mut clock = tokio::time::interval(REPAINT);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(ended) = feeds.next() => ended?,
            event = next(&mut events) => {
                let Some(event) = event? else { return Ok(()) };
                if let Some(name) = follow(view, &board, event) {
                    feeds.push(feed(client, view, &board, name));
                }
            }
            _ = clock.tick() => {
                if painted || board.is_complete() || began.elapsed() >= PATIENCE {
                    paint(cli, view, &board)?;
                    painted = true;
                }
                if board.is_empty() && !view.named.is_empty() {
                    return Ok(());
                }
            }
        }
    }
}

/// Keeps a container's line on the board up to date until its samples end.
async fn feed(client: &Client, view: &View<'_>, board: &Board, name: String) -> Result<()> {
    let options = StatsOptions {
        stream: true,
        ..StatsOptions::default()
    };
    let mut samples = match client.container_stats(&name, options).await.map_err(Error::from) {
        Ok(samples) => samples,
        Err(error) if view.forgives(&error) => {
            board.remove(&name);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    // A broken stream says that the engine or the container went: what is known of it ends here.
    while let Ok(Some(document)) = samples.next().await {
        board.set(read::read(&name, &document));
    }
    board.end(&name);
    Ok(())
}

/// The next event; never, when none are listened to, and none at the end.
async fn next(events: &mut Option<Messages<Event>>) -> Result<Option<Event>> {
    match events {
        Some(events) => Ok(events.next().await?),
        None => std::future::pending().await,
    }
}

/// Changes the board as an event says; a container to be fed from now on is given back.
fn follow(view: &View<'_>, board: &Board, event: Event) -> Option<String> {
    let id = event.actor.id;
    let starts = event.action == "start" || view.all && event.action == "create";
    let ends = event.action == "destroy" || !view.all && event.action == "die";
    if ends {
        board.remove(&id);
    }
    (starts && board.add(&id)).then_some(id)
}

fn paint(cli: &Cli, view: &View<'_>, board: &Board) -> Result<()> {
    let text = view.format.render(&HEADINGS, &board.rows(view.truncate))?;
    if cli.out_is_terminal() {
        let lines = text.replace('\n', "\x1b[K\n");
        cli.print(&format!("\x1b[H{lines}\x1b[J"));
    } else {
        cli.print(&text);
    }
    Ok(())
}
