use std::{
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

/// A range of IP addresses (RFC 4632, RFC 4291 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

/// Why a text is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It is no address, or its length is none.
    #[error("not a network such as `10.0.0.0/8`")]
    Form,
    /// Bits behind the prefix are set: it may be meant as one address.
    #[error("has bits set behind its prefix")]
    HostBits,
    /// Nobody connects from there.
    #[error("holds no address that anybody connects from; `0.0.0.0/0` and `::/0` hold all")]
    Nobody,
}

impl FromStr for Network {
    type Err = NetworkError;

    /// `ADDRESS` or `ADDRESS/LENGTH`. IPv4 in IPv6 clothes (RFC 4291 section 2.5.5.2) is taken out of them, as addresses
    /// are before they are compared.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let first: IpAddr = address.parse().map_err(|_| NetworkError::Form)?;
        let most = width(first);
        let prefix = match length {
            None => most,
            Some(length) if is_number(length) => {
                length.parse().ok().filter(|length| *length <= most).ok_or(NetworkError::Form)?
            }
            Some(_) => return Err(NetworkError::Form),
        };
        if bits(first) & !mask(prefix, most) != 0 {
            return Err(NetworkError::HostBits);
        }
        let network = match (first.to_canonical(), prefix.checked_sub(MAPPED)) {
            (IpAddr::V4(inner), Some(prefix)) if first.is_ipv6() => Self { first: inner.into(), prefix },
            _ => Self { first, prefix },
        };
        if network.is_nobodys() { Err(NetworkError::Nobody) } else { Ok(network) }
    }
}

/// Decimal digits without a leading zero, which some read as octal.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

impl Network {
    /// Whether it is the unspecified or the broadcast address, or of groups that packets go to.
    fn is_nobodys(&self) -> bool {
        let one = self.prefix == width(self.first);
        let broadcast = self.first == IpAddr::V4(Ipv4Addr::BROADCAST);
        let groups = if self.first.is_ipv4() { 4 } else { 8 };
        one && (self.first.is_unspecified() || broadcast) || self.first.is_multicast() && self.prefix >= groups
    }

    /// Whether `address` is in it. An IPv4 address may come in IPv6 clothes (RFC 4291 section 2.5.5.2).
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let most = width(self.first);
        most == width(address) && (bits(address) ^ bits(self.first)) & mask(self.prefix, most) == 0
    }
}

/// The bits of an IPv6 address before the IPv4 address in it.
const MAPPED: u8 = 96;

const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first `prefix` of `width` bits.
const fn mask(prefix: u8, width: u8) -> u128 {
    if prefix == 0 {
        return 0;
    }
    let all = if width == 128 { u128::MAX } else { u32::MAX as u128 };
    (all << (width - prefix)) & all
}

/// Peers whose word counts about who is behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedPeers {
    /// By address.
    pub networks: Vec<Network>,
    /// Everybody who may connect to a socket in the file system.
    pub unix: UnixPeers,
}

/// Whether peers without an IP address are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnixPeers {
    /// They are.
    Trusted,
    /// They are not.
    #[default]
    Untrusted,
}

impl TrustedPeers {
    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.unix == UnixPeers::Untrusted
    }

    /// Whether a peer is trusted; `None` is one that has no IP address.
    pub fn contains(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            Some(address) => self.networks.iter().any(|network| network.contains(address)),
            None => self.unix == UnixPeers::Trusted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_other() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("::ffff:10.0.0.0/104", "10.255.255.255", "11.0.0.0"),
            ("::ffff:10.0.0.0/104", "::ffff:10.1.2.3", "::a00:1"),
            ("::ffff:a00:0/104", "10.1.2.3", "11.0.0.0"),
            ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("::ffff:192.0.2.7/128", "192.0.2.7", "192.0.2.6"),
            ("::ffff:0:0/96", "192.0.2.7", "::1"),
            ("64:ff9b::/96", "64:ff9b::192.0.2.7", "192.0.2.7"),
            ("fe80::/10", "fe80::1", "fec0::1"),
            ("::/0", "::1", "127.0.0.1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0-10.0.0.9",
            "010.0.0.0/8",
            "10.0.0.0/8 ",
            "::/129",
            "[::1]",
            "[::1]/128",
            "fe80::1%eth0",
            "fe80::%1/64",
            "a/8",
            "localhost",
            "10.0.0.0/8/8",
            "1.2.3.4:5",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Form), "{text}");
        }
        for text in ["10.0.0.1/8", "192.0.2.7/31", "2001:db8::1/32", "::ffff:10.0.0.1/104", "::ffff:0:0/95"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::HostBits), "{text}");
        }
        for text in [
            "0.0.0.0",
            "0.0.0.0/32",
            "::",
            "::ffff:0.0.0.0",
            "255.255.255.255",
            "224.0.0.0/4",
            "239.1.2.3",
            "ff02::1",
            "ff00::/8",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Nobody), "{text}");
        }
    }

    #[test]
    fn peers_without_an_address_are_trusted_by_name_only() {
        let everybody = TrustedPeers { networks: vec!["0.0.0.0/0".parse().unwrap()], unix: UnixPeers::Untrusted };
        assert!(!everybody.contains(None));
        assert!(TrustedPeers { unix: UnixPeers::Trusted, ..everybody }.contains(None));
        assert!(TrustedPeers::default().is_empty());
    }
}
