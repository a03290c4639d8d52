//! Sections 11 and 12: more connections than there is room for, and clients that do not take what they asked for.

use std::{
    io::Read,
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{
    Answer, Authority, Connection, Gateway, PATIENCE, Request, await_that, free_address,
    http2::{Answered, Frames},
    within,
};

/// Connections that found no room, among all or among those of their address.
fn limited_total(gateway: &Gateway) -> f64 {
    let metrics = gateway.metrics();
    let limited = |limit| metrics.value("scopegate_rate_limited_total", &[("limit", limit)]);
    limited("connections") + limited("connections_per_address")
}

fn open_connections(gateway: &Gateway) -> f64 {
    gateway.metrics().value("scopegate_open_connections", &[])
}

/// Whether a request on a connection of its own is served.
fn is_served(address: SocketAddr) -> bool {
    let reply = Connection::try_open(address).map(|mut connection| connection.try_exchange(&Request::get("/healthz")));
    reply.is_ok_and(|reply| reply.is_ok_and(|reply| reply.status == 200))
}

#[test]
fn one_connection_more_than_the_limit_takes_the_place_of_the_one_that_was_idle_for_longest() {
    let gateway = Gateway::start(|config| {
        config.limit("connections: 3");
    });
    await_that("nobody is connected", || open_connections(&gateway) < 0.5);
    let mut open: Vec<Connection> = (0..3).map(|_| gateway.connect()).collect();
    for connection in &mut open {
        connection.exchange(&Request::get("/healthz")).assert_status(200);
    }
    let before = limited_total(&gateway);
    let mut newcomer = gateway.connect();
    newcomer.exchange(&Request::get("/healthz")).assert_status(200);
    open.remove(0).assert_closed();
    for connection in open.iter_mut().chain([&mut newcomer]) {
        connection.exchange(&Request::get("/healthz")).assert_status(200);
    }
    assert!((limited_total(&gateway) - before - 1.0).abs() < 0.1);
    assert!((open_connections(&gateway) - 3.0).abs() < 0.1);
    // One that never asked for anything goes before those that did.
    let mut silent = gateway.connect();
    open.remove(0).assert_closed();
    let mut newcomer_too = gateway.connect();
    newcomer_too.exchange(&Request::get("/healthz")).assert_status(200);
    silent.assert_closed();
    for connection in open.iter_mut().chain([&mut newcomer, &mut newcomer_too]) {
        connection.exchange(&Request::get("/healthz")).assert_status(200);
    }
}

/// A connection whose request the upstream never answers.
fn busy(gateway: &Gateway, from: [u8; 4]) -> Connection {
    let before = gateway.upstream().requests().len();
    gateway.upstream().once(Answer::Hang);
    let mut connection = Connection::open_from(from.into(), gateway.public);
    connection.send_head(&Request::get("/healthz"));
    await_that("it is upstream", || gateway.upstream().requests().len() > before);
    connection
}

#[test]
fn where_no_connection_is_idle_the_newcomer_is_closed_at_once() {
    let gateway = Gateway::start(|config| {
        config.limit("connections: 4").limit("connections_per_address: 4");
    });
    await_that("nobody is connected", || open_connections(&gateway) < 0.5);
    let mut open: Vec<Connection> = (0..4).map(|_| busy(&gateway, [127, 0, 0, 1])).collect();
    let begin = Instant::now();
    gateway.connect().assert_closed();
    Connection::open_from([127, 0, 0, 2].into(), gateway.public).assert_closed();
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!(limited_total(&gateway) >= 2.0);
    assert!(gateway.log().contains("is used up"), "{}", gateway.log());
    // Who leaves makes room.
    open.pop();
    await_that("there is room for one", || is_served(gateway.public));
}

#[test]
fn one_address_does_not_take_what_all_share() {
    let gateway = Gateway::start(|config| {
        config.limit("connections: 200").limit("in_flight: 100");
    });
    let limit = |name| gateway.metrics().value("scopegate_limit", &[("name", name)]);
    let shares = [limit("connections_per_address"), limit("in_flight_per_address")];
    assert_eq!(shares.map(|share| share.to_string()), ["150", "75"]);
    let neighbour = || Connection::open_from([127, 0, 0, 2].into(), gateway.public);
    let mut early = neighbour();
    early.exchange(&Request::get("/healthz")).assert_status(200);
    // Idle ones, of which none has asked for anything, or all have.
    for asks in [false, true] {
        let mut idle: Vec<Connection> = (0..250).map(|_| gateway.connect()).collect();
        if asks {
            for connection in &mut idle {
                drop(connection.try_exchange(&Request::get("/healthz")));
            }
        }
        await_that("it has its share", || (140.0..=152.5).contains(&open_connections(&gateway)));
        neighbour().exchange(&Request::get("/healthz")).assert_status(200);
        early.exchange(&Request::get("/healthz")).assert_status(200);
    }
    let limited = gateway.metrics().value("scopegate_rate_limited_total", &[("limit", "connections_per_address")]);
    assert!(limited >= 150.0, "{limited}");
}

#[test]
fn requests_of_one_address_have_their_share() {
    let gateway = Gateway::start(|config| {
        config.plain("h2c: true").limit("in_flight: 8").limit("in_flight_per_address: 3");
    });
    let _busy: Vec<Connection> = (0..3).map(|_| busy(&gateway, [127, 0, 0, 1])).collect();
    let reply = gateway.send(&Request::get("/healthz"));
    reply.assert_problem(503, "overloaded");
    let mut frames = Frames::open(gateway.public);
    assert_eq!(frames.get(1, "/healthz").answer(1), Answered::Reset(7));
    let limited = gateway.metrics().value("scopegate_rate_limited_total", &[("limit", "in_flight_per_address")]);
    assert!((limited - 2.0).abs() < 0.1, "{limited}");
    let mut neighbour = Connection::open_from([127, 0, 0, 2].into(), gateway.public);
    neighbour.exchange(&Request::get("/healthz")).assert_status(200);
}

#[test]
fn balancers_have_many_clients_and_those_they_speak_for_are_counted() {
    let gateway = Gateway::start(|config| {
        config.limit("connections_per_address: 2").plain("proxy_protocol: required");
        config.section("trusted_proxies: [127.0.0.0/8]");
    });
    let of = |client: &str| {
        let mut connection = gateway.connect();
        connection.send(format!("PROXY TCP4 {client} 127.0.0.1 8080 80\r\n"));
        connection
    };
    let mut open: Vec<Connection> = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"].map(of).into();
    for connection in &mut open {
        connection.exchange(&Request::get("/healthz")).assert_status(200);
    }
    let mut third = of("192.0.2.1");
    third.exchange(&Request::get("/healthz")).assert_status(200);
    open.remove(0).assert_closed();
    for connection in &mut open {
        connection.exchange(&Request::get("/healthz")).assert_status(200);
    }
}

#[test]
fn who_does_not_begin_makes_room_for_those_who_do() {
    let (authority, tls, proxy) = (Authority::new("CA"), free_address(), free_address());
    let issued = authority.issue(&["a.example"], 1);
    let gateway = Gateway::start(|config| {
        config.file("cert.pem", &issued.certificate).file("key.pem", &issued.key);
        config.listener(&format!(
            "{{address: \"{tls}\", tls: {{certificate: \"file:cert.pem\", key: \"file:key.pem\"}}}}"
        ));
        config.listener(&format!("{{address: \"{proxy}\", proxy_protocol: required}}"));
        config.section("trusted_proxies: [127.0.0.3]").limit("connections: 5").limit("connections_per_address: 4");
    });
    let from = |last: u8, address| Connection::open_from([127, 0, 0, last].into(), address);
    // Half a handshake, no header of a balancer, half a head, nothing at all.
    let mut slow = vec![from(1, tls), from(3, proxy), from(1, gateway.public), from(1, gateway.public)];
    slow[0].send([22, 3, 1]);
    slow[1].send(b"PROXY TCP4 ");
    slow[2].send(b"GET /healthz HTTP/1.1\r\n");
    for _ in 0..10 {
        from(2, gateway.public).exchange(&Request::get("/healthz")).assert_status(200);
        slow.push(from(1, gateway.public));
    }
    let client = authority.trusting_client();
    let mut secure = from(2, tls).begin_tls(&client, "a.example").unwrap();
    secure.exchange(&Request::get("/healthz")).assert_status(200);
}

#[test]
fn a_process_short_of_descriptors_stays_calm_and_recovers_at_once() {
    // F1
    let gateway = Gateway::start(|config| config.descriptors = Some(256));
    assert!(
        gateway.log().contains("256 file descriptors are too few for `limits`: going on with 96 connections"),
        "{}",
        gateway.log()
    );
    let mut kept = gateway.connect();
    kept.exchange(&Request::get("/healthz")).assert_status(200);
    let idle: Vec<TcpStream> = (0..1000).filter_map(|_| TcpStream::connect(gateway.public).ok()).collect();
    assert_eq!(idle.len(), 1000);
    await_that("the rest is turned away", || limited_total(&gateway) >= 900.0);
    let load = gateway.process().load_during(Duration::from_secs(2));
    assert!(load < 0.2, "{load} of a core");
    assert!(gateway.descriptors() < 224, "{}", gateway.descriptors());
    kept.exchange(&Request::get("/healthz")).assert_status(200);
    gateway.admin("/metrics").assert_status(200);
    // Before those who are turned away are closed there may be none left, but not again and again.
    assert!(gateway.log().matches("Too many open files").count() <= 3, "{}", gateway.log());
    drop(idle);
    assert!(within(Duration::from_secs(1), || is_served(gateway.public)), "no recovery");
}

#[test]
fn a_client_that_takes_nothing_of_a_reply_is_given_up() {
    let gateway = Gateway::start(|config| {
        config.limit("send_timeout: 1s");
    });
    // Of each length, so that some end up in the last buffer before the client.
    let lengths: Vec<usize> = (1..=40).map(|part| part * 128 * 1024 + part).collect();
    let mut readers = Vec::new();
    for length in lengths {
        gateway.upstream().once(Answer::with(200, "", &vec![b'x'; length]));
        let mut reader = gateway.connect();
        reader.send_head(&Request::get("/healthz"));
        let place = readers.len();
        await_that("it is upstream", || gateway.upstream().requests().len() > place);
        readers.push(reader);
    }
    let in_flight = || gateway.metrics().value("scopegate_in_flight_requests", &[]);
    assert!(within(Duration::from_secs(8), || in_flight() < 0.5), "{} are still in flight", in_flight());
    // What was cut shows: no long reply is complete.
    let last = readers.pop().unwrap().try_reply();
    assert!(last.is_err(), "{:?}", last.map(|reply| reply.body.len()));
}

#[test]
fn a_client_that_takes_a_reply_slowly_gets_all_of_it() {
    let gateway = Gateway::start(|config| {
        config.limit("send_timeout: 1s");
    });
    let length = 12 << 20;
    gateway.upstream().always(Answer::with(200, "", &vec![b'x'; length]));
    let mut reader = gateway.connect();
    reader.send_head(&Request::get("/healthz"));
    let head = reader.reply_head().unwrap();
    head.assert_status(200);
    let begin = Instant::now();
    let (mut read, mut part) = (reader.next_bytes().len(), vec![0; 1 << 20]);
    while read < length {
        thread::sleep(Duration::from_millis(250));
        let mut taken = 0;
        while taken < part.len() && read < length {
            let count = reader.stream.read(&mut part[taken..]).unwrap();
            assert!(count > 0, "cut off after {read} bytes and {:?}", begin.elapsed());
            (taken, read) = (taken + count, read + count);
        }
    }
    assert!(begin.elapsed() > Duration::from_secs(2), "too fast to prove anything: {:?}", begin.elapsed());
}

#[test]
fn idle_connections_cost_little() {
    let gateway = Gateway::start(|_| {});
    let open = |count: usize| -> Vec<Connection> {
        let mut connections: Vec<_> = (0..count).map(|_| gateway.connect()).collect();
        for connection in &mut connections {
            connection.exchange(&Request::get("/healthz")).assert_status(200);
        }
        connections
    };
    let first = open(200);
    let before = gateway.process().memory();
    let more = open(800);
    let each = gateway.process().memory().saturating_sub(before) / 800;
    assert!(each < MOST_PER_CONNECTION, "{each} bytes for each idle connection");
    drop((first, more));
    assert!(within(PATIENCE, || open_connections(&gateway) < 0.5));
}

/// Memory of a connection that carried a request and waits for the next, in bytes.
const MOST_PER_CONNECTION: u64 = 56 * 1024;
