use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
};

use pingora::{
    protocols::l4::socket::SocketAddr,
    upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, PeerOptions},
};

use super::tls::GroupTls;
use crate::config::{Protocol, Timeouts, Upstream};

/// What the peers of one group have in common, made once.
pub(super) struct PeerMaker {
    options: PeerOptions,
    tls: Option<Arc<GroupTls>>,
    /// Keeps connections of other groups away: they may have been verified by other rules.
    group_key: u64,
}

/// An address that can be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    Address(std::net::SocketAddr),
    Socket(PathBuf),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

impl PeerMaker {
    pub(super) fn new(group: &Upstream, place: usize) -> Self {
        let mut options = options(group.timeouts);
        match group.protocol {
            Protocol::Http1 => {}
            Protocol::H2 | Protocol::H2c => {
                options.set_http_version(2, 2);
                options.max_h2_streams = H2_STREAMS;
                // What a slow client leaves there waits here: not more than that, and never in the way of other streams.
                options.h2_stream_window_size = Some(H2_WINDOW);
                options.h2_connection_window_size = Some(H2_CONNECTION_WINDOW);
            }
        }
        Self { options, tls: group.tls.clone().map(|tls| Arc::new(GroupTls::new(tls))), group_key: place as u64 }
    }

    /// What TLS with the servers goes by, if it is spoken.
    pub(super) const fn tls(&self) -> Option<&Arc<GroupTls>> {
        self.tls.as_ref()
    }

    /// `tls_name` is what the certificate must be for; only a group without TLS has none.
    pub(super) fn peer(&self, location: &Location, tls_name: &str) -> HttpPeer {
        let address = match location {
            Location::Address(address) => SocketAddr::Inet(*address),
            Location::Socket(path) => unix_address(path),
        };
        let mut peer = HttpPeer::new(UNSPECIFIED, self.tls.is_some(), tls_name.to_owned());
        peer._address = address;
        peer.group_key = self.group_key;
        peer.options = self.options.clone();
        peer
    }
}

fn unix_address(path: &Path) -> SocketAddr {
    let address = std::os::unix::net::SocketAddr::from_pathname(path);
    SocketAddr::Unix(address.expect("the configuration holds paths that fit"))
}

fn options(timeouts: Timeouts) -> PeerOptions {
    let mut options = PeerOptions::new();
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.read_timeout = Some(timeouts.read);
    options.write_timeout = Some(timeouts.read);
    options.idle_timeout = Some(timeouts.idle);
    // Routes carry requests and replies; an upgrade would carry bytes that nobody judges.
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
    options
}

/// Stands where the peer's own address is put.
const UNSPECIFIED: std::net::SocketAddr = std::net::SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// Requests that share one HTTP/2 connection.
const H2_STREAMS: usize = 100;
/// What a server may send ahead on one of them, in bytes.
const H2_WINDOW: u32 = 256 * 1024;
/// What all streams of a connection may be sent ahead.
const H2_CONNECTION_WINDOW: u32 = 100 * H2_WINDOW;
