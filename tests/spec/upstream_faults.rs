//! Sections 6 and 12: what becomes of requests whose server is slow, rude, or breaks off.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Answer, Broken, Gateway, Reply, Request, await_that, each_row, random_below};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A gateway whose only server is `address`.
fn before(address: std::net::SocketAddr, timeouts: &[&str]) -> Gateway {
    Gateway::start(|config| {
        config.instead = Some(address);
        for timeout in timeouts {
            config.timeout(timeout);
        }
    })
}

#[track_caller]
fn took(begin: Instant, range: std::ops::Range<u64>) {
    let time = begin.elapsed();
    assert!((Duration::from_millis(range.start)..Duration::from_millis(range.end)).contains(&time), "{time:?}");
}

#[test]
fn a_server_that_hangs_is_504_at_its_timeout_and_slows_nobody_else_down() {
    // U2
    let gateway = Gateway::start(|config| {
        config.timeout("read: 700ms");
        config.group("eject: never");
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap(); // takes connections, reads nothing
    let silent = before(listener.local_addr().unwrap(), &["read: 300ms"]);
    let begin = Instant::now();
    silent.send(&Request::get("/healthz")).assert_problem(504, "upstream_timeout");
    took(begin, 290..2000);
    thread::scope(|scope| {
        gateway.upstream().once(Answer::Hang);
        let hanging = scope.spawn(|| gateway.send(&Request::get("/healthz")).status);
        await_that("the slow request", || !gateway.upstream().requests().is_empty());
        let begin = Instant::now();
        gateway.send(&Request::get("/healthz")).assert_status(200);
        took(begin, 0..500);
        assert_eq!(hanging.join().unwrap(), 504);
    });
}

#[test]
fn a_reset_is_502_before_the_reply_and_a_broken_transfer_within_it() {
    // U1, U3
    let gateway = Gateway::start(|_| {});
    let cases: [(&str, &str); 4] = [
        ("before a byte", ""),
        ("within the head", "HTTP/1.1 200 OK\r\nContent-"),
        ("within a body of known length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
        ("between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, partial)| {
            for answer in [Answer::ThenReset((*partial).into()), Answer::ThenClose((*partial).into())] {
                gateway.upstream().forget();
                gateway.upstream().drop_connections();
                gateway.upstream().once(answer);
                match gateway.connect().try_exchange(&Request::get("/healthz")) {
                    Ok(reply) if reply.status == 502 => reply.assert_problem(502, "upstream_unreachable"),
                    Err(Broken::CutShort(..) | Broken::Closed) if partial.contains("\r\n\r\n") => {}
                    other => panic!("{other:?}"),
                }
                assert_eq!(gateway.upstream().requests().len(), 1, "it was sent once");
                gateway.send(&Request::get("/healthz")).assert_status(200);
            }
        },
    );
}

#[test]
fn interim_replies_without_end_are_502() {
    // U4
    let gateway = Gateway::start(|_| {});
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"] {
        let flood = [interim.repeat(16).as_bytes(), OK].concat();
        gateway.upstream().once(Answer::Bytes(flood));
        gateway.send(&Request::get("/healthz")).assert_status(200);
        let flood = [interim.repeat(17).as_bytes(), OK].concat();
        gateway.upstream().once(Answer::ThenClose(flood));
        gateway.send(&Request::get("/healthz")).assert_problem(502, "upstream_unreachable");
        gateway.upstream().once(Answer::ThenClose(interim.repeat(10_000).into()));
        gateway.send(&Request::get("/healthz")).assert_problem(502, "upstream_unreachable");
    }
}

#[test]
fn a_large_head_of_a_reply_is_passed_on_or_502_and_never_cut() {
    // U4
    let gateway = Gateway::start(|_| {});
    let head = |fields: usize, length: usize| {
        let fields: Vec<String> = (0..fields).map(|n| format!("X-Field-{n}: {}\r\n", "v".repeat(length))).collect();
        let fields = fields.concat();
        Answer::ThenClose(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok").into())
    };
    gateway.upstream().once(head(64, 1000));
    let reply = gateway.send(&Request::get("/healthz"));
    assert_eq!(reply.assert_status(200).text(), "ok");
    assert_eq!(
        reply
            .headers
            .iter()
            .filter(|(name, value)| name.to_ascii_lowercase().starts_with("x-field-") && value.len() == 1000)
            .count(),
        64
    );
    for (fields, length) in [(300, 10), (200, 10_000)] {
        gateway.upstream().once(head(fields, length));
        gateway.send(&Request::get("/healthz")).assert_problem(502, "upstream_unreachable");
        gateway.send(&Request::get("/healthz")).assert_status(200);
    }
}

#[test]
fn a_reply_before_the_request_has_ended_leaves_no_rest_for_the_next() {
    // U4
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    for _ in 0..5 {
        gateway.upstream().once(Answer::Early(OK.to_vec()));
        let mut connection = gateway.connect();
        connection.send_head(&Request::post("/v1/any/x").bearer(&token).body(vec![b'x'; 100_000])).send(b"xx");
        connection.reply().assert_status(200);
        drop(connection);
        gateway.send(&Request::get("/healthz")).assert_status(200);
    }
    assert!(gateway.upstream().requests().iter().all(|seen| ["GET", "POST"].contains(&seen.method.as_str())));
}

#[test]
fn a_server_that_closes_idle_connections_as_they_are_used_costs_no_get() {
    // U5
    let gateway = Gateway::start(|config| {
        config.group("eject: never");
    });
    for _ in 0..300 {
        let time = Duration::from_micros(u64::try_from(random_below(5000)).unwrap());
        gateway.upstream().once(Answer::Lasting(OK.to_vec(), time));
        gateway.send(&Request::get("/healthz")).assert_status(200);
        thread::sleep(Duration::from_micros(u64::try_from(random_below(5000)).unwrap()));
    }
}

#[test]
fn a_stale_connection_is_replaced_by_a_fresh_one_once() {
    let gateway = Gateway::start(|_| {});
    let request = Request::get("/healthz");
    // On one connection of a client: its next request is read when that of the server is back in the pool.
    let mut connection = gateway.connect();
    for _ in 0..3 {
        connection.exchange(&request).assert_status(200);
    }
    gateway.upstream().forget();
    gateway.upstream().once(Answer::ThenClose(Vec::new()));
    connection.exchange(&request).assert_status(200);
    let requests = gateway.upstream().requests();
    assert_eq!(requests.len(), 2, "{requests:#?}");
    assert_eq!(requests[1].place, 0, "the second try had a connection of its own");
    gateway.upstream().forget();
    connection.exchange(&request).assert_status(200);
    gateway.upstream().always(Answer::ThenClose(Vec::new()));
    gateway.upstream().forget();
    connection.exchange(&request).assert_problem(502, "upstream_unreachable");
    assert!(gateway.upstream().requests().len() <= 2, "{:#?}", gateway.upstream().requests());
}

#[test]
fn a_body_is_sent_again_whole_with_a_request_that_may_be_repeated() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    gateway.send(&Request::get("/healthz")).assert_status(200);
    for request in [
        Request::new("PUT", "/v1/any/x").bearer(&token).body(vec![b'x'; 60_000]),
        Request::new("DELETE", "/v1/any/x").bearer(&token).chunked(&[b"one", b"two"]),
    ] {
        gateway.upstream().forget();
        gateway.upstream().once(Answer::CloseIfReused);
        gateway.send(&request).assert_status(200);
        let requests = gateway.upstream().requests();
        let last = requests.last().unwrap();
        assert!(last.complete && last.body == requests[0].body, "{} {}", requests.len(), last.body.len());
        assert!([60_000, 6].contains(&last.body.len()));
    }
}

#[test]
fn a_request_that_may_not_be_repeated_is_sent_once_even_on_a_stale_connection() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let request = Request::post("/v1/any/x").bearer(&token).body("x");
    gateway.send(&request).assert_status(200);
    gateway.upstream().forget();
    gateway.upstream().once(Answer::CloseIfReused);
    gateway.send(&request).assert_problem(502, "upstream_unreachable");
    assert_eq!(gateway.upstream().requests().len(), 1);
}

#[test]
fn a_route_may_say_that_its_requests_can_be_repeated() {
    let gateway = Gateway::start(|config| {
        config.route("{match: POST /v1/lookup, scope: application, idempotent: true}");
    });
    let token = gateway.token("application");
    let request = Request::post("/v1/lookup").bearer(&token).body("x");
    gateway.send(&request).assert_status(200);
    gateway.upstream().forget();
    gateway.upstream().once(Answer::CloseIfReused);
    gateway.send(&request).assert_status(200);
    let bodies: Vec<_> = gateway.upstream().requests().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [b"x", b"x"]);
}

