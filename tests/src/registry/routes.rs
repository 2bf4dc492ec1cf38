//! Requests to answers: the routes of the OCI distribution specification, access, and faults.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use corten_oci::digest::Digest;
use serde_json::json;

use super::faults::{self, Fault};
use super::http::{Reply, Request, read_request, write_head};
use super::{Access, State, lock, uploads};

/// Answers one connection's requests until it ends.
pub(super) fn serve(stream: &TcpStream, state: &Arc<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut is_counted = false;
    loop {
        let cut = |what: &str| faults::cut(&mut lock(&state.rules), what);
        let request = match read_request(&mut reader, cut) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) => {
                // As Go's server answers a TLS greeting.
                let mut stream = stream;
                stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nno HTTP")?;
                return Err(error);
            }
        };
        if !std::mem::replace(&mut is_counted, true) {
            state.accepted.fetch_add(1, Ordering::SeqCst);
        }
        let fault = match request.is_cut {
            true => None,
            false => faults::take(&mut lock(&state.rules), &request.line()),
        };
        let reply = answer(state, &request, fault.as_ref());
        lock(&state.requests).push(request.clone());
        if request.is_cut {
            return Ok(());
        }
        let goes_on = send(stream, state, &request, reply, fault)?;
        if !goes_on {
            return Ok(());
        }
    }
}

/// Writes an answer as the fault has it; false when the connection is to be closed.
fn send(
    mut stream: &TcpStream,
    state: &State,
    request: &Request,
    reply: Reply,
    fault: Option<Fault>,
) -> io::Result<bool> {
    let length = reply.body.len();
    if request.method == "HEAD" {
        write_head(stream, &reply, Some(length))?;
        return Ok(true);
    }
    let body = &reply.body[..];
    match fault {
        Some(Fault::HangUp) => return Ok(false),
        Some(Fault::CutAfter(bytes)) => {
            write_head(stream, &reply, Some(length))?;
            stream.write_all(&body[..bytes.min(length)])?;
            return Ok(false);
        }
        Some(Fault::StallAfter(bytes)) => {
            write_head(stream, &reply, Some(length))?;
            stream.write_all(&body[..bytes.min(length)])?;
            let before = state.healed.load(Ordering::SeqCst);
            while state.healed.load(Ordering::SeqCst) == before && !is_gone(stream) {
                thread::park_timeout(Duration::from_millis(5));
            }
            return Ok(false);
        }
        Some(Fault::Slow(piece, pause)) => {
            write_head(stream, &reply, Some(length))?;
            for piece in body.chunks(piece) {
                stream.write_all(piece)?;
                thread::park_timeout(pause);
            }
        }
        Some(Fault::Chunked) => {
            write_head(stream, &reply, None)?;
            for piece in body.chunks(10_000) {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
                stream.write_all(piece)?;
                stream.write_all(b"\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")?;
        }
        Some(Fault::LongerLength(more)) => {
            write_head(stream, &reply, Some(length + more))?;
            stream.write_all(body)?;
            return Ok(false);
        }
        Some(Fault::Trailing(more)) => {
            write_head(stream, &reply, Some(length + more))?;
            stream.write_all(body)?;
            stream.write_all(&vec![b'x'; more])?;
        }
        _ => {
            write_head(stream, &reply, Some(length))?;
            stream.write_all(body)?;
        }
    }
    Ok(true)
}

/// Whether the client has closed its end.
fn is_gone(stream: &TcpStream) -> bool {
    let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let restored = stream.set_nonblocking(false);
    matches!(peeked, Ok(0)) || restored.is_err()
}

fn answer(state: &State, request: &Request, fault: Option<&Fault>) -> Reply {
    match fault {
        Some(Fault::Status(status, retry)) => {
            let reply = Reply::new(*status, Vec::new());
            return match retry {
                Some(seconds) => reply.with("Retry-After", seconds.to_string()),
                None => reply,
            };
        }
        Some(Fault::Answer(status, body)) => return Reply::new(*status, body.clone().into_bytes()),
        Some(Fault::RedirectTo(base)) => {
            let target = format!("{base}{}", request.path);
            return Reply::new(307, Vec::new()).with("Location", target);
        }
        _ => {}
    }
    let path = request.path.split('?').next().unwrap_or_default();
    if path == "/token" {
        return token(state, request);
    }
    if let Some(refusal) = refusal(state, request, path) {
        return refusal;
    }
    let reply = match path.strip_prefix("/v2/") {
        Some("") => Reply::new(200, *b"{}"),
        Some("_catalog") => catalogue(state, request),
        Some(rest) => within_repository(state, request, rest, fault),
        None => Reply::new(404, *b"404 page not found"),
    };
    let mut reply = reply;
    if let Some(Fault::Header(name, value)) = fault {
        reply.headers.retain(|(other, _)| other != name);
        reply = reply.with(name, value.clone());
    }
    if let (Some(Fault::WrongByte(at)), false) = (fault, reply.body.is_empty()) {
        let mut bytes = reply.body.to_vec();
        let at = (*at).min(bytes.len() - 1);
        bytes[at] ^= 0x20;
        reply.body = bytes.into();
    }
    reply
}

fn within_repository(state: &State, request: &Request, rest: &str, fault: Option<&Fault>) -> Reply {
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        return tags(state, request, repository);
    }
    if let Some((repository, id)) = rest.split_once("/blobs/uploads/") {
        return uploads::answer(state, request, repository, id);
    }
    if let Some((repository, digest)) = rest.rsplit_once("/blobs/") {
        return blob(state, request, repository, digest, fault);
    }
    match rest.rsplit_once("/manifests/") {
        Some((repository, reference)) => manifest(state, request, repository, reference),
        None => Reply::new(404, *b"404 page not found"),
    }
}

