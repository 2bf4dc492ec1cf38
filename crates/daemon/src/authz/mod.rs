//! Authorization plugins: programs that see each request, and its answer, and may refuse it
//! (Docker's `--authorization-plugin`).
//!
//! ```text
//!   request ─► AuthZPlugin.AuthZReq of each ─► route ─► AuthZPlugin.AuthZRes of each ─► client
//! ```
//!
//! What a route takes orders from, the plugins have seen, byte by byte: a JSON body is read whole
//! before they are asked, and the route gets those very bytes. A body that is no JSON (an archive,
//! a program's input) is not shown; a route that expects JSON then refuses it.

mod certificate;
mod message;
mod plugin;

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};

use self::message::Message;
pub(crate) use self::{
    certificate::common_name,
    plugin::{Places, Plugin},
};
use crate::{
    body::{self, Answer, JSON_LIMIT},
    error::{ApiError, ApiResult},
    request::RequestBody,
};

/// Who is at the other end of a connection.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// The certificates that it has shown, in DER.
    pub(crate) certificates: Vec<Vec<u8>>,
}

/// The plugins in use.
#[derive(Debug)]
pub(crate) struct Authorization {
    places: Places,
    /// Replaced as a whole by a reload.
    plugins: RwLock<Arc<[Plugin]>>,
}

/// One request on its way past the plugins.
#[derive(Debug)]
pub(crate) struct Passage {
    plugins: Arc<[Plugin]>,
    message: Message,
}

impl Authorization {
    /// No plugins yet; they are looked for there.
    pub(crate) fn new(places: Places) -> Self {
        Self {
            places,
            plugins: RwLock::new(Arc::from([])),
        }
    }

    /// Uses these plugins from now on, in this order.
    ///
    /// # Errors
    /// A sentence about one that is not there, or is no authorization plugin.
    pub(crate) async fn set(&self, names: &[String]) -> Result<(), String> {
        let mut plugins: Vec<Plugin> = Vec::new();
        for name in names {
            if !plugins.iter().any(|plugin| plugin.name() == name) {
                plugins.push(Plugin::find(name, &self.places).await?);
            }
        }
        *self.plugins.write().unwrap_or_else(PoisonError::into_inner) = plugins.into();
        Ok(())
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.present().iter().map(|plugin| plugin.name().to_owned()).collect()
    }

    fn present(&self) -> Arc<[Plugin]> {
        Arc::clone(&self.plugins.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows a request to the plugins; the passage is none when there are none.
    ///
    /// # Errors
    /// 403 when one refuses, 500 when one cannot be asked, 413 when the body is too long to be shown.
    pub(crate) async fn enter(
        &self,
        peer: &Peer,
        parts: &Parts,
        body: Incoming,
    ) -> ApiResult<(RequestBody, Option<Passage>)> {
        let plugins = self.present();
        if plugins.is_empty() {
            return Ok((body.into(), None));
        }
        let mut message = Message::of_request(peer, parts);
        let body = if is_shown(&parts.headers, &body) {
            let bytes = whole(body).await?;
            if !parts.uri.path().ends_with("/auth") {
                message.request_body.clone_from(&bytes);
            }
            RequestBody::read(bytes)
        } else {
            RequestBody::unseen(body)
        };
        for plugin in plugins.iter() {
            plugin.ask("AuthZPlugin.AuthZReq", &message).await?;
        }
        Ok((body, Some(Passage { plugins, message })))
    }
}

impl Passage {
    /// Shows the answer to the plugins.
    ///
    /// # Errors
    /// 403 when one refuses, 500 when one cannot be asked.
    pub(crate) async fn leave(mut self, answer: Answer) -> ApiResult<Answer> {
        let (parts, body) = answer.into_parts();
        self.message.add_answer(parts.status, &parts.headers);
        // One that is made bit by bit goes out as it is made.
        let is_whole = body.size_hint().exact().is_some() && is_json(&parts.headers);
        let body = if is_whole {
            let bytes = match body.collect().await {
                Ok(collected) => collected.to_bytes(),
                Err(error) => return Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
            };
            self.message.response_body.clone_from(&bytes);
            body::full(bytes)
        } else {
            body
        };
        for plugin in self.plugins.iter() {
            plugin.ask("AuthZPlugin.AuthZRes", &self.message).await?;
        }
        Ok(Answer::from_parts(parts, body))
    }
}

/// Whether a request's body is shown: JSON, or short and of no type, which a route would read as JSON.
fn is_shown(headers: &HeaderMap, body: &Incoming) -> bool {
    if headers.contains_key(header::CONTENT_TYPE) {
        return is_json(headers);
    }
    let limit = u64::try_from(JSON_LIMIT).unwrap_or(u64::MAX);
    body.size_hint().exact().is_some_and(|size| size <= limit)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

async fn whole(body: Incoming) -> ApiResult<Bytes> {
    match Limited::new(body, JSON_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {JSON_LIMIT} bytes"),
        )),
        Err(error) => Err(ApiError::invalid(format!("the body cannot be read: {error}"))),
    }
}
