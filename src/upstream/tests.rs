use std::path::Path;

use super::{
    server::{Found, Rounds},
    *,
};
use crate::config;

const GROUP: UpstreamId = UpstreamId::new(0);

#[expect(clippy::disallowed_methods, reason = "only what passes since then matters")]
fn now() -> Instant {
    Instant::now()
}

/// One group with servers on ports 1, 2, 3… and the time that its moments are counted from.
struct Fixture {
    upstreams: Upstreams,
    began: Instant,
}

impl Fixture {
    /// `servers` are weights; `keys` stand beside them.
    fn new(weights: &[u16], keys: &str) -> Self {
        let server =
            |(place, weight): (usize, &u16)| format!("{{address: '127.0.0.1:{}', weight: {weight}}}", place + 1);
        let servers: Vec<String> = weights.iter().enumerate().map(server).collect();
        Self::of(&servers.join(", "), keys)
    }

    fn of(servers: &str, keys: &str) -> Self {
        let text =
            format!("upstreams: {{a: {{servers: [{servers}]{keys}}}}}\nroutes: [{{match: GET /x, public: true}}]");
        let config = config::parse(&text, Path::new("gateway.yaml")).unwrap();
        let began = now();
        Self { upstreams: Upstreams::new(config.upstreams, began), began }
    }

    fn moment(&self, seconds: f64) -> Instant {
        self.began + Duration::from_secs_f64(seconds)
    }

    fn pick_at(&self, seconds: f64, client: u64) -> Option<Lease> {
        self.upstreams.pick(GROUP, self.moment(seconds), &Tried::default(), || client)
    }

    /// The place of the server that a lease is on.
    fn server(&self, lease: &Lease) -> usize {
        self.upstreams.groups[0].endpoint_of(lease).server
    }

    fn location(&self, lease: &Lease) -> peer::Location {
        self.upstreams.groups[0].endpoint_of(lease).location.clone()
    }

    fn pick(&self) -> Lease {
        self.pick_at(0.0, 0).expect("a server")
    }

    /// How many of `count` requests each server gets, none of which lasts.
    fn shares(&self, seconds: f64, count: u64) -> Vec<u64> {
        let mut shares = vec![0; self.upstreams.groups[0].endpoints().len()];
        for client in 0..count {
            shares[self.server(&self.pick_at(seconds, client_number(&client.to_be_bytes())).expect("a server"))] += 1;
        }
        shares
    }

    fn endpoint(&self, server: usize) -> Arc<Endpoint> {
        Arc::clone(&self.upstreams.groups[0].endpoints()[server])
    }

    fn fail(&self, server: usize, times: usize, seconds: f64) {
        let lease = Lease { endpoint: Some(self.endpoint(server)) };
        (0..times).for_each(|_| self.upstreams.failed(GROUP, &lease, self.moment(seconds)));
        std::mem::forget(lease); // its place was never taken
    }

    fn answer(&self, server: usize, seconds: f64) {
        let lease = Lease { endpoint: Some(self.endpoint(server)) };
        self.upstreams.answered(GROUP, &lease, || self.moment(seconds));
        std::mem::forget(lease);
    }

    fn check(&self, server: usize, found: Found, seconds: f64) {
        const AT_ONCE: Rounds = Rounds { healthy_after: 1, unhealthy_after: 1 };
        self.endpoint(server).checked(found, AT_ONCE, Ticks::of(self.began, self.moment(seconds)));
    }

    fn up(&self) -> Vec<bool> {
        self.upstreams.readings()[0].servers.iter().map(|server| server.up).collect()
    }
}

/// Whether each share is within a tenth of all of what it should be.
#[track_caller]
fn assert_near(shares: &[u64], wanted: &[u64]) {
    let tenth = wanted.iter().sum::<u64>() / 10;
    let near = shares.iter().zip(wanted).all(|(share, wanted)| share.abs_diff(*wanted) <= tenth);
    assert!(near, "{shares:?} instead of {wanted:?}");
}

#[test]
fn round_robin_honours_the_weights_exactly() {
    assert_eq!(Fixture::new(&[1, 1], "").shares(0.0, 10), [5, 5]);
    assert_eq!(Fixture::new(&[3, 1], "").shares(0.0, 400), [300, 100]);
    assert_eq!(Fixture::new(&[10, 20, 70], "").shares(0.0, 1000), [100, 200, 700]);
}

