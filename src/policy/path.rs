use std::borrow::Cow;

/// Why a request target has more than one reading, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not `/…`: absolute-form, authority-form, `*` or nothing (RFC 9112 section 3.2).
    #[error("the target is not in origin-form")]
    NotOriginForm,
    /// A byte that RFC 3986 gives no place in a path or query, or that upstreams read differently: `\`, `;`, `#`.
    #[error("the target holds a character that has no one reading")]
    Character,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `/./` or `/../`.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `%` without two hexadecimal digits.
    #[error("the path has a broken percent-encoding")]
    BrokenEncoding,
    /// The encoding of a character that needs none, or that would change the path's structure if decoded.
    #[error("the path encodes a character that has another spelling or another meaning")]
    AmbiguousEncoding,
    /// The decoded path is not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
}

/// A request target with one reading: what is judged is what is forwarded, byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTarget<'a> {
    path: &'a str,
    query: Option<&'a str>,
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
        check_path(path)?;
        if query.is_some_and(|query| !query.iter().all(|byte| is_query_character(*byte))) {
            return Err(PathError::Character);
        }
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| PathError::Character);
        Ok(Self { path: text(path)?, query: query.map(text).transpose()? })
    }

    /// The path, beginning with `/`, as sent.
    pub const fn path(&self) -> &'a str {
        self.path
    }

    /// What follows the first `?`, as sent.
    pub const fn query(&self) -> Option<&'a str> {
        self.query
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

fn check_path(path: &[u8]) -> Result<(), PathError> {
    let mut segment_start = 1;
    let mut encoded = Encoded::Nothing;
    let mut at = 1;
    while at < path.len() {
        match path[at] {
            b'/' => {
                check_segment(&path[segment_start..at])?;
                segment_start = at + 1;
            }
            b'%' => {
                let byte = encoded_byte(path, at).ok_or(PathError::BrokenEncoding)?;
                check_encoded(byte, &path[at + 3..])?;
                encoded = if byte.is_ascii() { encoded } else { Encoded::HighBytes };
                at += 2;
            }
            byte if is_path_character(byte) => {}
            _ => return Err(PathError::Character),
        }
        at += 1;
    }
    let last = &path[segment_start.min(path.len())..];
    if matches!(last, b"." | b"..") {
        return Err(PathError::DotSegment);
    }
    if matches!(encoded, Encoded::HighBytes) {
        let text = std::str::from_utf8(path).map_err(|_| PathError::Character)?;
        percent_decode(text).ok_or(PathError::NotUtf8)?;
    }
    Ok(())
}

/// Whether the path must be decoded to see that it is UTF-8.
#[derive(Clone, Copy)]
enum Encoded {
    Nothing,
    HighBytes,
}

