use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// Whom a client asked: an address or a name, without the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address; one of IPv4 in IPv6 clothes is IPv4's.
    Address(IpAddr),
    /// A name in lower case, without the dot that may end it.
    Name(Box<str>),
}

/// Why a text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither a host name nor an IP address")]
pub struct HostError;

impl Host {
    /// Reads a host as it is written alone. IPv6 addresses may stand in brackets.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(address) = text.strip_prefix('[') {
            let address = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
            return address.map(|address| Self::Address(address.to_canonical())).ok_or(HostError);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > MAX_NAME || ends_in_number(name) || !name.split('.').all(is_label) {
            return Err(HostError);
        }
        Ok(Self::Name(name.to_ascii_lowercase().into()))
    }

    /// Reads `host [":" port]` (RFC 9110 section 7.2).
    pub fn of_authority(text: &str) -> Result<Self, HostError> {
        let host = match text.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(':') => host,
            Some(_) | None => text,
        };
        // Without its brackets an IPv6 address could not be told from its port.
        if host.contains(':') && !host.starts_with('[') {
            return Err(HostError);
        }
        Self::parse(host)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=63).contains(&label.len()) && label.bytes().all(plain)
}

/// `127.1` and `0x7f000001` are read as addresses by some (WHATWG URL section 3.5, "ends in a number").
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    hexadecimal.map_or_else(
        || last.bytes().all(|byte| byte.is_ascii_digit()),
        |digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
    )
}

/// RFC 1035 section 2.3.4, as text.
const MAX_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_has_one_form_however_it_is_written() {
        for (authority, expected) in [
            ("localhost", "localhost"),
            ("LocalHost.:9090", "localhost"),
            ("metrics.Example.com:1", "metrics.example.com"),
            ("a_b-c", "a_b-c"),
            ("3com.example", "3com.example"),
            ("node-1", "node-1"),
            ("4f66ad9a0b2e:9090", "4f66ad9a0b2e"),
            ("127.0.0.1:9090", "127.0.0.1"),
            ("[::1]:9090", "::1"),
            ("[0:0:0:0:0:0:0:1]", "::1"),
            ("[::ffff:10.0.0.1]", "10.0.0.1"),
        ] {
            assert_eq!(
                Host::of_authority(authority).map(|host| host.to_string()),
                Ok(expected.to_owned()),
                "{authority}"
            );
        }
        assert_eq!(Host::parse("fe80::1"), Host::parse("[fe80::1]"));
    }

    #[test]
    fn what_some_read_as_an_address_and_others_as_a_name_is_neither() {
        for authority in [
            "",
            ".",
            "a..b",
            ".a",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "1.2.3.4.5",
            "127.0.0.1.",
            "::1",
            "[::1",
            "::1]",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "a:b",
            "a:1:2",
            "a b",
            "http://a",
            "a/b",
            "a@b",
            "*.a",
            "ä.example",
        ] {
            assert_eq!(Host::of_authority(authority), Err(HostError), "{authority}");
        }
        assert!(Host::parse(&format!("{}.a", "a".repeat(64))).is_err());
    }
}
