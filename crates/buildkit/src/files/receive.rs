//! Bringing a copy up to date from a client.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::tree::Tree;
use crate::{
    grpc::{Code, Result, Status},
    proto::session::{Packet, PacketKind},
    session::Session,
};

/// The method by which clients give files.
const METHOD: &str = "/moby.filesync.v1.FileSync/DiffCopy";

/// What stays as it is when a value is escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Which files are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    /// The folder's name in the session: `context`, `dockerfile`.
    pub(crate) name: String,
    /// Paths, patterns among them, and what links there lead to; none for everything.
    pub(crate) follow: Vec<String>,
    /// Lines of `.dockerignore`.
    pub(crate) exclude: Vec<String>,
}

impl Wanted {
    fn metadata(&self) -> Vec<(&'static str, String)> {
        let mut metadata = Vec::new();
        let mut list = |name: &'static str, encoded: &'static str, values: &[String]| {
            let plain = values.iter().all(|value| value.is_ascii());
            for value in values {
                let escaped = || utf8_percent_encode(value, ESCAPED).to_string();
                metadata.push((name, if plain { value.clone() } else { escaped() }));
            }
            if !plain {
                metadata.push((encoded, "1".to_owned()));
            }
        };
        list("dir-name", "dir-name-encoded", std::slice::from_ref(&self.name));
        list("followpaths", "followpaths-encoded", &self.follow);
        list("exclude-patterns", "exclude-patterns-encoded", &self.exclude);
        metadata
    }
}

/// Brings a copy up to date; tells how many bytes have come, and gives their number. What is written is
/// written by this thread.
pub(crate) async fn receive(
    session: &Session,
    wanted: &Wanted,
    tree: &mut Tree,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<u64> {
    let mut call = session.start(METHOD, &wanted.metadata()).await?;
    let mut update = tree.update();
    let (mut bytes, mut told) = (0, false);
    while !(told && update.is_complete()) {
        let packet: Packet = match call.incoming.next().await? {
            Some(packet) => packet,
            None => return Err(Status::new(Code::Unavailable, "the client ended the transfer of files")),
        };
        bytes += u64::try_from(prost::Message::encoded_len(&packet)).unwrap_or(0);
        progress(bytes);
        match packet.kind() {
            PacketKind::Stat => match packet.stat {
                Some(stat) => {
                    if let Some(number) = update.stat(stat)? {
                        call.out.send(&request(number)).await?;
                    }
                }
                None => told = true,
            },
            PacketKind::Data => update.data(packet.id, &packet.data)?,
            PacketKind::Err => {
                let why = String::from_utf8_lossy(&packet.data).into_owned();
                return Err(Status::unknown(format!("error from sender: {why}")));
            }
            PacketKind::Req | PacketKind::Fin => {}
        }
    }
    update.finish()?;
    call.out.send(&of_kind(PacketKind::Fin)).await?;
    // The client's own end; it has nothing more to say.
    while let Some(packet) = call.incoming.next::<Packet>().await? {
        bytes += u64::try_from(prost::Message::encoded_len(&packet)).unwrap_or(0);
        if packet.kind() == PacketKind::Fin {
            break;
        }
    }
    call.out.end();
    Ok(bytes)
}

fn request(number: u32) -> Packet {
    Packet {
        id: number,
        ..of_kind(PacketKind::Req)
    }
}

/// A packet without content.
pub(super) fn of_kind(kind: PacketKind) -> Packet {
    Packet {
        kind: kind.into(),
        ..Packet::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_ascii_are_escaped() {
        let wanted = Wanted {
            name: "context".into(),
            follow: vec!["a b".into(), "\u{e4}/c".into()],
            exclude: vec!["*.log".into()],
        };
        let expected = [
            ("dir-name", "context"),
            ("followpaths", "a%20b"),
            ("followpaths", "%C3%A4%2Fc"),
            ("followpaths-encoded", "1"),
            ("exclude-patterns", "*.log"),
        ];
        let metadata = wanted.metadata();
        let metadata: Vec<(&str, &str)> = metadata.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(metadata, expected);
    }
}
