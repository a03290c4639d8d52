use std::borrow::Cow;

use super::letters;

/// Why a request target has more than one reading, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not `/…`: absolute-form, authority-form, `*` or nothing (RFC 9112 section 3.2).
    #[error("the target is not in origin-form")]
    NotOriginForm,
    /// A byte that RFC 3986 gives no place in a path or query, or that upstreams read differently: `\`, `;`, `#`.
    #[error("the target holds a character that has no one reading")]
    Character,
    /// `//`, or a segment of spaces before another.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `/./` or `/../`, or what Windows takes for them: dots with more dots and spaces.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `%` without two hexadecimal digits.
    #[error("the path has a broken percent-encoding")]
    BrokenEncoding,
    /// The encoding of a character that needs none, or that would change the path's structure if decoded.
    #[error("the path encodes a character that has another spelling or another meaning")]
    AmbiguousEncoding,
    /// A character beyond ASCII that a server may take for one that separates, or for none.
    #[error("the path holds a character that some servers read as another one")]
    Lookalike,
    /// The decoded path is not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
}

/// A request target with one reading: what is judged is what is forwarded, byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTarget<'a> {
    path: &'a str,
    query: Option<&'a str>,
    delimiters: Delimiters,
}

/// Whether a path holds `%25`, `%3F` or `%23`: characters that separate when they stand plainly. A server that decodes
/// twice, or before it looks for the query, reads another path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimiters {
    /// None.
    Plain,
    /// At least one; only a route that allows them may be meant.
    Encoded,
}

impl<'a> RequestTarget<'a> {
    /// Checks `target`; the only way in. Nothing is normalised: a target either stands as it is or is refused.
    pub fn parse(target: &'a [u8]) -> Result<Self, PathError> {
        if target.first() != Some(&b'/') {
            return Err(PathError::NotOriginForm);
        }
        let (path, query) = match memchr::memchr(b'?', target) {
            Some(at) => (&target[..at], Some(&target[at + 1..])),
            None => (target, None),
        };
        let Encodings { delimiters, high: _ } = check_path(path)?;
        if query.is_some_and(|query| !query.iter().all(|byte| is_query_character(*byte))) {
            return Err(PathError::Character);
        }
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| PathError::Character);
        let delimiters = if delimiters == 0 { Delimiters::Plain } else { Delimiters::Encoded };
        Ok(Self { path: text(path)?, query: query.map(text).transpose()?, delimiters })
    }

    /// The path, beginning with `/`, as sent.
    pub const fn path(&self) -> &'a str {
        self.path
    }

    /// What follows the first `?`, as sent.
    pub const fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// Whether the path holds encoded delimiters.
    pub const fn delimiters(&self) -> Delimiters {
        self.delimiters
    }

    /// The path segment at `place`, counted from 0, percent-decoded once.
    pub fn segment(&self, place: usize) -> Option<Cow<'a, str>> {
        let segment = self.path.split('/').nth(place + 1)?;
        percent_decode(segment)
    }
}

/// `text` with each `%XX` replaced by its byte; `None` if an encoding is broken or the result is not UTF-8.
pub(super) fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    let Some(first) = memchr::memchr(b'%', text.as_bytes()) else {
        return Some(Cow::Borrowed(text));
    };
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    decoded.extend_from_slice(&bytes[..first]);
    let mut at = first;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            decoded.push(bytes[at]);
            at += 1;
            continue;
        }
        decoded.push(encoded_byte(bytes, at)?);
        at += 3;
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// The byte that the `%XX` at `at` stands for.
pub(super) fn encoded_byte(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(bytes.get(at + 1)?)? << 4 | digit(bytes.get(at + 2)?)?)
}

/// Encodings of a path that need a second look.
#[derive(Default)]
struct Encodings {
    /// `%25`, `%3F`, `%23`.
    delimiters: usize,
    /// Bytes of characters beyond ASCII.
    high: usize,
}

