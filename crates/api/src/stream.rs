//! Docker's framing of two output streams on one connection
//! (Docker API, `POST /containers/{id}/attach`, "Stream format").

/// Which stream a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard input (never sent by an engine).
    Stdin = 0,
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
    /// An error of the engine itself, as text.
    System = 3,
}

/// The length of a frame's header in bytes.
pub const HEADER: usize = 8;

/// The header of a frame with `length` bytes of payload.
pub fn header(stream: Stream, length: u32) -> [u8; HEADER] {
    let [a, b, c, d] = length.to_be_bytes();
    [stream as u8, 0, 0, 0, a, b, c, d]
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadHeader(
    /// The first byte of what should have been a header.
    pub u8,
);

impl std::fmt::Display for BadHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unrecognized input header: {}", self.0)
    }
}

impl std::error::Error for BadHeader {}

/// Takes frames apart, whatever pieces they arrive in.
#[derive(Debug, Default)]
pub struct Decoder {
    head: [u8; HEADER],
    filled: usize,
    left: usize,
}

impl Decoder {
    /// Takes the next piece of payload off the front of `input`.
    ///
    /// Returns none when `input` is used up; call again with what comes next.
    ///
    /// # Errors
    /// [`BadHeader`] when a header names no stream.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<(Stream, &'a [u8])>, BadHeader> {
        while self.left == 0 {
            let take = (HEADER - self.filled).min(input.len());
            let (now, rest) = input.split_at(take);
            self.head[self.filled..self.filled + take].copy_from_slice(now);
            self.filled += take;
            *input = rest;
            if self.filled < HEADER {
                return Ok(None);
            }
            let [_, _, _, _, a, b, c, d] = self.head;
            self.left = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            self.filled = 0;
            if self.head[0] > 3 {
                return Err(BadHeader(self.head[0]));
            }
        }
        if input.is_empty() {
            return Ok(None);
        }
        let take = self.left.min(input.len());
        let (now, rest) = input.split_at(take);
        self.left -= take;
        *input = rest;
        let stream = match self.head[0] {
            0 => Stream::Stdin,
            1 => Stream::Stdout,
            2 => Stream::Stderr,
            _ => Stream::System,
        };
        Ok(Some((stream, now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_whatever_the_pieces() {
        let mut bytes = header(Stream::Stdout, 5).to_vec();
        bytes.extend(b"hello");
        bytes.extend(header(Stream::Stderr, 0));
        bytes.extend(header(Stream::Stderr, 3));
        bytes.extend(b"bad");
        for size in 1..=bytes.len() {
            let mut decoder = Decoder::default();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(size) {
                let mut input = piece;
                while let Some((stream, data)) = decoder.next(&mut input).unwrap() {
                    if stream == Stream::Stdout {
                        out.extend_from_slice(data)
                    } else {
                        err.extend_from_slice(data)
                    }
                }
            }
            assert_eq!(
                (out.as_slice(), err.as_slice()),
                (&b"hello"[..], &b"bad"[..]),
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_header() {
        let mut input: &[u8] = b"HTTP/1.1 500";
        assert_eq!(Decoder::default().next(&mut input), Err(BadHeader(b'H')));
    }
}