#[test]
fn the_share_of_a_server_that_is_down_falls_to_all_others_by_their_weights() {
    let group = Fixture::new(&[1, 1, 1, 2], "");
    group.check(1, Found::Unwell, 0.0);
    assert_near(&group.shares(0.0, 4000), &[1000, 0, 1000, 2000]);
    group.check(1, Found::Well, 0.0);
    assert_eq!(group.shares(0.0, 5000), [1000, 1000, 1000, 2000]);
}

#[test]
fn nobody_is_picked_where_every_server_fails_its_checks() {
    for balance in ["round_robin", "least_connections", "client_hash"] {
        let group = Fixture::new(&[1, 1], &format!(", balance: {balance}"));
        group.check(0, Found::Unwell, 0.0);
        assert_eq!(group.shares(0.0, 10), [0, 10], "{balance}");
        group.check(1, Found::Unwell, 0.0);
        assert!(group.pick_at(0.0, 0).is_none(), "{balance}");
        assert!(!group.upstreams.has_other(GROUP, &Tried::default()));
        group.check(1, Found::Well, 0.0);
        assert_eq!(group.shares(0.0, 10), [0, 10], "{balance}");
    }
    let alone = Fixture::new(&[1], "");
    alone.check(0, Found::Unwell, 0.0);
    assert!(alone.pick_at(0.0, 0).is_none());
}

#[test]
fn a_server_that_was_tried_is_not_picked_again() {
    for balance in ["round_robin", "least_connections", "client_hash"] {
        let group = Fixture::new(&[1, 1, 1], &format!(", balance: {balance}"));
        let mut tried = Tried::default();
        for left in (0..3).rev() {
            let lease = group.upstreams.pick(GROUP, group.began, &tried, || 7).unwrap();
            group.upstreams.give_up(GROUP, &lease, &mut tried);
            assert_eq!(group.upstreams.has_other(GROUP, &tried), left > 0, "{balance}");
        }
        assert!(group.upstreams.pick(GROUP, group.began, &tried, || 7).is_none());
        assert!(group.upstreams.pick(GROUP, group.began, &Tried::default(), || 7).is_some());
    }
}

#[test]
fn least_connections_goes_by_requests_in_flight_for_the_weight() {
    let group = Fixture::new(&[1, 3], ", balance: least_connections");
    let held: Vec<Lease> = (0..8).map(|_| group.pick()).collect();
    let of = |server: usize| held.iter().filter(|lease| group.server(lease) == server).count();
    assert_eq!([of(0), of(1)], [2, 6]);
    drop(held);
    let slow = group.pick();
    let mut busy = 0;
    (0..10).for_each(|_| busy += usize::from(group.server(&group.pick()) == group.server(&slow)));
    assert!(busy <= 10 * usize::from(group.server(&slow) == 1), "{busy}");
}

#[test]
fn equals_take_turns_under_least_connections() {
    assert_eq!(Fixture::new(&[1, 1, 1], ", balance: least_connections").shares(0.0, 30), [10, 10, 10]);
}

#[test]
fn a_client_stays_with_its_server_and_few_move_when_one_leaves() {
    let group = Fixture::new(&[1, 1, 1, 2], ", balance: client_hash");
    let clients: Vec<u64> = (0..5000_u64).map(|client| client_number(&client.to_be_bytes())).collect();
    let homes =
        || -> Vec<usize> { clients.iter().map(|client| group.server(&group.pick_at(0.0, *client).unwrap())).collect() };
    let before = homes();
    assert_eq!(before, homes());
    let of = |server: usize| before.iter().filter(|home| **home == server).count() as u64;
    assert_near(&[of(0), of(1), of(2), of(3)], &[1000, 1000, 1000, 2000]);
    group.check(2, Found::Unwell, 0.0);
    let without = homes();
    let moved = before.iter().zip(&without).filter(|(before, after)| before != after).count();
    assert_eq!(moved as u64, of(2), "only the clients of the server that left have moved");
    let taken = |server: usize| without.iter().filter(|home| **home == server).count() as u64 - of(server);
    assert!([0, 1, 3].iter().all(|server| taken(*server) > 100), "each of the others took some");
    group.check(2, Found::Well, 0.0);
    assert_eq!(before, homes(), "all are back");
}

