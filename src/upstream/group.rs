use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::{ArcSwap, Guard};
use pingora::upstreams::peer::HttpPeer;

use super::{
    GroupReading, Lease, ServerReading,
    balance::{Choice, Search, hash},
    peer::{Location, PeerMaker},
    server::{BreakerPolicy, Counting, Endpoint, Policy},
    table::Table,
    ticks::Ticks,
    tls::GroupTls,
};
use crate::config::{Balance, Eject, ServerAddress, Upstream};

/// One named group of servers.
pub(super) struct Group {
    /// What the configuration says of it.
    pub(super) plan: Upstream,
    /// How often each server of the plan was ejected.
    pub(super) ejections: Box<[AtomicU64]>,
    /// Look-ups of host names that found nothing.
    pub(super) failed_lookups: AtomicU64,
    members: Members,
    /// The endpoint of a group that never has another, if nobody counts its requests: nothing is to be chosen.
    lone: Option<Arc<Endpoint>>,
    next: AtomicU64,
    policy: Policy,
    peers: PeerMaker,
}

/// The endpoints of a group.
enum Members {
    /// Addresses only: they stay as they are.
    Fixed(Table),
    /// Names lead to others as time goes by.
    Changing(ArcSwap<Table>),
}

/// The endpoints of one moment.
enum Current<'g> {
    Fixed(&'g Table),
    Changing(Guard<Arc<Table>>),
}

impl Deref for Current<'_> {
    type Target = Table;

    fn deref(&self) -> &Table {
        match self {
            Self::Fixed(table) => table,
            Self::Changing(table) => table,
        }
    }
}

impl Group {
    pub(super) fn new(plan: Upstream, place: usize) -> Self {
        let (policy, peers) = (policy(&plan), PeerMaker::new(&plan, place));
        let named = plan.servers.iter().any(|server| matches!(server.address, ServerAddress::Named { .. }));
        let locations: Vec<_> = plan.servers.iter().map(|server| locations(&server.address)).collect();
        let ejections = plan.servers.iter().map(|_| AtomicU64::new(0)).collect();
        let (next, failed_lookups) = (AtomicU64::new(0), AtomicU64::new(0));
        let members = Members::Fixed(Table::new(Vec::new()));
        let mut group = Self { plan, ejections, failed_lookups, members, lone: None, next, policy, peers };
        let table = Table::new(placed(&locations).map(|(server, at)| Arc::new(group.endpoint(server, at))).collect());
        if let ([only], false, Counting::Off) = (&*table.endpoints, named, policy.counting) {
            group.lone = Some(Arc::clone(only));
        }
        group.members = if named { Members::Changing(ArcSwap::from_pointee(table)) } else { Members::Fixed(table) };
        group
    }

    fn endpoint(&self, server: usize, location: &Location) -> Endpoint {
        let configured = &self.plan.servers[server];
        let peer = self.peers.peer(location, &configured.tls_name);
        let seed = hash(location.to_string().as_bytes());
        Endpoint::new(peer, self.policy, location.clone(), server, configured.weight, seed)
    }

    /// The server at an endpoint as pingora connects to it.
    pub(super) fn peer(&self, endpoint: &Endpoint) -> HttpPeer {
        let mut peer = endpoint.peer().clone();
        if let Some(tls) = self.tls() {
            tls.apply(&mut peer);
        }
        peer
    }

    /// What TLS with the servers goes by, if it is spoken.
    pub(super) const fn tls(&self) -> Option<&Arc<GroupTls>> {
        self.peers.tls()
    }

