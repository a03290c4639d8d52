//! The servers behind the gateway, in named groups. Connections are pingora's; which server is next is ours.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};

use crate::policy::UpstreamId;

/// How long to wait for a server.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a TCP connection.
    pub connect: Duration,
    /// For the next bytes of a reply, and for the server to take ours.
    pub read: Duration,
    /// How long a pooled connection may stay unused.
    pub idle: Duration,
}

/// Every group of servers.
pub struct Upstreams(Vec<Group>);

struct Group {
    servers: Vec<HttpPeer>,
    next: AtomicUsize,
}

impl Upstreams {
    /// Groups in the order of the configuration, each with at least one server.
    pub fn new(groups: impl IntoIterator<Item = (Vec<SocketAddr>, Timeouts)>) -> Self {
        Self(groups.into_iter().map(|(servers, timeouts)| Group::new(servers, timeouts)).collect())
    }

    /// The next server of a group, round robin; its peer was made at start.
    pub fn next(&self, group: UpstreamId) -> Box<HttpPeer> {
        let Group { servers, next } = &self.0[group.place()];
        let place = next.fetch_add(1, Ordering::Relaxed) % servers.len();
        Box::new(servers[place].clone())
    }

    /// How many servers a group has.
    pub fn servers(&self, group: UpstreamId) -> usize {
        self.0[group.place()].servers.len()
    }
}

impl Group {
    fn new(servers: Vec<SocketAddr>, timeouts: Timeouts) -> Self {
        let servers = servers.into_iter().map(|address| peer(address, timeouts)).collect();
        Self { servers, next: AtomicUsize::new(0) }
    }
}

fn peer(address: SocketAddr, timeouts: Timeouts) -> HttpPeer {
    let mut peer = HttpPeer::new(address, false, String::new());
    peer.options.connection_timeout = Some(timeouts.connect);
    peer.options.total_connection_timeout = Some(timeouts.connect);
    peer.options.read_timeout = Some(timeouts.read);
    peer.options.write_timeout = Some(timeouts.read);
    peer.options.idle_timeout = Some(timeouts.idle);
    // Routes carry requests and replies; an upgrade would carry bytes that nobody judges.
    peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
    peer
}
