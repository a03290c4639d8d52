//! Sections 4 and 11: an exchange ends in time, and with its token, though nothing passes through it.

use std::time::{Duration, Instant};

use crate::harness::{
    Answer, Broken, Config, Connection, Gateway, Request, Steps,
    http2::{Answered, END_STREAM, Frames, get},
};

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// How far an exchange has come when it falls silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its request has not ended.
    Request,
    /// The server has not begun to answer.
    Waiting,
    Events,
    WebSocket,
}

const STAGES: [Stage; 4] = [Stage::Request, Stage::Waiting, Stage::Events, Stage::WebSocket];

fn gateway(route: &str, change: impl Fn(&mut Config)) -> Gateway {
    Gateway::start(|config| {
        config.route(&format!("{{match: '* /v1/events', scope: application.read, upgrade: websocket, {route}}}"));
        config.limit("body_timeout: 1m").timeout("read: 1m").plain("h2c: true");
        change(config);
    })
}

/// An exchange that has come so far; it stays silent for as long as the steps are kept.
fn fall_silent(gateway: &Gateway, token: &str, stage: Stage) -> (Connection, Steps) {
    let (answer, steps) = Answer::stepwise();
    gateway.upstream().once(answer);
    let mut connection = gateway.connect().patient_for(Duration::from_secs(20));
    let request = Request::get("/v1/events").bearer(token);
    let upgrade = request.clone().header("Connection", "Upgrade").header("Upgrade", "websocket");
    let upgrade = upgrade.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let upload = Request::post("/v1/events").bearer(token).header("Content-Length", "10");
    match stage {
        Stage::Request => connection.send_head(&upload).send("half"),
        Stage::Waiting | Stage::Events => connection.send_head(&request),
        Stage::WebSocket => connection.send_head(&upgrade),
    };
    let (head, status) = match stage {
        Stage::Request | Stage::Waiting => return (connection, steps),
        Stage::Events => (EVENTS, 200),
        Stage::WebSocket => (SWITCH, 101),
    };
    steps.send(head);
    connection.reply_head().expect("the reply begins").assert_status(status);
    (connection, steps)
}

/// Waits for the end of a silent exchange, and checks what its client is told where its reply had not begun.
fn assert_ends(connection: &mut Connection, stage: Stage, refusal: (u16, &str)) {
    match stage {
        Stage::Request | Stage::Waiting => connection.reply().assert_problem(refusal.0, refusal.1),
        // Neither an end, which would make a broken reply a whole one, nor HTTP where it is spoken no more.
        Stage::Events | Stage::WebSocket => assert_eq!(connection.next_bytes(), b"", "{stage:?}"),
    }
    assert!(connection.closes_within(Duration::from_secs(10)), "{stage:?} goes on");
}

#[test]
fn it_ends_after_its_total_time() {
    for stage in STAGES {
        let gateway = gateway("timeouts: {idle: 1m, total: 1500ms}", |_| {});
        let token = gateway.token("application");
        let begin = Instant::now();
        let (mut connection, _steps) = fall_silent(&gateway, &token, stage);
        assert_ends(&mut connection, stage, (504, "upstream_timeout"));
        let lasted = begin.elapsed();
        assert!((Duration::from_millis(1400)..Duration::from_secs(4)).contains(&lasted), "{stage:?}: {lasted:?}");
    }
}

#[test]
fn it_ends_with_its_token() {
    let brief = |config: &mut Config| {
        config.issuer("lifetime: 3s").issuer("clock_skew: 0s");
    };
    for stage in STAGES {
        let gateway = gateway("timeouts: {idle: 1m}, close_on_expiry: true", brief);
        let begin = Instant::now();
        let token = gateway.token("application");
        let (mut connection, _steps) = fall_silent(&gateway, &token, stage);
        assert_ends(&mut connection, stage, (401, "invalid_token"));
        assert!((2..7).contains(&begin.elapsed().as_secs()), "{stage:?}: {:?}", begin.elapsed());
    }
}

#[test]
fn it_ends_with_a_token_that_is_revoked_and_goes_on_where_the_route_does_not_say_so() {
    let ending = gateway("timeouts: {idle: 1m}, close_on_expiry: true", |_| {});
    let lasting = gateway("timeouts: {idle: 4s}", |_| {});
    for (gateway, ends) in [(&ending, true), (&lasting, false)] {
        let token = gateway.token("application");
        let (mut connection, _steps) = fall_silent(gateway, &token, Stage::Events);
        let begin = Instant::now();
        let revoke = Request::post("/v1/oauth2/revoke").header("Authorization", &gateway.owner().basic());
        gateway.send(&revoke.form(&format!("token={token}"))).assert_status(200);
        assert_eq!(connection.closes_within(Duration::from_millis(2500)), ends, "after {:?}", begin.elapsed());
        if !ends {
            assert!(connection.closes_within(Duration::from_secs(8)), "idle for ever");
        }
    }
}

#[test]
fn streams_of_http2_end_alone() {
    let gateway = gateway("timeouts: {idle: 1m, total: 1500ms}", |_| {});
    let bearer = format!("Bearer {}", gateway.token("application"));
    let (waiting, _waiting) = Answer::stepwise();
    let (events, event_steps) = Answer::stepwise();
    gateway.upstream().once(waiting);
    gateway.upstream().once(events);
    let mut frames = Frames::open(gateway.public);
    let fields = |path| [&get(path)[..], &[("authorization", bearer.as_str())]].concat();
    frames.headers(END_STREAM, 1, &fields("/v1/events"));
    assert_eq!(frames.answer(1), Answered::Status(504));
    frames.headers(END_STREAM, 3, &fields("/v1/events"));
    event_steps.send(EVENTS);
    assert_eq!(frames.answer(3), Answered::Status(200));
    assert!(matches!(frames.answer(3), Answered::Reset(_)));
    frames.get(5, "/healthz");
    assert_eq!(frames.answer(5), Answered::Status(200));
}

#[test]
fn its_connection_serves_the_next_request() {
    let gateway = gateway("timeouts: {idle: 1m, total: 1500ms}, close_on_expiry: true", |_| {});
    let token = gateway.token("application");
    let mut connection = gateway.connect();
    connection.exchange(&Request::get("/v1/events").bearer(&token)).assert_status(200);
    // The time of the exchange before is over by then.
    assert!(!connection.closes_within(Duration::from_secs(3)));
    connection.exchange(&Request::get("/v1/events").bearer(&token)).assert_status(200);
}

/// Sends a body in parts, until an answer comes or there are no more.
fn upload(connection: &mut Connection, parts: usize, part: &[u8]) -> Option<u16> {
    for _ in 0..parts {
        connection.send(part);
        match connection.try_reply() {
            Err(Broken::Silent) => {}
            other => return other.ok().map(|reply| reply.status),
        }
    }
    None
}

#[test]
fn a_body_whose_length_is_told_has_a_pace() {
    let gateway = Gateway::start(|config| {
        config.limit("body_timeout: 1s");
    });
    let token = gateway.token("application");
    let request =
        |length: usize| Request::post("/v1/any/x").bearer(&token).header("Content-Length", &length.to_string());
    let begin = |length: usize| {
        let mut connection = gateway.connect().patient_for(Duration::from_millis(250));
        connection.send_head(&request(length));
        connection
    };
    // Each part comes well within the time between two parts.
    let mut dripping = begin(1000);
    assert_eq!(upload(&mut dripping, 30, b"x"), Some(408));
    dripping.assert_closed();
    let mut slow = begin(10_000);
    assert_eq!(upload(&mut slow, 10, &[b'x'; 1000]), Some(200));
}
