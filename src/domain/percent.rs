//! The form in which any text can stand in a header.

use std::borrow::Cow;

/// The text with everything percent-encoded (UTF-8, RFC 3986 section 2.1) that is neither visible ASCII nor a single space
/// inside, and every `%` that two hexadecimal digits follow, so that decoding gives back the text.
pub fn percent_encoded(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    if !(0..bytes.len()).any(|at| must_be_encoded(bytes, at)) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() + 16);
    for (at, byte) in bytes.iter().enumerate() {
        if must_be_encoded(bytes, at) {
            encoded.push('%');
            for digit in [byte >> 4, byte & 15] {
                encoded.push(char::from(HEX_DIGITS[usize::from(digit)]));
            }
        } else {
            encoded.push(char::from(*byte));
        }
    }
    Cow::Owned(encoded)
}

fn must_be_encoded(bytes: &[u8], at: usize) -> bool {
    let visible = |place: Option<usize>| place.and_then(|place| bytes.get(place)).is_some_and(|byte| *byte != b' ');
    match bytes[at] {
        b' ' => !(visible(at.checked_sub(1)) && visible(Some(at + 1))),
        b'%' => bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        byte => !byte.is_ascii_graphic(),
    }
}

const HEX_DIGITS: &[u8; 16] = b"0123456789ABCDEF";
