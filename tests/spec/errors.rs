//! Section 6: what a refused caller sees, and what it never sees.

use std::{collections::HashSet, time::Instant};

use crate::harness::{Answer, Connection, Gateway, Request, await_that, free_address};

#[test]
fn every_refusal_has_its_own_request_id_which_the_log_knows() {
    let gateway = Gateway::start(|_| {});
    let mut seen = HashSet::new();
    for request in [Request::get("/nope"), Request::get("/v1/applications"), Request::get("/nope")] {
        let id = gateway.send(&request).json()["request_id"].as_str().unwrap().to_owned();
        gateway.access_line(&id);
        assert!(seen.insert(id));
    }
}

#[test]
fn a_refusal_on_a_kept_connection_leaves_it_usable() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let mut connection = gateway.connect();
    for _ in 0..3 {
        connection.exchange(&Request::get("/v1/applications")).assert_refused(401, "missing_token");
        connection.exchange(&Request::get("/nope")).assert_refused(404, "no_route");
        connection.exchange(&Request::get("/v1/applications").bearer(&token)).assert_status(200);
    }
}

#[test]
fn head_refusals_have_no_body() {
    let gateway = Gateway::start(|_| {});
    let mut connection = gateway.connect();
    for (target, status) in [("/v1/applications", 401), ("/nope", 404)] {
        let reply = connection.exchange(&Request::new("HEAD", target));
        reply.assert_status(status);
        assert!(reply.body.is_empty());
    }
    connection.exchange(&Request::get("/healthz")).assert_status(200);
}

#[test]
fn an_upstream_that_refuses_connections_is_502_at_once() {
    let nobody = free_address();
    let gateway = Gateway::start(|config| config.instead = Some(nobody));
    let begin = Instant::now();
    let reply = gateway.send(&Request::get("/healthz"));
    reply.assert_problem(502, "upstream_unreachable");
    assert!(begin.elapsed().as_secs() < 3, "{:?}", begin.elapsed());
    assert_says_nothing(&reply.text(), &nobody.to_string());
}

#[test]
fn an_upstream_that_does_not_answer_is_504() {
    let gateway = Gateway::start(|config| {
        config.timeout("read: 1s");
    });
    gateway.upstream().always(Answer::Hang);
    let begin = Instant::now();
    let reply = gateway.send(&Request::get("/healthz"));
    reply.assert_problem(504, "upstream_timeout");
    assert!((0..5).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    assert_says_nothing(&reply.text(), &gateway.upstream().address.to_string());
}

#[test]
fn an_upstream_that_ends_without_answering_is_502() {
    let gateway = Gateway::start(|_| {});
    gateway.upstream().always(Answer::ThenClose(Vec::new()));
    let reply = gateway.send(&Request::post("/v1/any/x").bearer(&gateway.token("application")).body("x"));
    assert_eq!(reply.status, 502, "{}", reply.summary());
    assert_says_nothing(&reply.text(), &gateway.upstream().address.to_string());
}

#[test]
fn one_request_more_than_may_be_in_flight_is_503_and_a_later_one_passes() {
    let gateway = Gateway::start(|config| {
        config.limit("in_flight: 1");
    });
    let (answer, steps) = Answer::stepwise();
    gateway.upstream().once(answer);
    let mut first = gateway.connect();
    first.send_head(&Request::get("/healthz"));
    await_that("the first request is upstream", || !gateway.upstream().requests().is_empty());
    let refused = gateway.send(&Request::get("/healthz"));
    refused.assert_refused(503, "overloaded");
    assert!(refused.header("retry-after").is_some(), "{}", refused.summary());
    steps.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    drop(steps);
    first.reply().assert_status(200);
    await_that("there is room again", || gateway.send(&Request::get("/healthz")).status == 200);
    assert!(gateway.metrics().value("scopegate_rate_limited_total", &[("limit", "in_flight")]) >= 1.0);
}

#[test]
fn no_refusal_names_a_library_an_address_or_a_file() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application.read");
    // LEAK-02, LEAK-05
    for request in [
        Request::get("/nope"),
        Request::get("/v1/applications"),
        Request::get("/v1/applications").bearer("a.b.c"),
        Request::post("/v1/applications.create").bearer(&token).json("{}"),
        Request::post("/v1/applications.get").bearer(&gateway.session()).json("{"),
        Request::get("/v1//x"),
        Request::post("/v1/oauth2/token").form("x"),
    ] {
        let reply = gateway.send(&request);
        assert!(reply.status >= 400);
        assert_says_nothing(&reply.text(), &gateway.upstream().address.to_string());
        assert!(!reply.text().contains(&token));
        assert_eq!(reply.header("location"), None);
        for server in reply.all("server") {
            assert!(!server.to_lowercase().contains("pingora"), "{server}");
        }
    }
}

#[test]
fn malformed_http_is_told_nothing_but_the_status() {
    let gateway = Gateway::start(|_| {});
    let mut connection = Connection::open(gateway.public);
    connection.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let reply = connection.reply();
    reply.assert_status(400);
    assert_says_nothing(&reply.text(), "pingora");
}

#[track_caller]
fn assert_says_nothing(text: &str, address: &str) {
    let lower = text.to_lowercase();
    for word in [address, "pingora", "jsonwebtoken", "serde", "sqlx", "sqlite", "panicked", ".rs:", "connectionrefused"]
    {
        assert!(!lower.contains(word), "{text} names {word}");
    }
}
