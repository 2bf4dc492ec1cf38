//! Questions and answers as they go over the wire (RFC 1035, section 4; RFC 6891 for `OPT`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Kinds of record.
pub mod kind {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// The name of an address.
    pub const PTR: u16 = 12;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
    /// Not a record, but what a message can hold besides.
    pub const OPT: u16 = 41;
    /// Whatever there is.
    pub const ANY: u16 = 255;
}

/// What a response says of its success.
pub mod code {
    /// It is one, though perhaps an empty one.
    pub const SUCCESS: u8 = 0;
    /// The question cannot be understood.
    pub const MALFORMED: u8 = 1;
    /// The server has a problem.
    pub const FAILED: u8 = 2;
    /// The server does not do this.
    pub const NOT_IMPLEMENTED: u8 = 4;
    /// The server does not want to.
    pub const REFUSED: u8 = 5;
}

/// The internet.
pub const CLASS_INTERNET: u16 = 1;
/// The longest datagram that every client takes.
pub const SHORT: usize = 512;
/// The length of a message's head.
pub const HEAD: usize = 12;
/// How long clients may remember an answer, in seconds, as Docker says.
const TTL: u32 = 600;
/// The longest datagram that we take ourselves.
const OUR_SIZE: u16 = 4096;
const LONGEST_NAME: usize = 255;
const IS_RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TRUNCATED: u8 = 0x02;
const RECURSION_WANTED: u8 = 0x01;
const RECURSION_THERE: u8 = 0x80;
/// A name that is the question's.
const SAME_NAME: [u8; 2] = [0xc0, 12];

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked for, without the dot at the end; none when it is no name that containers have.
    pub name: Option<String>,
    /// The [kind] of record.
    pub kind: u16,
    /// Always [`CLASS_INTERNET`] in practice.
    pub class: u16,
}

/// A message with one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What is asked.
    pub question: Question,
    /// Where the question ends in the message.
    pub end: usize,
    /// The longest datagram that the client takes, if it has said so.
    pub size: Option<u16>,
}

/// Why a message is no query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not worth an answer.
    Silent,
    /// It is answered with a [code] alone.
    Code(u8),
}

/// A record of an answer, about the name that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An address.
    A(Ipv4Addr),
    /// An address.
    Aaaa(Ipv6Addr),
    /// A name.
    Ptr(String),
}

impl Query {
    /// Takes a message apart.
    ///
    /// # Errors
    /// A message that is no query with one question.
    pub fn parse(message: &[u8]) -> Result<Self, Refusal> {
        let head: &[u8; HEAD] = message.first_chunk().ok_or(Refusal::Silent)?;
        if head[2] & IS_RESPONSE != 0 {
            return Err(Refusal::Silent);
        }
        if head[2] & OPCODE != 0 {
            return Err(Refusal::Code(code::NOT_IMPLEMENTED));
        }
        let count = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let malformed = Refusal::Code(code::MALFORMED);
        if count(4) != 1 {
            return Err(malformed);
        }
        let (name, at) = question_name(message).ok_or(malformed)?;
        let question = Question {
            name,
            kind: u16_at(message, at).ok_or(malformed)?,
            class: u16_at(message, at + 2).ok_or(malformed)?,
        };
        let end = at + 4;
        let others = u32::from(count(6)) + u32::from(count(8)) + u32::from(count(10));
        let size = size_of_client(message, end, others);
        Ok(Self { question, end, size })
    }

    /// The longest answer that the client takes as a datagram.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.size.map_or(SHORT, |size| usize::from(size).max(SHORT))
    }

    /// Puts an answer to this query together; what exceeds `limit` is cut and marked so.
    #[must_use]
    pub fn answer(&self, message: &[u8], records: &[Record], limit: usize) -> Vec<u8> {
        let mut answer = begin(message, self.end, code::SUCCESS);
        let reserved = if self.size.is_some() { OPT_LENGTH } else { 0 };
        let mut count = 0_u16;
        for record in records {
            let before = answer.len();
            push_record(&mut answer, record);
            if answer.len() + reserved > limit {
                answer.truncate(before);
                answer[2] |= TRUNCATED;
                break;
            }
            count = count.saturating_add(1);
        }
        answer[6..8].copy_from_slice(&count.to_be_bytes());
        self.end_with_options(&mut answer);
        answer
    }

    /// Puts an answer together that has a [code] alone.
    #[must_use]
    pub fn refuse(&self, message: &[u8], code: u8) -> Vec<u8> {
        let mut answer = begin(message, self.end, code);
        self.end_with_options(&mut answer);
        answer
    }

    /// Who speaks of options is answered with options.
    fn end_with_options(&self, answer: &mut Vec<u8>) {
        if self.size.is_some() {
            answer.push(0);
            answer.extend(kind::OPT.to_be_bytes());
            answer.extend(OUR_SIZE.to_be_bytes());
            answer.extend([0; 6]);
            answer[11] = 1;
        }
    }
}

