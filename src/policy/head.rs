//! The HTTP/1.1 request head as it came off the wire (RFC 9112), judged before any parser has normalised it.

use http::uri::PathAndQuery;

use crate::domain::Reason;

/// Longest request target accepted, in bytes.
pub const MAX_TARGET: usize = 8 * 1024;
/// Longest method accepted, in bytes.
pub const MAX_METHOD: usize = 32;
/// Longest declared body: the largest integer that every JSON and JavaScript peer reads alike.
const MAX_CONTENT_LENGTH: u64 = 1 << 53;

/// Bounds on a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The whole head with its final empty line, in bytes.
    pub bytes: usize,
    /// Header lines.
    pub lines: usize,
}

/// Why a head is refused, and its connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A line that does not end with CRLF.
    #[error("a line does not end with CRLF")]
    LineEnding,
    /// The first line is not `METHOD target HTTP/1.x` with single spaces.
    #[error("the request line is malformed")]
    RequestLine,
    /// A method of more than 32 bytes.
    #[error("the method is not known")]
    Method,
    /// `TRACE` or `CONNECT`.
    #[error("the method is not allowed")]
    MethodRefused,
    /// Another protocol version than HTTP/1.0 and HTTP/1.1.
    #[error("the protocol version is not supported")]
    Version,
    /// The target does not begin with `/`, or holds a control character.
    #[error("the request target is not in origin-form")]
    Target,
    /// A target of more than 8 KiB.
    #[error("the request target is too long")]
    TargetTooLong,
    /// More bytes or lines than the limits allow.
    #[error("the header section is too large")]
    TooLarge,
    /// A header line that is no `name: value`, or is folded (RFC 9112 section 5.2).
    #[error("a header line is malformed")]
    HeaderLine,
    /// `Host` missing, empty, repeated or malformed.
    #[error("the Host header field is missing, repeated or malformed")]
    Host,
    /// `Content-Length` repeated, malformed or over 2^53.
    #[error("the Content-Length header field is repeated or malformed")]
    ContentLength,
    /// `Transfer-Encoding` other than one `chunked`, beside a length, or in HTTP/1.0.
    #[error("the Transfer-Encoding header field is not a single chunked")]
    TransferEncoding,
    /// `Expect` other than `100-continue`.
    #[error("the expectation cannot be met")]
    Expectation,
    /// Not whole within its time.
    #[error("the request's header did not arrive in time")]
    TooSlow,
}

impl Violation {
    /// The status to answer with.
    pub const fn status(self) -> u16 {
        match self {
            Self::MethodRefused => 405,
            Self::TooSlow => 408,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::TooLarge => 431,
            Self::Method => 501,
            Self::Version => 505,
            Self::LineEnding
            | Self::RequestLine
            | Self::Target
            | Self::HeaderLine
            | Self::Host
            | Self::ContentLength
            | Self::TransferEncoding => 400,
        }
    }

    /// The reason it is counted under.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Target | Self::TargetTooLong => Reason::Path,
            Self::MethodRefused | Self::Method => Reason::Method,
            Self::LineEnding
            | Self::RequestLine
            | Self::Version
            | Self::TooLarge
            | Self::HeaderLine
            | Self::Host
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::Expectation
            | Self::TooSlow => Reason::InvalidRequest,
        }
    }
}

/// Where the head in `bytes` ends: `Some(length)` with its empty line, `None` if more must be read.
///
/// `seen` bytes were looked at before; `bytes` begins with the request line.
pub fn head_end(bytes: &[u8], seen: usize, limits: HeadLimits) -> Result<Option<usize>, Violation> {
    for at in memchr::memchr_iter(b'\n', &bytes[seen..]).map(|at| at + seen) {
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(Violation::LineEnding);
        }
        if at >= 3 && bytes[at - 2] == b'\n' {
            return if at < limits.bytes { Ok(Some(at + 1)) } else { Err(too_long(bytes)) };
        }
    }
    if bytes.len() < limits.bytes { Ok(None) } else { Err(too_long(bytes)) }
}

/// Checks a whole head, its empty line included.
pub fn check_head(head: &[u8], limits: HeadLimits) -> Result<(), Violation> {
    // The last line is the empty one.
    let mut line_ends = memchr::memchr_iter(b'\n', &head[..head.len().saturating_sub(2)]);
    let first = line_ends.next().ok_or(Violation::RequestLine)?;
    let version = check_request_line(line(&head[..first])?)?;
    let mut fields = Fields::default();
    let mut start = first + 1;
    for (place, end) in line_ends.enumerate() {
        if place == limits.lines {
            return Err(Violation::TooLarge);
        }
        fields.add(line(&head[start..end])?)?;
        start = end + 1;
    }
    fields.check(version)
}

/// A line without its LF and the CR that must stand before it.
fn line(bytes: &[u8]) -> Result<&[u8], Violation> {
    bytes.strip_suffix(b"\r").ok_or(Violation::LineEnding)
}

