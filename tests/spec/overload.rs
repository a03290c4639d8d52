//! Sections 11 and 12: more connections than there is room for, and clients that do not take what they asked for.

use std::{
    io::Read,
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Answer, Connection, Gateway, PATIENCE, Request, await_that, within};

fn limited_total(gateway: &Gateway) -> f64 {
    gateway.metrics().value("scopegate_rate_limited_total", &[("limit", "connections")])
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
fn one_connection_more_than_the_limit_is_closed_at_once() {
    let gateway = Gateway::start(|config| {
        config.limit("connections: 3");
    });
    await_that("nobody is connected", || open_connections(&gateway) < 0.5);
    let mut open: Vec<Connection> = (0..3).map(|_| gateway.connect()).collect();
    for connection in &mut open {
        connection.exchange(&Request::get("/healthz")).assert_status(200);
    }
    let before = limited_total(&gateway);
    let begin = Instant::now();
    gateway.connect().assert_closed();
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!((limited_total(&gateway) - before - 1.0).abs() < 0.1);
    assert!((open_connections(&gateway) - 3.0).abs() < 0.1);
    // Those who are in stay, and who leaves makes room.
    for connection in &mut open {
        connection.exchange(&Request::get("/healthz")).assert_status(200);
    }
    open.pop();
    await_that("there is room for one", || is_served(gateway.public));
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
    assert!(gateway.process().descriptors() < 224, "{}", gateway.process().descriptors());
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
