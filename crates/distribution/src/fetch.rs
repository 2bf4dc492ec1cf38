//! Fetches a blob's bytes in order, over as many connections as it takes.
//!
//! What broke off is continued with a range; a registry that knows no ranges is read from the start and
//! what was had before is skipped. Attempts are counted while nothing comes; every good stretch starts
//! the count anew.

use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use corten_oci::image::Descriptor;
use http::StatusCode;
use tokio::sync::mpsc;

use crate::client::Session;
use crate::endpoint::Config;
use crate::error::{Error, Kind, Result};
use crate::progress::Step;
use crate::transport::Answer;

/// Bytes that make a stretch a good one.
const GOOD_STRETCH: u64 = 64 << 10;
/// Time between two reports of a download.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// What travels to who takes the bytes.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The next bytes.
    Data(Bytes),
    /// That was all.
    End,
    /// The bytes so far are not what they should be.
    Discard,
}

/// A blob to be fetched and where its bytes go.
pub(crate) struct Fetch<'a, R> {
    pub(crate) session: &'a Session,
    pub(crate) config: &'a Config,
    pub(crate) blob: &'a Descriptor,
    /// Closed by its receiver when the bytes are not wanted any more.
    pub(crate) sink: &'a mpsc::Sender<Piece>,
    pub(crate) report: R,
}

impl<R: Fn(Step)> Fetch<'_, R> {
    /// Fetches all bytes from `at` on.
    ///
    /// # Errors
    /// Invalid, when the registry has other content than the descriptor says; Unavailable, when the
    /// attempts are used up; Cancelled, when the receiver is gone; else as the registry says.
    pub(crate) async fn run(&self, mut at: u64) -> Result<()> {
        let mut pause = self.config.retry_pause;
        let mut attempts = 0;
        while at < self.blob.size {
            let before = at;
            let Err(error) = self.stretch(&mut at).await else {
                continue;
            };
            if !error.is_passing() {
                return Err(error);
            }
            if at - before >= GOOD_STRETCH {
                (attempts, pause) = (0, self.config.retry_pause);
            }
            attempts += 1;
            if attempts >= self.config.max_download_attempts {
                return Err(error);
            }
            let wait = error.asked_pause().unwrap_or(pause);
            tracing::debug!(blob = %self.blob.digest, at, %error, "transfer broke off");
            if let seconds @ 1.. = wait.as_secs() {
                (self.report)(Step::Retrying { seconds });
            }
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
        Ok(())
    }

    /// One answer's worth of bytes.
    async fn stretch(&self, at: &mut u64) -> Result<()> {
        let Descriptor { digest, size, .. } = self.blob;
        let mut answer = self.session.blob(digest, *at).await?;
        let mut skip = self.bytes_before(&answer, *at)?;
        let mut reported: Option<Instant> = None;
        while let Some(mut chunk) = answer.chunk().await? {
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            chunk.advance(known);
            skip -= u64::try_from(known).unwrap_or(skip);
            if chunk.is_empty() {
                continue;
            }
            let end = u64::try_from(chunk.len()).map_or(u64::MAX, |length| *at + length);
            if end > *size {
                return Err(self.unlike("is longer than"));
            }
            self.sink
                .send(Piece::Data(chunk))
                .await
                .map_err(|_| Error::new(Kind::Cancelled, "nobody takes the bytes"))?;
            *at = end;
            if reported.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
                reported = Some(Instant::now());
                let (current, total) = (*at, *size);
                (self.report)(Step::Downloading { current, total });
            }
        }
        if *at < *size {
            let why = format!("blob {digest} ended after {at} of {size} bytes: unexpected EOF");
            return Err(Error::new(Kind::Unavailable, why));
        }
        Ok(())
    }

    /// How many bytes of the answer are known already; refuses an answer that is not about what was
    /// asked for.
    fn bytes_before(&self, answer: &Answer, at: u64) -> Result<u64> {
        let size = self.blob.size;
        match answer.status {
            StatusCode::OK => match answer.length() {
                Some(length) if length != size => Err(self.unlike("has another length than")),
                _ => Ok(at),
            },
            StatusCode::PARTIAL_CONTENT => {
                let range = answer.headers.get(http::header::CONTENT_RANGE);
                match range.and_then(|value| value.to_str().ok()).and_then(parse_range) {
                    Some((start, total)) if start == at && total.is_none_or(|t| t == size) => Ok(0),
                    _ => Err(self.unlike("came in another range than asked for; it is not")),
                }
            }
            _ => Err(self.unlike("is shorter than")),
        }
    }

    fn unlike(&self, how: &str) -> Error {
        let Descriptor { digest, size, .. } = self.blob;
        Error::invalid(format!(
            "blob {digest} at registry {} {how} the {size} bytes that the manifest says",
            self.session.registry()
        ))
    }
}

/// Start and, if known, whole length of `bytes 5-9/10` (RFC 9110 §14.4).
pub(crate) fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some((start.parse().ok()?, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (text, expected) in [
            ("bytes 5-9/10", Some((5, Some(10)))),
            ("bytes 0-0/*", Some((0, None))),
            ("bytes */10", None),
            ("items 5-9/10", None),
            ("bytes 5/10", None),
            ("bytes 5-9/x", None),
        ] {
            assert_eq!(parse_range(text), expected, "{text}");
        }
    }
}
