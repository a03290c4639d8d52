//! Sections 4 and 11: exchanges that last, those that end with their token, and connections that become a WebSocket.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Answer, Broken, Config, Connection, Gateway, Request, await_that, each_row};

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn gateway(route: &str, change: impl Fn(&mut Config)) -> Gateway {
    Gateway::start(|config| {
        config.route(&format!("{{match: GET /v1/events, scope: application.read, {route}}}"));
        change(config);
    })
}

fn handshake(target: &str, token: &str) -> Request {
    let request = Request::get(target).bearer(token).header("Connection", "Upgrade").header("Upgrade", "websocket");
    request.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// Asks for events that the server sends every 100 ms, until they end or `longest` is over; how long they went on.
fn events_for(gateway: &Gateway, token: &str, longest: Duration) -> Duration {
    let (answer, steps) = Answer::stepwise();
    gateway.upstream().once(answer);
    let mut connection = gateway.connect();
    connection.send_head(&Request::get("/v1/events").bearer(token));
    steps.send(EVENTS);
    connection.reply_head().unwrap().assert_status(200);
    let begin = Instant::now();
    while begin.elapsed() < longest && !connection.closes_within(Duration::from_millis(100)) {
        steps.send("5\r\nevent\r\n");
    }
    begin.elapsed()
}

#[test]
fn events_arrive_as_they_are_sent() {
    let gateway = gateway("timeouts: {idle: 10s}", |_| {});
    let (answer, steps) = Answer::stepwise();
    gateway.upstream().once(answer);
    let mut connection = gateway.connect();
    connection.send_head(&Request::get("/v1/events").bearer(&gateway.token("application")));
    steps.send(EVENTS);
    connection.reply_head().unwrap().assert_status(200);
    for event in ["data: a", "data: b", "data: c"] {
        steps.send(format!("{:x}\r\n{event}\r\n", event.len()));
        let mut seen = String::new();
        while !seen.contains(event) {
            let bytes = connection.next_bytes();
            assert!(!bytes.is_empty(), "{event} did not arrive by itself");
            seen += &String::from_utf8_lossy(&bytes);
        }
    }
    drop(steps);
}

#[test]
fn a_long_poll_waits_as_long_as_its_route_says() {
    let fast = |config: &mut Config| {
        config.timeout("read: 1s");
    };
    for (route, passes) in
        [("timeouts: {idle: 10s}", true), ("timeouts: {idle: 500ms}", false), ("enforce: enforce", false)]
    {
        let gateway = gateway(route, fast);
        let (answer, steps) = Answer::stepwise();
        gateway.upstream().once(answer);
        let mut connection = gateway.connect();
        connection.send_head(&Request::get("/v1/events").bearer(&gateway.token("application")));
        await_that("it is upstream", || !gateway.upstream().requests().is_empty());
        thread::sleep(Duration::from_millis(1700));
        steps.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        connection.reply().assert_status(if passes { 200 } else { 504 });
    }
}

#[test]
fn an_exchange_ends_after_its_total_time_however_busy_it_is() {
    let short = gateway("timeouts: {total: 1s}", |_| {});
    let lasted = events_for(&short, &short.token("application"), Duration::from_secs(5));
    assert!((Duration::from_millis(700)..Duration::from_secs(3)).contains(&lasted), "{lasted:?}");
    let long = gateway("timeouts: {total: 20s}", |config| {
        config.timeout("total: 1s");
    });
    let lasted = events_for(&long, &long.token("application"), Duration::from_secs(3));
    assert!(lasted >= Duration::from_secs(3), "{lasted:?}");
}

#[test]
fn an_exchange_ends_with_its_token_where_the_route_says_so() {
    let brief = |config: &mut Config| {
        config.issuer("lifetime: 2s").issuer("clock_skew: 0s");
    };
    let ending = gateway("close_on_expiry: true", brief);
    let lasted = events_for(&ending, &ending.token("application"), Duration::from_secs(6));
    assert!(lasted < Duration::from_secs(4), "{lasted:?}");
    let going_on = gateway("close_on_expiry: false", brief);
    let lasted = events_for(&going_on, &going_on.token("application"), Duration::from_secs(4));
    assert!(lasted >= Duration::from_secs(4), "{lasted:?}");
}

#[test]
fn an_exchange_ends_with_a_token_that_is_revoked() {
    let gateway = gateway("close_on_expiry: true", |_| {});
    let token = gateway.token("application");
    let ended = thread::scope(|scope| {
        let events = scope.spawn(|| events_for(&gateway, &token, Duration::from_secs(9)));
        thread::sleep(Duration::from_millis(500));
        let revoke = Request::post("/v1/oauth2/revoke").header("Authorization", &gateway.owner().basic());
        gateway.send(&revoke.form(&format!("token={token}"))).assert_status(200);
        events.join().unwrap()
    });
    assert!(ended < Duration::from_secs(5), "{ended:?}");
}

#[test]
fn a_websocket_carries_bytes_both_ways_once_its_token_was_judged() {
    let gateway = gateway("upgrade: websocket", |config| {
        config.limit("body_timeout: 1s").limit("body: 1KiB");
    });
    gateway.send(&handshake("/v1/events", "bad")).assert_refused(401, "invalid_token");
    gateway.upstream().assert_untouched();
    let (answer, steps) = Answer::stepwise();
    gateway.upstream().once(answer);
    let mut connection = gateway.connect();
    connection.send_head(&handshake("/v1/events", &gateway.token("application")));
    steps.send(SWITCH);
    let reply = connection.reply_head().unwrap();
    reply.assert_status(101);
    assert_eq!(reply.header("upgrade").map(str::to_lowercase).as_deref(), Some("websocket"));
    assert_eq!(reply.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let request = gateway.upstream().requests().remove(0);
    assert_eq!(request.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert!(request.header("authorization").is_none() && request.header("x-client-id").is_some());
    steps.send("from the server");
    assert_eq!(connection.next_bytes(), b"from the server");
    // Longer than a body may stall, more than a body may hold.
    thread::sleep(Duration::from_millis(1500));
    drop(steps);
    let frame = [b'f'; 3000];
    connection.send(frame);
    await_that("the frame is upstream", || gateway.upstream().raw().ends_with(&frame));
    drop(connection);
    await_that("nothing is in flight", || gateway.metrics().value("scopegate_in_flight_requests", &[]) < 0.5);
}

#[test]
fn a_websocket_that_is_ended_carries_no_reply() {
    let gateway = gateway("upgrade: websocket, close_on_expiry: true, timeouts: {idle: 1500ms}", |_| {});
    let open = |token: &str| {
        let (answer, steps) = Answer::stepwise();
        gateway.upstream().once(answer);
        let mut connection = gateway.connect();
        connection.send_head(&handshake("/v1/events", token));
        steps.send(SWITCH);
        connection.reply_head().unwrap().assert_status(101);
        (connection, steps)
    };
    let token = gateway.token("application");
    let (mut silent, _steps) = open(&token);
    assert_eq!(String::from_utf8_lossy(&silent.next_bytes()), "", "the server is silent");
    silent.assert_closed();
    let (mut revoked, _steps) = open(&token);
    let revoke = Request::post("/v1/oauth2/revoke").header("Authorization", &gateway.owner().basic());
    gateway.send(&revoke.form(&format!("token={token}"))).assert_status(200);
    revoked.send(b"\x81\x82\0\0\0\0hi");
    assert_eq!(String::from_utf8_lossy(&revoked.next_bytes()), "", "the token is revoked");
    revoked.assert_closed();
}

#[test]
fn no_connection_leaves_http_unless_route_client_and_server_agree() {
    let gateway = gateway("upgrade: websocket", |_| {});
    let token = gateway.token("application");
    let plain = |target: &str| Request::get(target).bearer(&token);
    let cases = [
        ("a route without upgrades", handshake("/v1/any/x", &token), SWITCH, 502),
        ("a client that did not ask", plain("/v1/events"), SWITCH, 502),
        (
            "another protocol asked for",
            plain("/v1/events").header("Connection", "Upgrade").header("Upgrade", "h2c"),
            SWITCH,
            502,
        ),
        (
            "another protocol given",
            handshake("/v1/events", &token),
            "HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n",
            502,
        ),
        (
            "a server that declines",
            handshake("/v1/events", &token),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            200,
        ),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, request, answer, status)| {
            gateway.upstream().once(Answer::ThenClose(answer.as_bytes().to_vec()));
            let reply = Connection::open(gateway.public).try_exchange(request);
            assert_eq!(reply.map(|reply| reply.status).map_err(|broken| broken == Broken::Silent), Ok(*status));
        },
    );
}

#[test]
fn a_handshake_that_breaks_the_rules_is_refused_before_any_server_hears_of_it() {
    let gateway = Gateway::start(|config| {
        config.route("{match: \"* /v1/events\", scope: application.read, upgrade: websocket}");
    });
    let token = gateway.token("application");
    let line = |changed: &str, instead: &str| {
        let all = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        let kept =
            all.iter().filter(|line| !line.starts_with(changed)).fold(String::new(), |kept, line| kept + line + "\r\n");
        format!("Authorization: Bearer {token}\r\n{kept}{instead}")
    };
    let get = |lines: &str| format!("GET /v1/events HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let whole = line("-", "");
    let cases = [
        ("no key", get(&line("Sec-WebSocket-Key", "")), 400),
        ("a short key", get(&line("Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ=\r\n")), 400),
        (
            "a key that is no base64",
            get(&line("Sec-WebSocket-Key", "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n")),
            400,
        ),
        ("two keys", get(&line("-", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")), 400),
        ("two Upgrade lines", get(&line("-", "Upgrade: websocket\r\n")), 400),
        ("another protocol beside", get(&line("-", "Upgrade: h2c\r\n")), 400),
        ("another protocol in the list", get(&line("Upgrade", "Upgrade: websocket, h2c\r\n")), 400),
        ("a Connection that does not name it", get(&line("Connection", "Connection: keep-alive\r\n")), 400),
        ("no Connection", get(&line("Connection", "")), 400),
        ("a body", get(&line("-", "Content-Length: 2\r\n")) + "hi", 400),
        ("a chunked body", get(&line("-", "Transfer-Encoding: chunked\r\n")) + "2\r\nhi\r\n0\r\n\r\n", 400),
        ("no version", get(&line("Sec-WebSocket-Version", "")), 400),
        ("two versions", get(&line("-", "Sec-WebSocket-Version: 13\r\n")), 400),
        ("HTTP/1.0", get(&whole).replace("HTTP/1.1", "HTTP/1.0"), 400),
        ("another method", get(&whole).replace("GET", "POST"), 400),
        ("another version", get(&line("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8\r\n")), 426),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, bytes, status)| {
            let mut connection = gateway.connect();
            let reply = connection.send(bytes).reply();
            reply.assert_problem(*status, "invalid_request");
            assert_eq!(reply.header("sec-websocket-version"), (*status == 426).then_some("13"));
            assert_eq!(reply.header("upgrade"), (*status == 426).then_some("websocket"));
            let line = gateway.access_line(reply.json()["request_id"].as_str().unwrap());
            assert_eq!((&line["decision"], &line["status"]), (&"refused".into(), &(*status).into()), "{line}");
        },
    );
    gateway.upstream().assert_untouched();
    // A stranger is told that first; where no WebSocket is taken, nobody asks.
    let stranger = get(&whole).replace("Authorization", "X-Other").replace("-Key: d", "-Key: !");
    gateway.connect().send(stranger).reply().assert_refused(401, "missing_token");
    let elsewhere = get(&line("Sec-WebSocket-Key", "")).replace("/v1/events", "/healthz");
    gateway.connect().send(elsewhere).reply().assert_status(200);
}

#[test]
fn a_reply_that_answers_another_handshake_opens_nothing() {
    let gateway = gateway("upgrade: websocket", |_| {});
    let plain = handshake("/v1/events", &gateway.token("application"));
    let asking = plain.clone().header("Sec-WebSocket-Protocol", "chat, v2");
    let asking = asking.header("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    let with = |lines: &str| SWITCH.replace("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"));
    let without = |name: &str| {
        let kept = SWITCH.trim_end().split("\r\n").filter(|line| !line.starts_with(name));
        kept.collect::<Vec<_>>().join("\r\n") + "\r\n\r\n"
    };
    let cases = [
        ("the right answer", &plain, SWITCH.to_owned(), 101),
        ("a subprotocol that was asked for", &asking, with("Sec-WebSocket-Protocol: v2"), 101),
        ("an extension that was asked for", &asking, with("Sec-WebSocket-Extensions: permessage-deflate"), 101),
        ("another key", &plain, SWITCH.replace("s3pPLMBiTxaQ9", "S3pPLMBiTxaQ9"), 502),
        ("no answer to the key", &plain, without("Sec-WebSocket-Accept"), 502),
        ("two answers", &plain, with("Sec-WebSocket-Accept: x"), 502),
        ("no Upgrade", &plain, without("Upgrade"), 502),
        ("no Connection", &plain, without("Connection"), 502),
        ("a Connection that does not name it", &plain, SWITCH.replace("Connection: Upgrade", "Connection: close"), 502),
        ("a subprotocol", &plain, with("Sec-WebSocket-Protocol: chat"), 502),
        ("another subprotocol", &asking, with("Sec-WebSocket-Protocol: v3"), 502),
        ("all subprotocols", &asking, with("Sec-WebSocket-Protocol: chat, v2"), 502),
        ("an extension", &plain, with("Sec-WebSocket-Extensions: permessage-deflate"), 502),
        ("another extension", &asking, with("Sec-WebSocket-Extensions: x-other"), 502),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, request, answer, status)| {
            let (stepwise, steps) = Answer::stepwise();
            gateway.upstream().once(stepwise);
            let mut connection = gateway.connect();
            connection.send_head(request);
            steps.send(answer);
            let reply = connection.reply_head().unwrap();
            assert_eq!(reply.status, *status, "{}", reply.summary());
            if *status != 101 {
                let before = gateway.upstream().raw().len();
                connection.send(b"frames for the server");
                assert!(connection.closes_within(Duration::from_secs(5)));
                assert_eq!(gateway.upstream().raw().len(), before, "a tunnel is open");
            }
        },
    );
}
