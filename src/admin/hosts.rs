use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use http::HeaderValue;

use crate::domain::Host;

/// By which hosts the admin listener may be asked.
///
/// A page that a browser has loaded from `evil.example` may ask whatever address that name is pointed at next (DNS
/// rebinding), and read the reply as its own. It cannot choose the name it asks by, so that other names are refused.
/// Whoever asks by an address has been given that address.
pub struct AdminHosts {
    bound: IpAddr,
    listed: Vec<Host>,
    told: AtomicBool,
}

impl AdminHosts {
    /// Those of a listener at `bound`, and those that the configuration lists.
    pub fn new(bound: IpAddr, listed: Vec<Host>) -> Self {
        Self { bound: bound.to_canonical(), listed, told: AtomicBool::new(false) }
    }

    /// Whether a request with this `Host` is answered. One without is no browser's: HTTP/1.0 alone has none.
    pub(super) fn allow(&self, host: Option<&HeaderValue>) -> bool {
        let Some(host) = host else { return true };
        let allowed =
            host.to_str().ok().and_then(|host| Host::of_authority(host).ok()).is_some_and(|host| self.is_ours(&host));
        // Once: operators need one line, and whoever sends such requests must not write the log.
        if !allowed && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(?host, "the admin listener was asked by a name that is not listed in `admin.hosts`");
        }
        allowed
    }

    fn is_ours(&self, host: &Host) -> bool {
        let everywhere = self.bound.is_unspecified();
        let here = everywhere || self.bound.is_loopback();
        let own = match host {
            Host::Address(address) => everywhere || *address == self.bound || (here && address.is_loopback()),
            Host::Name(name) => here && **name == *"localhost",
        };
        own || self.listed.contains(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_asked_by_its_own_addresses_and_the_hosts_listed() {
        let hosts = [
            "127.0.0.1:9090",
            "127.0.0.2",
            "[::1]:9090",
            "localhost",
            "LOCALHOST.:1",
            "10.1.2.3:9090",
            "10.1.2.4",
            "[fd00::1]",
            "metrics.internal:9090",
            "METRICS.internal.",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.1",
        ];
        for (bound, expected) in [
            ("127.0.0.1", "11111000110000"),
            ("::1", "11111000110000"),
            ("10.1.2.3", "00000100110000"),
            ("fd00::1", "00000001110000"),
            ("0.0.0.0", "11111111110000"),
            ("::", "11111111110000"),
        ] {
            let own = AdminHosts::new(bound.parse().unwrap(), vec![Host::parse("metrics.internal").unwrap()]);
            let allowed = hosts.map(|host| if own.allow(Some(&HeaderValue::from_static(host))) { '1' } else { '0' });
            assert_eq!(allowed.iter().collect::<String>(), expected, "{bound}");
            assert!(own.allow(None), "HTTP/1.0");
        }
    }

    #[test]
    fn an_address_may_be_listed_too() {
        let own = AdminHosts::new([127, 0, 0, 1].into(), vec![Host::parse("10.96.0.5").unwrap()]);
        assert!(own.allow(Some(&HeaderValue::from_static("10.96.0.5:80"))));
        assert!(!own.allow(Some(&HeaderValue::from_static("10.96.0.6"))));
        assert!(!own.allow(Some(&HeaderValue::from_bytes(b"\xff").unwrap())));
    }
}
