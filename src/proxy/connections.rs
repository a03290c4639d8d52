//! How many connections may be open, and how many of one address. Where one more finds no room, the connection that was
//! idle for longest makes some; where none is idle, the newcomer is closed before a byte of it is read: an answer would cost
//! more than the connection does, and to keep it waiting is to have it open.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::place::{Idle, Load, Place, Source};
use crate::{
    domain::TrustedPeers,
    telemetry::{Limit, Metrics, Seldom},
};

/// Most of everything that connections take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Open at one moment.
    pub all: usize,
    /// Those of one address, or one IPv6 network of 64 bits, that are not of a trusted peer.
    pub of_address: usize,
    /// Requests of everybody that are served at one moment; others refuse what is beyond.
    pub requests: usize,
    /// Those of one such address.
    pub requests_of_address: usize,
}

/// Everybody who is connected.
pub struct Connections {
    limits: ConnectionLimits,
    /// Peers with many clients behind them.
    trusted: TrustedPeers,
    open: Arc<AtomicUsize>,
    table: Mutex<Table>,
    metrics: Arc<Metrics>,
    told: Seldom,
}

/// Connections by where they come from.
#[derive(Default)]
struct Table {
    number: u64,
    /// Those that make room and are not closed yet: they have their descriptors still.
    closing: usize,
    groups: HashMap<Source, Group>,
    /// Those that are to make room next.
    next: Vec<Arc<Place>>,
}

/// Those from one source.
#[derive(Default)]
struct Group {
    open: HashMap<u64, Arc<Place>>,
    load: Arc<Load>,
    /// Those that are to make room next for another one from there.
    next: Vec<Arc<Place>>,
}

/// A connection's entry, for as long as it is open.
pub(super) struct Entry {
    connections: Arc<Connections>,
    place: Arc<Place>,
}

impl Connections {
    /// Keeps the number of those that are open in `open`.
    pub fn new(
        limits: ConnectionLimits,
        trusted: TrustedPeers,
        open: Arc<AtomicUsize>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let (table, told) = (Mutex::default(), Seldom::new());
        Arc::new(Self { limits, trusted, open, table, metrics, told })
    }

    /// Lets a connection in; `None` if there is no room and nobody makes any.
    pub(super) fn enter(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Entry> {
        let source = self.source(peer);
        let mut table = self.table();
        if !self.has_room_for(&mut table, source) {
            return None;
        }
        if self.open.load(Ordering::Relaxed) >= self.limits.all {
            self.used_up(Limit::Connections);
            if table.closing >= MOST_CLOSING || !table.close_one() {
                return None;
            }
            self.makes_room(&mut table);
        }
        let place = table.add(source);
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Entry { connections: Arc::clone(self), place })
    }

    /// Who is counted together with this peer.
    fn source(&self, peer: Option<IpAddr>) -> Source {
        match peer {
            Some(address) if !self.trusted.contains(peer) => Source::of(address),
            Some(_) | None => Source::Many,
        }
    }

    fn has_room_for(&self, table: &mut Table, source: Source) -> bool {
        let Some(group) = table.groups.get_mut(&source).filter(|_| source != Source::Many) else { return true };
        if group.open.len() < self.limits.of_address {
            return true;
        }
        self.used_up(Limit::ConnectionsPerAddress);
        let closes = table.closing < MOST_CLOSING && group.close_one();
        if closes {
            self.makes_room(table);
        }
        closes
    }