    /// The endpoint for one more request: the best of those that work, or one that was ejected if no other is left.
    /// A place at it is taken, which the lease leaves.
    pub(super) fn pick(
        &self,
        now: impl FnOnce() -> Ticks,
        tried: &[Arc<Endpoint>],
        client: impl FnOnce() -> u64,
    ) -> Option<Lease> {
        if let Some(lone) = &self.lone {
            return (tried.is_empty() && lone.is_healthy()).then_some(Lease { endpoint: None });
        }
        let table = self.current();
        if let [only] = &*table.endpoints {
            let free = tried.is_empty() && only.may_serve() && only.enter();
            return free.then(|| Lease { endpoint: Some(Arc::clone(only)) });
        }
        let (now, number) = (now(), self.next.fetch_add(1, Relaxed));
        let client = if self.plan.balance == Balance::ClientHash { client() } else { 0 };
        let find = |choice| {
            let search = Search { table: &table, now, tried, number, choice };
            match self.plan.balance {
                Balance::RoundRobin => search.round_robin(),
                Balance::LeastConnections => search.least_connections(),
                Balance::ClientHash => search.client_hash(client),
            }
        };
        let found = find(Choice::Proven).or_else(|| find(Choice::Any))?;
        Some(Lease { endpoint: Some(Arc::clone(found)) })
    }

    /// The endpoint that a lease of this group is on.
    pub(super) fn endpoint_of<'l>(&'l self, lease: &'l Lease) -> &'l Arc<Endpoint> {
        lease.endpoint.as_ref().or(self.lone.as_ref()).expect("a lease without an endpoint is on the only one there is")
    }

    /// Whether an endpoint is left that a request could be offered to.
    pub(super) fn has_other(&self, tried: &[Arc<Endpoint>]) -> bool {
        let untried = |endpoint: &&Arc<Endpoint>| !tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint));
        self.current().endpoints.iter().filter(untried).any(|endpoint| endpoint.may_serve())
    }

    /// What the group and the server of an endpoint are called.
    pub(super) fn names(&self, endpoint: &Endpoint) -> (&str, &str) {
        (&self.plan.name, &self.plan.servers[endpoint.server].text)
    }

    /// The endpoints of this moment.
    pub(super) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.current().endpoints.to_vec()
    }

    /// How the servers do.
    pub(super) fn reading(&self, now: Ticks) -> GroupReading {
        let table = self.current();
        let is_up = |server| table.endpoints.iter().any(|endpoint| endpoint.server == server && endpoint.is_up(now));
        let servers = self.ejections.iter().enumerate();
        let servers =
            servers.map(|(server, count)| ServerReading { up: is_up(server), ejections: count.load(Relaxed) });
        GroupReading { servers: servers.collect(), failed_lookups: self.failed_lookups.load(Relaxed) }
    }

    /// Goes on with what the names lead to now, one list for each server of the plan. Endpoints that stay keep their
    /// standing; one that is gone finishes its requests, and gets no more.
    pub(super) fn go_on_with(&self, locations: &[Vec<Location>], now: Ticks) {
        let Members::Changing(table) = &self.members else { return };
        let before = table.load();
        let endpoint = |(server, location): (usize, &Location)| {
            let same = |old: &&Arc<Endpoint>| old.server == server && old.location == *location;
            let known = before.endpoints.iter().find(same).cloned();
            known.unwrap_or_else(|| Arc::new(self.endpoint(server, location).joining(now)))
        };
        table.store(Arc::new(Table::new(placed(locations).map(endpoint).collect())));
    }

    fn current(&self) -> Current<'_> {
        match &self.members {
            Members::Fixed(table) => Current::Fixed(table),
            Members::Changing(table) => Current::Changing(table.load()),
        }
    }
}

/// Where a server is, as far as the configuration knows.
pub(super) fn locations(address: &ServerAddress) -> Vec<Location> {
    match address {
        ServerAddress::Fixed(address) => vec![Location::Address(*address)],
        ServerAddress::Named { name: _, found } => found.iter().copied().map(Location::Address).collect(),
        ServerAddress::Unix(path) => vec![Location::Socket(path.clone())],
    }
}

/// Every location with the place of its server.
fn placed(locations: &[Vec<Location>]) -> impl Iterator<Item = (usize, &Location)> {
    locations
        .iter()
        .enumerate()
        .flat_map(|(server, locations)| locations.iter().map(move |location| (server, location)))
}

fn policy(plan: &Upstream) -> Policy {
    let counted = plan.max_requests.is_some() || plan.balance == Balance::LeastConnections;
    Policy {
        breaker: plan.eject.map(|Eject { failures, lasting }| BreakerPolicy { failures, lasting }),
        slow_start: plan.slow_start,
        max_requests: plan.max_requests,
        counting: if counted { Counting::On } else { Counting::Off },
    }
}
