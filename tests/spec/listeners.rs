//! Section 11: where the gateway listens, and who says who connects there.

use std::{
    fs,
    io::{Read, Write},
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    time::{Duration, Instant},
};

use crate::harness::{Authority, Connection, Gateway, Reply, Request, await_that, each_row, free_address, http2};

/// The reply to one request on a socket in the file system.
fn ask(path: &std::path::Path, request: &Request) -> Reply {
    let mut stream = UnixStream::connect(path).expect("the listener accepts");
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&request.clone().header("Connection", "close").bytes("gateway.example")).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = crate::harness::find(&bytes, b"\r\n\r\n").expect("a whole head") + 4;
    Reply { body: bytes[end..].to_vec(), ..Reply::parse_head(&bytes[..end]).unwrap() }
}

#[test]
fn a_socket_in_the_file_system_is_served_and_made_again_at_each_start() {
    let mut gateway = Gateway::start(|config| {
        config.listener("{address: \"unix:gateway.sock\"}");
    });
    let path = gateway.folder().join("gateway.sock");
    let token = gateway.token("application.read");
    for _ in 0..2 {
        let found = fs::metadata(&path).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, 0o660);
        gateway.upstream().forget();
        ask(&path, &Request::get("/v1/applications").bearer(&token)).assert_status(200);
        assert_eq!(gateway.upstream().request().header("x-forwarded-for"), Some("0.0.0.0"));
        ask(&path, &Request::get("/v1/applications")).assert_refused(401, "missing_token");
        // What a process that was killed leaves behind is no obstacle.
        gateway.restart();
    }
}

