//! Messages in a stream of HTTP/2.

use std::future::poll_fn;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use prost::Message;

use super::{Code, Result, Status};

/// The bytes before a message.
const HEAD: usize = 5;
/// The longest message that is taken.
const LONGEST: usize = 16 << 20;

/// A message with its head.
pub(crate) fn frame<M: Message>(message: &M) -> Result<Bytes> {
    let length = message.encoded_len();
    let declared = u32::try_from(length).map_err(|_| Status::invalid("a message is too long"))?;
    let mut bytes = BytesMut::with_capacity(HEAD + length);
    bytes.put_u8(0);
    bytes.put_u32(declared);
    message
        .encode(&mut bytes)
        .map_err(|error| Status::new(Code::Internal, error.to_string()))?;
    Ok(bytes.freeze())
}

/// Sends bytes as the other side takes them.
pub(crate) async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<()> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let capacity = poll_fn(|context| stream.poll_capacity(context)).await;
        let capacity = capacity.ok_or_else(|| Status::new(Code::Cancelled, "the stream was closed"))??;
        let piece = bytes.split_to(capacity.min(bytes.len()));
        stream.send_data(piece, false)?;
    }
    Ok(())
}

/// The messages of one direction.
#[derive(Debug)]
pub(crate) struct Receiver {
    stream: RecvStream,
    buffer: BytesMut,
    ended: bool,
}

impl Receiver {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            ended: false,
        }
    }

    /// The next message; none at the end.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>> {
        match self.bytes().await? {
            Some(bytes) => Ok(Some(M::decode(bytes)?)),
            None => Ok(None),
        }
    }

    /// The only message of a call that has one.
    pub(crate) async fn only<M: Message + Default>(&mut self) -> Result<M> {
        let message = self.next().await?;
        message.ok_or_else(|| Status::new(Code::Internal, "the message is missing"))
    }

    async fn bytes(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(message) = cut(&mut self.buffer)? {
                return Ok(Some(message));
            }
            if self.ended {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(Status::new(Code::Internal, "a message is cut short")),
                };
            }
            match self.stream.data().await {
                Some(piece) => {
                    let piece = piece?;
                    self.stream.flow_control().release_capacity(piece.len())?;
                    self.buffer.extend_from_slice(&piece);
                }
                None => self.ended = true,
            }
        }
    }

    /// What follows the messages.
    pub(super) async fn trailers(&mut self) -> Result<HeaderMap> {
        Ok(self.stream.trailers().await?.unwrap_or_default())
    }
}

/// Takes a whole message off the front.
fn cut(buffer: &mut BytesMut) -> Result<Option<Bytes>> {
    let Some(head) = buffer.get(..HEAD) else {
        return Ok(None);
    };
    if head[0] != 0 {
        return Err(Status::unimplemented("compressed messages are not supported"));
    }
    let length = (&head[1..]).get_u32() as usize;
    if length > LONGEST {
        return Err(Status::invalid(format!("a message of {length} bytes is too long")));
    }
    if buffer.len() < HEAD + length {
        buffer.reserve(HEAD + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(HEAD);
    Ok(Some(buffer.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::parts::Any;

    #[test]
    fn messages_may_come_in_pieces() {
        let any = Any {
            type_url: "x".into(),
            value: vec![7; 300],
        };
        let framed = frame(&any).unwrap();
        let mut buffer = BytesMut::new();
        for byte in &framed[..framed.len() - 1] {
            buffer.put_u8(*byte);
            assert_eq!(cut(&mut buffer).unwrap(), None);
        }
        buffer.put_u8(framed[framed.len() - 1]);
        buffer.extend_from_slice(&framed[..3]);
        let message = cut(&mut buffer).unwrap().unwrap();
        assert_eq!(Any::decode(message).unwrap(), any);
        assert_eq!((cut(&mut buffer).unwrap(), buffer.len()), (None, 3));
    }

    #[test]
    fn what_is_too_long_or_compressed_is_refused() {
        for bytes in [&[1, 0, 0, 0, 1, 0][..], &[0, 255, 0, 0, 0][..]] {
            assert!(cut(&mut BytesMut::from(bytes)).is_err());
        }
    }
}
