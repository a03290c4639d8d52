use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{policy::decode_form, token::after_scheme};

/// One way to read what a client sent as its ID and secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct IdAndSecret {
    pub(super) id: String,
    pub(super) secret: String,
}

/// The readings of `Basic` credentials (RFC 7617, RFC 6749 section 2.3.1): form-urlencoded halves first, then the
/// halves as they are, where that differs. Half of the clients in use encode, the other half does not.
pub(super) fn parse(value: &[u8]) -> Option<Vec<IdAndSecret>> {
    let encoded = after_scheme(value, "Basic")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let raw = IdAndSecret { id: id.to_owned(), secret: secret.to_owned() };
    let mut readings = Vec::with_capacity(2);
    if let (Some(id), Some(secret)) = (decode_form(id), decode_form(secret)) {
        readings.push(IdAndSecret { id: id.into_owned(), secret: secret.into_owned() });
    }
    if readings.first() != Some(&raw) {
        readings.push(raw);
    }
    Some(readings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_encoded_and_raw() {
        for (credentials, expected) in [
            ("id:secret", &[("id", "secret")][..]),
            ("id:a:b", &[("id", "a:b")]),
            ("a%2Db:s%25", &[("a-b", "s%"), ("a%2Db", "s%25")]),
            ("id:a+b", &[("id", "a b"), ("id", "a+b")]),
            ("id:100%", &[("id", "100%")]),
            (":", &[("", "")]),
        ] {
            for scheme in ["bAsIc ", "Basic  ", "BASIC     "] {
                let readings = parse(format!("{scheme}{}", STANDARD.encode(credentials)).as_bytes()).unwrap();
                let readings: Vec<_> = readings.iter().map(|reading| (&*reading.id, &*reading.secret)).collect();
                assert_eq!(readings, expected, "{scheme}{credentials}");
            }
        }
    }

    #[test]
    fn anything_else_is_no_credentials() {
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic  ",
            "Basic\tYTpi",
            "Basic \tYTpi",
            "BasicYTpi",
            "Basic YTpi ",
            "Basic !!!",
            "Basic YQ==",
            "Basic YTpi\n",
            "Basic YTo",
            "Basic //46/w==",
            "Bearer YTpi",
        ] {
            assert!(parse(value.as_bytes()).is_none(), "{value}");
        }
    }
}