fn manifest(state: &State, request: &Request, repository: &str, reference: &str) -> Reply {
    if request.method == "PUT" {
        let kind = request.header("content-type").unwrap_or_default();
        let mut content = lock(&state.content);
        let digest = content.add_manifest(repository, kind, &request.body);
        if reference.parse::<Digest>().is_err() {
            content.tag(repository, reference, &digest);
        }
        return Reply::new(201, Vec::new())
            .with("Location", format!("/v2/{repository}/manifests/{digest}"))
            .with("Docker-Content-Digest", digest.to_string());
    }
    match lock(&state.content).manifest(repository, reference) {
        Some(found) => Reply::new(200, found.bytes)
            .with("Content-Type", found.media_type)
            .with("Docker-Content-Digest", found.digest.to_string()),
        None => Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
    }
}

fn blob(state: &State, request: &Request, repository: &str, digest: &str, fault: Option<&Fault>) -> Reply {
    let found = digest
        .parse()
        .ok()
        .and_then(|digest| lock(&state.content).blob(repository, &digest));
    let Some(found) = found else {
        return Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    };
    let bytes = found.read();
    let reply = |status, body: Arc<[u8]>| {
        Reply::new(status, body)
            .with("Content-Type", "application/octet-stream")
            .with("Docker-Content-Digest", digest)
    };
    let from = request
        .header("range")
        .and_then(|range| range.strip_prefix("bytes="))
        .and_then(|range| range.strip_suffix('-'))
        .and_then(|start| start.parse::<usize>().ok());
    match from {
        Some(_) if fault == Some(&Fault::NoRange) => reply(200, bytes),
        None => reply(200, bytes),
        Some(start) if start >= bytes.len() => {
            reply(416, [].into()).with("Content-Range", format!("bytes */{}", bytes.len()))
        }
        Some(start) => {
            let shift = match fault {
                Some(Fault::ShiftedRange(by)) => *by,
                _ => 0,
            };
            let said = format!("bytes {}-{}/{}", start + shift, bytes.len() - 1, bytes.len());
            reply(206, bytes[start..].into()).with("Content-Range", said)
        }
    }
}

fn catalogue(state: &State, request: &Request) -> Reply {
    let all = lock(&state.content).repositories();
    let (page, last) = page(request, all);
    let body = json!({"repositories": page}).to_string();
    let reply = Reply::new(200, body.into_bytes()).with("Content-Type", "application/json");
    match last {
        Some((last, size)) => reply.with("Link", format!("</v2/_catalog?last={last}&n={size}>; rel=\"next\"")),
        None => reply,
    }
}

/// One page of names; the name that the next one begins after, and how many it has.
fn page(request: &Request, all: Vec<String>) -> (Vec<String>, Option<(String, usize)>) {
    let last = request.query("last").unwrap_or_default();
    let asked: usize = request.query("n").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    // Pages are small, whatever is asked for, so that tests need few names.
    let size = asked.min(3);
    let mut rest: Vec<String> = all.into_iter().filter(|name| *name > last).collect();
    let is_last = rest.len() <= size;
    rest.truncate(size);
    let next = rest.last().filter(|_| !is_last).map(|name| (name.clone(), size));
    (rest, next)
}

fn tags(state: &State, request: &Request, repository: &str) -> Reply {
    let all = lock(&state.content).tags(repository);
    if all.is_empty() {
        return Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry");
    }
    let (page, last) = page(request, all);
    let body = json!({"name": repository, "tags": page}).to_string();
    let reply = Reply::new(200, body.into_bytes()).with("Content-Type", "application/json");
    match last {
        Some((last, size)) => {
            let next = format!("</v2/{repository}/tags/list?last={last}&n={size}>; rel=\"next\"");
            reply.with("Link", next)
        }
        None => reply,
    }
}

