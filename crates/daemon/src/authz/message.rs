//! What a plugin is told (moby `pkg/authorization/api.go`).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, request::Parts};
use serde::{Serialize, Serializer};

use super::{Peer, common_name};

/// A request, and its answer once there is one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Message {
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(rename = "UserAuthNMethod", skip_serializing_if = "str::is_empty")]
    method_of_authentication: &'static str,
    request_method: String,
    request_uri: String,
    #[serde(skip_serializing_if = "Bytes::is_empty", serialize_with = "base64")]
    pub(super) request_body: Bytes,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    request_headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    request_peer_certificates: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    response_status_code: u16,
    #[serde(skip_serializing_if = "Bytes::is_empty", serialize_with = "base64")]
    pub(super) response_body: Bytes,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    response_headers: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u16) -> bool {
    *number == 0
}

fn base64<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

impl Message {
    /// A request without its body.
    pub(super) fn of_request(peer: &Peer, parts: &Parts) -> Self {
        let user = peer
            .certificates
            .first()
            .and_then(|certificate| common_name(certificate));
        Self {
            method_of_authentication: if peer.certificates.is_empty() { "" } else { "TLS" },
            user: user.unwrap_or_default(),
            request_method: parts.method.to_string(),
            request_uri: parts
                .uri
                .path_and_query()
                .map_or_else(|| parts.uri.path().to_owned(), ToString::to_string),
            request_body: Bytes::new(),
            request_headers: shown(&parts.headers),
            request_peer_certificates: peer.certificates.iter().map(|der| STANDARD.encode(pem(der))).collect(),
            response_status_code: 0,
            response_body: Bytes::new(),
            response_headers: BTreeMap::new(),
        }
    }

    /// Adds the head of the answer.
    pub(super) fn add_answer(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.response_status_code = status.as_u16();
        self.response_headers = shown(headers);
    }
}

/// Headers by the names that Go gives them, without the secrets among them.
fn shown(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "authorization" | "x-registry-auth" | "x-registry-config" | "host"
            )
        })
        .map(|(name, value)| {
            (
                canonical(name.as_str()),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect()
}

/// `content-type` as `Content-Type`.
fn canonical(name: &str) -> String {
    let mut upper = true;
    name.chars()
        .map(|c| {
            let shown = if upper { c.to_ascii_uppercase() } else { c };
            upper = c == '-';
            shown
        })
        .collect()
}

/// A certificate as a PEM file (RFC 7468).
fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_docker_tells_and_no_secrets() {
        let request = http::Request::post("/v1.51/containers/create?name=a%2Fb")
            .header("content-type", "application/json")
            .header("x-registry-auth", "secret")
            .body(())
            .unwrap();
        let mut message = Message::of_request(&Peer::default(), &request.into_parts().0);
        message.request_body = Bytes::from_static(b"{}");
        assert_eq!(
            serde_json::to_value(&message).unwrap(),
            serde_json::json!({
                "RequestMethod": "POST",
                "RequestUri": "/v1.51/containers/create?name=a%2Fb",
                "RequestBody": "e30=",
                "RequestHeaders": {"Content-Type": "application/json"},
            })
        );
        message.add_answer(StatusCode::CREATED, &HeaderMap::new());
        assert_eq!(serde_json::to_value(&message).unwrap()["ResponseStatusCode"], 201);
    }

    #[test]
    fn certificates_have_lines_of_64() {
        let text = pem(&[7; 100]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines.len(), lines[1].len()), (5, 64));
    }
}
