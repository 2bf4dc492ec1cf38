//! gRPC over HTTP/2, as much of it as BuildKit's protocol needs: unary calls and streams both ways, without
//! compression (grpc.io, "gRPC over HTTP2").
//!
//! A message goes as a byte that says it is not compressed, four bytes of length, and the protobuf; a call
//! ends with trailers that hold its status.

pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod server;
mod status;

pub(crate) use client::Channel;
pub(crate) use frames::Receiver;
pub(crate) use server::{Answer, Request, Service};
pub(crate) use status::{Code, Status};

/// What the functions here give.
pub(crate) type Result<T, E = Status> = std::result::Result<T, E>;

/// The media type of requests and answers.
const MEDIA_TYPE: &str = "application/grpc";

/// Bytes on the way to us that nobody has read yet: of one stream, and of a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Bytes that `h2` may spend on frames nobody has read yet, besides what is in them. A folder's list is many small
/// messages: the default would end the connection in the middle of a large one.
const SMALL_FRAMES: usize = 64 << 20;

/// Streams at once on a connection.
const STREAMS: u32 = 250;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;

    use super::*;
    use crate::proto::parts::{Any, Nothing};

    /// Says a lot of little things, or fails.
    struct Talker(watch::Sender<usize>);

    impl Service for Talker {
        async fn call(self: Arc<Self>, mut request: Request, answer: Answer) -> Result<()> {
            let _: Nothing = request.messages.only().await?;
            if request.method != "/t.T/Talk" {
                return Err(Status::not_found(format!("no {}", request.method)));
            }
            for number in 0..20_000 {
                let message = Any {
                    type_url: number.to_string(),
                    value: Vec::new(),
                };
                answer.send(&message).await?;
                self.0.send_replace(number);
            }
            Ok(())
        }
    }

    #[tokio::test]
    async fn many_small_messages_may_wait_to_be_read() {
        let (near, far) = tokio::io::duplex(64 << 10);
        let (said, mut heard) = watch::channel(0);
        tokio::spawn(server::serve(far, Arc::new(Talker(said))));
        let (channel, connection) = Channel::open(near).await.unwrap();
        tokio::spawn(connection);
        let mut call = channel.start("/t.T/Talk", &[]).await.unwrap();
        call.out.send(&Nothing {}).await.unwrap();
        call.out.end();
        heard.wait_for(|said| *said > 15_000).await.unwrap();
        let mut count = 0;
        while call.incoming.next::<Any>().await.unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, 20_000);
        let failed = channel.unary::<_, Nothing>("/t.T/Other", &Nothing {}).await;
        assert_eq!(failed, Err(Status::not_found("no /t.T/Other")));
    }
}
