//! Section 12: what servers send is held to the grammar before anything mends it, and fitted to whoever asked.

use std::time::Duration;

use crate::harness::{Answer, Authority, Broken, Framing, Gateway, Request, Scripted, each_row, server_config};

/// Bytes of a reply that nobody may see, and why.
const BAD: [(&str, &str); 30] = [
    ("a bare LF in a header", "HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("a bare LF behind the status", "HTTP/1.1 200 OK\nSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("bare LFs alone", "HTTP/1.1 200 OK\nSet-Cookie: b=c\n\nok"),
    ("an empty line before the status", "\r\nHTTP/1.1 200 OK\r\nSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("a bare CR in a header", "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("a NUL in a header", "HTTP/1.1 200 OK\r\nSet-Cookie: b=c\0\r\nContent-Length: 2\r\n\r\nok"),
    ("an escape sequence", "HTTP/1.1 200 OK\r\nSet-Cookie: b=c\x1b[2J\r\nContent-Length: 2\r\n\r\nok"),
    ("a DEL", "HTTP/1.1 200 OK\r\nSet-Cookie: b=c\x7f\r\nContent-Length: 2\r\n\r\nok"),
    ("a folded line", "HTTP/1.1 200 OK\r\nX: a\r\n Set-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("a space before the colon", "HTTP/1.1 200 OK\r\nSet-Cookie : b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("a space before the colon of a length", "HTTP/1.1 200 OK\r\nSet-Cookie: b=c\r\nContent-Length : 2\r\n\r\nok"),
    ("a name that is no token", "HTTP/1.1 200 OK\r\nSet-Cookie(x): b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("no name", "HTTP/1.1 200 OK\r\n: x\r\nSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("no colon", "HTTP/1.1 200 OK\r\nX\r\nSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("a length twice", "HTTP/1.1 200 OK\r\nSet-Cookie: b=c\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
    ("two lengths", "HTTP/1.1 200 OK\r\nSet-Cookie: b=c\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk"),
    ("a list of lengths", "HTTP/1.1 200 OK\r\nSet-Cookie: b=c\r\nContent-Length: 2, 2\r\n\r\nok"),
    ("a signed length", "HTTP/1.1 200 OK\r\nSet-Cookie: b=c\r\nContent-Length: +2\r\n\r\nok"),
    (
        "a length beside chunks",
        "HTTP/1.1 200 OK\r\nSet-Cookie: b=c\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    ("two codings", "HTTP/1.1 200 OK\r\nSet-Cookie: b=c\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked twice", "HTTP/1.1 200 OK\r\nSet-Cookie: b=c\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    (
        "chunked on two lines",
        "HTTP/1.1 200 OK\r\nSet-Cookie: b=c\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("another coding", "HTTP/1.1 200 OK\r\nSet-Cookie: b=c\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n"),
    ("chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nSet-Cookie: b=c\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("another version", "HTTP/1.2 200 OK\r\nSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("a version in lower case", "http/1.1 200 OK\r\nSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("no version", "200 OK\r\nSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("a status of two digits", "HTTP/1.1 20 OK\r\nSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("a status of four digits", "HTTP/1.1 2000 OK\r\nSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok"),
    ("a status with letters", "HTTP/1.1 2OO OK\r\nSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok"),
];

/// A gateway whose server may fail as often as it likes.
fn gateway() -> Gateway {
    Gateway::start(|config| {
        config.group("eject: never");
    })
}

#[test]
fn nothing_of_a_malformed_reply_reaches_a_client() {
    let gateway = gateway();
    let token = gateway.token("application");
    // The request is one that may be repeated, on a connection that carried others: still it is sent once.
    let request = Request::new("PUT", "/v1/any/x").bearer(&token).body("x");
    each_row(
        &BAD,
        |case| case.0.to_owned(),
        |(_, bytes)| {
            let interim = format!("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n{bytes}");
            let in_interim = bytes.replacen("200", "103", 1) + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            for bytes in [bytes, &interim[..], &in_interim] {
                gateway.send(&Request::get("/healthz")).assert_status(200);
                gateway.upstream().forget();
                gateway.upstream().once(Answer::Bytes(bytes.into()));
                let reply = gateway.send(&request);
                reply.assert_problem(502, "upstream_unreachable");
                assert!(reply.all("set-cookie").is_empty() && reply.all("x").is_empty(), "{}", reply.summary());
                assert_eq!(gateway.upstream().requests().len(), 1, "it was sent once");
            }
        },
    );
    gateway.send(&Request::get("/healthz")).assert_status(200);
}

#[test]
fn it_does_not_help_a_malformed_reply_to_come_in_pieces() {
    let gateway = gateway();
    let mut connection = gateway.connect();
    for bytes in ["HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\n\nok"] {
        for cut in [5, 16, 17, 18, 23, 24, 25, bytes.len() - 3] {
            let (first, second) = bytes.split_at(cut.min(bytes.len() - 3));
            let (answer, steps) = Answer::stepwise();
            gateway.upstream().once(answer);
            connection.send(Request::get("/healthz").bytes("h"));
            steps.send(first);
            std::thread::sleep(Duration::from_millis(20)); // so that the pieces are read apart
            steps.send(second);
            drop(steps);
            connection.reply().assert_problem(502, "upstream_unreachable");
            connection = gateway.connect();
            connection.exchange(&Request::get("/healthz")).assert_status(200);
        }
    }
}

#[test]
fn behind_tls_replies_are_judged_too() {
    let authority = Authority::new("own");
    let shown = authority.issue_with(&["127.0.0.1"], |_| {});
    let server = Scripted::with_tls_saying(server_config(&shown, None, &[]), "ok");
    let bad = Scripted::with_tls_replying(server_config(&shown, None, &[]), BAD[0].1);
    let before = |address| {
        Gateway::start(|config| {
            config.instead = Some(address);
            config.group("eject: never").group("tls: {ca: file:ca.pem}").file("ca.pem", &authority.pem);
        })
    };
    let gateway = before(server.address);
    let mut connection = gateway.connect();
    for _ in 0..5 {
        connection.exchange(&Request::get("/healthz")).assert_status(200);
    }
    assert_eq!(server.names().len(), 1, "one connection is used again");
    let gateway = before(bad.address);
    let reply = gateway.send(&Request::get("/healthz"));
    reply.assert_problem(502, "upstream_unreachable");
    assert!(reply.all("set-cookie").is_empty());
}

#[test]
fn chunks_that_two_readers_would_read_differently_break_the_transfer() {
    let gateway = gateway();
    let cases = [
        ("a bare LF behind a size", "2\nok\r\n0\r\n\r\n"),
        ("a bare LF in an extension", "2;a\nb\r\nok\r\n0\r\n\r\n"),
        ("no digits", "\r\nok\r\n0\r\n\r\n"),
        ("a sign", "+2\r\nok\r\n0\r\n\r\n"),
        ("a bare LF behind the data", "2\r\nok\n0\r\n\r\n"),
        ("a bare LF at the end", "2\r\nok\r\n0\r\n\n"),
        ("a bare LF in a trailer", "2\r\nok\r\n0\r\nX: y\nSet-Cookie: z\r\n\r\n"),
        ("a NUL in a trailer", "2\r\nok\r\n0\r\nX: \0\r\n\r\n"),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, body)| {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            gateway.upstream().once(Answer::Bytes(format!("{head}{body}").into()));
            gateway.send(&Request::get("/healthz")).assert_problem(502, "upstream_unreachable");
            let (answer, steps) = Answer::stepwise();
            gateway.upstream().once(answer);
            let mut connection = gateway.connect();
            connection.send(Request::get("/healthz").bytes("h"));
            steps.send(head);
            steps.send("1\r\nx\r\n");
            connection.reply_head().unwrap().assert_status(200);
            steps.send(body);
            drop(steps);
            assert!(!connection.rest().ends_with(b"0\r\n\r\n"), "it looks whole");
            gateway.send(&Request::get("/healthz")).assert_status(200);
        },
    );
}

#[test]
fn a_reply_without_a_body_says_nothing_of_its_end() {
    let gateway = gateway();
    for fields in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n"] {
        for (method, status) in [("GET", 204), ("GET", 304), ("HEAD", 200), ("HEAD", 404)] {
            let head = format!("HTTP/1.1 103 Hints\r\n{fields}\r\nHTTP/1.1 {status} X\r\n{fields}ETag: \"x\"\r\n\r\n");
            gateway.upstream().once(Answer::Bytes(head.into()));
            let mut connection = gateway.connect();
            let reply = connection.exchange(&Request::new(method, "/healthz"));
            assert_eq!((reply.status, reply.header("etag")), (status, Some("\"x\"")));
            assert_eq!(reply.header("transfer-encoding"), None, "{method} {status} {fields}");
            let length = if method == "HEAD" && fields.starts_with("Content") { Some("5") } else { None };
            assert_eq!(reply.header("content-length"), length, "{method} {status} {fields}");
            connection.exchange(&Request::get("/healthz")).assert_status(200);
        }
    }
}

#[test]
fn a_coding_of_identity_means_none() {
    let gateway = gateway();
    let mut connection = gateway.connect();
    let long = "x".repeat(100_000);
    for (answer, body) in [
        (Answer::ThenClose(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nto the end".to_vec()), "to the end"),
        // The server keeps the connection open: the length tells the end.
        (Answer::with(200, "Transfer-Encoding: identity\r\n", b"ok"), "ok"),
        (Answer::with(200, "Transfer-Encoding: Identity\r\n", long.as_bytes()), &long),
    ] {
        gateway.upstream().once(answer);
        let reply = connection.exchange(&Request::get("/healthz"));
        assert_eq!((reply.framing, reply.text().as_str()), (Framing::Chunked, body));
        connection.exchange(&Request::get("/healthz")).assert_status(200);
    }
    let cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 10\r\n\r\nonly";
    gateway.upstream().once(Answer::ThenClose(cut.to_vec()));
    let broken = connection.try_exchange(&Request::get("/healthz")).unwrap_err();
    assert!(matches!(broken, Broken::CutShort(Some(200), _)), "{broken:?}");
}

#[test]
fn the_version_is_ours() {
    let gateway = gateway();
    for answer in [
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\n\r\nok",
        "HTTP/1.0 204 None\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    ] {
        for version in ["1.0", "1.1"] {
            gateway.upstream().once(Answer::ThenClose(answer.into()));
            let mut connection = gateway.connect();
            connection.send(format!("GET /healthz HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n"));
            let bytes = connection.rest();
            assert!(bytes.starts_with(b"HTTP/1.1 20"), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