#[test]
fn who_connects_to_a_socket_may_be_trusted_to_tell_of_others() {
    let gateway = Gateway::start(|config| {
        config.listener("{address: \"unix:gateway.sock\"}").section("trusted_proxies: [unix]");
    });
    let path = gateway.folder().join("gateway.sock");
    ask(&path, &Request::get("/healthz").header("Forwarded", "for=192.0.2.1;proto=https")).assert_status(200);
    let seen = gateway.upstream().request();
    assert_eq!(seen.header("x-forwarded-for"), Some("192.0.2.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("forwarded"), Some("for=192.0.2.1;proto=https, for=unknown"));
    assert_eq!(gateway.access_line(seen.header("x-request-id").unwrap())["address"], "192.0.2.1");
}

#[test]
fn what_stands_in_the_place_of_a_socket_is_not_removed() {
    let mut gateway = Gateway::start(|config| {
        config.listener("{address: \"unix:gateway.sock\"}");
    });
    let path = gateway.folder().join("gateway.sock");
    gateway.kill();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    assert!(gateway.restart_refused().contains("it is no socket"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    assert!(gateway.restart_refused().contains("in use"));
    drop(other);
    gateway.restart();
}

#[test]
fn ipv6_is_listened_on() {
    let port = free_address().port();
    let gateway = Gateway::start(|config| {
        config.listener(&format!("{{address: \"[::1]:{port}\"}}"));
    });
    let address: SocketAddr = format!("[::1]:{port}").parse().unwrap();
    Connection::open(address).exchange(&Request::get("/healthz")).assert_status(200);
    assert_eq!(gateway.upstream().request().header("x-forwarded-for"), Some("::1"));
}

/// A version 2 header of the PROXY protocol.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    bytes.extend(rest);
    bytes
}

const TCP4: [u8; 12] = [192, 0, 2, 1, 127, 0, 0, 1, 0x1f, 0x90, 0, 80];

/// A gateway that wants the header at a listener of its own, from this machine.
fn behind_a_balancer(trusted: &str) -> (Gateway, SocketAddr) {
    let address = free_address();
    let gateway = Gateway::start(|config| {
        config.listener(&format!("{{address: \"{address}\", proxy_protocol: required}}"));
        config.section(&format!("trusted_proxies: [{trusted}]"));
        config.limit("header_timeout: 1s");
    });
    (gateway, address)
}

#[test]
fn the_client_is_whom_the_balancer_names() {
    let (gateway, address) = behind_a_balancer("127.0.0.1");
    let request = Request::get("/healthz").bytes("a");
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("version 1, IPv4", b"PROXY TCP4 192.0.2.1 127.0.0.1 8080 80\r\n".to_vec(), "192.0.2.1"),
        ("version 1, IPv6", b"PROXY TCP6 2001:db8::1 ::1 8080 80\r\n".to_vec(), "2001:db8::1"),
        ("version 1, nobody", b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        ("version 2, IPv4", binary(0x21, 0x11, &[&TCP4[..], &[4, 0, 1, 0]].concat()), "192.0.2.1"),
        ("version 2, the balancer itself", binary(0x20, 0, &[]), "127.0.0.1"),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, header, client)| {
            gateway.upstream().forget();
            let mut connection = Connection::open(address);
            connection.send([&header[..], &request].concat());
            let reply = connection.reply();
            reply.assert_status(200);
            let seen = gateway.upstream().request();
            assert_eq!(seen.header("x-forwarded-for"), Some(*client));
            let line = gateway.access_line(seen.header("x-request-id").unwrap());
            assert_eq!(line["address"], *client);
            // It counts for the whole connection, and stands there once.
            connection.exchange(&Request::get("/healthz")).assert_status(200);
            connection.send([&header[..], &request].concat());
            connection.reply().assert_status(400);
        },
    );
    // However it is cut.
    let mut connection = Connection::open(address);
    for byte in cases[0].1.iter().chain(&request) {
        connection.send([*byte]);
    }
    connection.reply().assert_status(200);
}

#[test]
fn what_a_client_writes_counts_only_if_its_balancer_says_who_it_is_and_that_one_is_trusted() {
    let address = free_address();
    let gateway = Gateway::start(|config| {
        config.listener(&format!("{{address: \"{address}\", proxy_protocol: required, h2c: true}}"));
        config.section("trusted_proxies: [127.0.0.1, 10.0.0.0/8, unix]");
        config.route("{match: GET /seldom, public: true, rate: 2/1m}");
    });
    let inner = [10, 0, 0, 1, 127, 0, 0, 1, 0x1f, 0x90, 0, 80];
    let cases: [(&str, Vec<u8>, bool); 9] = [
        ("version 1, nobody", b"PROXY UNKNOWN\r\n".to_vec(), false),
        ("version 1, nobody with addresses", b"PROXY UNKNOWN 10.0.0.1 127.0.0.1 8080 80\r\n".to_vec(), false),
        ("version 2, local", binary(0x20, 0, &[]), false),
        ("version 2, local with addresses", binary(0x20, 0x11, &inner), false),
        ("version 2, a Unix socket", binary(0x21, 0x31, &[0; 216]), false),
        ("version 2, unspecified", binary(0x21, 0, &[]), false),
        ("a stranger", b"PROXY TCP4 192.0.2.1 127.0.0.1 8080 80\r\n".to_vec(), false),
        ("a proxy that is trusted", b"PROXY TCP4 10.0.0.1 127.0.0.1 8080 80\r\n".to_vec(), true),
        ("the same in binary", binary(0x21, 0x11, &inner), true),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, header, counts)| {
            gateway.upstream().forget();
            let request =
                Request::get("/healthz").header("X-Forwarded-For", "6.6.6.6").header("X-Request-Id", "chosen");
            let request = request.header("X-Forwarded-Proto", "https").header("X-Real-IP", "6.6.6.6").bytes("a");
            let mut connection = Connection::open(address);
            connection.send([&header[..], &request].concat()).reply().assert_status(200);
            let seen = gateway.upstream().request();
            let line = gateway.access_line(seen.header("x-request-id").unwrap());
            assert_eq!(line["address"] == "6.6.6.6", *counts, "{line}");
            assert_eq!(seen.header("x-request-id") == Some("chosen"), *counts);
            assert_eq!(seen.header("x-forwarded-proto") == Some("https"), *counts);
            assert_eq!(seen.header("x-real-ip").is_some(), *counts);
            assert_eq!(String::from_utf8_lossy(&seen.head).contains("6.6.6.6"), *counts);
            // On streams of HTTP/2 alike.
            gateway.upstream().forget();
            let mut connection = Connection::open(address);
            connection.send(header);
            let mut frames = http2::Frames::on(connection, &[]);
            let target = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/healthz")];
            frames.headers(http2::END_STREAM, 1, &[&target[..], &[("x-forwarded-for", "6.6.6.6")]].concat());
            assert_eq!(frames.answer(1), http2::Answered::Status(200));
            let way = gateway.upstream().request().header("x-forwarded-for").unwrap().to_owned();
            assert_eq!(way.starts_with("6.6.6.6, "), *counts, "{way}");
        },
    );
    // All that a balancer does not speak for count as one caller.
    let ask = |number: usize| {
        let request = Request::get("/seldom").header("X-Forwarded-For", &format!("6.6.6.{number}")).bytes("a");
        Connection::open(address).send([&cases[number].1[..], &request].concat()).reply().status
    };
    assert_eq!([0, 1, 2, 3, 4, 5].map(ask), [200, 200, 429, 429, 429, 429]);
}

#[test]
fn failures_at_the_token_endpoint_count_against_the_client_that_is_named() {
    let (gateway, address) = behind_a_balancer("127.0.0.1");
    let wrong = Request::token(&crate::harness::basic("nobody", "x"), "grant_type=client_credentials");
    let status = |client: &str| {
        let mut connection = Connection::open(address);
        connection.send(format!("PROXY TCP4 {client} 127.0.0.1 8080 80\r\n"));
        connection.exchange(&wrong).status
    };
    let statuses: Vec<u16> = (0..15).map(|_| status("192.0.2.1")).collect();
    assert!(statuses.contains(&401) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(status("192.0.2.2"), 401);
    drop(gateway);
}

#[test]
fn a_connection_that_begins_otherwise_is_closed_and_counted() {
    let (gateway, address) = behind_a_balancer("127.0.0.1");
    let request = Request::get("/healthz").bytes("a");
    let cases: [(&str, Vec<u8>); 6] = [
        ("no header", request.clone()),
        ("a malformed one", [b"PROXY TCP4 1.2.3 127.0.0.1 1 1\r\n", &request[..]].concat()),
        ("an over-long line", [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200], request.clone()].concat()),
        ("a truncated one", b"PROXY TCP4 192".to_vec()),
        ("a truncated binary one", binary(0x21, 0x11, &TCP4)[..20].to_vec()),
        ("an over-long binary one", binary(0x21, 0x11, &[0; 3000])),
    ];
    let refused = [("route", "none"), ("reason", "invalid_request")];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, bytes)| {
            let before = gateway.metrics().value("scopegate_decisions_total", &refused);
            let mut connection = Connection::open(address);
            let begin = Instant::now();
            connection.send(bytes);
            assert!(connection.next_bytes().is_empty(), "something was answered");
            connection.assert_closed();
            assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
            await_that("it is counted", || gateway.metrics().value("scopegate_decisions_total", &refused) > before);
        },
    );
    gateway.upstream().assert_untouched();
}

