//! The header of the PROXY protocol, by which a balancer tells who connected to it. Both versions, as its specification
//! has them; nothing is read generously, since what stands here decides who a client is.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Its bytes; what follows is the client's.
    pub length: usize,
    /// Who connected; `None` where the balancer speaks for itself, or of a client without an IP address.
    pub source: Option<SocketAddr>,
}

/// Why bytes do not begin with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoProxyHeader {
    /// More must come.
    Incomplete,
    /// They begin with something else.
    Malformed,
}

/// Reads the header that a connection begins with.
pub fn parse_proxy_header(bytes: &[u8]) -> Result<ProxyHeader, NoProxyHeader> {
    match bytes.first() {
        None => Err(NoProxyHeader::Incomplete),
        Some(b'P') => version_1(bytes),
        Some(_) => version_2(bytes),
    }
}

/// `PROXY TCP4 source destination port port CRLF`
fn version_1(bytes: &[u8]) -> Result<ProxyHeader, NoProxyHeader> {
    let begins = bytes.iter().zip(b"PROXY ").all(|(one, two)| one == two);
    let end = bytes.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n');
    let Some(end) = end else {
        let hopeless = !begins || bytes.len() >= LONGEST_LINE;
        return Err(if hopeless { NoProxyHeader::Malformed } else { NoProxyHeader::Incomplete });
    };
    let line = bytes[..end].strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok());
    let words: Vec<&str> = line.ok_or(NoProxyHeader::Malformed)?.split(' ').collect();
    let source = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", "TCP4", source, destination, from, to] => {
            Some(source_of::<Ipv4Addr>(source, destination, from, to).ok_or(NoProxyHeader::Malformed)?)
        }
        ["PROXY", "TCP6", source, destination, from, to] => {
            Some(source_of::<Ipv6Addr>(source, destination, from, to).ok_or(NoProxyHeader::Malformed)?)
        }
        _ => return Err(NoProxyHeader::Malformed),
    };
    Ok(ProxyHeader { length: end + 1, source })
}

fn source_of<A: FromStr + Into<IpAddr>>(source: &str, destination: &str, from: &str, to: &str) -> Option<SocketAddr> {
    let source: A = source.parse().ok()?;
    destination.parse::<A>().ok()?;
    port(to)?;
    Some(SocketAddr::new(source.into(), port(from)?))
}

/// Decimal digits without a leading zero.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// A signature, version and command, family, length; then addresses, then tagged values.
fn version_2(bytes: &[u8]) -> Result<ProxyHeader, NoProxyHeader> {
    if !bytes.iter().zip(SIGNATURE).all(|(one, two)| one == two) {
        return Err(NoProxyHeader::Malformed);
    }
    let Some((head, rest)) = bytes.split_first_chunk::<16>() else { return Err(NoProxyHeader::Incomplete) };
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > LONGEST_REST {
        return Err(NoProxyHeader::Malformed);
    }
    let address_length = match head[13] {
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => 0,
    };
    let local = match head[12] {
        0x20 => true,
        0x21 if address_length > 0 || head[13] == 0 => false,
        _ => return Err(NoProxyHeader::Malformed),
    };
    let Some(rest) = rest.get(..length) else { return Err(NoProxyHeader::Incomplete) };
    let length = head.len() + length;
    if local {
        return Ok(ProxyHeader { length, source: None });
    }
    let (addresses, values) = rest.split_at_checked(address_length).ok_or(NoProxyHeader::Malformed)?;
    if !are_tagged_values(values) {
        return Err(NoProxyHeader::Malformed);
    }
    Ok(ProxyHeader { length, source: binary_source(addresses) })
}

/// The source of a pair of addresses with their ports; the length tells the family.
fn binary_source(addresses: &[u8]) -> Option<SocketAddr> {
    let port = |at: usize| Some(u16::from_be_bytes([*addresses.get(at)?, *addresses.get(at + 1)?]));
    match addresses.len() {
        12 => Some((Ipv4Addr::from(*addresses.first_chunk::<4>()?), port(8)?).into()),
        36 => Some((Ipv6Addr::from(*addresses.first_chunk::<16>()?), port(32)?).into()),
        _ => None,
    }
}

