//! Section 12: clients of HTTP/1.0, which is what checkers of health and old libraries speak.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::harness::{
    Answer, Authority, Connection, Framing, Gateway, H2Server, PATIENCE, Request, each_row, free_address,
};

/// A request without `Host` and with these lines.
fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.0\r\n{lines}\r\n")
}

#[test]
fn a_checker_of_health_needs_no_host() {
    let gateway = Gateway::start(|_| {});
    for (address, path) in [(gateway.admin, "/livez"), (gateway.admin, "/readyz"), (gateway.public, "/healthz")] {
        for lines in ["", "User-Agent: check_http/v2.3.3 (nagios-plugins 2.3.3)\r\nConnection: close\r\n"] {
            let mut connection = Connection::open(address);
            connection.send(get(path, lines)).reply().assert_status(200);
            connection.assert_closed();
        }
    }
    for lines in ["Host:\r\n", "Host: a\r\nHost: a\r\n", "Host: a/b\r\n", "Host: a,b\r\n"] {
        gateway.connect().send(get("/healthz", lines)).reply().assert_problem(400, "invalid_request");
    }
    gateway.connect().send("GET /healthz HTTP/1.1\r\n\r\n").reply().assert_problem(400, "invalid_request");
}

#[test]
fn a_server_is_called_by_its_own_name_where_the_client_calls_it_by_none() {
    let gateway = Gateway::start(|_| {});
    gateway.connect().send(get("/healthz", "X-Forwarded-Host: evil\r\n")).reply().assert_status(200);
    let seen = gateway.upstream().request();
    assert_eq!(seen.all("host"), [gateway.upstream().address.to_string()]);
    assert!(seen.all("x-forwarded-host").is_empty(), "{seen:?}");
    gateway.upstream().forget();
    gateway.connect().send(get("/healthz", "Host: a.example\r\n")).reply().assert_status(200);
    let seen = gateway.upstream().request();
    assert_eq!((seen.all("host"), seen.all("x-forwarded-host")), (vec!["a.example"], vec!["a.example"]));
    let server = H2Server::start(None);
    let gateway = Gateway::start(|config| {
        config.instead = Some(server.address);
        config.group("protocol: h2c");
    });
    gateway.connect().send(get("/healthz", "")).reply().assert_status(200);
    let requests = server.seen.requests.lock().unwrap();
    assert_eq!(requests[0].0.uri.authority().unwrap().as_str(), server.address.to_string());
}

#[test]
fn it_can_be_agreed_on_in_tls() {
    let (authority, address) = (Authority::new("CA"), free_address());
    let issued = authority.issue(&["gateway.example"], 1);
    let gateway = Gateway::start(|config| {
        let files = "tls: {certificate: \"file:cert.pem\", key: \"file:key.pem\"}";
        config.listener(&format!("{{address: \"{address}\", {files}}}"));
        config.file("cert.pem", &issued.certificate).file("key.pem", &issued.key);
    });
    let open = |protocols: &[&str]| {
        Connection::open_tls(address, &authority.trusting_client().speaking(protocols), "gateway.example")
    };
    for (protocols, chosen) in [
        (&["http/1.0"][..], &b"http/1.0"[..]),
        (&["http/1.0", "http/1.1"], b"http/1.1"),
        (&["http/0.9", "http/1.0"], b"http/1.0"),
    ] {
        let mut connection = open(protocols).unwrap();
        assert_eq!(connection.tls().alpn_protocol(), Some(chosen));
        connection.send(get("/healthz", "Connection: keep-alive\r\n")).reply().assert_status(200);
        connection.exchange(&Request::get("/healthz")).assert_status(200);
    }
    assert!(open(&["http/0.9"]).is_err(), "nobody speaks it");
    drop(gateway);
}