    /// Counts one that is about to close.
    fn makes_room(&self, table: &mut Table) {
        table.closing += 1;
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    fn used_up(&self, limit: Limit) {
        self.metrics.count_limited(limit);
        if self.told.is_due() {
            let name = limit.name();
            tracing::warn!("`limits.{name}` is used up: idle connections are closed, and new ones where none is idle");
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The connection is one of `peer`, as a balancer says. False if that one has too many.
    pub(super) fn is_of(&mut self, peer: Option<IpAddr>) -> bool {
        let source = self.connections.source(peer);
        let mut table = self.connections.table();
        // Where it has to make room itself, that is settled.
        if self.place.is_closing() || !self.connections.has_room_for(&mut table, source) || self.place.leave() {
            return false;
        }
        table.remove(&self.place);
        self.place = table.add(source);
        true
    }

    /// What its requests have to do with it.
    pub(super) fn place(&self) -> Arc<Place> {
        Arc::clone(&self.place)
    }

    /// Whether its address has more requests than it may have, with so many `more`.
    pub(super) fn is_overloaded(&self, more: usize) -> bool {
        let most = self.connections.limits.requests_of_address;
        let counts = self.place.source() != Source::Many && most < self.connections.limits.requests;
        let over = counts && self.place.requests_of_address() + more > most;
        if over {
            self.connections.metrics.count_limited(Limit::InFlightPerAddress);
        }
        over
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        table.remove(&self.place);
        // One that made room counts no more since it did.
        if self.place.leave() {
            table.closing -= 1;
        } else {
            self.connections.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Table {
    fn add(&mut self, source: Source) -> Arc<Place> {
        self.number += 1;
        let group = self.groups.entry(source).or_default();
        let place = Arc::new(Place::new(self.number, source, Arc::clone(&group.load)));
        group.open.insert(self.number, Arc::clone(&place));
        place
    }

    fn remove(&mut self, place: &Place) {
        let Some(group) = self.groups.get_mut(&place.source()) else { return };
        group.open.remove(&place.number());
        if group.open.is_empty() {
            self.groups.remove(&place.source());
        }
    }

    /// Closes an idle connection of whoever has most; of somebody else where none of those is idle.
    fn close_one(&mut self) -> bool {
        loop {
            while let Some(place) = self.next.pop() {
                if place.close() {
                    self.remove(&place);
                    return true;
                }
            }
            self.next = self.search();
            if self.next.is_empty() {
                return false;
            }
        }
    }

    fn search(&self) -> Vec<Arc<Place>> {
        let groups = self.groups.iter().filter(|(source, group)| **source != Source::Many && group.open.len() >= HEAVY);
        let heaviest = groups.max_by_key(|(_, group)| group.open.len());
        let found = heaviest.map(|(_, group)| oldest(group.open.values())).unwrap_or_default();
        if found.is_empty() { oldest(self.groups.values().flat_map(|group| group.open.values())) } else { found }
    }
}

impl Group {
    fn close_one(&mut self) -> bool {
        loop {
            while let Some(place) = self.next.pop() {
                if place.close() {
                    self.open.remove(&place.number());
                    return true;
                }
            }
            self.next = oldest(self.open.values());
            if self.next.is_empty() {
                return false;
            }
        }
    }
}

/// Idle connections, the one that is to go first last.
fn oldest<'p>(places: impl Iterator<Item = &'p Arc<Place>>) -> Vec<Arc<Place>> {
    let mut idle: Vec<(Idle, &Arc<Place>)> = places.filter_map(|place| Some((place.idle()?, place))).collect();
    // One search serves many newcomers, but no more than a few: meanwhile others may have been idle for longer.
    let count = (idle.len() / 8).clamp(1, AT_ONCE);
    if count < idle.len() {
        idle.select_nth_unstable_by_key(count, |(since, _)| *since);
        idle.truncate(count);
    }
    idle.sort_unstable_by_key(|(since, _)| Reverse(*since));
    idle.into_iter().map(|(_, place)| Arc::clone(place)).collect()
}

/// Connections that may be about to close at one moment. Beyond it newcomers are closed instead: a flood must not take the
/// descriptors that are kept for everything else.
const MOST_CLOSING: usize = 16;
/// Connections of one address from which on it is looked at alone.
const HEAVY: usize = 8;
/// Most that one search finds.
const AT_ONCE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Names;

    fn connections(all: usize, of_address: usize) -> Arc<Connections> {
        let limits = ConnectionLimits { all, of_address, requests: 100, requests_of_address: 2 };
        let trusted = TrustedPeers { networks: vec!["10.0.0.0/8".parse().unwrap()], ..TrustedPeers::default() };
        Connections::new(limits, trusted, Arc::default(), Arc::new(Metrics::new(&Names::default())))
    }

    fn enter(connections: &Arc<Connections>, peer: &str) -> Option<Entry> {
        connections.enter(Some(peer.parse().unwrap()))
    }

    #[test]
    fn where_there_is_no_room_who_was_idle_for_longest_makes_some() {
        let connections = connections(3, 3);
        let open: Vec<Entry> = (0..3).map(|_| enter(&connections, "192.0.2.1").unwrap()).collect();
        // The first one is busy; the second one has carried a request, the third one never did.
        let request = open[0].place().begin().unwrap();
        drop(open[1].place().begin().unwrap());
        let closing = |place: usize| open[place].place().is_closing();
        let fourth = enter(&connections, "192.0.2.2").unwrap();
        assert_eq!([closing(0), closing(1), closing(2)], [false, false, true]);
        let fifth = enter(&connections, "192.0.2.3").unwrap();
        let sixth = enter(&connections, "192.0.2.4").unwrap();
        let requests: Vec<_> = [&fourth, &fifth, &sixth].iter().filter_map(|entry| entry.place().begin()).collect();
        // The second one has carried something: those that never did went before it.
        assert_eq!(([closing(0), closing(1)], requests.len()), ([false, false], 1));
        drop(request);
    }

    #[test]
    fn where_nobody_is_idle_the_newcomer_goes() {
        let connections = connections(2, 2);
        let open: Vec<Entry> = (0..2).map(|_| enter(&connections, "192.0.2.1").unwrap()).collect();
        let _requests: Vec<_> = open.iter().map(|entry| entry.place().begin().unwrap()).collect();
        assert!(enter(&connections, "192.0.2.2").is_none());
        assert_eq!(connections.open.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn one_address_has_its_share_and_a_trusted_peer_has_none() {
        for (peer, neighbour, shares) in [
            ("192.0.2.1", "192.0.2.2", true),
            ("2001:db8::1", "2001:db8:0:1::1", true),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            let connections = connections(100, 2);
            let open: Vec<Entry> = (0..2).map(|_| enter(&connections, peer).unwrap()).collect();
            let _requests: Vec<_> = open.iter().map(|entry| entry.place().begin().unwrap()).collect();
            assert_eq!(enter(&connections, peer).is_none(), shares, "{peer}");
            assert!(enter(&connections, neighbour).is_some(), "{neighbour}");
        }
        let connections = connections(100, 2);
        let open: Vec<Entry> = ["2001:db8::1", "2001:db8::2"].map(|peer| enter(&connections, peer).unwrap()).into();
        let closing = |entry: &Entry| entry.place().is_closing();
        assert!(enter(&connections, "2001:db8::3").is_some() && open.iter().any(closing), "one network of 64 bits");
    }

    #[test]
    fn connections_that_are_gone_make_room_for_nobody() {
        let connections = connections(16, 16);
        let open =
            |count: usize| -> Vec<Entry> { (0..count).filter_map(|_| enter(&connections, "192.0.2.1")).collect() };
        let count = || (connections.open.load(Ordering::Relaxed), connections.table().closing);
        for _ in 0..3 {
            // The search for one finds more, which then leave by themselves.
            let first = open(16);
            let more = open(1);
            assert_eq!((first.len(), more.len(), count()), (16, 1, (16, 1)));
            drop(first);
            assert_eq!(count(), (1, 0));
            let second = open(15);
            assert_eq!((second.len(), count()), (15, (16, 0)));
            assert_eq!((open(1).len(), count()), (1, (16, 1)));
            drop((second, more));
            assert_eq!(count(), (0, 0));
        }
        // A flood closes some, then only itself.
        let idle = open(16);
        assert_eq!((open(100).len(), count().1), (MOST_CLOSING, MOST_CLOSING));
        drop(idle);
        assert_eq!(count(), (0, 0));
    }

    #[test]
    fn who_a_balancer_speaks_for_has_a_share() {
        let connections = connections(100, 1);
        let stated = Some("192.0.2.1".parse().unwrap());
        let mut open: Vec<Entry> = (0..2).map(|_| enter(&connections, "10.0.0.1").unwrap()).collect();
        assert!(open[0].is_of(stated));
        let _request = open[0].place().begin().unwrap();
        assert!(!open[1].is_of(stated));
    }

    #[test]
    fn requests_of_an_address_are_counted_over_all_its_connections() {
        let connections = connections(100, 100);
        let open: Vec<Entry> = (0..3).map(|_| enter(&connections, "192.0.2.1").unwrap()).collect();
        let mut requests: Vec<_> = open[..2].iter().map(|entry| entry.place().begin().unwrap()).collect();
        assert!(!open[2].is_overloaded(0));
        requests.extend(open[2].place().begin());
        assert!(open[2].is_overloaded(0));
        requests.pop();
        assert!(!open[2].is_overloaded(0) && open[2].is_overloaded(1));
    }
}
