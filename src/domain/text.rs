//! Texts on their way to people and programs: appended without the formatting machinery, since some are made for every
//! request, and with whatever a terminal or a reader of lines takes for a command escaped.

use std::{borrow::Cow, fmt::Write, net::IpAddr};

/// Appends a decimal number.
pub fn push_number(line: &mut String, number: u64) {
    line.push_str(itoa::Buffer::new().format(number));
}

/// Appends a number below 1000 with three digits.
pub fn push_thousandths(line: &mut String, number: u64) {
    if number < 100 {
        line.push('0');
    }
    if number < 10 {
        line.push('0');
    }
    push_number(line, number);
}

/// Appends an IP address.
pub fn push_address(line: &mut String, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        let _ = write!(line, "{address}");
        return;
    };
    let [first, rest @ ..] = address.octets();
    push_number(line, first.into());
    for octet in rest {
        line.push('.');
        push_number(line, octet.into());
    }
}

/// Whether something that reads lines or shows them may take `character` for anything but a glyph: a control (C0, DEL,
/// C1), what ends a line in Unicode (U+2028, U+2029), or a format character (bidirectional overrides, zero-width ones,
/// invisible tags).
pub const fn is_unprintable(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// `json`, a JSON text without raw control characters below U+0020, with every unprintable character as `\uXXXX`
/// (RFC 8259 section 7). They stand in its strings alone, so that it says the same as before.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let escape = |text: &mut String, character: char| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    };
    escaped(json, escape)
}

/// `text` for people, on one line: every unprintable character as `\u{9b}`, or by its short name (`\n`).
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |text, character| text.extend(character.escape_default()))
}

/// The same for a text of several lines, which they stay.
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

fn escaped(text: &str, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    // Nearly all are plain ASCII, which one look at the bytes tells.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut printable = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unprintable(character) {
            escape(&mut printable, character);
        } else {
            printable.push(character);
        }
    }
    Cow::Owned(printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_takes_for_a_command_is_escaped_and_the_rest_stays() {
        for (character, json, text) in [
            ('\0', "\\u0000", "\\u{0}"),
            ('\n', "\\u000a", "\\n"),
            ('\u{1b}', "\\u001b", "\\u{1b}"),
            ('\u{7f}', "\\u007f", "\\u{7f}"),
            ('\u{80}', "\\u0080", "\\u{80}"),
            ('\u{85}', "\\u0085", "\\u{85}"),
            ('\u{9b}', "\\u009b", "\\u{9b}"),
            ('\u{9f}', "\\u009f", "\\u{9f}"),
            ('\u{ad}', "\\u00ad", "\\u{ad}"),
            ('\u{61c}', "\\u061c", "\\u{61c}"),
            ('\u{200b}', "\\u200b", "\\u{200b}"),
            ('\u{200e}', "\\u200e", "\\u{200e}"),
            ('\u{2028}', "\\u2028", "\\u{2028}"),
            ('\u{2029}', "\\u2029", "\\u{2029}"),
            ('\u{202e}', "\\u202e", "\\u{202e}"),
            ('\u{2066}', "\\u2066", "\\u{2066}"),
            ('\u{feff}', "\\ufeff", "\\u{feff}"),
            ('\u{fff9}', "\\ufff9", "\\u{fff9}"),
            ('\u{e0041}', "\\udb40\\udc41", "\\u{e0041}"),
        ] {
            let around = format!("a{character}\u{e9}");
            assert_eq!(printable_json(&around), format!("a{json}\u{e9}"), "{character:?}");
            assert_eq!(printable(&around), format!("a{text}\u{e9}"), "{character:?}");
        }
        for text in ["", "plain ~", "m\u{fc}ller", "\u{a0}", "\u{65e5}\u{672c}", "\u{1f600}", "\\u009b"] {
            assert!(matches!(printable_json(text), Cow::Borrowed(same) if same == text), "{text:?}");
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
        assert_eq!(printable_lines("a\u{9b}\nb\r\n"), "a\\u{9b}\nb\\r\n");
    }

    #[test]
    fn an_escaped_json_text_says_the_same() {
        let every: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        let json = serde_json::Value::from(every.as_str()).to_string();
        let printable = printable_json(&json);
        assert!(!printable.contains(is_unprintable));
        assert_eq!(serde_json::from_str::<String>(&printable).unwrap(), every);
    }

    #[test]
    fn numbers_and_addresses_are_written_as_the_standard_library_writes_them() {
        for number in [0, 7, 10, 99, 100, 12_345, u64::MAX] {
            let mut line = String::new();
            push_number(&mut line, number);
            assert_eq!(line, number.to_string());
        }
        for address in ["0.0.0.0", "127.0.0.1", "255.10.9.100", "::1", "2001:db8::ff"] {
            let mut line = String::new();
            push_address(&mut line, address.parse().unwrap());
            assert_eq!(line, address);
        }
    }
}
