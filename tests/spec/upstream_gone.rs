//! Sections 6 and 12: servers that nobody reaches, those that come back, and what requests notice of it.

use std::{
    net::SocketAddr,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use crate::harness::{BlackHole, Gateway, Request, await_that, free_address};

/// A gateway whose only server is `address`.
fn before(address: SocketAddr, timeouts: &[&str]) -> Gateway {
    Gateway::start(|config| {
        config.instead = Some(address);
        for timeout in timeouts {
            config.timeout(timeout);
        }
    })
}

#[track_caller]
fn took(begin: Instant, range: Range<u64>) {
    let time = begin.elapsed();
    assert!((Duration::from_millis(range.start)..Duration::from_millis(range.end)).contains(&time), "{time:?}");
}

#[test]
fn a_server_that_refuses_connections_is_502_at_once() {
    // U3
    let gateway = before(free_address(), &[]);
    let begin = Instant::now();
    gateway.send(&Request::get("/healthz")).assert_problem(502, "upstream_unreachable");
    took(begin, 0..400);
}

#[test]
fn a_server_that_cannot_be_reached_is_504_at_the_connect_timeout() {
    // U3
    let hole = BlackHole::open();
    let gateway = before(hole.address, &["connect: 300ms"]);
    let begin = Instant::now();
    gateway.send(&Request::get("/healthz")).assert_problem(504, "upstream_timeout");
    took(begin, 290..2000);
}

#[test]
fn a_server_that_cannot_be_reached_costs_time_but_no_request() {
    // U3
    let hole = BlackHole::open();
    let gateway = Gateway::start(|config| {
        config.servers(&[&format!("\"{}\"", hole.address), "$1"]);
        config.timeout("connect: 200ms").group("eject: {failures: 2, for: 1m}");
    });
    let token = gateway.token("application");
    for _ in 0..10 {
        gateway.send(&Request::post("/v1/any/x").bearer(&token).body("x")).assert_status(200);
    }
    let begin = Instant::now();
    (0..10).for_each(|_| drop(gateway.send(&Request::get("/healthz")).assert_status(200).clone()));
    took(begin, 0..1500);
}

#[test]
fn no_more_than_three_servers_are_tried() {
    let dead: Vec<String> = (0..4).map(|_| format!("\"{}\"", free_address())).collect();
    let gateway = Gateway::start(|config| {
        config.servers(&[&dead[0], &dead[1], &dead[2], &dead[3]]);
        config.group("eject: never");
    });
    gateway.send(&Request::get("/healthz")).assert_problem(502, "upstream_unreachable");
    let failures = gateway.metrics().value("scopegate_upstream_connect_failures_total", &[]);
    assert!((failures - 3.0).abs() < f64::EPSILON, "{failures}");
}

#[test]
fn a_server_that_dies_and_returns_under_load_costs_no_get() {
    let mut gateway = Gateway::start(|config| {
        config.upstreams = 2;
        // A server that is slow on a busy machine takes connections, other than one that has died.
        config.group("health: {tcp: true, every: 100ms}").timeout("connect: 5s");
    });
    for _ in 0..5 {
        let mut place = None;
        for n in 0..60 {
            if n == 20 {
                place = Some(gateway.upstreams.remove(0).stop());
            }
            if n == 40 {
                gateway.upstreams.insert(0, place.take().expect("it has stopped").start());
            }
            gateway.send(&Request::get("/v1/any/x").bearer(&gateway.token("application"))).assert_status(200);
        }
    }
}

/// A gateway with one server that answers nobody and one that serves. A connection may take [`CONNECT`].
fn beside(hole: &BlackHole, eject: &str) -> Gateway {
    Gateway::start(|config| {
        config.servers(&[&format!("\"{}\"", hole.address), "$1"]);
        config.timeout(&format!("connect: {}ms", CONNECT.as_millis())).group(&format!("eject: {eject}"));
    })
}

#[test]
fn many_requests_at_once_wait_for_a_server_that_cannot_be_reached_no_longer_than_one() {
    // N1
    let hole = BlackHole::open();
    let gateway = beside(&hole, "never");
    let slowest = thread::scope(|scope| {
        let send = || {
            let begin = Instant::now();
            gateway.send(&Request::get("/healthz")).assert_status(200);
            begin.elapsed()
        };
        let all: Vec<_> = (0..60).map(|_| scope.spawn(send)).collect();
        all.into_iter().map(|one| one.join().expect("it is served")).max().unwrap()
    });
    assert!((CONNECT..CONNECT * 8).contains(&slowest), "{slowest:?}");
    assert_eq!(gateway.upstream().requests().len(), 60, "the other server took all of them, each once");
    await_that("nothing is in flight", || gateway.metrics().value("scopegate_in_flight_requests", &[]) < 0.5);
}

#[test]
fn a_server_that_can_be_reached_again_takes_its_share() {
    // N1
    let hole = BlackHole::open();
    let gateway = beside(&hole, "{failures: 2, for: 500ms}");
    let server = hole.address.to_string();
    let up = || gateway.metrics().value("scopegate_upstream_up", &[("server", &server)]) > 0.5;
    let get = || gateway.send(&Request::get("/healthz")).assert_status(200).status;
    await_that("it is left alone", || get() == 200 && !up());
    let open = gateway.descriptors();
    let again = hole.answer();
    await_that("it is asked again", || get() == 200 && !again.requests().is_empty());
    await_that("it is up", || up());
    again.forget();
    gateway.upstream().forget();
    for _ in 0..20 {
        get();
    }
    assert_eq!([&again, gateway.upstream()].map(|server| server.requests().len()), [10, 10]);
    // What was tried in vain is not kept: one connection to the server, and that of the scrape before.
    await_that("few descriptors are open", || gateway.descriptors() <= open + 2);
}

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_millis(250);