/// The refusal of who may not ask this, if so.
fn refusal(state: &State, request: &Request, path: &str) -> Option<Reply> {
    let given = request.header("authorization").unwrap_or_default();
    let refused = Reply::error(401, "UNAUTHORIZED", "authentication required");
    match &*lock(&state.access) {
        Access::Open => None,
        Access::Basic(user, password) => {
            (given != basic(user, password)).then(|| refused.with("WWW-Authenticate", "Basic realm=\"test registry\""))
        }
        Access::Bearer(_) => {
            let repository = path.strip_prefix("/v2/").and_then(|rest| {
                ["/manifests/", "/blobs/", "/tags/"]
                    .iter()
                    .find_map(|part| rest.rsplit_once(part).map(|(name, _)| name))
            });
            let token = given.strip_prefix("Bearer ").unwrap_or_default();
            let scope = state.scope_of(token);
            let is_allowed = match (&scope, repository) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(scope), Some(name)) => allows(scope, name, action(request)),
            };
            if is_allowed {
                return None;
            }
            let here = format!("http://{}/token", request.header("host").unwrap_or_default());
            let realm = lock(&state.realm).clone().unwrap_or(here);
            let mut challenge = format!("Bearer realm=\"{realm}\",service=\"test\"");
            if let Some(name) = repository {
                challenge.push_str(&format!(",scope=\"repository:{name}:{}\"", action(request)));
            }
            if !token.is_empty() {
                let error = if scope.is_some() {
                    "insufficient_scope"
                } else {
                    "invalid_token"
                };
                challenge.push_str(&format!(",error=\"{error}\""));
            }
            Some(refused.with("WWW-Authenticate", challenge))
        }
    }
}

/// What a token must allow for a request.
fn action(request: &Request) -> &'static str {
    match request.method.as_str() {
        "GET" | "HEAD" => "pull",
        _ => "pull,push",
    }
}

/// Whether scopes, separated by spaces, allow actions in a repository.
fn allows(scopes: &str, repository: &str, actions: &str) -> bool {
    let of = |scope: &str| {
        scope
            .strip_prefix(&format!("repository:{repository}:"))
            .map(str::to_owned)
    };
    scopes.split(' ').filter_map(of).any(|granted| {
        let mut wanted = actions.split(',');
        wanted.all(|action| granted.split(',').any(|one| one == action))
    })
}

/// Whether who asks may pull from a repository, too.
pub(super) fn may_pull(state: &State, request: &Request, repository: &str) -> bool {
    if !matches!(*lock(&state.access), Access::Bearer(_)) {
        return true;
    }
    let given = request.header("authorization").unwrap_or_default();
    let token = given.strip_prefix("Bearer ").unwrap_or_default();
    state
        .scope_of(token)
        .is_some_and(|scope| allows(&scope, repository, "pull"))
}

/// The token server.
fn token(state: &State, request: &Request) -> Reply {
    let Access::Bearer(account) = lock(&state.access).clone() else {
        return Reply::new(404, *b"404 page not found");
    };
    let is_known = match &account {
        None => true,
        Some((user, _)) if request.method == "POST" => {
            request.form("grant_type").as_deref() == Some("refresh_token")
                && request.form("refresh_token") == Some(format!("identity-{user}"))
        }
        Some((user, password)) => request.header("authorization") == Some(basic(user, password).as_str()),
    };
    if !is_known {
        return Reply::new(401, *br#"{"details":"incorrect username or password"}"#);
    }
    let scope = match request.form("scope") {
        Some(scope) => scope,
        None => request.queries("scope").join(" "),
    };
    // A repository by this name is hidden from everybody: the token allows nothing.
    let granted = if scope.contains("/secret:") {
        String::new()
    } else {
        scope
    };
    let mut tokens = lock(&state.tokens);
    let token = format!("token-{}-{}", tokens.len(), request.headers.len());
    tokens.push((token.clone(), granted));
    let mut answer = json!({"token": token, "expires_in": 300});
    if let (Some((user, _)), Some("true")) = (&account, request.query("offline_token").as_deref()) {
        answer["refresh_token"] = format!("identity-{user}").into();
    }
    Reply::new(200, answer.to_string().into_bytes())
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..4 {
            match place <= group.len() {
                true => text.push(char::from(LETTERS[bits >> (18 - 6 * place) & 63])),
                false => text.push('='),
            }
        }
    }
    text
}
