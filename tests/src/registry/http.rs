//! As much of HTTP/1.1 as the test registry speaks.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, kept for small ones only.
    pub body: Vec<u8>,
    /// Whether the rest of the body was not waited for.
    pub(super) is_cut: bool,
}

impl Request {
    /// Method and path: `GET /v2/`.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// A header field's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A value of the query.
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.path.split_once('?')?;
        field(query, name)
    }

    /// All values of the query by one name.
    pub fn queries(&self, name: &str) -> Vec<String> {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(n, _)| *n == name)
            .map(|(_, value)| unescape(value))
            .collect()
    }

    /// A value of a form in the body.
    pub fn form(&self, name: &str) -> Option<String> {
        field(std::str::from_utf8(&self.body).ok()?, name)
    }
}

fn field(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(n, _)| *n == name).map(|(_, value)| unescape(value))
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| std::str::from_utf8(tail.get(..2)?).ok())
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        (bytes, rest) = match escaped {
            Some(byte) => ([bytes, vec![byte]].concat(), &tail[2..]),
            None => ([bytes, vec![*first]].concat(), tail),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads one request; `None` when the client is done. What is no HTTP (TLS, say) is an error.
pub(super) fn read_request(
    reader: &mut BufReader<&TcpStream>,
    cut: impl Fn(&str) -> Option<usize>,
) -> io::Result<Option<Request>> {
    let start = reader.fill_buf()?;
    match start.first() {
        None => return Ok(None),
        Some(byte) if !byte.is_ascii_uppercase() => return Err(bad("not HTTP")),
        Some(_) => {}
    }
    let line = read_line(reader)?;
    let mut words = line.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(bad("no request line"));
    };
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        match line.split_once(':') {
            Some((name, value)) => {
                headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
            None => break,
        }
    }
    // A proxy is asked for a whole URL; what it is for is in the path all the same.
    let path = match path.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => path,
    };
    let mut request = Request {
        method: method.into(),
        path: path.into(),
        headers,
        body: Vec::new(),
        is_cut: false,
    };
    let wanted = cut(&request.line());
    request.is_cut = wanted.is_some();
    request.body = read_body(reader, &request, wanted.unwrap_or(usize::MAX))?;
    Ok(Some(request))
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(64 << 10).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Reads a body, or as much of it as is wanted.
fn read_body(reader: &mut impl BufRead, request: &Request, wanted: usize) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if request.header("transfer-encoding") == Some("chunked") {
        loop {
            if body.len() >= wanted {
                body.truncate(wanted);
                return Ok(body);
            }
            let line = read_line(reader)?;
            let size = u64::from_str_radix(&line, 16).map_err(|_| bad("chunk size"))?;
            reader.take(size).read_to_end(&mut body)?;
            read_line(reader)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length = request.header("content-length").unwrap_or("0");
    let length: u64 = length.parse().map_err(|_| bad("content length"))?;
    if request.header("expect").is_some() {
        return Err(bad("100-continue is not spoken"));
    }
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    reader.take(length.min(wanted)).read_to_end(&mut body)?;
    Ok(body)
}

/// An answer before faults are applied.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Arc<[u8]>,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Arc<[u8]>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// An error as registries send it.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}","detail":{{}}}}]}}"#);
        Self::new(status, body.into_bytes()).with("Content-Type", "application/json")
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Writes an answer's head; `length` is what is said, not what is.
pub(super) fn write_head(mut stream: &TcpStream, reply: &Reply, length: Option<usize>) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, phrase(reply.status));
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match length {
        Some(length) => head.push_str(&format!("Content-Length: {length}\r\n")),
        None => head.push_str("Transfer-Encoding: chunked\r\n"),
    }
    head.push_str("Docker-Distribution-Api-Version: registry/2.0\r\n\r\n");
    stream.write_all(head.as_bytes())
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        206 => "Partial Content",
        307 => "Temporary Redirect",
        401 => "Unauthorized",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