#[test]
fn a_connection_is_left_before_the_server_ends_it() {
    let gateway = Gateway::start(|_| {});
    let says =
        Answer::Bytes(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2, max=100\r\nContent-Length: 2\r\n\r\nok".to_vec());
    gateway.upstream().always(says);
    let token = gateway.token("application");
    let send = || gateway.send(&Request::post("/v1/any/x").bearer(&token).body("x"));
    // The first reply tells; the connections after it are left in time.
    let mut held = gateway.connect();
    held.send_head(&Request::post("/v1/any/x").bearer(&token).body("x"));
    await_that("a connection is in use", || !gateway.upstream().requests().is_empty());
    send().assert_status(200);
    held.send("x").reply().assert_status(200);
    gateway.upstream().drop_connections();
    send().assert_status(200);
    let reply = send();
    assert!(reply.assert_status(200).header("keep-alive").is_none());
    let used = gateway.upstream().connections();
    thread::sleep(Duration::from_millis(1300));
    gateway.upstream().forget();
    send().assert_status(200);
    assert_eq!(gateway.upstream().connections(), used + 1);
    assert_eq!(gateway.upstream().request().place, 0);
}

#[test]
fn a_reply_takes_as_long_as_its_parts_come_but_not_longer_than_the_whole_may() {
    let gateway = Gateway::start(|config| {
        config.timeout("read: 5s").timeout("total: 1s");
    });
    let in_time = |begin: Instant| {
        let took = begin.elapsed();
        assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&took), "{took:?}");
    };
    // Silence from the beginning.
    gateway.upstream().once(Answer::Hang);
    let begin = Instant::now();
    gateway.send(&Request::get("/healthz")).assert_problem(504, "upstream_timeout");
    in_time(begin);
    // Bytes now and then, for ever.
    let begin = Instant::now();
    dripping(&gateway, 30, Duration::from_millis(100), 1000).unwrap_err();
    in_time(begin);
    // What ends in time is whole.
    let reply = dripping(&gateway, 5, Duration::from_millis(50), 5).unwrap();
    assert_eq!(reply.assert_status(200).text(), "xxxxx");
}

/// A reply that says it is `length` bytes long and comes as `parts` bytes, one at a time.
fn dripping(gateway: &Gateway, parts: usize, pause: Duration, length: usize) -> Result<Reply, Broken> {
    let (answer, steps) = Answer::stepwise();
    gateway.upstream().once(answer);
    steps.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..parts {
                if !steps.try_send("x") {
                    return;
                }
                thread::sleep(pause);
            }
        });
        gateway.connect().try_exchange(&Request::get("/healthz"))
    })
}
