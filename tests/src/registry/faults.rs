//! What can go wrong on purpose.

use std::time::Duration;

/// How an answer is spoilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// One byte of the body, at this offset of the whole, is another.
    WrongByte(usize),
    /// The connection closes after so many bytes of the body.
    CutAfter(usize),
    /// After so many bytes nothing comes any more, until [`super::Registry::heal`] or the client goes.
    StallAfter(usize),
    /// `Range` is ignored.
    NoRange,
    /// `Content-Range` of a partial answer is shifted by so many bytes.
    ShiftedRange(usize),
    /// The body comes in pieces of so many bytes, with a pause after each.
    Slow(usize, Duration),
    /// No content, only a status, with `Retry-After` in seconds if given.
    Status(u16, Option<u64>),
    /// A status with a body.
    Answer(u16, String),
    /// `Transfer-Encoding: chunked` in place of a length.
    Chunked,
    /// `Content-Length` says so many bytes more than there are (then the connection closes).
    LongerLength(usize),
    /// So many bytes of rubbish follow the body, and `Content-Length` counts them.
    Trailing(usize),
    /// `307` to the same path at another host, `http://host:port`.
    RedirectTo(String),
    /// A header of the answer says something else.
    Header(&'static str, String),
    /// The connection closes without an answer.
    HangUp,
    /// The connection closes when so many bytes of the request's body have come; they count.
    CutUpload(usize),
}

/// A fault and the requests it is for.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) part: String,
    pub(super) times: usize,
    pub(super) fault: Fault,
}

/// The fault for a request, `GET /path`, if there is one left.
pub(super) fn take(rules: &mut Vec<Rule>, line: &str) -> Option<Fault> {
    let rule = rules.iter_mut().find(|rule| line.contains(&rule.part))?;
    rule.times = rule.times.saturating_sub(1);
    let fault = rule.fault.clone();
    rules.retain(|rule| rule.times > 0);
    Some(fault)
}

/// After how many bytes the body of a request is cut, if it is.
pub(super) fn cut(rules: &mut Vec<Rule>, line: &str) -> Option<usize> {
    let rule = rules.iter().find(|rule| line.contains(&rule.part))?;
    let Fault::CutUpload(bytes) = rule.fault else {
        return None;
    };
    take(rules, line);
    Some(bytes)
}
