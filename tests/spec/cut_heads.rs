//! Section 12, HTTP/1.1: a head means the same however its bytes are cut on their way, and whenever they come.

use std::{fs, net::SocketAddr};

use crate::harness::{Answer, Broken, Connection, Gateway, Request, await_that, free_address};

/// A gateway whose two listeners begin differently: one takes every connection for HTTP/1.1, one looks for HTTP/2 first.
fn gateway() -> (Gateway, [SocketAddr; 2]) {
    let other = free_address();
    let gateway = Gateway::start(|config| {
        config.route("{match: \"PUT /put/**\", public: true}").route("{match: \"POST /post\", public: true}");
        config.listener(&format!("{{address: \"{other}\", h2c: true}}"));
    });
    let addresses = [gateway.public, other];
    (gateway, addresses)
}

/// Bytes that were sent on these connections to `address` and that nobody there has read, as the system sees them (proc(5),
/// `/proc/net/tcp`).
fn unread(address: SocketAddr, connections: &[Connection]) -> usize {
    let port = |end: &str| end.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    let clients: Vec<Option<u16>> =
        connections.iter().map(|connection| connection.stream.local_addr().ok().map(|end| end.port())).collect();
    // Most lines of a long table are of others.
    let mark = format!(":{:04X} ", address.port());
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().take(5).collect();
        let [_, own, other, _, queues] = fields[..] else { return 0 };
        let ours = port(own) == Some(address.port()) && clients.contains(&port(other));
        let waiting = queues.split_once(':').filter(|_| ours).map(|(_, waiting)| usize::from_str_radix(waiting, 16));
        waiting.map_or(0, |waiting| waiting.expect("a number"))
    };
    fs::read_to_string("/proc/net/tcp").unwrap().lines().filter(|line| line.contains(&mark)).map(of_line).sum()
}

fn await_read(address: SocketAddr, connections: &[Connection]) {
    await_that("all that was sent is read", || unread(address, connections) == 0);
}

/// Sends `bytes` to every listener cut in two at every place, and cut into several parts, each part when those before
/// it were read. A connection may end after the first reply (RFC 9112 section 9.3.2), without another.
fn cut_everywhere(addresses: &[SocketAddr], bytes: &[u8], expected: &[u16]) {
    let mut cuts: Vec<Vec<&[u8]>> = (1..bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]).collect();
    cuts.extend([4, 5].map(|parts| bytes.chunks(bytes.len() / parts).collect()));
    let rounds = cuts.iter().map(Vec::len).max().unwrap();
    for address in addresses {
        let mut connections: Vec<Connection> = cuts.iter().map(|_| Connection::open(*address)).collect();
        for round in 0..rounds {
            if round > 0 {
                await_read(*address, &connections);
            }
            for (connection, cut) in connections.iter_mut().zip(&cuts) {
                cut.get(round).map(|part| connection.send(part));
            }
        }
        for (connection, cut) in connections.iter_mut().zip(&cuts) {
            let cut = || cut.iter().map(|part| String::from_utf8_lossy(part)).collect::<Vec<_>>();
            for (place, status) in expected.iter().enumerate() {
                match connection.try_reply() {
                    Ok(reply) => assert_eq!(reply.status, *status, "{:?}", cut()),
                    Err(Broken::Closed) if place > 0 => break,
                    Err(broken) => panic!("{broken:?}: {:?}", cut()),
                }
            }
        }
    }
}

#[test]
fn a_head_is_read_whole_wherever_it_is_cut() {
    let (gateway, addresses) = gateway();
    // The second begins as HTTP/2 does: with a P.
    let cases: [&[u8]; 2] = [
        b"GET /healthz HTTP/1.1\r\nHost: gateway.example\r\nX-Field: value\r\n\r\n",
        b"PUT /put/it HTTP/1.1\r\nHost: a\r\nX-Field: value\r\nContent-Length: 4\r\n\r\nbody",
    ];
    for bytes in cases {
        gateway.upstream().forget();
        cut_everywhere(&addresses, bytes, &[200]);
        let seen = gateway.upstream().requests();
        assert_eq!(seen.len(), 2 * (bytes.len() + 1), "each at both listeners");
        for request in &seen {
            assert_eq!(request.header("x-field"), Some("value"));
            assert_eq!(request.body, if request.method == "PUT" { &b"body"[..] } else { b"" });
        }
    }
}

#[test]
fn empty_lines_before_a_head_are_nothing_wherever_they_are_cut() {
    // RFC 9112 section 2.2
    let (gateway, addresses) = gateway();
    cut_everywhere(&addresses, b"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", &[200]);
    // Old clients send one after a body.
    let after =
        b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    cut_everywhere(&addresses, after, &[200, 200]);
    let seen = gateway.upstream().requests();
    assert!(seen.iter().all(|request| ["/healthz", "/post"].contains(&request.target.as_str())));
}

#[test]
fn an_empty_line_after_a_request_begins_no_other() {
    let gateway = Gateway::start(|config| {
        config.limit("header_timeout: 1s");
    });
    let mut connection = gateway.connect();
    connection.exchange(&Request::get("/healthz")).assert_status(200);
    connection.send("\r\n");
    await_read(gateway.public, std::slice::from_ref(&connection));
    // Who begins after that, and does not go on, is told so in time. A client that waits is told nothing: it would take
    // that for the reply to its next request.
    gateway.connect().send("GET").reply().assert_status(408);
    connection.exchange(&Request::get("/healthz")).assert_status(200);
}

#[test]
fn requests_in_a_row_stay_apart_wherever_they_are_cut() {
    // FRM-06: what the first one may, the second may not.
    let (gateway, addresses) = gateway();
    let first = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let second = b"GET /v1/applications HTTP/1.1\r\nHost: a\r\n\r\n";
    cut_everywhere(&addresses, &[&first[..], second].concat(), &[200, 401]);
    assert!(gateway.upstream().requests().iter().all(|request| request.target == "/healthz"));
}

#[test]
fn what_comes_too_early_does_not_harm_the_request_before() {
    let (gateway, addresses) = gateway();
    let post = "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    let early = ["\r\n", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "junk", "\0"];
    for (address, early) in addresses.iter().flat_map(|address| early.map(|early| (*address, early))) {
        gateway.upstream().forget();
        let (answer, steps) = Answer::stepwise();
        gateway.upstream().once(answer);
        let mut connection = Connection::open(address);
        connection.send(post);
        // The server thinks, and the client goes on.
        gateway.upstream().request();
        connection.send(early);
        let read = || unread(address, std::slice::from_ref(&connection)) < early.len();
        await_that("what is early is noticed", read);
        steps.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        drop(steps);
        assert_eq!(connection.reply().assert_status(200).text(), "ok", "{early:?}");
        assert_eq!(connection.try_reply().unwrap_err(), Broken::Closed, "{early:?}");
        assert_eq!(gateway.upstream().request().target, "/post");
    }
}

#[test]
fn a_head_that_breaks_the_rules_is_refused_wherever_it_is_cut() {
    let (gateway, addresses) = gateway();
    let cases: [&[u8]; 4] = [
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: y\nZ: y\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    for bytes in cases {
        cut_everywhere(&addresses, bytes, &[400]);
    }
    gateway.upstream().assert_untouched();
}
