//! `cp`.

mod pack;
mod paths;
mod progress;
mod unpack;

use std::sync::Arc;

use corten_client::{Body, Client, PutArchive};
use tokio::sync::mpsc;

use self::{
    paths::{CopyInfo, Rename},
    progress::Progress,
};
use crate::{
    cli::{Cli, write_or_exit},
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
};

/// Unpacks an archive into a folder; nothing of it gets outside.
pub(crate) fn unpack(pieces: mpsc::Receiver<std::io::Result<bytes::Bytes>>, folder: &str) -> Result<()> {
    unpack::into(pieces, folder, None)
}

/// `cp`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n[OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files and folders between a container and this machine",
    copy,
)
.paths(&["container cp", "cp"])
.arity(Arity::Exactly(2))
.flags(&[&[
    Flag::switch("archive", "Give everything to the container's user").short('a'),
    Flag::switch("follow-link", "Copy what a link at the source's end leads to").short('L'),
    Flag::switch("quiet", "Show no progress; the default without a terminal").short('q'),
]]);

/// What the flags ask for.
struct Order<'a> {
    container: &'a str,
    source: String,
    target: String,
    follow: bool,
    users_own: bool,
    progress: Progress,
}

fn copy(cli: &Cli, m: &Matches) -> Result<()> {
    let (source, target) = (m.arg(0), m.arg(1));
    if source.is_empty() {
        return Err(Error::new("source can not be empty"));
    }
    if target.is_empty() {
        return Err(Error::new("destination can not be empty"));
    }
    let (from, source) = paths::split_argument(source);
    let (to, target) = paths::split_argument(target);
    let quiet = if m.given("quiet") {
        m.on("quiet")
    } else {
        !cli.out_is_terminal()
    };
    let order = |container, header| Order {
        container,
        source: source.to_owned(),
        target: target.to_owned(),
        follow: m.on("follow-link"),
        users_own: m.on("archive"),
        progress: Progress::new(quiet, header),
    };
    match (from, to) {
        (Some(container), None) => cli.wait(from_container(
            cli.client()?,
            order(container, "Copying from container - "),
        )),
        (None, Some(container)) => cli.wait(to_container(cli.client()?, order(container, "Copying to container - "))),
        (Some(_), Some(_)) => Err(Error::new("copying between containers is not supported")),
        (None, None) => Err(Error::new("must specify at least one container source")),
    }
}

async fn from_container(client: &Client, order: Order<'_>) -> Result<()> {
    let target = match order.target.as_str() {
        "-" => "-".to_owned(),
        path => paths::absolute(path)?,
    };
    paths::check_output(&target)?;
    let (mut source, mut rename) = (order.source.clone(), String::new());
    if order.follow
        && let Ok(stat) = client.stat_path(order.container, &source).await
        && stat.is_symlink()
    {
        let leads_to = paths::join_link(&source, &stat.link_target);
        (source, rename) = paths::rebase_name(&source, &leads_to);
    }
    let (stat, mut stream) = client.get_archive(order.container, &source).await?;
    if target == "-" {
        while let Some(piece) = stream.next().await? {
            write_or_exit(&mut std::io::stdout().lock(), &piece);
        }
        return Ok(());
    }
    let info = CopyInfo {
        path: source,
        exists: true,
        is_folder: stat.is_dir(),
        rename,
    };
    let shown = order.progress.begin();
    let result = receive(&mut stream, info, &target, &order.progress).await;
    drop(shown);
    order.progress.end(&target);
    result
}

/// Unpacks what comes, on a thread beside the connection's.
async fn receive(
    stream: &mut corten_client::ByteStream,
    info: CopyInfo,
    target: &str,
    progress: &Progress,
) -> Result<()> {
    let (sender, pieces) = mpsc::channel(4);
    let target = target.to_owned();
    let unpacking = std::thread::spawn(move || unpack_to(pieces, &info, &target));
    loop {
        let piece = match stream.next().await {
            Ok(None) => break,
            Ok(Some(piece)) => Ok(piece),
            Err(error) => Err(std::io::Error::other(error.to_string())),
        };
        progress.add(piece.as_ref().map_or(0, bytes::Bytes::len));
        let failed = piece.is_err();
        // The unpacking has failed when the other end is gone.
        if sender.send(piece).await.is_err() || failed {
            break;
        }
    }
    drop(sender);
    match unpacking.join() {
        Ok(result) => result,
        Err(_) => Err(Error::new("the archive could not be unpacked")),
    }
}

fn unpack_to(pieces: unpack::Pieces, info: &CopyInfo, target: &str) -> Result<()> {
    let old = match paths::split_entry(&info.path).1 {
        base if base == "/" => String::new(),
        base => base,
    };
    let destination = paths::destination(target)?;
    let (folder, new) = paths::prepare(info, &destination)?;
    let new = match (new, info.rename.as_str()) {
        (Some(new), _) => Some(new),
        (None, "") => None,
        (None, rename) => Some(rename.to_owned()),
    };
    let rename = new.map(|new| Rename { old, new });
    unpack::into(pieces, &folder, rename.as_ref())
}

async fn to_container(client: &Client, order: Order<'_>) -> Result<()> {
    let destination = destination(client, &order).await?;
    if order.source == "-" {
        if !destination.is_folder {
            return Err(Error::new(format!(
                "destination \"{}:{}\" must be a directory",
                order.container, order.target
            )));
        }
        let body = pack::standard_input(order.progress.counter());
        return send(client, &order, &destination.path, &destination.path, body).await;
    }
    let source = paths::source(&paths::absolute(&order.source)?, order.follow)?;
    let (folder, new) = paths::prepare(&source, &destination)?;
    let base = paths::split_entry(&source.path).1;
    let prefix = match (new, source.rename.as_str()) {
        (Some(new), _) => new,
        (None, "") => base,
        (None, rename) => rename.to_owned(),
    };
    let body = pack::files(&source.path, prefix, order.progress.counter());
    send(client, &order, &folder, &destination.path, body).await
}

async fn send(client: &Client, order: &Order<'_>, folder: &str, told: &str, body: Body) -> Result<()> {
    let options = PutArchive {
        overwrite_kind: false,
        keep_owners: order.users_own,
    };
    let shown = order.progress.begin();
    let result = client.put_archive(order.container, folder, options, body).await;
    drop(shown);
    order.progress.end(&format!("{}:{told}", order.container));
    Ok(result?)
}

/// What is at the destination; when nobody knows, the engine will say what is wrong with it.
async fn destination(client: &Client, order: &Order<'_>) -> Result<CopyInfo> {
    let mut info = CopyInfo {
        path: order.target.clone(),
        ..CopyInfo::default()
    };
    let mut found = client.stat_path(order.container, &order.target).await;
    if let Ok(stat) = &found
        && stat.is_symlink()
    {
        info.path = paths::join_link(&order.target, &stat.link_target);
        found = client.stat_path(order.container, &info.path).await;
    }
    let Ok(stat) = found else { return Ok(info) };
    if let Some(why) = paths::unusable(stat.mode) {
        return Err(Error::new(format!(
            "destination \"{}:{}\" must be a directory or a regular file: {why}",
            order.container, order.target
        )));
    }
    (info.exists, info.is_folder) = (true, stat.is_dir());
    Ok(info)
}

/// Bytes that went by.
type Counter = Arc<std::sync::atomic::AtomicU64>;
