//! Section 12, HTTP/2: bodies, their limits and their trailers, and what callers of gRPC are told.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;

use super::http2::{spoken, spoken_with};
use crate::harness::{
    APP, CUSTOMER, Gateway, H2Server, Request, await_that, find, free_address,
    http2::{Answered, DATA, END_STREAM, Frames, HEADERS, Http2Client, PING, Sent},
};

#[test]
fn a_body_arrives_whole_and_ends_once() {
    let gateway = spoken();
    let client = Http2Client::open(gateway.public);
    let bearer = format!("Bearer {}", gateway.token("application"));
    let post = |length: Option<&str>| {
        let mut fields = vec![("authorization", bearer.as_str())];
        fields.extend(length.map(|length| ("content-length", length)));
        Http2Client::request("POST", "/v1/any/x", &fields)
    };
    let parts = |parts: &[&'static [u8]]| parts.iter().map(|part| Bytes::from_static(part)).collect();
    let trailers = HeaderMap::from_iter([("x-customer-id".parse().unwrap(), "evil".parse().unwrap())]);
    let cases: Vec<(&str, Option<&str>, Sent)> = vec![
        ("ending with an empty frame", None, Sent { parts: parts(&[b"ab", b"cd"]), ..Sent::default() }),
        ("ending with its last part", None, Sent { parts: parts(&[b"abcd"]), ends_with_data: true, ..Sent::default() }),
        (
            "with empty frames within",
            None,
            Sent { parts: parts(&[b"", b"ab", b"", b"", b"cd", b""]), ..Sent::default() },
        ),
        ("with a length", Some("4"), Sent { parts: parts(&[b"ab", b"cd"]), ..Sent::default() }),
        ("with trailers", None, Sent { parts: parts(&[b"abcd"]), trailers: Some(trailers), ..Sent::default() }),
    ];
    for (name, length, sent) in cases {
        gateway.upstream().forget();
        assert_eq!(client.send(post(length), Some(sent)).unwrap().status, 200, "{name}");
        let seen = gateway.upstream().request();
        assert_eq!(seen.body, b"abcd", "{name}");
        let raw = gateway.upstream().raw();
        assert!(!String::from_utf8_lossy(&raw).contains("evil"), "{name}");
        // A second end would be the beginning of the next request on that connection.
        let ends = raw.windows(5).filter(|window| window == b"0\r\n\r\n").count();
        assert_eq!(ends, usize::from(length.is_none()), "{name}: {}", raw.escape_ascii());
        gateway.upstream().forget();
        gateway.send(&Request::get("/healthz")).assert_status(200);
        assert_eq!(gateway.upstream().request().target, "/healthz", "{name}");
    }
    // Larger than every window on its way.
    let large: Vec<Bytes> = (0..40).map(|_| Bytes::from(vec![b'x'; 100_000])).collect();
    gateway.upstream().forget();
    let sent = Sent { parts: large, ..Sent::default() };
    assert_eq!(client.send(post(None), Some(sent)).unwrap().status, 200);
    assert_eq!(gateway.upstream().request().body.len(), 4_000_000);
}

/// What follows a head.
enum Then {
    Data(&'static [u8]),
    LastData(&'static [u8]),
    Trailers,
    /// The gateway has seen all that was sent before.
    Pause,
}
use Then::{Data, LastData, Pause, Trailers};

/// POST with these lengths told and this sent; how it is answered.
fn upload(gateway: &Gateway, path: &str, token: &str, lengths: &[&str], then: &[Then]) -> Answered {
    let bearer = format!("Bearer {token}");
    let mut fields = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", path),
        ("authorization", &bearer),
        ("content-type", "application/json"),
    ];
    fields.extend(lengths.iter().map(|length| ("content-length", *length)));
    let mut frames = Frames::open(gateway.public);
    frames.headers(if then.is_empty() { END_STREAM } else { 0 }, 1, &fields);
    for step in then {
        match step {
            Data(bytes) => {
                frames.send(DATA, 0, 1, bytes);
            }
            LastData(bytes) => {
                frames.send(DATA, END_STREAM, 1, bytes);
            }
            Trailers => {
                frames.headers(END_STREAM, 1, &[("content-length", "9"), ("x-end", "1")]);
            }
            Pause => {
                frames.send(PING, 0, 0, &[0; 8]);
                // An answer now would be one to half a request.
                let answered = std::iter::from_fn(|| frames.next())
                    .find(|frame| frame.stream == 1 || (frame.kind == PING && frame.flags & 1 == 1));
                assert_eq!(answered.map(|frame| frame.kind), Some(PING), "answered before its end");
            }
        }
    }
    frames.answer(1)
}

#[test]
fn a_length_that_is_not_kept_is_a_broken_stream() {
    let gateway = spoken();
    let (token, session) = (gateway.token("application"), gateway.session());
    let places = [("/v1/any/x", &token), ("/v1/applications.get", &session), ("/v1/oauth2/token", &token)];
    let cases: Vec<(&str, &[&str], Vec<Then>)> = vec![
        ("nothing told, a byte sent", &["0"], vec![LastData(b"x")]),
        ("nothing told, a byte sent, the end alone", &["0"], vec![Data(b"x"), LastData(b"")]),
        ("nothing told, a byte sent later", &["0"], vec![Pause, LastData(b"x")]),
        ("nothing told, an empty part, a byte", &["0"], vec![Data(b""), Pause, Data(b"x")]),
        ("one byte more in one part", &["3"], vec![LastData(b"{}xx")]),
        ("one byte more in a part of its own", &["3"], vec![Data(b"{} "), LastData(b"x")]),
        ("one byte more, later", &["3"], vec![Data(b"{} "), Pause, LastData(b"x")]),
        ("one byte more, and no end", &["3"], vec![Data(b"{} "), Pause, Data(b"x")]),
        ("one byte less", &["5"], vec![LastData(b"{}xx")]),
        ("one byte less, the end alone", &["5"], vec![Data(b"{}xx"), Pause, LastData(b"")]),
        ("one byte less, then trailers", &["5"], vec![Data(b"{}xx"), Pause, Trailers]),
        ("something told, nothing sent", &["5"], vec![]),
        ("something told, an empty end", &["5"], vec![LastData(b"")]),
        ("two lengths", &["2", "3"], vec![LastData(b"{}")]),
    ];
    for (path, token) in places {
        for (name, lengths, then) in &cases {
            let answer = upload(&gateway, path, token, lengths, then);
            assert_eq!(answer, Answered::Reset(1), "{path}: {name}");
        }
        let twice = upload(&gateway, path, token, &["2", "2"], &[LastData(b"{}")]);
        assert_eq!(twice, Answered::Status(400), "{path}: the same length twice");
    }
    let whole = gateway.upstream().requests().into_iter().filter(|request| request.complete).count();
    assert_eq!(whole, 0, "{:#?}", gateway.upstream().requests());
}

#[test]
fn a_length_that_is_kept_passes_however_the_end_is_told() {
    let gateway = spoken();
    let token = gateway.token("application");
    let cases: [(&str, &[&str], Vec<Then>, &[u8]); 7] = [
        ("nothing told, the end alone", &["0"], vec![LastData(b"")], b""),
        ("nothing told, the end later", &["0"], vec![Data(b""), Pause, LastData(b"")], b""),
        ("nothing told, trailers", &["0"], vec![Pause, Trailers], b""),
        ("in one part", &["4"], vec![LastData(b"abcd")], b"abcd"),
        ("the end alone", &["4"], vec![Data(b"abcd"), Pause, LastData(b"")], b"abcd"),
        ("trailers", &["4"], vec![Data(b"ab"), Data(b"cd"), Trailers], b"abcd"),
        ("no length, trailers that tell one", &[], vec![Data(b"abcd"), Trailers], b"abcd"),
    ];
    for (name, lengths, then, body) in cases {
        gateway.upstream().forget();
        assert_eq!(upload(&gateway, "/v1/any/x", &token, lengths, &then), Answered::Status(200), "{name}");
        let seen = gateway.upstream().request();
        assert_eq!(seen.body, body, "{name}");
        assert!(find(&gateway.upstream().raw(), b"x-end").is_none(), "{name}");
    }
}

#[test]
fn a_body_has_its_limit() {
    let gateway = spoken_with("body: 100KiB");
    let client = Http2Client::open(gateway.public);
    let bearer = format!("Bearer {}", gateway.token("application"));
    let fields = [("authorization", bearer.as_str())];
    let sized = |length: usize| client.post("/v1/any/x", &fields, &vec![b'x'; length]).status;
    assert_eq!(sized(100 * 1024), 200);
    gateway.upstream().forget();
    assert_eq!(sized(100 * 1024 + 1), 413);
    assert!(gateway.upstream().requests().iter().all(|request| !request.complete), "a cut body arrived as whole");
    let told = [("authorization", bearer.as_str()), ("content-length", "102401")];
    assert_eq!(client.post("/v1/any/told", &told, &vec![b'x'; 100 * 1024 + 1]).json()["code"], "body_too_large");
    // The body before may still be on its way to where it is read.
    assert!(find(&gateway.upstream().raw(), b"/v1/any/told").is_none(), "its length was told, and it was sent on");
}

#[test]
fn a_body_that_stalls_is_given_up_and_other_streams_go_on() {
    let gateway = spoken_with("body_timeout: 1s");
    let client = Http2Client::open(gateway.public);
    let (session, bearer) = (gateway.session(), gateway.token("application"));
    let bearers = [format!("Bearer {session}"), format!("Bearer {bearer}"), gateway.owner().basic()];
    let json = "application/json";
    let cases = [
        ("read for its application ID", "/v1/applications.get", &bearers[0], json),
        ("streamed upstream", "/v1/any/x", &bearers[1], json),
        ("a token request", "/v1/oauth2/token", &bearers[2], "application/x-www-form-urlencoded"),
    ];
    for (name, path, authorization, kind) in cases {
        let fields = [("authorization", authorization.as_str()), ("content-type", kind)];
        let begin = Instant::now();
        let sent = Sent { parts: vec![Bytes::from_static(b"{")], endless: true, ..Sent::default() };
        let reply = client.send(Http2Client::request("POST", path, &fields), Some(sent)).unwrap();
        assert_eq!(reply.status, 408, "{name}");
        assert!((800..3000).contains(&begin.elapsed().as_millis()), "{name}: {:?}", begin.elapsed());
        assert_eq!(client.get("/healthz", &[]).status, 200);
    }
    // One that comes slowly, but comes, is waited for.
    let parts = vec![Bytes::from_static(b"x"); 4];
    let fields = [("authorization", bearers[1].as_str())];
    let sent = Sent { parts, pause: Duration::from_millis(400), ..Sent::default() };
    assert_eq!(client.send(Http2Client::request("POST", "/v1/any/x", &fields), Some(sent)).unwrap().status, 200);
}

#[test]
fn an_expectation_is_met_before_the_body_is_awaited() {
    let gateway = spoken();
    let client = Http2Client::open(gateway.public);
    let session = format!("Bearer {}", gateway.session());
    let fields =
        [("authorization", session.as_str()), ("content-type", "application/json"), ("expect", "100-continue")];
    let body = Bytes::from(format!("{{\"applicationId\":\"{APP}\"}}"));
    let sent = Sent { parts: vec![body], pause: Duration::from_millis(200), ..Sent::default() };
    let reply = client.send(Http2Client::request("POST", "/v1/applications.get", &fields), Some(sent)).unwrap();
    assert_eq!((reply.status, reply.interim), (200, vec![100]));
}

#[test]
fn callers_of_grpc_are_told_in_their_own_words() {
    let down = free_address();
    let gateway = Gateway::start(|config| {
        config.plain("h2c: true");
        config.routes = vec![
            "{match: \"* /v1/any/**\", scope: application, upstream: applications}".to_owned(),
            "{match: POST /down/call, public: true, upstream: down}".to_owned(),
        ];
        config.timeout(&format!("connect: 1s}}\n  down: {{servers: [\"{down}\"]"));
    });
    let client = Http2Client::open(gateway.public);
    let read = format!("Bearer {}", gateway.token("application.read"));
    let post = |path: &str, fields: &[(&str, &str)], body: &[u8]| {
        let fields = [&[("content-type", "application/grpc+proto"), ("te", "trailers")], fields].concat();
        client.post(path, &fields, body)
    };
    for (name, reply, status) in [
        ("no token", post("/v1/any/x", &[], b"x"), "16"),
        ("too small a scope", post("/v1/any/x", &[("authorization", &read)], b"x"), "7"),
        ("no route", post("/nowhere", &[], b"x"), "12"),
        ("a malformed request", post("/v1/any/x", &[("expect", "x")], b"x"), "3"),
        ("two readings of its path", post("/v1//any/x", &[], b"x"), "3"),
        ("nobody behind the gateway", post("/down/call", &[], b"x"), "14"),
    ] {
        assert_eq!((reply.status, reply.body.len()), (200, 0), "{name}: {reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/grpc"), "{name}");
        assert_eq!(reply.header("grpc-status"), Some(status), "{name}");
        assert!(reply.header("grpc-message").is_some_and(|message| !message.is_empty()), "{name}");
    }
    // What happened stands in log and metric all the same.
    let told = post("/v1/any/x", &[("authorization", "Bearer bad")], b"x");
    assert_eq!((told.status, told.header("grpc-status")), (200, Some("16")));
    for (route, status) in [("* /v1/any/**", 401), ("* /v1/any/**", 403), ("none", 404), ("POST /down/call", 502)] {
        let stands = |line: &str| {
            let line = serde_json::from_str::<serde_json::Value>(line).unwrap_or_default();
            line["route"] == route && line["status"] == status
        };
        await_that("its line in the log", || gateway.log().lines().any(stands));
    }
    let refused = gateway.metrics().value("scopegate_requests_total", &[("route", "* /v1/any/**"), ("code", "401")]);
    assert!(refused >= 2.0, "{refused}");
    // Over HTTP/1.1 there is no gRPC, and what calls itself so gets the plain refusal.
    let plain = Request::post("/v1/any/x").header("Content-Type", "application/grpc").body("x");
    gateway.send(&plain).assert_refused(401, "missing_token");
    // Trailers alone: one frame, which ends the stream.
    let mut frames = Frames::open(gateway.public);
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/nowhere"),
        ("content-type", "application/grpc"),
    ];
    frames.headers(END_STREAM, 1, &fields);
    let head = std::iter::from_fn(|| frames.next()).find(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!(head.flags & END_STREAM, END_STREAM);
    assert!(find(&head.payload, b"problem").is_none());
}

#[test]
fn calls_of_grpc_pass_with_the_trailers_of_their_replies() {
    let server = H2Server::start(None);
    let gateway = Gateway::start(|config| {
        config.plain("h2c: true");
        config.instead = Some(server.address);
        config.group.push("protocol: h2c".to_owned());
    });
    let client = Http2Client::open(gateway.public);
    let bearer = format!("Bearer {}", gateway.token("application"));
    let fields = [("authorization", bearer.as_str()), ("content-type", "application/grpc"), ("te", "trailers")];
    let trailers = HeaderMap::from_iter([("x-customer-id".parse().unwrap(), "evil".parse().unwrap())]);
    for trailers in [None, Some(trailers)] {
        let parts = vec![Bytes::from_static(b"ab"), Bytes::from_static(b"cd")];
        let sent = Sent { parts, trailers, ..Sent::default() };
        let reply = client.send(Http2Client::request("POST", "/v1/any/x", &fields), Some(sent)).unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (200, &b"ok"[..]));
        assert_eq!(reply.trailers.expect("trailers")["x-end"], "1");
        let (head, body) = server.seen.requests.lock().unwrap().pop().unwrap();
        assert_eq!(body, b"abcd");
        assert_eq!(head.headers["x-customer-id"], CUSTOMER);
        assert_eq!(head.headers.get_all("te").iter().collect::<Vec<_>>(), ["trailers"]);
        assert_eq!(head.uri.authority().unwrap().as_str(), "gateway.example");
    }
}

#[test]
fn te_is_for_calls_of_grpc_alone() {
    let server = H2Server::start(None);
    let gateway = Gateway::start(|config| {
        config.plain("h2c: true");
        config.instead = Some(server.address);
        config.group.push("protocol: h2c".to_owned());
    });
    let client = Http2Client::open(gateway.public);
    let bearer = format!("Bearer {}", gateway.token("application"));
    for (kind, te, expected) in [
        ("application/grpc", true, true),
        ("application/grpc+proto", true, true),
        ("application/grpc", false, false),
        ("application/grpc-web", true, false),
        ("application/json", true, false),
    ] {
        let mut fields = vec![("authorization", bearer.as_str()), ("content-type", kind)];
        fields.extend(te.then_some(("te", "trailers")));
        assert_eq!(client.post("/v1/any/x", &fields, b"x").status, 200);
        let (head, _) = server.seen.requests.lock().unwrap().pop().unwrap();
        assert_eq!(head.headers.contains_key("te"), expected, "{kind} {te}");
    }
}
