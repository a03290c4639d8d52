//! Sections 1, 5 and 12: bytes both ways, as they come, and upstreams that fail.

use std::time::{Duration, Instant};

use crate::harness::{Answer, Broken, Gateway, Request, await_that, each_row};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn replies_arrive_as_the_upstream_sent_them() {
    let gateway = Gateway::start(|_| {});
    let lines = "Content-Type: text/plain\r\nX-Own: one\r\nX-Own: two\r\nSet-Cookie: a=b\r\nETag: \"x\"\r\n";
    for status in [200, 201, 204, 301, 400, 404, 418, 500, 503] {
        let answer = if status == 204 {
            Answer::Bytes(format!("HTTP/1.1 204 None\r\n{lines}\r\n").into_bytes())
        } else {
            Answer::with(status, lines, b"body")
        };
        gateway.upstream().once(answer);
        let reply = gateway.send(&Request::get("/healthz"));
        reply.assert_status(status);
        assert_eq!(reply.all("x-own"), ["one", "two"]);
        assert_eq!(reply.header("etag"), Some("\"x\""));
        assert_eq!(reply.header("set-cookie"), Some("a=b"));
        assert_eq!(reply.text(), if status == 204 { "" } else { "body" });
    }
}

#[test]
fn two_servers_take_turns() {
    let gateway = Gateway::start(|config| config.upstreams = 2);
    for _ in 0..10 {
        gateway.send(&Request::get("/healthz")).assert_status(200);
    }
    let counts: Vec<usize> = gateway.upstreams.iter().map(|upstream| upstream.requests().len()).collect();
    assert_eq!(counts, [5, 5]);
}

#[test]
fn a_chunked_reply_arrives_piece_by_piece() {
    let gateway = Gateway::start(|_| {});
    let (answer, steps) = Answer::stepwise();
    gateway.upstream().once(answer);
    let mut connection = gateway.connect();
    connection.send(Request::get("/healthz").bytes("h"));
    steps.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    connection.reply_head().unwrap().assert_status(200);
    for piece in ["first", "second", "third"] {
        steps.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(piece) {
            let bytes = connection.next_bytes();
            assert!(!bytes.is_empty(), "{piece} did not arrive before the next was sent");
            seen.extend(bytes);
        }
    }
    steps.send("0\r\n\r\n");
    drop(steps);
    assert!(String::from_utf8_lossy(&connection.next_bytes()).ends_with("0\r\n\r\n"));
}

#[test]
fn a_chunked_request_reaches_the_upstream_piece_by_piece() {
    let gateway = Gateway::start(|_| {});
    let request = Request::post("/v1/any/x").bearer(&gateway.token("application")).chunked(&[]);
    let mut connection = gateway.connect();
    connection.send_head(&request);
    let mut sent = String::new();
    for piece in ["first", "second", "third"] {
        connection.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        sent += piece;
        await_that(piece, || gateway.upstream().requests().first().is_some_and(|seen| seen.body == sent.as_bytes()));
    }
    connection.send(b"0\r\n\r\n");
    connection.reply().assert_status(200);
    assert!(gateway.upstream().request().complete);
}

#[test]
fn large_bodies_pass_both_ways_unchanged() {
    let gateway = Gateway::start(|_| {});
    let body: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
    gateway.upstream().always(Answer::with(200, "", &body));
    let request = Request::post("/v1/any/x").bearer(&gateway.token("application")).body(&body);
    let reply = gateway.send(&request);
    reply.assert_status(200);
    assert!(reply.body == body, "the reply changed");
    assert!(gateway.upstream().request().body == body, "the request changed");
}

#[test]
fn an_early_reply_is_passed_on() {
    let gateway = Gateway::start(|_| {});
    gateway.upstream().once(Answer::Early(OK.to_vec()));
    let request = Request::post("/v1/any/x").bearer(&gateway.token("application")).body(vec![b'x'; 1000]);
    let mut connection = gateway.connect();
    connection.send_head(&request).send(b"xx");
    connection.reply().assert_status(200);
}

#[test]
fn an_interim_reply_does_not_end_the_exchange() {
    let gateway = Gateway::start(|_| {});
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"] {
        gateway.upstream().once(Answer::Bytes([interim.as_bytes(), OK].concat()));
        let reply = gateway.send(&Request::get("/healthz"));
        reply.assert_status(200);
        assert_eq!(reply.text(), "ok");
    }
}