#[test]
fn a_peer_that_is_not_trusted_cannot_name_a_client() {
    let (gateway, address) = behind_a_balancer("10.0.0.0/8");
    let mut connection = Connection::open(address);
    connection.send(b"PROXY TCP4 10.0.0.1 127.0.0.1 8080 80\r\n").send(Request::get("/healthz").bytes("a"));
    assert!(connection.next_bytes().is_empty());
    connection.assert_closed();
    gateway.upstream().assert_untouched();
    gateway.send(&Request::get("/healthz")).assert_status(200);
}

#[test]
fn the_header_comes_before_tls() {
    let (authority, address) = (Authority::new("CA"), free_address());
    let issued = authority.issue(&["a.example"], 1);
    let gateway = Gateway::start(|config| {
        config.file("cert.pem", &issued.certificate).file("key.pem", &issued.key);
        config.listener(&format!(
            "{{address: \"{address}\", proxy_protocol: required, tls: {{certificate: \"file:cert.pem\", key: \"file:key.pem\"}}}}"
        ));
        config.section("trusted_proxies: [127.0.0.1]");
    });
    let mut connection = Connection::open(address);
    connection.send(b"PROXY TCP4 192.0.2.1 127.0.0.1 8080 80\r\n");
    let mut connection = connection.begin_tls(&authority.trusting_client(), "a.example").unwrap();
    connection.exchange(&Request::get("/healthz")).assert_status(200);
    let seen = gateway.upstream().request();
    assert_eq!((seen.header("x-forwarded-for"), seen.header("x-forwarded-proto")), (Some("192.0.2.1"), Some("https")));
    assert!(Connection::open_tls(address, &authority.trusting_client(), "a.example").is_err());
}

#[test]
fn a_hangup_ends_no_gateway_not_even_one_without_certificates() {
    let gateway = Gateway::start(|_| {});
    gateway.signal("HUP");
    // Signals are taken in turn: this one would find nobody.
    gateway.signal("HUP");
    gateway.send(&Request::get("/healthz")).assert_status(200);
}

#[test]
fn a_request_that_comes_early_ends_its_connection_and_is_not_cut() {
    let gateway = Gateway::start(|_| {});
    for (listener, path) in [(gateway.public, "/healthz"), (gateway.admin, "/livez")] {
        let request = Request::get(path).bytes("localhost");
        for cut in [1, request.len() / 2, request.len()] {
            let mut connection = Connection::open(listener);
            connection.send([&request[..], &request[..cut]].concat());
            connection.reply().assert_status(200);
            // Its rest would be taken for a request.
            connection.send(&request[cut..]);
            assert_eq!(connection.next_bytes(), b"", "{path}, {cut}");
            connection.assert_closed();
        }
    }
}