fn check_path(path: &[u8]) -> Result<Encodings, PathError> {
    let mut segment_start = 1;
    let mut encodings = Encodings::default();
    let mut at = 1;
    while at < path.len() {
        match path[at] {
            b'/' => {
                check_segment(&path[segment_start..at], Position::Inner)?;
                segment_start = at + 1;
            }
            b'%' => {
                let byte = encoded_byte(path, at).ok_or(PathError::BrokenEncoding)?;
                check_encoded(byte, &path[at + 3..])?;
                encodings.high += usize::from(!byte.is_ascii());
                encodings.delimiters += usize::from(matches!(byte, b'%' | b'?' | b'#'));
                at += 2;
            }
            byte if is_path_character(byte) => {}
            _ => return Err(PathError::Character),
        }
        at += 1;
    }
    check_segment(&path[segment_start.min(path.len())..], Position::Last)?;
    if encodings.high > 0 {
        let text = std::str::from_utf8(path).map_err(|_| PathError::Character)?;
        check_letters(&percent_decode(text).ok_or(PathError::NotUtf8)?)?;
    }
    Ok(encodings)
}

/// Where a segment stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Another follows.
    Inner,
    /// It ends the path, and may be empty.
    Last,
}

/// Refuses segments that are nothing, or a way up, to servers which drop what ends a name on Windows: dots and spaces, and
/// behind them the name of a stream (`::$DATA`).
fn check_segment(segment: &[u8], position: Position) -> Result<(), PathError> {
    let (mut rest, mut dots, mut colons, mut previous) = (segment, 0, 0, b'/');
    loop {
        let length = match rest {
            [b'.', ..] => {
                dots += 1;
                1
            }
            [b':', ..] => {
                colons += 1;
                1
            }
            [b'%', b'2', b'0', ..] => 3,
            [b'$', ..] if previous == b':' => break,
            [] if colons == 0 => break,
            _ => return Ok(()),
        };
        previous = rest[0];
        rest = &rest[length..];
    }
    let may_be_empty = position == Position::Last && rest.is_empty();
    match dots {
        0 if may_be_empty => Ok(()),
        0 => Err(PathError::EmptySegment),
        _ => Err(PathError::DotSegment),
    }
}

/// The same for a decoded path, and for each of its characters beyond ASCII.
fn check_letters(path: &str) -> Result<(), PathError> {
    if path.chars().any(letters::stands_for_another) {
        return Err(PathError::Lookalike);
    }
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let name = letters::file_name(segment);
        let mut seen = name.chars().filter(|letter| !letters::is_faint(*letter) && !letter.is_whitespace()).peekable();
        let is_more = segments.peek().is_some() || name != segment;
        match (seen.peek().is_some(), is_more) {
            (true, _) if seen.all(|letter| letter == '.') => return Err(PathError::DotSegment),
            (false, true) => return Err(PathError::EmptySegment),
            (true | false, _) => {}
        }
    }
    Ok(())
}

/// RFC 3986 `pchar` without `;`, which some servers read as the start of parameters.
const fn is_path_character(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

/// More than RFC 3986 allows, since browsers and clients send `[`, `|` and the like as they are, and nobody reads them
/// otherwise.
const fn is_query_character(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>')
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Refuses the encodings that hide a character: one that may stand plainly in a segment, a control, a separator, or an
/// encoded encoding. What is left has one spelling, but for the case of hexadecimal digits.
fn check_encoded(byte: u8, following: &[u8]) -> Result<(), PathError> {
    let hidden = is_path_character(byte) || byte.is_ascii_control() || matches!(byte, b'/' | b'\\' | b';');
    if hidden || (byte == b'%' && begins_encoding(following)) {
        return Err(PathError::AmbiguousEncoding);
    }
    Ok(())
}

/// Whether a `%` before these bytes would be an encoding: of a byte, or of a UTF-16 unit (`%u002e`, as IIS reads it).
fn begins_encoding(following: &[u8]) -> bool {
    let are_digits = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    match following {
        [b'u' | b'U', a, b, c, d, ..] => are_digits(&[*a, *b, *c, *d]),
        [a, b, ..] => are_digits(&[*a, *b]),
        [] | [_] => false,
    }
}

#[cfg(test)]
mod tests;