#[test]
fn a_reply_that_ends_early_is_a_broken_transfer() {
    let gateway = Gateway::start(|_| {});
    // U1
    for partial in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nabcde",
    ] {
        gateway.upstream().once(Answer::ThenClose(partial.into()));
        let mut connection = gateway.connect();
        match connection.try_exchange(&Request::get("/healthz")) {
            Err(Broken::CutShort(..) | Broken::Closed) => {}
            Ok(reply) if reply.status == 502 => {}
            other => panic!("{partial:?} became {other:?}"),
        }
        gateway.send(&Request::get("/healthz")).assert_status(200);
    }
}

#[test]
fn a_reply_that_stalls_is_a_broken_transfer() {
    let gateway = Gateway::start(|config| {
        config.timeout("read: 1s");
    });
    // U2
    let (answer, steps) = Answer::stepwise();
    gateway.upstream().once(answer);
    steps.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    let begin = Instant::now();
    let broken = gateway.connect().try_exchange(&Request::get("/healthz")).unwrap_err();
    assert!(matches!(broken, Broken::CutShort(Some(200), _)), "{broken:?}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn a_reply_with_two_readings_is_502() {
    let gateway = Gateway::start(|_| {});
    // U4
    let cases = [
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk"),
        ("a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nokk"),
        ("a bad length", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok"),
        ("a header without colon", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX\r\n\r\nok"),
        ("a CR in a header", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: a\rSet-Cookie: b\r\n\r\nok"),
        ("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, bytes)| {
            gateway.upstream().once(Answer::ThenClose((*bytes).into()));
            let request = Request::post("/v1/any/x").bearer(&gateway.token("application")).body("x");
            let reply = gateway.send(&request);
            assert_eq!(reply.status, 502, "{}", reply.summary());
            gateway.send(&Request::get("/healthz")).assert_status(200);
        },
    );
}

#[test]
fn a_pooled_connection_that_the_upstream_closed_costs_no_request() {
    let gateway = Gateway::start(|_| {});
    // U5
    for _ in 0..10 {
        gateway.send(&Request::get("/healthz")).assert_status(200);
        gateway.upstream().drop_connections();
        gateway.send(&Request::get("/healthz")).assert_status(200);
    }
    gateway.upstream().always(Answer::CloseIfReused);
    for _ in 0..10 {
        gateway.send(&Request::get("/healthz")).assert_status(200);
    }
}

#[test]
fn connections_to_the_upstream_are_reused() {
    let gateway = Gateway::start(|_| {});
    let mut connection = gateway.connect();
    for _ in 0..20 {
        connection.exchange(&Request::get("/healthz")).assert_status(200);
    }
    assert!(gateway.upstream().connections() <= 4, "{} connections", gateway.upstream().connections());
}

#[test]
fn a_request_that_was_sent_is_not_sent_twice_unless_it_may_be() {
    let gateway = Gateway::start(|_| {});
    gateway.upstream().always(Answer::ThenClose(Vec::new()));
    let reply = gateway.send(&Request::post("/v1/any/x").bearer(&gateway.token("application")).body("x"));
    assert_eq!(reply.status, 502);
    assert_eq!(gateway.upstream().requests().len(), 1);
}

#[test]
fn a_client_that_goes_away_does_not_harm_the_next() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    for _ in 0..20 {
        let mut connection = gateway.connect();
        connection.send_head(&Request::post("/v1/any/x").bearer(&token).body(vec![b'x'; 1000])).send(b"xx");
        drop(connection);
    }
    gateway.upstream().forget();
    gateway.send(&Request::get("/healthz")).assert_status(200);
    await_that("no request is left in flight", || gateway.metrics().value("scopegate_in_flight_requests", &[]) <= 0.0);
}

#[test]
fn a_head_request_is_passed_on_as_one() {
    let gateway = Gateway::start(|_| {});
    gateway.upstream().once(Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n".to_vec()));
    let mut connection = gateway.connect();
    let reply = connection.exchange(&Request::new("HEAD", "/healthz"));
    reply.assert_status(200);
    assert_eq!(reply.header("content-length"), Some("2000"));
    assert_eq!(gateway.upstream().request().method, "HEAD");
    connection.exchange(&Request::get("/healthz")).assert_status(200);
}
