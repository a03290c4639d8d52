//! Who may do how much in how long a time? The generic cell rate algorithm over a fixed number of accounts: no lock, no
//! allocation, and memory that does not grow with the number of callers. Time is an argument.

mod ledger;
mod rate;

pub use ledger::{Account, Ledger};
pub use rate::{Left, Quota, Rate, Wait};

use std::net::IpAddr;

/// The part of an address that is one host's: an IPv6 host owns a whole /64, and an IPv4 one may come in IPv6 clothes.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8::1"));
        assert_eq!(network("::ffff:127.0.0.1"), network("127.0.0.1"));
        assert_ne!(network("127.0.0.2"), network("127.0.0.1"));
    }
}
