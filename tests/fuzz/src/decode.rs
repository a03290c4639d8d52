//! A decoder that shares no line with the gateway's.

/// Each `%XX` as its byte. What is no encoding stays as it is: so lenient readers do.
pub(super) fn percent(mut text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    loop {
        match text {
            [] => return decoded,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digits = String::from_iter([*high, *low].map(char::from));
                decoded.push(u8::from_str_radix(&digits, 16).expect("two digits"));
                text = rest;
            }
            [byte, rest @ ..] => {
                decoded.push(*byte);
                text = rest;
            }
        }
    }
}

/// Whether every `%` begins a whole encoding.
pub(super) fn is_whole(text: &[u8]) -> bool {
    let digits = |at: usize| text.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    text.iter().enumerate().all(|(at, byte)| *byte != b'%' || digits(at))
}

/// A name or value of a query or form.
pub(super) fn form(text: &str) -> String {
    String::from_utf8_lossy(&percent(text.replace('+', " ").as_bytes())).into_owned()
}
