//! The requests of a push: blobs asked for, mounted and uploaded; manifests put (OCI
//! distribution-spec 1.1, "Push").

use bytes::Bytes;
use corten_oci::digest::Digest;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
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

    /// How long a blob is, where the registry has it.
    ///
    /// # Errors
    /// As [`Session::has_blob`].
    pub(crate) async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let request = self.request(Method::HEAD, &format!("blobs/{digest}"))?;
        let ask = || async {
            let answer = self.authorized(&request).await?;
            match answer.status {
                StatusCode::OK => {
                    let size = header(&answer.headers, "content-length").parse().ok();
                    answer.excerpt(0).await;
                    Ok(size)
                }
                StatusCode::NOT_FOUND => Ok(None),
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
        self.ask_for(format!("repository:{from}:pull"));
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
    /// As the registry says. [`Self::received`] tells from where to go on when the connection broke.
    pub(crate) async fn send_pieces(&self, upload: &Upload, pieces: Pieces) -> Result<Upload> {
        let mut request = self.at(Method::PATCH, upload.location.clone());
        request.headers.insert(CONTENT_TYPE, OCTETS);
        let request = self.with_own_authorization(request).await?;
        next(self.shared.transport.send_stream(&request, pieces).await?).await
    }

    async fn with_own_authorization(&self, request: Outgoing) -> Result<Outgoing> {
        match self.is_own(&request.url) {
            true => self.with_authorization(&request).await,
            false => Ok(request),
        }
    }

    /// Sends the bytes from `at` on, as one part of an upload; gives where it goes on.
    ///
    /// # Errors
    /// As [`Self::send_pieces`].
    pub(crate) async fn send_part(&self, upload: &Upload, at: u64, bytes: Bytes) -> Result<Upload> {
        let last = u64::try_from(bytes.len()).map_or(at, |length| (at + length).saturating_sub(1));
        let range = HeaderValue::try_from(format!("{at}-{last}"))
            .map_err(|_| Error::invalid("a range that cannot stand in an HTTP header"))?;
        let mut request = self.at(Method::PATCH, upload.location.clone());
        request.headers.insert(CONTENT_TYPE, OCTETS);
        request.headers.insert(CONTENT_RANGE, range);
        request.body = bytes;
        let request = self.with_own_authorization(request).await?;
        // Not every registry looks at where a part belongs: one that came twice would spoil the blob.
        next(self.shared.transport.send_once(&request).await?).await
    }

    /// Asks how many bytes of an upload the registry has.
    ///
    /// # Errors
    /// As the registry says, NotFound for an upload that it has given up; Invalid when it does not say how many.
    pub(crate) async fn received(&self, upload: &Upload) -> Result<(Upload, u64)> {
        let request = self.at(Method::GET, upload.location.clone());
        let ask = || async {
            let answer = self.wherever(&request).await?;
            match answer.status {
                StatusCode::NO_CONTENT | StatusCode::OK | StatusCode::ACCEPTED => Ok(answer),
                _ => Err(refuse(answer).await),
            }
        };
        let answer = self.patiently(ask).await?;
        let received = bytes_of(header(&answer.headers, RANGE.as_str()))
            .ok_or_else(|| Error::invalid("the registry does not say how much of an upload it has"))?;
        // Not every registry repeats it here.
        let location = resolve(&request.url, header(&answer.headers, LOCATION.as_str()))
            .filter(|location| location.path() != "/" && Address::of(location).is_some())
            .filter(|_| answer.headers.contains_key(LOCATION))
            .unwrap_or_else(|| upload.location.clone());
        answer.excerpt(0).await;
        Ok((Upload { location }, received))
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
        let answer = self.wherever(request).await?;
        match answer.status {
            StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT => {
                answer.excerpt(0).await;
                Ok(())
            }
            _ => Err(refuse(answer).await),
        }
    }

    /// Sends a request to where the registry said: with authorisation only if that is the registry itself.
    async fn wherever(&self, request: &Outgoing) -> Result<Answer> {
        match self.is_own(&request.url) {
            true => self.authorized(request).await,
            false => self.follow(request.clone()).await,
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

/// The bytes that the header `Range: 0-<last>` of an upload counts; `0-0` says that there are none (OCI
/// distribution-spec 1.1, "Pushing a blob in chunks").
fn bytes_of(range: &str) -> Option<u64> {
    let last: u64 = range.trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_uploads_are_read() {
        for (range, expected) in [
            ("0-0", Some(0)),
            ("0-1023", Some(1024)),
            ("bytes=0-9", Some(10)),
            ("5-9", None),
            ("", None),
            ("0-x", None),
        ] {
            assert_eq!(bytes_of(range), expected, "{range}");
        }
    }
}