const OPT_LENGTH: usize = 11;

/// Puts the answer to a message together that could not be taken apart: its head alone.
#[must_use]
pub fn refuse_unread(message: &[u8], code: u8) -> Option<Vec<u8>> {
    let mut answer = message.get(..HEAD)?.to_vec();
    mark(&mut answer, code);
    answer[4..].fill(0);
    Some(answer)
}

/// The number by which a response is matched with its query.
#[must_use]
pub fn id(message: &[u8]) -> Option<[u8; 2]> {
    message.first_chunk().copied()
}

/// Gives a message another number.
pub fn set_id(message: &mut [u8], id: [u8; 2]) {
    if let Some(place) = message.first_chunk_mut() {
        *place = id;
    }
}

/// Whether a message is the response to a query, and what it says of its success.
#[must_use]
pub fn response_code(message: &[u8], query: &[u8], end: usize) -> Option<u8> {
    let head: &[u8; HEAD] = message.first_chunk()?;
    if head[2] & IS_RESPONSE == 0 || message[..2] != query[..2] {
        return None;
    }
    // A server that understands nothing may leave the question out.
    let repeats = message.get(HEAD..end)?.eq_ignore_ascii_case(query.get(HEAD..end)?);
    let has_question = head[4..6] == [0, 1];
    (repeats && has_question).then_some(head[3] & 0x0f)
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` stands for.
#[must_use]
pub fn address_of(name: &str) -> Option<IpAddr> {
    let name = name.to_ascii_lowercase();
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0_u8; 4];
        let mut parts = rest.split('.');
        for octet in octets.iter_mut().rev() {
            *octet = parts.next()?.parse().ok()?;
        }
        return parts.next().is_none().then(|| octets.into());
    }
    let rest = name.strip_suffix(".ip6.arpa")?;
    let mut bits = 0_u128;
    let mut count = 0;
    for part in rest.rsplit('.') {
        let digit = part.parse::<char>().ok()?.to_digit(16)?;
        bits = bits << 4 | u128::from(digit);
        count += 1;
    }
    (count == 32).then(|| Ipv6Addr::from_bits(bits).into())
}

/// The head and the question of an answer.
fn begin(message: &[u8], end: usize, code: u8) -> Vec<u8> {
    let mut answer = message.get(..end).unwrap_or_default().to_vec();
    answer.resize(answer.len().max(HEAD), 0);
    mark(&mut answer, code);
    answer[6..HEAD].fill(0);
    answer
}

fn mark(answer: &mut [u8], code: u8) {
    answer[2] = (answer[2] & RECURSION_WANTED) | IS_RESPONSE;
    answer[3] = RECURSION_THERE | code;
}

fn push_record(answer: &mut Vec<u8>, record: &Record) {
    let (kind, data) = match record {
        Record::A(address) => (kind::A, address.octets().to_vec()),
        Record::Aaaa(address) => (kind::AAAA, address.octets().to_vec()),
        Record::Ptr(name) => match encode_name(name) {
            Some(data) => (kind::PTR, data),
            None => return,
        },
    };
    answer.extend(SAME_NAME);
    answer.extend(kind.to_be_bytes());
    answer.extend(CLASS_INTERNET.to_be_bytes());
    answer.extend(TTL.to_be_bytes());
    answer.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    answer.extend(data);
}

/// A name as it goes over the wire; none when it has parts that are too long.
fn encode_name(name: &str) -> Option<Vec<u8>> {
    let mut data = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        data.push(u8::try_from(label.len()).ok().filter(|length| *length < 64)?);
        data.extend(label.bytes());
    }
    data.push(0);
    (data.len() <= LONGEST_NAME).then_some(data)
}

/// Reads the question's name, and where it ends.
fn question_name(message: &[u8]) -> Option<(Option<String>, usize)> {
    let (mut text, mut plain) = (String::new(), true);
    let mut at = HEAD;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // Longer ones are pointers, and there is nothing before a question to point to.
        if length > 63 || at + length - HEAD > LONGEST_NAME {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        for byte in message.get(at..at + length)? {
            plain &= byte.is_ascii_graphic() && *byte != b'.';
            text.push(char::from(*byte));
        }
        at += length;
    }
    Some(((plain && !text.is_empty()).then_some(text), at))
}

/// Looks for the client's options behind the question.
fn size_of_client(message: &[u8], mut at: usize, records: u32) -> Option<u16> {
    const MOST: u32 = 16;
    for _ in 0..records.min(MOST) {
        at = skip_name(message, at)?;
        let (kind, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
        if kind == kind::OPT {
            return Some(class);
        }
        at += 10 + usize::from(u16_at(message, at + 8)?);
    }
    None
}

fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..64 => at += 1 + usize::from(length),
            192.. => return Some(at + 2),
            _ => return None,
        }
    }
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at + 2)?;
    bytes.try_into().ok().map(u16::from_be_bytes)
}
