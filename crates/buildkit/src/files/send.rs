//! Sending a folder to a client (`type=local`), and bytes (`type=tar`).

use std::{
    ffi::CString,
    io::Read,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use bytes::Bytes;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat as Found, openat, readlinkat, statat};

use super::{mode, receive::of_kind};
use crate::{
    grpc::{
        Code, Result, Status,
        client::{Call, Incoming, Sender},
    },
    proto::{
        parts::BytesMessage,
        session::{Packet, PacketKind, Stat},
    },
    session::Session,
};

/// The method by which clients take files.
const METHOD: &str = "/moby.filesync.v1.FileSend/DiffCopy";

/// Bytes of a file in one packet.
const PIECE: usize = 32 << 10;
/// How deep folders may be in each other.
const DEEPEST: usize = 1000;

/// Begins to send; `number` is the exporter's among those of the request.
pub(crate) async fn start(session: &Session, number: usize, metadata: &[(&'static str, String)]) -> Result<Call> {
    let mut all = vec![("buildkit-attachable-exporter-id", number.to_string())];
    all.extend_from_slice(metadata);
    session.start(METHOD, &all).await
}

/// Sends what is in a folder. Files are read by this thread.
pub(crate) async fn folder(mut call: Call, root: BorrowedFd<'_>, progress: &mut (dyn FnMut(u64) + Send)) -> Result<()> {
    let mut stats = Vec::new();
    walk(root, "", 0, &mut stats)?;
    let mut asked = Vec::new();
    let mut sent = 0;
    for stat in &stats {
        let packet = Packet {
            stat: Some(stat.clone()),
            ..of_kind(PacketKind::Stat)
        };
        sent += listening(&mut call, &packet, &mut asked).await?;
        progress(sent);
    }
    listening(&mut call, &of_kind(PacketKind::Stat), &mut asked).await?;
    loop {
        for packet in std::mem::take(&mut asked) {
            match packet.kind() {
                PacketKind::Req => {
                    let stat = usize::try_from(packet.id).ok().and_then(|index| stats.get(index));
                    let unknown = || Status::invalid(format!("there is no file {}", packet.id));
                    let path = &stat.ok_or_else(unknown)?.path;
                    sent = file(&mut call, root, path, packet.id, &mut asked, sent, progress).await?;
                }
                PacketKind::Fin => {
                    call.out.send(&of_kind(PacketKind::Fin)).await?;
                    call.out.end();
                    // Waits until the client has put away what it got.
                    while call.incoming.next::<Packet>().await?.is_some() {}
                    return Ok(());
                }
                PacketKind::Err => {
                    let why = String::from_utf8_lossy(&packet.data).into_owned();
                    return Err(Status::unknown(format!("error from receiver: {why}")));
                }
                PacketKind::Stat | PacketKind::Data => {}
            }
        }
        if asked.is_empty() {
            match call.incoming.next::<Packet>().await? {
                Some(packet) => asked.push(packet),
                None => return Err(Status::new(Code::Unavailable, "the client took no more files")),
            }
        }
    }
}

/// Sends a packet, and meanwhile takes what the client says: it must not wait for us while we wait for it.
async fn listening(call: &mut Call, packet: &Packet, asked: &mut Vec<Packet>) -> Result<u64> {
    let Call { out, incoming } = call;
    let (out, incoming): (&mut Sender, &mut Incoming) = (out, incoming);
    let mut sending = std::pin::pin!(out.send(packet));
    loop {
        tokio::select! {
            biased;
            sent = &mut sending => {
                sent?;
                return Ok(u64::try_from(prost::Message::encoded_len(packet)).unwrap_or(0));
            }
            said = incoming.next::<Packet>() => match said? {
                Some(packet) => asked.push(packet),
                None => return Err(Status::new(Code::Unavailable, "the client took no more files")),
            },
        }
    }
}

async fn file(
    call: &mut Call,
    root: BorrowedFd<'_>,
    path: &str,
    number: u32,
    asked: &mut Vec<Packet>,
    mut sent: u64,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<u64> {
    let mut file = std::fs::File::from(open(root, path, OFlags::RDONLY)?);
    loop {
        let mut piece = vec![0; PIECE];
        let length = file.read(&mut piece)?;
        piece.truncate(length);
        let packet = Packet {
            id: number,
            data: Bytes::from(piece),
            ..of_kind(PacketKind::Data)
        };
        sent += listening(call, &packet, asked).await?;
        progress(sent);
        if length == 0 {
            return Ok(sent);
        }
    }
}

/// Opens what is at a path that was walked to; nothing on the way may be a link.
fn open(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = rustix::fs::ResolveFlags::BENEATH | rustix::fs::ResolveFlags::NO_SYMLINKS;
    let opened = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve);
    Ok(opened.map_err(std::io::Error::from)?)
}

/// Lists a folder and what is below it, each folder right before what is in it.
fn walk(folder: BorrowedFd<'_>, above: &str, depth: usize, stats: &mut Vec<Stat>) -> Result<()> {
    if depth > DEEPEST {
        return Err(Status::invalid(format!("folders at {above:?} are too deep")));
    }
    for name in names(folder)? {
        let Ok(text) = name.to_str() else { continue };
        let path = match above {
            "" => text.to_owned(),
            above => format!("{above}/{text}"),
        };
        let found = statat(folder, &*name, AtFlags::SYMLINK_NOFOLLOW).map_err(std::io::Error::from)?;
        let stat = stat_of(&found, path.clone(), || link(folder, &name))?;
        let kind = mode::kind(stat.mode);
        stats.push(stat);
        if kind == mode::Kind::Folder {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let inner = openat(folder, &*name, flags, Mode::empty()).map_err(std::io::Error::from)?;
            walk(inner.as_fd(), &path, depth + 1, stats)?;
        }
    }
    Ok(())
}

fn names(folder: BorrowedFd<'_>) -> Result<Vec<CString>> {
    let entries = Dir::read_from(folder).map_err(std::io::Error::from)?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(std::io::Error::from)?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn link(folder: BorrowedFd<'_>, name: &CString) -> Result<String> {
    let target = readlinkat(folder, name, Vec::new()).map_err(std::io::Error::from)?;
    Ok(target.to_string_lossy().into_owned())
}

fn stat_of(found: &Found, path: String, link: impl FnOnce() -> Result<String>) -> Result<Stat> {
    let go = mode::from_linux(found.st_mode);
    let kind = mode::kind(go);
    let seconds = found.st_mtime;
    let nanoseconds = i64::try_from(found.st_mtime_nsec).unwrap_or(0);
    let device = |part: u32| if kind == mode::Kind::Other { i64::from(part) } else { 0 };
    Ok(Stat {
        path,
        mode: go,
        uid: found.st_uid,
        gid: found.st_gid,
        size: if kind == mode::Kind::File { found.st_size } else { 0 },
        mod_time: seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds),
        linkname: if kind == mode::Kind::Link {
            link()?
        } else {
            String::new()
        },
        devmajor: device(rustix::fs::major(found.st_rdev)),
        devminor: device(rustix::fs::minor(found.st_rdev)),
    })
}

/// Sends bytes as they come, and waits until the client has put them away.
pub(crate) struct Stream {
    runtime: tokio::runtime::Handle,
    call: Call,
}

impl Stream {
    /// Takes a call that was begun. What is written blocks this thread.
    pub(crate) fn new(runtime: tokio::runtime::Handle, call: Call) -> Self {
        Self { runtime, call }
    }

    /// Says that it is complete.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.runtime.clone().block_on(async move {
            self.call.out.end();
            while self.call.incoming.next::<BytesMessage>().await?.is_some() {}
            Ok(())
        })
    }
}

impl std::io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        /// What a client takes at once is bounded.
        const LONGEST: usize = 1 << 20;
        let piece = &bytes[..bytes.len().min(LONGEST)];
        let message = BytesMessage {
            data: Bytes::copy_from_slice(piece),
        };
        let sent = self.runtime.block_on(self.call.out.send(&message));
        sent.map_err(std::io::Error::other)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