/// A segment that is followed by another.
fn check_segment(segment: &[u8]) -> Result<(), PathError> {
    match segment {
        b"" => Err(PathError::EmptySegment),
        b"." | b".." => Err(PathError::DotSegment),
        _ => Ok(()),
    }
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

/// Refuses the encodings that hide a character: one that needs none, a control, a separator, or an encoded encoding.
fn check_encoded(byte: u8, following: &[u8]) -> Result<(), PathError> {
    let hidden = is_unreserved(byte) || byte.is_ascii_control() || matches!(byte, b'/' | b'\\' | b';');
    let encoded_again = byte == b'%' && following.len() >= 2 && following[..2].iter().all(u8::is_ascii_hexdigit);
    if hidden || encoded_again {
        return Err(PathError::AmbiguousEncoding);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_target_with_one_reading_stands_as_it_is() {
        for (target, path, query) in [
            ("/", "/", None),
            ("/v1/applications.get", "/v1/applications.get", None),
            ("/v1/applications/bits:application::1/x", "/v1/applications/bits:application::1/x", None),
            ("/a%20b/%C3%A9?x=%00/../;#"[..].trim_end_matches('#'), "/a%20b/%C3%A9", Some("x=%00/../;")),
            ("/a/", "/a/", None),
            ("/...", "/...", None),
            ("/a?", "/a", Some("")),
            ("/100%25", "/100%25", None),
            ("/a?b?c", "/a", Some("b?c")),
        ] {
            let parsed = RequestTarget::parse(target.as_bytes()).unwrap();
            assert_eq!((parsed.path(), parsed.query()), (path, query), "{target}");
        }
    }

    #[test]
    fn a_target_with_two_readings_is_refused() {
        for (target, expected) in [
            (&b""[..], PathError::NotOriginForm),
            (b"*", PathError::NotOriginForm),
            (b"x", PathError::NotOriginForm),
            (b"@evil/", PathError::NotOriginForm),
            (b"http://host/x", PathError::NotOriginForm),
            (b"//x", PathError::EmptySegment),
            (b"/a//b", PathError::EmptySegment),
            (b"/a//", PathError::EmptySegment),
            (b"/./a", PathError::DotSegment),
            (b"/a/../b", PathError::DotSegment),
            (b"/a/.", PathError::DotSegment),
            (b"/..", PathError::DotSegment),
            (b"/%2e%2e/a", PathError::AmbiguousEncoding),
            (b"/%61", PathError::AmbiguousEncoding),
            (b"/%7E", PathError::AmbiguousEncoding),
            (b"/a%2fb", PathError::AmbiguousEncoding),
            (b"/a%2Fb", PathError::AmbiguousEncoding),
            (b"/a%5cb", PathError::AmbiguousEncoding),
            (b"/a%3bb", PathError::AmbiguousEncoding),
            (b"/a%00", PathError::AmbiguousEncoding),
            (b"/a%0d%0a", PathError::AmbiguousEncoding),
            (b"/a%7f", PathError::AmbiguousEncoding),
            (b"/%252e", PathError::AmbiguousEncoding),
            (b"/a%", PathError::BrokenEncoding),
            (b"/a%2", PathError::BrokenEncoding),
            (b"/a%zz", PathError::BrokenEncoding),
            (b"/a%+1", PathError::BrokenEncoding),
            (b"/a%ff", PathError::NotUtf8),
            (b"/a%c0%af", PathError::NotUtf8),
            (b"/a\\b", PathError::Character),
            (b"/a;b", PathError::Character),
            (b"/a b", PathError::Character),
            (b"/a#b", PathError::Character),
            (b"/a?b#c", PathError::Character),
            (b"/a?b c", PathError::Character),
            (b"/a?b=\"c\"", PathError::Character),
            (b"/a?b=<c>", PathError::Character),
            (b"/a\0", PathError::Character),
            (b"/a\xff", PathError::Character),
            (b"/a?\xff", PathError::Character),
            (b"/a\"b", PathError::Character),
        ] {
            assert_eq!(RequestTarget::parse(target), Err(expected), "{}", target.escape_ascii());
        }
    }

    #[test]
    fn a_segment_is_decoded_once() {
        let target = RequestTarget::parse(b"/a/bits%3Aapplication%3A%3A1/c").unwrap();
        assert_eq!(target.segment(0).as_deref(), Some("a"));
        assert_eq!(target.segment(1).as_deref(), Some("bits:application::1"));
        assert_eq!(target.segment(2).as_deref(), Some("c"));
        assert_eq!(target.segment(3), None);
    }

    proptest! {
        /// What passes has no second spelling: decoding it changes neither its segments' number nor their dots.
        #[test]
        fn decoding_an_accepted_path_adds_no_structure(target in "/([a-z./%\\\\;]|%[0-9a-fA-F]{2}){0,24}") {
            if let Ok(parsed) = RequestTarget::parse(target.as_bytes()) {
                let decoded = percent_decode(parsed.path()).unwrap();
                prop_assert_eq!(decoded.matches('/').count(), parsed.path().matches('/').count());
                prop_assert!(!decoded.split('/').any(|segment| segment == "." || segment == ".."));
                prop_assert!(!decoded.contains(['\\', ';', '\0']));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(target in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = RequestTarget::parse(&target);
        }
    }
}
