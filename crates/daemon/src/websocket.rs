//! Attaching over a websocket (RFC 6455; Docker API, `GET /containers/{id}/attach/ws`).
//!
//! What the client sends in text or binary frames is the container's input; its output comes in binary
//! frames, both streams as one, without Docker's own framing. A pair of sockets stands between, as the
//! shim knows nothing of websockets.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Buf, BytesMut};
use corten_api::stream::Decoder;
use corten_engine::containers::{Connection, Target};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

use crate::{
    body::{self, Answer},
    error::ApiError,
    hijack,
};

/// What every server adds to the client's key (RFC 6455, 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The longest frame that is taken, in bytes; longer ones end the connection.
const LONGEST: u64 = 1 << 20;

/// Output is sent in frames of up to so many bytes.
const PIECE: usize = 32 << 10;

/// Answers a handshake; none when the request is none.
pub(crate) fn accept(headers: &HeaderMap) -> Option<Answer> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let has = |name: &str, word: &str| {
        text(name).is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    let key = text("sec-websocket-key")?.trim();
    if !has("upgrade", "websocket") || !has("connection", "upgrade") || text("sec-websocket-version") != Some("13") {
        return None;
    }
    let mut answer = body::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(
        header::SEC_WEBSOCKET_ACCEPT,
        HeaderValue::from_str(&accept_key(key)).ok()?,
    );
    Some(answer)
}

/// The refusal of a request that is no handshake, as Docker's library words it.
pub(crate) fn no_handshake() -> ApiError {
    ApiError::invalid("not websocket protocol").in_text()
}

fn accept_key(key: &str) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key.as_bytes());
    digest.update(GUID.as_bytes());
    STANDARD.encode(digest.finish())
}

/// Connects the client to the target once the answer is written.
pub(crate) async fn relay(upgrade: OnUpgrade, target: Target) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "a client left before its websocket was open"),
    };
    let is_tty = target.is_tty();
    let (near, far) = match hijack::pair() {
        Ok(pair) => pair,
        Err(error) => return tracing::warn!(%error, "a client could not be attached"),
    };
    let connection = Connection {
        socket: far,
        preface: Vec::new(),
    };
    if let Err(error) = target.connect(connection).await {
        return tracing::warn!(error = error.report(), "a client could not be attached");
    }
    let (from_client, mut to_client) = tokio::io::split(TokioIo::new(upgraded));
    let (from_container, to_container) = near.into_split();
    let (answers, mut pending) = mpsc::channel(16);
    let sending = async {
        let output = output(from_container, &mut to_client, is_tty, &mut pending);
        // An end that breaks off is how sessions end.
        let _ = output.await;
        let _ = to_client
            .write_all(&frame(Opcode::Close, &1000_u16.to_be_bytes()))
            .await;
        let _ = to_client.shutdown().await;
    };
    tokio::select! {
        () = sending => {}
        () = input(from_client, to_container, answers) => {}
    }
}

/// Sends what the container writes, and answers to pings, in frames.
async fn output(
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    is_tty: bool,
    pending: &mut mpsc::Receiver<Vec<u8>>,
) -> std::io::Result<()> {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; PIECE];
    let mut listens = true;
    loop {
        tokio::select! {
            answer = pending.recv(), if listens => match answer {
                Some(answer) => to.write_all(&answer).await?,
                None => listens = false,
            },
            length = from.read(&mut buffer) => {
                let length = length?;
                if length == 0 {
                    return Ok(());
                }
                let mut bytes = buffer.get(..length).unwrap_or_default();
                if is_tty {
                    to.write_all(&frame(Opcode::Binary, bytes)).await?;
                    continue;
                }
                while let Some((_, piece)) = decoder.next(&mut bytes).map_err(std::io::Error::other)? {
                    to.write_all(&frame(Opcode::Binary, piece)).await?;
                }
            }
        }
    }
}

