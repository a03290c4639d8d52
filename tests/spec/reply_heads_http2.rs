//! Section 12: what an HTTP/2 server may not put into a reply.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::harness::{
    Gateway, Request, each_row,
    http2::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, block, frame},
};

/// A server that answers the first request of each connection with these fields and this body.
fn server(fields: &[(&str, &str)], body: &[u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reply =
        [frame(SETTINGS, 0, 0, &[]), frame(HEADERS, END_HEADERS, 1, &block(fields)), frame(DATA, END_STREAM, 1, body)];
    let reply = reply.concat();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let reply = reply.clone();
            thread::spawn(move || answer(stream, &reply));
        }
    });
    address
}

fn answer(mut stream: TcpStream, reply: &[u8]) -> Option<()> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).ok()?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).ok()?;
        if head[3] == HEADERS {
            stream.write_all(reply).ok()?;
        }
    }
}

#[test]
fn nothing_of_a_malformed_reply_reaches_a_client() {
    let cookie = ("set-cookie", "b=c");
    let cases: [(&str, &[(&str, &str)]); 16] = [
        ("a LF in a value", &[(":status", "200"), ("x", "a\nset-cookie: b=c")]),
        ("a CR in a value", &[(":status", "200"), ("x", "a\rset-cookie: b=c")]),
        ("both in a value", &[(":status", "200"), ("x", "a\r\nset-cookie: b=c")]),
        ("a NUL in a value", &[(":status", "200"), cookie, ("x", "a\0b")]),
        ("an escape sequence", &[(":status", "200"), cookie, ("x", "\x1b[2J")]),
        ("a DEL", &[(":status", "200"), cookie, ("x", "\x7f")]),
        ("a LF in a name", &[(":status", "200"), cookie, ("x\nset-cookie", "b=c")]),
        ("a space in a name", &[(":status", "200"), cookie, ("x y", "z")]),
        ("upper case in a name", &[(":status", "200"), cookie, ("X-Own", "z")]),
        ("another pseudo-header", &[(":status", "200"), (":other", "x"), cookie]),
        ("a pseudo-header behind others", &[cookie, (":status", "200")]),
        ("no status", &[cookie]),
        ("a status that is none", &[(":status", "2x0"), cookie]),
        ("a field of the connection", &[(":status", "200"), cookie, ("connection", "close")]),
        ("a coding", &[(":status", "200"), cookie, ("transfer-encoding", "chunked")]),
        ("two lengths", &[(":status", "200"), cookie, ("content-length", "2"), ("content-length", "3")]),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, fields)| {
            let gateway = before(server(fields, b"ok"));
            let reply = gateway.send(&Request::get("/healthz"));
            reply.assert_problem(502, "upstream_unreachable");
            assert!(reply.all("set-cookie").is_empty() && reply.all("x").is_empty(), "{}", reply.summary());
        },
    );
    let gateway = before(server(&[(":status", "200"), ("x", "y")], b"ok"));
    assert_eq!(gateway.send(&Request::get("/healthz")).assert_status(200).text(), "ok");
}

#[test]
fn a_length_that_the_body_does_not_have_is_never_a_whole_reply() {
    for length in ["1", "3", "100"] {
        let gateway = before(server(&[(":status", "200"), ("content-length", length)], b"ok"));
        match gateway.connect().try_exchange(&Request::get("/healthz")) {
            Err(_) => {}
            Ok(reply) => assert_eq!(reply.status, 502, "{length}: {}", reply.summary()),
        }
    }
}

fn before(server: SocketAddr) -> Gateway {
    Gateway::start(|config| {
        config.instead = Some(server);
        config.group("protocol: h2c").group("eject: never");
    })
}
