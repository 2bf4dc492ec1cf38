//! The requests of a push: blobs asked for, mounted and uploaded; manifests put (OCI
//! distribution-spec 1.1, "Push").

use bytes::Bytes;
use corten_oci::digest::Digest;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode, Uri};

use super::locations::resolve;
use super::{Session, header, refuse};
use crate::endpoint::Address;
use crate::error::{Error, Result, request_failed};
use crate::transport::{Answer, Outgoing, Pieces};

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// An upload that the registry expects.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    /// Where the next request of it goes.
    location: Uri,
}

impl Session {
    /// Whether the repository has a blob.
    ///
    /// # Errors
    /// As [`Session::manifest`], but `false` for what is not there.
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let request = self.request(Method::HEAD, &format!("blobs/{digest}"))?;
        let ask = || async {
            let answer = self.authorized(&request).await?;
            match answer.status {
                StatusCode::OK => {
                    answer.excerpt(0).await;
                    Ok(true)
                }
                StatusCode::NOT_FOUND => Ok(false),
                _ => Err(refuse(answer).await),
            }
        };
        self.patiently(ask).await
    }

    /// Asks the registry to take a blob from another of its repositories. Gives the upload that it
    /// expects instead, when it does not.
    ///
    /// # Errors
    /// As [`Session::begin_upload`].
    pub(crate) async fn mount(&self, digest: &Digest, from: &str) -> Result<Option<Upload>> {
        let answer = self.post(&format!("blobs/uploads/?mount={digest}&from={from}")).await?;
        match answer.status {
            StatusCode::CREATED => {
                answer.excerpt(0).await;
                Ok(None)
            }
            _ => next(answer).await.map(Some),
        }
    }

    /// Asks for a place to upload a blob to.
    ///
    /// # Errors
    /// Unauthorized, Forbidden and so on, as the registry says.
    pub(crate) async fn begin_upload(&self) -> Result<Upload> {
        next(self.post("blobs/uploads/").await?).await
    }

    async fn post(&self, path: &str) -> Result<Answer> {
        let request = self.request(Method::POST, path)?;
        let ask = || async {
            let answer = self.authorized(&request).await?;
            match answer.status {
                StatusCode::ACCEPTED | StatusCode::CREATED => Ok(answer),
                _ => Err(refuse(answer).await),
            }
        };
        self.patiently(ask).await
    }

    /// Sends bytes as they come; gives where the upload goes on.
    ///
    /// # Errors
    /// As the registry says; the upload cannot be gone on with then.
    pub(crate) async fn send_pieces(&self, upload: &Upload, pieces: Pieces) -> Result<Upload> {
        let mut request = self.at(Method::PATCH, upload.location.clone());
        request.headers.insert(CONTENT_TYPE, OCTETS);
        let request = match self.is_own(&request.url) {
            true => self.with_authorization(&request).await?,
            false => request,
        };
        next(self.shared.transport.send_stream(&request, pieces).await?).await
    }

    /// Says that all bytes are there, and which digest they have.
    ///
    /// # Errors
    /// As the registry says, which compares the digest.
    pub(crate) async fn finish_upload(&self, upload: &Upload, digest: &Digest) -> Result<()> {
        self.put_at(upload, digest, Bytes::new()).await
    }

    /// Uploads a small blob in one piece.
    ///
    /// # Errors
    /// As the registry says.
    pub(crate) async fn put_blob(&self, digest: &Digest, bytes: Bytes) -> Result<()> {
        let upload = self.begin_upload().await?;
        self.put_at(&upload, digest, bytes).await
    }

    async fn put_at(&self, upload: &Upload, digest: &Digest, bytes: Bytes) -> Result<()> {
        let path = upload.location.path_and_query().map_or("/", |path| path.as_str());
        let joint = if path.contains('?') { '&' } else { '?' };
        let url = resolve(&upload.location, &format!("{path}{joint}digest={digest}"))
            .ok_or_else(|| Error::invalid(format!("invalid upload location {}", upload.location)))?;
        let mut request = self.at(Method::PUT, url);
        request.headers.insert(CONTENT_TYPE, OCTETS);
        request.body = bytes;
        self.put(&request).await
    }

    /// Puts a manifest under a tag or digest.
    ///
    /// # Errors
    /// As the registry says.
    pub(crate) async fn put_manifest(&self, tag_or_digest: &str, media_type: &str, bytes: Bytes) -> Result<()> {
        let mut request = self.request(Method::PUT, &format!("manifests/{tag_or_digest}"))?;
        let media_type = HeaderValue::from_str(media_type)
            .map_err(|_| Error::invalid(format!("{media_type:?} cannot stand in an HTTP header")))?;
        request.headers.insert(CONTENT_TYPE, media_type);
        request.body = bytes;
        self.patiently(|| self.put(&request)).await
    }

    async fn put(&self, request: &Outgoing) -> Result<()> {
        let answer = match self.is_own(&request.url) {
            true => self.authorized(request).await?,
            false => self.follow(request.clone()).await?,
        };
        match answer.status {
            StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT => {
                answer.excerpt(0).await;
                Ok(())
            }
            _ => Err(refuse(answer).await),
        }
    }

    fn at(&self, method: Method, url: Uri) -> Outgoing {
        Outgoing {
            method,
            ..Outgoing::get(url, self.endpoint.verification)
        }
    }

    /// Whether a place is the registry itself, which alone gets credentials.
    fn is_own(&self, url: &Uri) -> bool {
        Address::of(url).as_ref() == Some(&self.endpoint.address)
    }
}

/// The upload that an answer leads to.
async fn next(answer: Answer) -> Result<Upload> {
    if answer.status != StatusCode::ACCEPTED {
        return Err(refuse(answer).await);
    }
    let location = resolve(&answer.request.url, header(&answer.headers, LOCATION.as_str()));
    let request = answer.request.clone();
    answer.excerpt(0).await;
    match location.filter(|location| Address::of(location).is_some()) {
        Some(location) => Ok(Upload { location }),
        None => Err(request_failed(
            &request.method,
            &request.url.to_string(),
            "the registry names no place for the upload",
        )),
    }
}
