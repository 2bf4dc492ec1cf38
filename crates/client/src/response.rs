//! An answer: read whole, as a stream of bytes, or as a stream of JSON messages.

use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use crate::{Client, Error, Result, connection::Sender};

/// An answer whose head is there.
pub(crate) struct Response<'a> {
    client: &'a Client,
    sender: Sender,
    answer: hyper::Response<Incoming>,
    route: String,
}

impl<'a> Response<'a> {
    pub(crate) fn new(client: &'a Client, sender: Sender, answer: hyper::Response<Incoming>, route: String) -> Self {
        Self {
            client,
            sender,
            answer,
            route,
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.answer.status().as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.answer.headers().get(name)?.to_str().ok()
    }

    /// The whole body; the connection is kept for the next call.
    pub(crate) async fn bytes(self) -> Result<Bytes> {
        let body = self.answer.into_body().collect().await.map_err(Error::transport)?;
        self.client.keep(self.sender);
        Ok(body.to_bytes())
    }

    /// The whole body as a document.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T> {
        let route = self.route.clone();
        let bytes = self.bytes().await?;
        corten_api::decode(&bytes).map_err(|e| Error::shape(&route, e))
    }

    /// Reads the body only to its end.
    pub(crate) async fn done(self) -> Result<()> {
        self.bytes().await.map(drop)
    }

    /// The body as it comes.
    pub(crate) fn stream(self) -> ByteStream {
        ByteStream {
            body: self.answer.into_body(),
            _sender: self.sender,
        }
    }

    /// The body as messages.
    pub(crate) fn messages<T>(self) -> Messages<T> {
        let route = self.route.clone();
        Messages {
            stream: self.stream(),
            buffer: BytesMut::new(),
            route,
            kind: PhantomData,
        }
    }

    /// The engine's refusal.
    pub(crate) async fn into_error(self) -> Error {
        let (status, route) = (self.status(), self.route.clone());
        match self.bytes().await {
            Ok(body) => Error::answer(status, &body, &route),
            Err(error) => error,
        }
    }
}

/// A body as it comes. Dropping it ends the connection.
#[derive(Debug)]
pub struct ByteStream {
    body: Incoming,
    _sender: Sender,
}

impl ByteStream {
    /// The next piece; none at the end.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(Error::transport)?;
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// A body of JSON documents, one after the other.
#[derive(Debug)]
pub struct Messages<T> {
    stream: ByteStream,
    buffer: BytesMut,
    route: String,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Messages<T> {
    /// The next message and its text; none at the end.
    ///
    /// # Errors
    /// When the connection breaks, or bytes are no such document.
    pub async fn next_with_text(&mut self) -> Result<Option<(T, Bytes)>> {
        loop {
            if let Some(text) = self.take()? {
                let message = corten_api::decode(&text).map_err(|e| Error::shape(&self.route, e))?;
                return Ok(Some((message, text)));
            }
            match self.stream.next().await? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None if self.buffer.iter().all(u8::is_ascii_whitespace) => return Ok(None),
                None => return Err(Error::shape(&self.route, "unexpected EOF")),
            }
        }
    }

    /// The next message; none at the end.
    ///
    /// # Errors
    /// As [`Self::next_with_text`].
    pub async fn next(&mut self) -> Result<Option<T>> {
        Ok(self.next_with_text().await?.map(|(message, _)| message))
    }

    /// Takes a complete document off the buffer.
    fn take(&mut self) -> Result<Option<Bytes>> {
        let mut documents = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<serde::de::IgnoredAny>();
        match documents.next() {
            None => Ok(None),
            Some(Err(error)) if error.is_eof() => Ok(None),
            Some(Err(error)) => Err(Error::shape(&self.route, error)),
            Some(Ok(_)) => {
                let end = documents.byte_offset();
                Ok(Some(self.buffer.split_to(end).freeze()))
            }
        }
    }
}
