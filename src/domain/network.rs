use std::{net::IpAddr, str::FromStr};

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
}

impl FromStr for Network {
    type Err = NetworkError;

    /// `ADDRESS` or `ADDRESS/LENGTH`.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let first: IpAddr = address.parse().map_err(|_| NetworkError::Form)?;
        let most = width(first);
        let prefix = match length {
            None => most,
            Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().ok().filter(|length| *length <= most).ok_or(NetworkError::Form)?
            }
            Some(_) => return Err(NetworkError::Form),
        };
        if bits(first) & !mask(prefix, most) != 0 {
            return Err(NetworkError::HostBits);
        }
        Ok(Self { first, prefix })
    }
}

impl Network {
    /// Whether `address` is in it. An IPv4 address may come in IPv6 clothes (RFC 4291 section 2.5.5.2).
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let most = width(self.first);
        most == width(address) && (bits(address) ^ bits(self.first)) & mask(self.prefix, most) == 0
    }
}

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
            ("::/0", "::1", "127.0.0.1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "::/129", "a/8", "10.0.0.0/8/8", "1.2.3.4:5"]
        {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Form), "{text}");
        }
        for text in ["10.0.0.1/8", "192.0.2.7/31", "2001:db8::1/32"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::HostBits), "{text}");
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