/// Writes what the client sends to the container; ends when the client is gone.
async fn input(mut from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin, answers: mpsc::Sender<Vec<u8>>) {
    let mut to = Some(to);
    let mut buffer = BytesMut::with_capacity(PIECE);
    loop {
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        loop {
            match next_frame(&mut buffer) {
                Ok(None) => break,
                Ok(Some((Opcode::Continuation | Opcode::Text | Opcode::Binary, data))) => {
                    if let Some(writer) = &mut to
                        && writer.write_all(&data).await.is_err()
                    {
                        // The container reads no more; it may still write.
                        to = None;
                    }
                }
                Ok(Some((Opcode::Ping, data))) => {
                    if answers.send(frame(Opcode::Pong, &data)).await.is_err() {
                        return;
                    }
                }
                Ok(Some((Opcode::Pong, _))) => {}
                Ok(Some((Opcode::Close, _))) | Err(_) => return,
            }
        }
    }
}

/// Kinds of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    /// More of the message before.
    Continuation = 0,
    /// Text.
    Text = 1,
    /// Bytes.
    Binary = 2,
    /// The end.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping.
    Pong = 10,
}

/// Why bytes are no frame of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadFrame;

/// Takes a client's next whole frame off the front; none when there is not enough yet.
///
/// # Errors
/// For frames that no client may send: unmasked ones, unknown ones, and those that are too long.
pub(crate) fn next_frame(input: &mut BytesMut) -> Result<Option<(Opcode, Vec<u8>)>, BadFrame> {
    let (&[first, second], rest) = match input.split_first_chunk::<2>() {
        Some(split) => split,
        None => return Ok(None),
    };
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(BadFrame),
    };
    if first & 0x70 != 0 || second & 0x80 == 0 {
        return Err(BadFrame);
    }
    let (length, length_bytes) = match second & 0x7f {
        126 => match rest.first_chunk::<2>() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 2),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 8),
            None => return Ok(None),
        },
        short => (u64::from(short), 0),
    };
    let is_control = matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong);
    if length > LONGEST || (is_control && (length > 125 || first & 0x80 == 0)) {
        return Err(BadFrame);
    }
    let length = usize::try_from(length).map_err(|_| BadFrame)?;
    let head = 2 + length_bytes;
    let whole = head + 4 + length;
    let (Some(mask), Some(data)) = (input.get(head..head + 4), input.get(head + 4..whole)) else {
        return Ok(None);
    };
    let data = data.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    let data = data.collect();
    input.advance(whole);
    Ok(Some((opcode, data)))
}

/// A whole frame of a server.
pub(crate) fn frame(opcode: Opcode, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode as u8];
    match (u8::try_from(data.len()), u16::try_from(data.len())) {
        (Ok(length @ 0..126), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(data);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, 1.3.
    #[test]
    fn keys_are_accepted() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    fn masked(first: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = frame(Opcode::Binary, data);
        let head = bytes.len() - data.len();
        bytes[0] = first;
        bytes[1] |= 0x80;
        let mask = [1, 2, 3, 4];
        let body: Vec<u8> = data.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
        bytes.truncate(head);
        bytes.extend_from_slice(&mask);
        bytes.extend_from_slice(&body);
        bytes
    }

    #[test]
    fn frames_are_taken_apart_in_any_pieces() {
        let long = vec![7; 70_000];
        let mut bytes = masked(0x81, b"Hello");
        bytes.extend(masked(0x82, &[1; 300]));
        bytes.extend(masked(0x82, &long));
        bytes.extend(masked(0x89, b"p"));
        for step in [1, 7, bytes.len()] {
            let mut buffer = BytesMut::new();
            let mut found = Vec::new();
            for piece in bytes.chunks(step) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = next_frame(&mut buffer).unwrap() {
                    found.push(frame);
                }
            }
            assert_eq!(found.len(), 4, "{step}");
            assert_eq!(found[0], (Opcode::Text, b"Hello".to_vec()));
            assert_eq!((found[2].1.len(), found[3].0), (70_000, Opcode::Ping));
        }
    }

    #[test]
    fn what_no_client_may_send_is_refused() {
        let case = |bytes: &[u8]| assert_eq!(next_frame(&mut BytesMut::from(bytes)), Err(BadFrame), "{bytes:?}");
        case(&[0x81, 0x05, b'H', b'e', b'l', b'l', b'o']);
        case(&[0x83, 0x80]);
        case(&[0xc1, 0x80]);
        case(&[0x09, 0x80]);
        case(&[0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0]);
    }
}