#[test]
fn clients_are_numbered_alike_on_every_node() {
    assert_eq!(client_number(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(client_number(b"a"), 0xaf63_dc4c_8601_ec8c);
}

#[test]
fn a_server_that_fails_too_often_is_left_alone_and_then_tried_once() {
    for balance in ["round_robin", "least_connections", "client_hash"] {
        let group = Fixture::new(&[1, 1], &format!(", balance: {balance}, eject: {{failures: 3, for: 10s}}"));
        group.fail(0, 2, 0.0);
        assert!(group.shares(0.0, 20)[0] > 0, "{balance}: two failures are not enough");
        group.fail(0, 1, 0.0);
        assert_eq!(group.shares(9.9, 20), [0, 20], "{balance}");
        assert_eq!(group.shares(10.0, 20), [1, 19], "{balance}: one request tries it");
        group.fail(0, 1, 10.1);
        assert_eq!(group.shares(20.0, 20), [0, 20], "{balance}: and failed");
        assert_eq!(group.shares(20.1, 20), [1, 19], "{balance}");
        group.answer(0, 20.2);
        assert!(group.shares(20.2, 20)[0] > 1, "{balance}: it is back");
        assert_eq!(group.upstreams.readings()[0].servers[0].ejections, 1);
    }
}

#[test]
fn the_last_servers_are_never_left_alone() {
    for balance in ["round_robin", "least_connections", "client_hash"] {
        let group = Fixture::new(&[1, 1], &format!(", balance: {balance}, eject: {{failures: 1, for: 10s}}"));
        group.fail(0, 1, 0.0);
        group.fail(1, 1, 0.0);
        let shares = group.shares(1.0, 100);
        assert!(shares.iter().all(|share| *share > 0), "{balance}: {shares:?}");
        group.answer(1, 2.0);
        assert_eq!(group.shares(2.0, 100), [0, 100], "{balance}: one that answers is enough");
    }
    let alone = Fixture::new(&[1], ", eject: {failures: 1, for: 10s}");
    alone.fail(0, 100, 0.0);
    assert!(alone.pick_at(0.0, 0).is_some());
}

#[test]
fn failures_count_in_a_row_only_and_never_where_nobody_is_ejected() {
    let group = Fixture::new(&[1, 1], ", eject: {failures: 2, for: 10s}");
    for _ in 0..5 {
        group.fail(0, 1, 0.0);
        group.answer(0, 0.0);
    }
    assert_eq!(group.shares(0.0, 10), [5, 5]);
    let group = Fixture::new(&[1, 1], ", eject: never");
    group.fail(0, 1000, 0.0);
    assert_eq!(group.shares(0.0, 10), [5, 5]);
    assert_eq!(group.upstreams.readings()[0].servers[0].ejections, 0);
}

#[test]
fn a_server_that_returns_gets_its_share_little_by_little() {
    for balance in ["round_robin", "client_hash"] {
        let group = Fixture::new(&[1, 1], &format!(", slow_start: 30s, balance: {balance}"));
        assert_near(&group.shares(0.0, 4000), &[2000, 2000]);
        group.check(0, Found::Unwell, 0.0);
        group.check(0, Found::Well, 100.0);
        assert_near(&group.shares(100.0, 4000), &[125, 3875]);
        assert_near(&group.shares(115.0, 4000), &[1000, 3000]);
        assert_near(&group.shares(130.0, 4000), &[2000, 2000]);
        assert_near(&group.shares(1000.0, 4000), &[2000, 2000]);
    }
}

#[test]
fn a_server_on_its_way_back_holds_fewer_requests() {
    let group = Fixture::new(&[1, 1], ", slow_start: 30s, balance: least_connections");
    group.check(0, Found::Unwell, 0.0);
    group.check(0, Found::Well, 100.0);
    let held: Vec<Lease> = (0..100).map(|_| group.pick_at(110.0, 0).unwrap()).collect();
    assert_eq!(held.iter().filter(|lease| group.server(lease) == 0).count(), 25);
}

#[test]
fn a_server_has_no_more_requests_than_it_may() {
    for balance in ["round_robin", "least_connections", "client_hash"] {
        let group = Fixture::new(&[1, 1], &format!(", max_requests: 2, balance: {balance}"));
        let mut held: Vec<Lease> = (0..4).map(|_| group.pick()).collect();
        assert!(group.pick_at(0.0, 0).is_none(), "{balance}");
        held.pop();
        held.push(group.pick());
        assert!(group.pick_at(0.0, 0).is_none(), "{balance}");
    }
    let alone = Fixture::new(&[1], ", max_requests: 1");
    let held = alone.pick();
    assert!(alone.pick_at(0.0, 0).is_none());
    drop(held);
    assert!(alone.pick_at(0.0, 0).is_some());
}

#[test]
fn many_threads_never_take_more_places_than_there_are() {
    let group = Fixture::new(&[1, 1], ", max_requests: 3");
    let held: Vec<Option<Lease>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| group.pick_at(0.0, 0))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(held.iter().flatten().count(), 6);
}

#[test]
fn checks_count_in_a_row_and_the_first_one_by_itself() {
    let group = Fixture::new(&[1, 1], "");
    let rounds = Rounds { healthy_after: 2, unhealthy_after: 3 };
    let check = |server: usize, found| {
        group.endpoint(server).checked(found, rounds, Ticks::of(group.began, group.began));
        group.up()[server]
    };
    assert!(check(0, Found::Well));
    assert_eq!([(); 3].map(|()| check(0, Found::Unwell)), [true, true, false]);
    assert_eq!([Found::Well, Found::Unwell, Found::Well].map(|found| check(0, found)), [false; 3]);
    assert!(check(0, Found::Well));
    assert_eq!([Found::Unwell, Found::Unwell, Found::Well].map(|found| check(0, found)), [true; 3]);
    assert_eq!([Found::Unwell, Found::Unwell].map(|found| check(0, found)), [true; 2]);
    assert!(!check(1, Found::Unwell), "nothing else is known of a server than its first check");
}

#[test]
fn a_name_that_leads_elsewhere_takes_its_new_servers_and_lets_the_old_ones_finish() {
    let group = Fixture::of("'localhost:1', '127.0.0.1:9'", ", max_requests: 1");
    let at = |text: &str| peer::Location::Address(text.parse().unwrap());
    let (first, second, fixed) = (at("127.0.0.1:1"), at("127.0.0.2:1"), at("127.0.0.1:9"));
    let now = Ticks::of(group.began, group.began);
    let go_on_with = |named: &[&peer::Location]| {
        let named = named.iter().map(|location| (*location).clone()).collect();
        group.upstreams.groups[0].go_on_with(&[named, vec![fixed.clone()]], now);
    };
    go_on_with(&[&first]);
    let held = [group.pick(), group.pick()];
    assert!(group.pick_at(0.0, 0).is_none(), "both are busy");
    go_on_with(&[&second]);
    let third = group.pick();
    assert_eq!(group.location(&third), second);
    assert!(group.pick_at(0.0, 0).is_none(), "the fixed one has kept its request");
    drop(held);
    assert_eq!(group.location(&group.pick()), fixed, "the one that is gone gets no more");
    go_on_with(&[&second, &first]);
    drop(third);
    let seen: Vec<String> = (0..3).map(|_| group.location(&group.pick()).to_string()).collect();
    assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{seen:?}");
}

#[test]
fn a_connection_is_given_up_before_the_server_gives_it_up() {
    let group = Fixture::new(&[1], ", timeouts: {idle: 60s}");
    let lease = group.pick();
    let idle = |connection| group.upstreams.peer(GROUP, &lease, connection).options.idle_timeout;
    assert_eq!(idle(Connection::Any), Some(Duration::from_secs(60)));
    for (said, kept) in [(5, 4), (1, 0), (75, 60)] {
        group.upstreams.keeps_idle_for(GROUP, &lease, said);
        assert_eq!(idle(Connection::Any), Some(Duration::from_secs(kept)), "{said}");
    }
    assert_eq!(idle(Connection::Fresh), Some(Duration::ZERO));
    let keys = [Connection::Fresh, Connection::Fresh, Connection::Any]
        .map(|wish| group.upstreams.peer(GROUP, &lease, wish).group_key);
    assert!(keys[0] != keys[1] && keys[0] != keys[2], "{keys:?}");
}

#[test]
fn groups_share_no_connections() {
    let text = "upstreams: {a: {servers: ['127.0.0.1:1']}, b: {servers: ['127.0.0.1:1']}}\nroutes: [{match: GET /x, public: true, upstream: a}]";
    let config = config::parse(text, Path::new("gateway.yaml")).unwrap();
    let began = now();
    let upstreams = Upstreams::new(config.upstreams, began);
    let key = |place| {
        let lease = upstreams.pick(UpstreamId::new(place), began, &Tried::default(), || 0).unwrap();
        upstreams.peer(UpstreamId::new(place), &lease, Connection::Any).group_key
    };
    assert_ne!(key(0), key(1));
}