/// Whether tags with lengths and values fill these bytes to the last. What they say is not asked here.
fn are_tagged_values(mut bytes: &[u8]) -> bool {
    while let Some((head, rest)) = bytes.split_first_chunk::<3>() {
        let Some(after) = rest.get(usize::from(u16::from_be_bytes([head[1], head[2]]))..) else { return false };
        bytes = after;
    }
    bytes.is_empty()
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Of version 1, with its end.
const LONGEST_LINE: usize = 107;
/// Of version 2, after its fixed part: addresses and all tagged values that are known, with room.
const LONGEST_REST: usize = 2048;
/// The longest header of all, in bytes.
pub const MAX_PROXY_HEADER: usize = 16 + LONGEST_REST;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    const TCP4: [u8; 12] = [192, 0, 2, 1, 127, 0, 0, 1, 0x1f, 0x90, 0, 80];

    fn tcp6() -> Vec<u8> {
        let mut rest = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets().to_vec();
        rest.extend([0; 16]);
        rest.extend([0x1f, 0x90, 0, 80]);
        rest
    }

    #[test]
    fn headers_tell_who_connected() {
        let with_value = [&TCP4[..], &[4, 0, 2, 0, 0]].concat();
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE - 16));
        for (bytes, source) in [
            (b"PROXY TCP4 192.0.2.1 127.0.0.1 8080 80\r\n".to_vec(), Some("192.0.2.1:8080")),
            (b"PROXY TCP6 2001:db8::1 ::1 8080 80\r\n".to_vec(), Some("[2001:db8::1]:8080")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (long.into_bytes(), None),
            (binary(0x21, 0x11, &TCP4), Some("192.0.2.1:8080")),
            (binary(0x21, 0x11, &with_value), Some("192.0.2.1:8080")),
            (binary(0x21, 0x21, &tcp6()), Some("[2001:db8::1]:8080")),
            (binary(0x21, 0x31, &[0; 216]), None),
            (binary(0x21, 0x00, &[]), None),
            (binary(0x20, 0x00, b"anything"), None),
            (binary(0x20, 0x11, &TCP4), None),
        ] {
            let expected = ProxyHeader { length: bytes.len(), source: source.map(|source| source.parse().unwrap()) };
            assert_eq!(parse_proxy_header(&[&bytes[..], b"GET /"].concat()), Ok(expected), "{}", bytes.escape_ascii());
            for cut in 0..bytes.len() {
                assert_eq!(parse_proxy_header(&bytes[..cut]), Err(NoProxyHeader::Incomplete), "{cut}");
            }
        }
    }

    #[test]
    fn anything_else_is_malformed() {
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXy ".to_vec(),
            b"PROXY TCP4 192.0.2.1 127.0.0.1 8080 80\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 127.0.0.1 8080\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 127.0.0.1 8080 80 \r\n".to_vec(),
            b"PROXY  TCP4 192.0.2.1 127.0.0.1 8080 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 ::1 8080 80\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 8080 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.01 127.0.0.1 8080 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 127.0.0.1 65536 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 127.0.0.1 +8080 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 127.0.0.1 08080 80\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.1 127.0.0.1 8080 80\r\n".to_vec(),
            format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE - 15)).into_bytes(),
            binary(0x11, 0x11, &TCP4),
            binary(0x22, 0x11, &TCP4),
            binary(0x21, 0x12, &TCP4),
            binary(0x21, 0x11, &TCP4[..11]),
            binary(0x21, 0x11, &[&TCP4[..], &[4, 0]].concat()),
            binary(0x21, 0x11, &[&TCP4[..], &[4, 0, 2, 0]].concat()),
            binary(0x21, 0x21, &TCP4),
            binary(0x20, 0x00, &vec![0; LONGEST_REST + 1]),
            b"\r\n\r\n\0\r\nQUIX".to_vec(),
        ] {
            assert_eq!(parse_proxy_header(&bytes), Err(NoProxyHeader::Malformed), "{}", bytes.escape_ascii());
        }
        assert!(parse_proxy_header(&binary(0x20, 0x00, &vec![0; LONGEST_REST])).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), signed: bool) {
            if signed {
                bytes.splice(0..0, *SIGNATURE);
            }
            let _ = parse_proxy_header(&bytes);
        }
    }
}
