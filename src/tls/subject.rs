use std::fmt::Write;

use http::HeaderValue;
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    x509::AttributeTypeAndValue,
};

/// Longest subject that is stated, in bytes.
pub const MAX_SUBJECT: usize = 4096;

/// The subject of a DER certificate as text (RFC 4514), every byte of it visible ASCII or a space within.
///
/// `None` if it is no certificate, or its subject is over [`MAX_SUBJECT`].
pub fn subject_of(der: &[u8]) -> Option<HeaderValue> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut names: Vec<_> = certificate.subject().iter_rdn().collect();
    names.reverse();
    let name = |attributes: Vec<String>| attributes.join("+");
    let text = names.into_iter().map(|rdn| name(rdn.iter().map(attribute).collect())).collect::<Vec<_>>().join(",");
    if text.len() > MAX_SUBJECT { None } else { HeaderValue::try_from(text).ok() }
}

/// `TYPE=value` (RFC 4514 sections 2.3 and 2.4).
fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    match (SHORT_NAMES.iter().find(|(known, _)| *known == oid), attribute.as_str()) {
        (Some((_, short)), Ok(value)) => format!("{short}={}", escape(value)),
        (Some((_, short)), Err(_)) => format!("{short}={}", encoded(attribute)),
        (None, _) => format!("{oid}={}", encoded(attribute)),
    }
}

/// What has no text form, or no short name to read it by: `#` and its encoding in hexadecimal digits.
fn encoded(attribute: &AttributeTypeAndValue<'_>) -> String {
    let value = attribute.attr_value();
    let mut text = "#".to_owned();
    let header = &value.header;
    let tag = ((header.class() as u32) << 6) | (u32::from(header.is_constructed()) << 5) | (header.tag().0 & 0x1f);
    let length = value.data.len();
    let _ = match length {
        0..0x80 => write!(text, "{tag:02x}{length:02x}"),
        0x80..0x100 => write!(text, "{tag:02x}81{length:02x}"),
        _ => write!(text, "{tag:02x}82{length:04x}"),
    };
    for byte in value.data {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Escapes what has a meaning of its own, and whatever cannot stand in a header.
fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.len().saturating_sub(1);
    for (place, byte) in value.bytes().enumerate() {
        match byte {
            b' ' if place == 0 || place == last => text.push_str("\\ "),
            b'#' if place == 0 => text.push_str("\\#"),
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            other => {
                let _ = write!(text, "\\{other:02X}");
            }
        }
    }
    text
}

/// RFC 4514 section 3, and the two that certificates of people and servers carry besides.
const SHORT_NAMES: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.5", "serialNumber"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_as_they_were_and_stand_in_a_header() {
        for (value, expected) in [
            ("Ada Lovelace", "Ada Lovelace"),
            ("Lovelace, Ada", "Lovelace\\, Ada"),
            (" edge ", "\\ edge\\ "),
            ("#1", "\\#1"),
            ("a#1", "a#1"),
            ("a=b", "a=b"),
            ("a+b;c<d>e\"f\\g", "a\\+b\\;c\\<d\\>e\\\"f\\\\g"),
            ("x\r\nX-Scope: all", "x\\0D\\0AX-Scope: all"),
            ("Bücher", "B\\C3\\BCcher"),
            ("\0", "\\00"),
            ("", ""),
        ] {
            assert_eq!(escape(value), expected);
            assert!(HeaderValue::try_from(escape(value)).is_ok());
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_subject() {
        assert_eq!(subject_of(b"junk"), None);
    }
}
