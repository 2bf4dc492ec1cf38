//! A connection whose answer is read although the request cannot be sent to its end.
//!
//! An engine that refuses an archive answers while it is still being sent, and closes. Whoever stops at the failed
//! write then says "broken pipe"; what the engine had to say waits to be read.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes in both directions. Once the other side takes no more, what is written is dropped, and reading tells how it
/// ends: with an answer, or without one.
#[derive(Debug)]
pub(crate) struct Listening<S> {
    stream: S,
    /// Whether the other side takes nothing any more.
    is_deaf: bool,
}

impl<S> Listening<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, is_deaf: false }
    }

    /// What a write has come to, where a broken connection is none of its business.
    fn forgive<T>(&mut self, result: Poll<io::Result<T>>, instead: T) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Err(error)) if is_broken(&error) => {
                self.is_deaf = true;
                Poll::Ready(Ok(instead))
            }
            other => other,
        }
    }
}

fn is_broken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for Listening<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listening<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_deaf {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.forgive(written, buf.len())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_deaf {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.forgive(flushed, ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_deaf {
            return Poll::Ready(Ok(()));
        }
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.forgive(shut, ())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn an_answer_that_came_before_all_was_sent_is_read() {
        let (near, mut far) = tokio::net::UnixStream::pair().unwrap();
        let mut near = Listening::new(near);
        near.write_all(b"half").await.unwrap();
        far.write_all(b"no").await.unwrap();
        drop(far);
        for _ in 0..3 {
            near.write_all(&[0; 100_000]).await.unwrap();
            near.flush().await.unwrap();
        }
        let mut answer = [0; 2];
        near.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"no");
        near.shutdown().await.unwrap();
    }
}
