//! The servers behind the gateway, in named groups. Connections are pingora's; which server gets a request is ours.
//!
//! A request asks its [`Upstreams`] for a [`Lease`] on one server and tells what became of it. [`Keeper`] looks after
//! the servers meanwhile: it checks their health, and looks host names up again.

mod balance;
mod breaker;
mod connector;
mod group;
mod health;
mod in_turn;
mod keeper;
mod lookup;
mod peer;
mod server;
mod table;
mod ticks;
mod tls;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http::HeaderValue;
use pingora::upstreams::peer::HttpPeer;

pub use connector::{Connector, bad_reply, expect_reply};
pub use keeper::Keeper;

use crate::{
    config::{HostHeader, Protocol, Upstream},
    policy::UpstreamId,
    tls::Renewable,
};
use connector::judged;
use group::Group;
use in_turn::ConnectInTurn;
use server::Endpoint;
use ticks::Ticks;

/// Every group of servers.
pub struct Upstreams {
    groups: Vec<Group>,
    began: Instant,
}

/// The use of one server by one request, until it is dropped.
pub struct Lease {
    /// None for the only one of a group, which lives as long as the group.
    endpoint: Option<Arc<Endpoint>>,
}

/// Servers that one request was offered to in vain.
#[derive(Default)]
pub struct Tried(Vec<Arc<Endpoint>>);

/// Which connection a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// One that carried requests before, if there is one.
    Any,
    /// One of its own.
    Fresh,
    /// One of its own, which may leave HTTP.
    Leaving,
}

/// How the servers of one group do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupReading {
    /// Each, in the order of the configuration.
    pub servers: Vec<ServerReading>,
    /// Look-ups of host names that found nothing.
    pub failed_lookups: u64,
}

/// How one server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerReading {
    /// Whether it gets requests as a matter of course: it passes its checks and is not ejected. A name that leads to
    /// several addresses is up if one of them is.
    pub up: bool,
    /// How often it was ejected.
    pub ejections: u64,
}

impl Upstreams {
    /// Groups in the order of the configuration; their time is counted from `began`.
    pub fn new(groups: impl IntoIterator<Item = Upstream>, began: Instant) -> Self {
        let groups = groups.into_iter().enumerate().map(|(place, plan)| Group::new(plan, place)).collect();
        Self { groups, began }
    }

    /// A server of the group for one request; `None` if every one of them fails its checks, is busy, or was tried.
    /// `client` tells who asks, as [`client_number`] of its name, where the group wants to know.
    pub fn pick(&self, group: UpstreamId, now: Instant, tried: &Tried, client: impl FnOnce() -> u64) -> Option<Lease> {
        self.groups[group.place()].pick(|| self.ticks(now), &tried.0, client)
    }

    /// Whether a server of the group is left that was not tried.
    pub fn has_other(&self, group: UpstreamId, tried: &Tried) -> bool {
        self.groups[group.place()].has_other(&tried.0)
    }

    /// How long a whole exchange with a server of the group may take.
    pub fn longest_exchange(&self, group: UpstreamId) -> Option<Duration> {
        self.groups[group.place()].plan.timeouts.total
    }

    /// The server as pingora connects to it.
    pub fn peer(&self, group: UpstreamId, lease: &Lease, connection: Connection) -> Box<HttpPeer> {
        let group = &self.groups[group.place()];
        let endpoint = group.endpoint_of(lease);
        let mut peer = Box::new(group.peer(endpoint));
        match group.plan.protocol {
            Protocol::Http1 => peer.options.alpn = judged(),
            // Its decoder takes no line apart, and refuses control bytes in values.
            Protocol::H2 | Protocol::H2c => {}
        }
        if let Some(limit) = endpoint.idle_limit() {
            peer.options.idle_timeout = peer.options.idle_timeout.map(|own| own.min(limit));
        }
        if connection == Connection::Leaving {
            peer.options.custom_l4 = Some(Arc::new(ConnectInTurn));
        }
        if connection != Connection::Any {
            // Nothing is found under a key that nobody had before, and what is put there goes at once.
            peer.group_key = !FRESH.fetch_add(1, Relaxed);
            peer.options.idle_timeout = Some(Duration::ZERO);
        }
        peer
    }

    /// What the server is to be called in `Host` and `:authority`; `None`: what the client called us.
    pub fn host(&self, group: UpstreamId, lease: &Lease) -> Option<&HeaderValue> {
        let group = &self.groups[group.place()];
        match &group.plan.host {
            HostHeader::Client => None,
            HostHeader::Server => group.plan.servers[group.endpoint_of(lease).server].host.as_ref(),
            HostHeader::Named(name) => Some(name),
        }
    }

    /// What the server is called where the client called us nothing. A socket has no name.
    pub fn own_host(&self, group: UpstreamId, lease: &Lease) -> HeaderValue {
        let group = &self.groups[group.place()];
        let server = &group.plan.servers[group.endpoint_of(lease).server];
        server.host.clone().unwrap_or(HeaderValue::from_static("localhost"))
    }

    /// What TLS with the servers of each group goes by, if it is spoken with them.
    pub fn tls(&self) -> impl Iterator<Item = Arc<dyn Renewable>> {
        self.groups.iter().filter_map(Group::tls).map(|tls| Arc::clone(tls) as Arc<dyn Renewable>)
    }

    /// Notes that the server answered, whatever it said.
    pub fn answered(&self, group: UpstreamId, lease: &Lease, now: impl FnOnce() -> Instant) {
        let group = &self.groups[group.place()];
        let endpoint = group.endpoint_of(lease);
        if !endpoint.is_spotless() && endpoint.answered(self.ticks(now())) {
            let (upstream, server) = group.names(endpoint);
            tracing::info!(upstream, server, "the server answers again");
        }
    }

    /// Notes that the server took no connection, or broke off without a reply.
    pub fn failed(&self, group: UpstreamId, lease: &Lease, now: Instant) {
        let group = &self.groups[group.place()];
        let endpoint = group.endpoint_of(lease);
        if endpoint.failed(self.ticks(now)) {
            group.ejections[endpoint.server].fetch_add(1, Relaxed);
            let (upstream, server) = group.names(endpoint);
            tracing::warn!(
                upstream,
                server,
                "the server failed too many requests in a row and is left alone for a while"
            );
        }
    }

    /// Notes for how many seconds the server keeps an idle connection, by its own account.
    pub fn keeps_idle_for(&self, group: UpstreamId, lease: &Lease, seconds: u32) {
        self.groups[group.place()].endpoint_of(lease).keeps_idle_for(seconds);
    }

    /// Gives the server up for this request.
    pub fn give_up(&self, group: UpstreamId, lease: &Lease, tried: &mut Tried) {
        tried.0.push(Arc::clone(self.groups[group.place()].endpoint_of(lease)));
    }

    /// How every group does, in the order of the configuration.
    pub fn readings(&self) -> Vec<GroupReading> {
        let now = self.ticks_now();
        self.groups.iter().map(|group| group.reading(now)).collect()
    }

    #[expect(clippy::disallowed_methods, reason = "whoever looks after servers goes by the clock that never jumps")]
    fn ticks_now(&self) -> Ticks {
        self.ticks(Instant::now())
    }

    fn ticks(&self, now: Instant) -> Ticks {
        Ticks::of(self.began, now)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.leave();
        }
    }
}

impl Tried {
    /// How many servers were tried.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none was tried yet.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A number for a client's name, the same on every node.
pub fn client_number(name: &[u8]) -> u64 {
    balance::hash(name)
}

/// Connections that were wanted fresh. Groups count their keys from the other end.
static FRESH: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests;
