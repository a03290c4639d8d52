//! Section 12, HTTP/2: requests on streams are judged and passed on like all others.

use std::time::{Duration, Instant};

use crate::harness::{
    APP, Answer, Authority, CUSTOMER, Connection, Gateway, Request, await_that, each_row, free_address,
    http2::{Answered, CONTINUATION, END_HEADERS, END_STREAM, Frames, HEADERS, Http2Client, block},
};

pub fn spoken() -> Gateway {
    spoken_with("body_timeout: 30s")
}

/// A gateway that speaks HTTP/2 without TLS, with this limit.
pub fn spoken_with(limit: &str) -> Gateway {
    Gateway::start(|config| {
        config.plain("h2c: true").limit(limit);
    })
}

#[test]
fn both_versions_are_spoken_on_one_listener() {
    let gateway = spoken();
    let client = Http2Client::open(gateway.public);
    let token = gateway.token("application.read");
    let bearer = format!("Bearer {token}");
    let reply = client.get("/v1/applications", &[("authorization", &bearer), ("cookie", "a=b"), ("cookie", "c=d")]);
    assert_eq!((reply.status, reply.body.as_slice()), (200, &br#"{"ok":true}"#[..]));
    assert!(reply.header("date").is_some() && reply.header("connection").is_none(), "{reply:?}");
    let seen = gateway.upstream().request();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/v1/applications"));
    assert_eq!(seen.header("host"), Some("gateway.example"));
    assert_eq!(seen.header("cookie"), Some("a=b; c=d"));
    assert_eq!(seen.header("x-customer-id"), Some(CUSTOMER));
    assert_eq!(seen.header("x-forwarded-host"), Some("gateway.example"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("authorization"), None);
    gateway.access_line(seen.header("x-request-id").unwrap());
    // A request of HTTP/1.1 that is shorter than what HTTP/2 begins with, however slowly it comes.
    let mut connection = gateway.connect();
    connection.send(b"GE");
    connection.send(b"T /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    connection.reply().assert_status(200);
    let mut connection = gateway.connect();
    connection.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    connection.reply().assert_status(505);
}

#[test]
fn http_2_is_not_spoken_where_it_was_not_asked_for() {
    let gateway = Gateway::start(|_| {});
    let mut connection = gateway.connect();
    connection.send(crate::harness::http2::PREFACE);
    connection.reply().assert_status(505);
    connection.assert_closed();
}

#[test]
fn it_is_chosen_by_alpn() {
    let (authority, address) = (Authority::new("CA"), free_address());
    let issued = authority.issue(&["a.example"], 1);
    let gateway = Gateway::start(|config| {
        config.file("cert.pem", &issued.certificate).file("key.pem", &issued.key);
        config.listener(&format!(
            "{{address: \"{address}\", tls: {{certificate: \"file:cert.pem\", key: \"file:key.pem\"}}}}"
        ));
    });
    let client = authority.trusting_client().speaking(&["h2", "http/1.1"]);
    let connection = Connection::open_tls(address, &client, "a.example").unwrap();
    assert_eq!(connection.tls().alpn_protocol(), Some(&b"h2"[..]));
    let mut frames = Frames::on(connection, &[]);
    assert_eq!(frames.get(1, "/healthz").answer(1), Answered::Status(200));
    assert_eq!(frames.get(3, "/v1/applications").answer(3), Answered::Status(401));
    assert_eq!(gateway.upstream().request().header("x-forwarded-proto"), Some("https"));
}

/// A request without an authority.
const BARE: [(&str, &str); 3] = [(":method", "GET"), (":scheme", "http"), (":path", "/healthz")];

#[test]
fn a_head_that_breaks_the_rules_is_refused_and_others_go_on() {
    let gateway = spoken();
    let with = |fields: &[(&'static str, &'static str)]| {
        let mut all = vec![BARE[0], BARE[1], (":authority", "a"), BARE[2]];
        all.extend(fields);
        all
    };
    let without_authority = |fields: &[(&'static str, &'static str)]| [&BARE[..], fields].concat();
    let pseudo = |method, path, authority| {
        vec![(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)]
    };
    let (protocol_error, connection_error) = (Answered::Reset(1), Answered::GoAway(1));
    let cases: Vec<(&str, Vec<(&str, &str)>, Answered)> = vec![
        ("no authority", without_authority(&[]), Answered::Status(400)),
        ("two Hosts", without_authority(&[("host", "a"), ("host", "a")]), Answered::Status(400)),
        ("another Host", with(&[("host", "b")]), Answered::Status(400)),
        ("a Host with a path", without_authority(&[("host", "a/b")]), Answered::Status(400)),
        ("an authority with user data", pseudo("GET", "/healthz", "u@a"), Answered::Status(400)),
        ("an authority with a bad port", pseudo("GET", "/healthz", "a:b"), Answered::Status(400)),
        ("a list of lengths", with(&[("content-length", "0, 0")]), protocol_error),
        ("a signed length", with(&[("content-length", "+0")]), protocol_error),
        ("a length in another spelling", with(&[("content_length", "0")]), Answered::Status(400)),
        ("a coding in another spelling", with(&[("transfer_encoding", "chunked")]), Answered::Status(400)),
        ("an unknown expectation", with(&[("expect", "x")]), Answered::Status(417)),
        ("space around a value", with(&[("x", " y")]), Answered::Status(400)),
        ("TRACE", pseudo("TRACE", "/healthz", "a"), Answered::Status(405)),
        ("CONNECT", vec![(":method", "CONNECT"), (":authority", "a:1")], Answered::Status(405)),
        ("a long method", pseudo("GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG", "/healthz", "a"), Answered::Status(501)),
        ("no slash", pseudo("GET", "healthz", "a"), protocol_error),
        ("absolute form", pseudo("GET", "http://evil/healthz", "a"), protocol_error),
        ("GET *", pseudo("GET", "*", "a"), Answered::Status(400)),
        ("a path with two readings", pseudo("GET", "/x/../healthz", "a"), Answered::Status(400)),
        ("an encoded slash", pseudo("GET", "/x%2fhealthz", "a"), Answered::Status(400)),
        ("a control character in the path", pseudo("GET", "/heal\rthz", "a"), protocol_error),
        ("a space in the path", pseudo("GET", "/heal thz", "a"), protocol_error),
        ("an empty path", pseudo("GET", "", "a"), protocol_error),
        ("a field of one connection", with(&[("connection", "close")]), protocol_error),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")]), protocol_error),
        ("upgrade", with(&[("upgrade", "h2c")]), protocol_error),
        ("keep-alive", with(&[("keep-alive", "1")]), protocol_error),
        ("proxy-connection", with(&[("proxy-connection", "1")]), protocol_error),
        ("te", with(&[("te", "gzip")]), protocol_error),
        ("an upper-case name", with(&[("X-Upper", "1")]), connection_error),
        ("a control character in a value", with(&[("x", "a\r\nb: c")]), connection_error),
        ("two methods", with(&[(":method", "GET")]), protocol_error),
        ("a pseudo-header field after others", vec![BARE[0], BARE[1], ("x", "y"), (":path", "/")], protocol_error),
        ("an unknown pseudo-header field", vec![(":what", "x")], connection_error),
        ("a status in a request", with(&[(":status", "200")]), protocol_error),
        ("no method", vec![(":scheme", "http"), (":path", "/"), (":authority", "a")], protocol_error),
        ("no scheme", vec![(":method", "GET"), (":path", "/"), (":authority", "a")], protocol_error),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, fields, expected)| {
            let mut frames = Frames::open(gateway.public);
            assert_eq!(frames.headers(END_STREAM, 1, fields).answer(1), *expected);
            gateway.upstream().assert_untouched();
            if *expected == connection_error {
                return frames.connection.assert_closed();
            }
            assert_eq!(frames.get(3, "/healthz").answer(3), Answered::Status(200));
            gateway.upstream().forget();
        },
    );
}

#[test]
fn refusals_read_as_in_http_1() {
    let gateway = spoken();
    let client = Http2Client::open(gateway.public);
    let reply = client.get("/v1/applications", &[]);
    assert_eq!((reply.status, reply.json()["code"].as_str()), (401, Some("missing_token")));
    assert!(reply.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer realm=")));
    let reply = client.get("/nowhere", &[]);
    assert_eq!((reply.status, reply.json()["code"].as_str()), (404, Some("no_route")));
    let reply = client.get("/healthz", &[("expect", "x")]);
    assert_eq!((reply.status, reply.json()["code"].as_str()), (417, Some("invalid_request")));
    // Tokens are issued, and bodies judged.
    let session = format!("Bearer {}", gateway.session());
    let fields = [("authorization", session.as_str()), ("content-type", "application/json")];
    let path = "/v1/applications.get";
    assert_eq!(client.post(path, &fields, format!("{{\"applicationId\":\"{APP}\"}}").as_bytes()).status, 200);
    assert_eq!(client.post(path, &fields, b"{\"applicationId\":\"other\"}").json()["code"], "application_mismatch");
    let basic = gateway.owner().basic();
    let fields = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(client.post("/v1/oauth2/token", &fields, b"grant_type=client_credentials").status, 200);
}

#[test]
fn identity_that_a_client_claims_never_arrives_from_a_stream_either() {
    let gateway = spoken();
    let client = Http2Client::open(gateway.public);
    let bearer = format!("Bearer {}", gateway.token("application.read"));
    for name in ["x-customer-id", "x_customer_id", "x-scope", "x-client-cert-subject", "x-forwarded-for", "forwarded"] {
        gateway.upstream().forget();
        let reply = client.get("/v1/applications", &[("authorization", &bearer), (name, "evil")]);
        assert_eq!(reply.status, 200, "{name}");
        let head = gateway.upstream().request().head;
        assert!(!String::from_utf8_lossy(&head).contains("evil"), "{name}");
    }
}

#[test]
fn replies_pass_as_they_are() {
    let gateway = spoken();
    let client = Http2Client::open(gateway.public);
    gateway.upstream().once(Answer::Bytes(b"HTTP/1.1 204 No Content\r\nX-Other: one\r\n\r\n".to_vec()));
    let reply = client.get("/healthz", &[]);
    assert_eq!((reply.status, reply.header("x-other"), reply.body.len()), (204, Some("one"), 0));
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nKeep-Alive: 5\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n";
    gateway.upstream().once(Answer::Bytes(chunked.to_vec()));
    let reply = client.get("/healthz", &[]);
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"abcd"[..]));
    assert!(["transfer-encoding", "keep-alive", "connection", "x-hop"].iter().all(|name| reply.header(name).is_none()));
    let large = vec![b'y'; 3_000_000];
    gateway.upstream().once(Answer::with(200, "", &large));
    assert_eq!(client.get("/healthz", &[]).body, large);
    gateway.upstream().once(Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n".to_vec()));
    let reply = client.send(Http2Client::request("HEAD", "/healthz", &[]), None).unwrap();
    assert_eq!((reply.status, reply.header("content-length"), reply.body.len()), (200, Some("2000"), 0));
    gateway.upstream().once(Answer::Bytes(
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    assert_eq!(client.get("/healthz", &[]).status, 200);
}

#[test]
fn a_reply_that_ends_early_is_a_broken_stream() {
    let gateway = spoken();
    let client = Http2Client::open(gateway.public);
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        gateway.upstream().once(Answer::ThenClose(bytes.to_vec()));
        let broken = client.send(Http2Client::request("GET", "/healthz", &[]), None).unwrap_err();
        assert!(broken.is_reset(), "{broken}");
    }
    assert_eq!(client.get("/healthz", &[]).status, 200);
}

#[test]
fn a_reply_whose_length_lies_is_broken_and_one_that_has_no_body_is_not() {
    let gateway = spoken();
    let client = Http2Client::open(gateway.public);
    let reply = |head: &str| Answer::ThenClose(format!("HTTP/1.1 {head}\r\n\r\n").into_bytes());
    let with_body = |head: &str, body: &str| Answer::ThenClose(format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes());
    let ask = |method: &str, answer: Answer| {
        gateway.upstream().once(answer);
        client.send(Http2Client::request(method, "/healthz", &[]), None)
    };
    for (name, answer) in [
        ("short by one byte", with_body("200 OK\r\nContent-Length: 4", "abc")),
        ("nothing at all", reply("200 OK\r\nContent-Length: 4")),
    ] {
        assert!(ask("GET", answer).is_err_and(|broken| broken.is_reset()), "{name}");
    }
    for (name, answer) in [
        ("two lengths", with_body("200 OK\r\nContent-Length: 3\r\nContent-Length: 4", "abcd")),
        ("a list of them", with_body("200 OK\r\nContent-Length: 3, 4", "abcd")),
        ("a negative one", with_body("200 OK\r\nContent-Length: -1", "abcd")),
    ] {
        assert_eq!(ask("GET", answer).unwrap().status, 502, "{name}");
    }
    // What is sent beyond the length is no part of the reply, nor of the next one.
    let longer = ask("GET", with_body("200 OK\r\nContent-Length: 3", "abcHTTP/1.1 200 OK")).unwrap();
    assert_eq!((longer.status, longer.body.as_slice()), (200, &b"abc"[..]));
    assert_eq!(ask("GET", Answer::with(201, "", b"next")).unwrap().status, 201);
    for (method, head, status) in [
        ("HEAD", "200 OK\r\nContent-Length: 2000", 200),
        ("GET", "304 Not Modified\r\nContent-Length: 2000", 304),
        ("GET", "204 No Content", 204),
    ] {
        let whole = ask(method, reply(head)).unwrap();
        assert_eq!((whole.status, whole.body.len()), (status, 0), "{method} {head}");
    }
}

#[test]
fn streams_are_served_side_by_side() {
    let gateway = spoken();
    let client = Http2Client::open(gateway.public);
    gateway.upstream().once(Answer::Hang);
    let mut frames = Frames::open(gateway.public);
    frames.get(1, "/healthz");
    await_that("one that hangs", || !gateway.upstream().requests().is_empty());
    assert_eq!(frames.get(3, "/healthz").answer(3), Answered::Status(200));
    let many = client.send_all((0..300).map(|_| Http2Client::request("GET", "/healthz", &[])).collect());
    assert!(many.iter().all(|reply| reply.as_ref().is_ok_and(|reply| reply.status == 200)));
    // The client of the first gives it up: so does the gateway.
    frames.send(crate::harness::http2::RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    await_that("nothing is in flight", || gateway.metrics().value("scopegate_in_flight_requests", &[]) <= 0.0);
}

#[test]
fn a_gateway_that_stops_finishes_what_it_began() {
    let gateway = spoken();
    let (answer, steps) = Answer::stepwise();
    gateway.upstream().once(answer);
    let mut frames = Frames::open(gateway.public);
    frames.get(1, "/healthz");
    await_that("the request upstream", || !gateway.upstream().requests().is_empty());
    gateway.signal("TERM");
    // First GOAWAY, without an error, then the reply.
    assert_eq!(frames.answer(1), Answered::GoAway(0));
    steps.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(frames.answer(1), Answered::Status(200));
    frames.connection.assert_closed();
}

#[test]
fn a_slow_head_is_not_waited_for() {
    let gateway = spoken_with("header_timeout: 1s");
    let mut frames = Frames::open(gateway.public);
    assert_eq!(frames.get(1, "/nowhere").answer(1), Answered::Status(404));
    let begin = Instant::now();
    frames.send(HEADERS, END_STREAM, 3, &block(&crate::harness::http2::get("/healthz"))[..5]);
    let answer = frames.answer(3);
    assert!(matches!(answer, Answered::GoAway(_) | Answered::Closed), "{answer:?}");
    assert!((800..3000).contains(&begin.elapsed().as_millis()), "{answer:?} {:?}", begin.elapsed());
    let mut connection = gateway.connect();
    let begin = Instant::now();
    connection.send(&crate::harness::http2::PREFACE[..20]);
    connection.assert_closed();
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    gateway.upstream().assert_untouched();
}

/// A GET of `/healthz` with these fields, in as many frames as it takes.
fn answer_to(gateway: &Gateway, fields: &[(&str, &str)]) -> Answered {
    let block = block(&[&crate::harness::http2::get("/healthz")[..], fields].concat());
    let mut frames = Frames::open(gateway.public);
    let parts: Vec<&[u8]> = block.chunks(16_384).collect();
    for (place, part) in parts.iter().enumerate() {
        let kind = if place == 0 { HEADERS } else { CONTINUATION };
        let first = if place == 0 { END_STREAM } else { 0 };
        let last = if place + 1 == parts.len() { END_HEADERS } else { 0 };
        frames.send(kind, first | last, 1, part);
    }
    frames.answer(1)
}

#[test]
fn heads_have_the_same_limits_in_both_versions() {
    for (limit, bytes) in [("1KiB", 1 << 10), ("32KiB", 32 << 10), ("64KiB", 64 << 10), ("256KiB", 256 << 10)] {
        let gateway = Gateway::start(|config| {
            config.plain("h2c: true").limit(&format!("headers: {limit}")).limit("header_count: 20");
        });
        let head = |pad: &str| Request::get("/healthz").host("gateway.example").header("x", pad).head("").len();
        let pad = |size: usize| "y".repeat(size - head(""));
        for (size, status) in [(bytes, 200), (bytes + 1, 431), (2 * bytes, 431)] {
            let pad = pad(size);
            // What is far over the limit ends the connection.
            let answer = answer_to(&gateway, &[("x", &pad)]);
            let ended = size > bytes + 1 && answer == Answered::GoAway(11);
            assert!(ended || answer == Answered::Status(status), "{limit}: {size} on a stream: {answer:?}");
            let request = Request::get("/healthz").host("gateway.example").header("x", &pad);
            let reply = gateway.connect().try_exchange(&request);
            // Far over the limit the reply may be lost where the rest is not read.
            let told = reply.map_or(431, |reply| reply.status);
            assert_eq!(told, status, "{limit}: {size} in HTTP/1.1");
        }
    }
    // `Host` is a line, all crumbs of a cookie are one.
    let gateway = spoken_with("header_count: 20");
    let counted = |count: usize| answer_to(&gateway, &vec![("x", "y"); count]);
    assert_eq!((counted(19), counted(20)), (Answered::Status(200), Answered::Status(431)));
    assert_eq!(answer_to(&gateway, &[("cookie", "a=b"); 40]), Answered::Status(200));
    let client = Http2Client::open(gateway.public);
    let refused = client.get("/healthz", &[("x", "y"); 20]);
    assert_eq!((refused.status, refused.json()["code"].as_str()), (431, Some("invalid_request")));
}

#[test]
fn a_client_of_other_people_speaks_each_version() {
    let version = std::process::Command::new("curl").arg("--version").output();
    if !version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("HTTP2")) {
        assert!(std::env::var_os("CI").is_none(), "no curl with HTTP/2");
        println!("skipped: no curl with HTTP/2");
        return;
    }
    let (authority, address) = (Authority::new("CA"), free_address());
    let issued = authority.issue(&["a.example"], 1);
    let gateway = Gateway::start(|config| {
        config.file("ca.pem", &authority.pem);
        config.file("cert.pem", &issued.certificate).file("key.pem", &issued.key);
        config.plain("h2c: true");
        config.listener(&format!(
            "{{address: \"{address}\", tls: {{certificate: \"file:cert.pem\", key: \"file:key.pem\"}}}}"
        ));
    });
    let token = gateway.token("application");
    let large = "x".repeat(300_000);
    std::fs::write(gateway.folder().join("body"), &large).unwrap();
    let (plain, secure) = (gateway.url(), format!("https://a.example:{}", address.port()));
    for (version, arguments, base) in [
        ("1.1", &["--http1.1"][..], &plain),
        ("2", &["--http2-prior-knowledge"], &plain),
        ("1.1", &["--http1.1", "--tls-max", "1.2"], &secure),
        ("2", &["--http2", "--tls-max", "1.2"], &secure),
        ("2", &["--http2", "--tlsv1.3"], &secure),
    ] {
        gateway.upstream().forget();
        let output = std::process::Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "10", "--cacert", "ca.pem", "--data-binary", "@body"])
            .args(["--header", "Content-Type: application/octet-stream"])
            .args([
                "--write-out",
                " %{http_version} %{http_code}",
                "--header",
                &format!("Authorization: Bearer {token}"),
            ])
            .args(["--resolve", &format!("a.example:{}:127.0.0.1", address.port())])
            .args(arguments)
            .arg(format!("{base}/v1/any/x"))
            .current_dir(gateway.folder())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            told,
            format!("{{\"ok\":true}} {version} 200"),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(gateway.upstream().request().body.len(), large.len(), "{arguments:?}");
    }
}