#[test]
fn replies_have_neither_chunks_nor_interim_heads() {
    let gateway = Gateway::start(|_| {});
    let cases: [(&str, &str, &str, Framing); 9] = [
        ("a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", Framing::Length),
        (
            "chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            "hello",
            Framing::Close,
        ),
        (
            "chunks and a trailer",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
            "hello",
            Framing::Close,
        ),
        ("the end of the connection", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", "hello", Framing::Close),
        ("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello", "hello", Framing::Close),
        (
            "interim heads",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 H\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "hello",
            Framing::Length,
        ),
        ("204", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "", Framing::None),
        ("304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", Framing::None),
        ("no body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", Framing::Length),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, bytes, body, framing)| {
            for lines in ["", "Connection: keep-alive\r\n"] {
                gateway.upstream().once(Answer::ThenClose((*bytes).into()));
                let mut connection = gateway.connect();
                let reply = connection.send(get("/healthz", lines)).reply();
                assert_eq!((reply.interim.len(), reply.header("transfer-encoding")), (0, None));
                assert_eq!((reply.text().as_str(), reply.framing), (*body, *framing));
                let kept = !lines.is_empty() && *framing != Framing::Close;
                assert_eq!(reply.header("connection"), Some(if kept { "keep-alive" } else { "close" }));
                if kept {
                    connection.exchange(&Request::get("/healthz")).assert_status(200);
                } else {
                    connection.assert_closed();
                }
            }
        },
    );
}

#[test]
fn a_head_tells_what_the_body_would_be_and_its_connection_goes_on() {
    let gateway = Gateway::start(|_| {});
    for fields in ["Content-Length: 2000\r\n", "Transfer-Encoding: chunked\r\n"] {
        gateway.upstream().once(Answer::Bytes(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into()));
        let mut connection = gateway.connect();
        connection.send("HEAD /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let reply = connection.reply_head().unwrap();
        assert_eq!((reply.status, reply.header("transfer-encoding")), (200, None));
        connection.exchange(&Request::get("/healthz")).assert_status(200);
    }
}

#[test]
fn a_body_is_never_asked_for() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application.read");
    // Judged, so read before it goes on; and passed on as it comes.
    let judged = format!("POST /v1/applications.get HTTP/1.0\r\nAuthorization: Bearer {token}\r\n");
    let streamed = "GET /healthz HTTP/1.0\r\n".to_owned();
    for head in [judged, streamed] {
        gateway.upstream().forget();
        let body = r#"{"applicationId":"x"}"#;
        let lines =
            format!("Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n", body.len());
        let mut connection = gateway.connect();
        let reply = connection.send(format!("{head}{lines}\r\n{body}")).reply();
        assert_eq!((reply.status, reply.interim.len()), (200, 0), "{}", reply.summary());
        assert_eq!(gateway.upstream().request().header("expect"), None);
    }
}

/// How reading a whole connection ended, and what came until then.
fn read_to_end(address: SocketAddr, request: &str) -> (Vec<u8>, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    (bytes, ended.err().map(|error| error.kind()))
}

#[test]
fn a_reply_that_breaks_off_is_reset_where_nothing_else_tells() {
    let gateway = Gateway::start(|config| {
        config.timeout("read: 500ms").group("eject: never");
    });
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for rest in ["5\r\nhello\r\n", "5\r\nhel", "5\r\nhello\r\n0\r\n", "5\r\nhello\r\nxyz\r\n"] {
        for answer in [
            Answer::ThenClose(format!("{head}{rest}").into()),
            Answer::ThenReset(format!("{head}{rest}").into()),
            Answer::Bytes(format!("{head}{rest}").into()),
        ] {
            gateway.upstream().once(answer);
            let (bytes, error) = read_to_end(gateway.public, &get("/healthz", ""));
            let refused = bytes.starts_with(b"HTTP/1.1 50");
            let shown = String::from_utf8_lossy(&bytes).into_owned();
            assert!(refused || error == Some(ErrorKind::ConnectionReset), "{rest:?}: {error:?} {shown:?}");
            gateway.send(&Request::get("/healthz")).assert_status(200);
        }
    }
    // What is whole ends as it should.
    gateway.upstream().once(Answer::Bytes(format!("{head}5\r\nhello\r\n0\r\n\r\n").into()));
    let (bytes, error) = read_to_end(gateway.public, &get("/healthz", ""));
    assert!(bytes.ends_with(b"\r\n\r\nhello") && error.is_none(), "{error:?}");
}
