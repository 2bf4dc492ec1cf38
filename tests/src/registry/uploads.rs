//! Uploads: begun, gone on with, asked about, ended, or replaced by a mount.

use corten_oci::digest::Digest;

use super::http::{Reply, Request};
use super::routes::may_pull;
use super::{State, lock};

/// Where a part of an upload says that it belongs.
fn start(request: &Request) -> Option<usize> {
    let (start, _) = request.header("content-range")?.split_once('-')?;
    start.parse().ok()
}

pub(super) fn answer(state: &State, request: &Request, repository: &str, id: &str) -> Reply {
    let mut content = lock(&state.content);
    let digest: Option<Digest> = request.query("digest").and_then(|d| d.parse().ok());
    let at = |id: &str| format!("/v2/{repository}/blobs/uploads/{id}");
    let created = |digest: &Digest| {
        Reply::new(201, Vec::new())
            .with("Location", format!("/v2/{repository}/blobs/{digest}"))
            .with("Docker-Content-Digest", digest.to_string())
    };
    let going_on = |status, id: &str, length: usize| {
        Reply::new(status, Vec::new())
            .with("Location", at(id))
            .with("Range", format!("0-{}", length.saturating_sub(1)))
    };
    let unknown = || Reply::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    let mismatch = || Reply::error(400, "DIGEST_INVALID", "provided digest did not match content");
    match request.method.as_str() {
        "POST" => {
            let mount = request.query("mount").and_then(|d| d.parse::<Digest>().ok());
            if let (Some(mount), Some(from)) = (mount, request.query("from"))
                && may_pull(state, request, &from)
                && content.mount(repository, &from, &mount)
            {
                return created(&mount);
            }
            let id = content.begin_upload();
            let Some(digest) = digest else {
                return Reply::new(202, Vec::new())
                    .with("Location", at(&id))
                    .with("Docker-Upload-UUID", id)
                    .with("Range", "0-0");
            };
            content.append(&id, &request.body);
            match content.finish_upload(repository, &id, &digest) {
                true => created(&digest),
                false => mismatch(),
            }
        }
        "GET" => match content.append(id, &[]) {
            Some(length) => going_on(204, id, length),
            None => unknown(),
        },
        "PATCH" => match content.append(id, &[]) {
            Some(length) if start(request).is_some_and(|start| start != length) => going_on(416, id, length),
            Some(length) => {
                content.append(id, &request.body);
                going_on(202, id, length + request.body.len())
            }
            None => unknown(),
        },
        "PUT" => {
            content.append(id, &request.body);
            match digest {
                Some(digest) if content.finish_upload(repository, id, &digest) => created(&digest),
                _ => mismatch(),
            }
        }
        _ => Reply::error(405, "UNSUPPORTED", "The operation is unsupported."),
    }
}