fn too_long(bytes: &[u8]) -> Violation {
    match memchr::memchr(b'\n', bytes) {
        Some(line_end) if line_end <= MAX_TARGET => Violation::TooLarge,
        _ => Violation::TargetTooLong,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

fn check_request_line(line: &[u8]) -> Result<Version, Violation> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Violation::RequestLine);
    };
    if method.len() > MAX_METHOD {
        return Err(Violation::Method);
    }
    if method.is_empty() || !is_token(method) {
        return Err(Violation::RequestLine);
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        other if other.starts_with(b"HTTP/") => return Err(Violation::Version),
        _ => return Err(Violation::RequestLine),
    };
    if target.len() > MAX_TARGET {
        return Err(Violation::TargetTooLong);
    }
    if matches!(method, b"TRACE" | b"CONNECT") {
        return Err(Violation::MethodRefused);
    }
    let origin_form = target.first() == Some(&b'/') || (target == b"*" && method == b"OPTIONS");
    // The parser behind us holds targets as URIs and answers for itself where it cannot; that is ours to say.
    // What follows a `#` it would leave out unseen.
    let unusual = target.iter().any(|byte| !byte.is_ascii_graphic() || b"\"#<>\\^`{|}".contains(byte));
    if !origin_form || (unusual && !is_read_whole(target)) || has_control(target) {
        return Err(Violation::Target);
    }
    Ok(version)
}

/// Whether the parser behind us takes the target and leaves nothing of it out: what follows a `#` it does not look at.
fn is_read_whole(target: &[u8]) -> bool {
    PathAndQuery::try_from(target).is_ok_and(|read| read.as_str().len() == target.len())
}

/// The header fields that decide where a request ends and whom it is for.
#[derive(Default)]
struct Fields<'h> {
    host: Option<&'h [u8]>,
    content_length: Option<&'h [u8]>,
    transfer_encoding: Option<&'h [u8]>,
    expect: Option<&'h [u8]>,
}

impl<'h> Fields<'h> {
    fn add(&mut self, line: &'h [u8]) -> Result<(), Violation> {
        let colon = memchr::memchr(b':', line).ok_or(Violation::HeaderLine)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || !is_token(name) || has_control(value) {
            return Err(Violation::HeaderLine);
        }
        // The length tells most names apart before a letter is compared.
        let (slot, violation) = match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => (&mut self.host, Violation::Host),
            6 if name.eq_ignore_ascii_case(b"expect") => (&mut self.expect, Violation::Expectation),
            14 if is_spelling(name, b"content-length") => (&mut self.content_length, Violation::ContentLength),
            17 if is_spelling(name, b"transfer-encoding") => (&mut self.transfer_encoding, Violation::TransferEncoding),
            _ => return Ok(()),
        };
        // An upstream that reads `_` as `-` must not find a second length either.
        let repeated = slot.replace(value.trim_ascii()).is_some();
        if repeated || name.contains(&b'_') { Err(violation) } else { Ok(()) }
    }

    fn check(&self, version: Version) -> Result<(), Violation> {
        // HTTP/1.0 knows no Host (RFC 9112 section 3.2); one that stands there counts all the same.
        if !self.host.map_or(version == Version::Http10, is_host) {
            return Err(Violation::Host);
        }
        if let Some(length) = self.content_length
            && !is_length(length)
        {
            return Err(Violation::ContentLength);
        }
        if let Some(encoding) = self.transfer_encoding {
            let sound = encoding.eq_ignore_ascii_case(b"chunked") && version == Version::Http11;
            if !sound || self.content_length.is_some() {
                return Err(Violation::TransferEncoding);
            }
        }
        match self.expect {
            Some(expect) if !expect.eq_ignore_ascii_case(b"100-continue") => Err(Violation::Expectation),
            _ => Ok(()),
        }
    }
}

pub(super) fn is_spelling(name: &[u8], lower: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.iter().map(fold).eq(lower.iter().copied())
}

/// Whether a field value holds a control character other than a tab. Looks at every byte, whatever it finds, since the
/// compiler can then look at many at once: values are most of a head.
#[expect(clippy::needless_bitwise_bool, reason = "a branch at each byte would keep them apart")]
pub(super) fn has_control(value: &[u8]) -> bool {
    value.iter().fold(false, |found, byte| found | ((*byte < b' ') & (*byte != b'\t')) | (*byte == 0x7f))
}

pub(super) fn is_token(text: &[u8]) -> bool {
    text.iter().all(|byte| TOKEN_BYTES[usize::from(*byte)])
}

static TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "counts to 255")]
        let is_token = is_token_byte(byte as u8);
        table[byte] = is_token;
        byte += 1;
    }
    table
};

/// RFC 9110 section 5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// A decimal number of at most 2^53.
pub(super) fn is_length(value: &[u8]) -> bool {
    if value.is_empty() || value.len() > 16 || !value.iter().all(u8::is_ascii_digit) {
        return false;
    }
    value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')) <= MAX_CONTENT_LENGTH
}

/// Whether a value is `host [":" port]` (RFC 9110 section 7.2), with a host name, an IPv4 address or a bracketed IPv6
/// address.
pub fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value.first() {
        Some(b'[') => match value.iter().position(|byte| *byte == b']') {
            Some(end) => (&value[1..end], &value[end + 1..]),
            None => return false,
        },
        _ => value.split_at(memchr::memchr(b':', value).unwrap_or(value.len())),
    };
    let bracketed = value.first() == Some(&b'[');
    let in_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let allowed = if bracketed { host.iter().all(in_address) } else { host.iter().all(in_name) };
    let port_sound = match port.split_first() {
        None => true,
        Some((colon, digits)) => {
            *colon == b':' && (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
        }
    };
    !host.is_empty() && host.len() <= 255 && allowed && port_sound
}

#[cfg(test)]
mod tests;
