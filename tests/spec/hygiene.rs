//! Section 12, HTTP/1.1: what bare bytes can do, and the limits, each on both sides.

use std::time::{Duration, Instant};

use crate::harness::{Broken, Connection, Gateway, Request, each_row};

/// The reply to raw bytes, after which the connection must end.
fn raw(gateway: &Gateway, bytes: &[u8]) -> Result<u16, Broken> {
    let mut connection = gateway.connect();
    connection.send(bytes);
    let status = connection.try_reply().map(|reply| reply.status)?;
    connection.assert_closed();
    Ok(status)
}

#[test]
fn malformed_requests_are_refused_and_the_connection_ends() {
    let gateway = Gateway::start(|_| {});
    let cases: [(&str, &[u8], &[u16]); 38] = [
        ("no Host", b"GET /healthz HTTP/1.1\r\n\r\n", &[400]), // FRM-07
        ("an empty Host", b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", &[400]),
        ("two Hosts", b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", &[400]),
        ("a list of Hosts", b"GET /healthz HTTP/1.1\r\nHost: a,b\r\n\r\n", &[400]),
        ("a Host with a path", b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n", &[400]),
        ("a Host with a space", b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", &[400]),
        ("a Host with user data", b"GET /healthz HTTP/1.1\r\nHost: a@b\r\n\r\n", &[400]),
        ("a Host with a bad port", b"GET /healthz HTTP/1.1\r\nHost: a:b\r\n\r\n", &[400]),
        ("another authority", b"GET http://evil/healthz HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
        ("absolute form", b"GET http://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
        (
            "two lengths",
            b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            &[400],
        ),
        ("a list of lengths", b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nx", &[400]),
        ("a signed length", b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", &[400]),
        ("a negative length", b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nx", &[400]),
        (
            "a length over 2^53",
            b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 9007199254740993\r\n\r\nx",
            &[400, 413],
        ),
        ("an unknown coding", b"POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: cow\r\n\r\n", &[400, 501]),
        (
            "a list of codings",
            b"POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            &[400, 501],
        ),
        (
            "HTTP/1.0 chunked",
            b"POST /healthz HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &[400],
        ),
        ("a bare LF in a header", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: y\nZ: y\r\n\r\n", &[400]),
        ("a bare CR in a header", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: y\rZ: y\r\n\r\n", &[400]),
        ("a NUL in a header", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", &[400]),
        ("a CR in the target", b"GET /heal\rthz HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
        ("a NUL in the target", b"GET /heal\0thz HTTP/1.1\r\nHost: a\r\n\r\n", &[400]), // PATH-07
        ("a space in the target", b"GET /healthz x HTTP/1.1\r\nHost: a\r\n\r\n", &[400]), // PATH-08
        ("two spaces", b"GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
        ("a control byte in the target", b"GET /healthz\x01 HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
        ("no slash", b"GET healthz HTTP/1.1\r\nHost: a\r\n\r\n", &[400]), // PATH-10
        ("user data as target", b"GET @evil/ HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
        ("GET *", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
        ("a folded header", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", &[400]), // BEA-12
        ("a space before the colon", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", &[400]),
        ("a header without colon", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", &[400]),
        ("a header without name", b"GET /healthz HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", &[400]),
        ("no version", b"GET /healthz\r\nHost: a\r\n\r\n", &[400]),
        ("a lower-case version", b"GET /healthz http/1.1\r\nHost: a\r\n\r\n", &[400]),
        ("TRACE", b"TRACE /healthz HTTP/1.1\r\nHost: a\r\n\r\n", &[405]), // FRM-12
        ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", &[400, 405]),
        (
            "a long method",
            b"GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
            &[400, 501],
        ),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(name, bytes, statuses)| {
            let status = raw(&gateway, bytes).unwrap_or_else(|broken| panic!("{name}: {broken:?}"));
            assert!(statuses.contains(&status), "{name}: {status}, not one of {statuses:?}");
            gateway.upstream().assert_untouched();
        },
    );
}

#[test]
fn a_length_beside_chunks_never_goes_upstream() {
    let gateway = Gateway::start(|_| {});
    // FRM-02
    let mut connection = gateway.connect();
    connection
        .send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let reply = connection.reply();
    assert!(matches!(reply.status, 200 | 400), "{}", reply.summary());
    connection.assert_closed();
    for request in gateway.upstream().requests() {
        assert_eq!(request.all("content-length"), Vec::<&str>::new());
    }
}

#[test]
fn hosts_of_every_legal_form_are_accepted() {
    let gateway = Gateway::start(|_| {});
    for host in ["a", "a:80", "api.example.com:8443", "127.0.0.1:8080", "[::1]:8080", "[::1]", "xn--bcher-kva.example"]
    {
        gateway.send(&Request::get("/healthz").host(host)).assert_status(200);
    }
}

#[test]
fn http_1_0_is_served_and_closed() {
    let gateway = Gateway::start(|_| {});
    let mut connection = gateway.connect();
    connection.send(b"GET /healthz HTTP/1.0\r\nHost: a\r\n\r\n");
    connection.reply().assert_status(200);
    connection.assert_closed();
}

#[test]
fn a_target_of_8_kib_passes_and_a_longer_one_is_414() {
    let gateway = Gateway::start(|_| {});
    let target = |length: usize| format!("/healthz?{}", "a".repeat(length - "/healthz?".len()));
    gateway.send(&Request::get(&target(8 * 1024))).assert_status(200);
    for length in [8 * 1024 + 1, 20_000] {
        let mut connection = gateway.connect();
        connection.exchange(&Request::get(&target(length))).assert_status(414);
        connection.assert_closed();
    }
    // DOS-06: far beyond the header limit either answer is right.
    let mut connection = gateway.connect();
    let reply = connection.exchange(&Request::get(&target(70_000)));
    assert!(matches!(reply.status, 414 | 431), "{}", reply.summary());
}

#[test]
fn headers_over_their_limit_are_431() {
    let gateway = Gateway::start(|config| {
        config.limit("headers: 4KiB");
    });
    let sized = |total: usize| {
        let empty = Request::get("/healthz").host("a").header("X-Pad", "").bytes("a").len();
        Request::get("/healthz").host("a").header("X-Pad", &"p".repeat(total - empty))
    };
    gateway.send(&sized(4 * 1024 - 200)).assert_status(200);
    let mut connection = gateway.connect();
    connection.exchange(&sized(4 * 1024 + 200)).assert_status(431);
    connection.assert_closed();
    let many = Request::get("/healthz").header("X-Big", &"b".repeat(128 * 1024));
    let reply = gateway.connect().try_exchange(&many);
    assert!(reply.is_err() || reply.unwrap().status == 431);
}

#[test]
fn more_headers_than_the_limit_are_431() {
    let gateway = Gateway::start(|config| {
        config.limit("header_count: 20");
    });
    let counted = |count: usize| {
        (1..count).fold(Request::get("/healthz"), |request, number| request.header(&format!("X-{number}"), "y"))
    };
    gateway.send(&counted(20)).assert_status(200); // 19 and Host
    let mut connection = gateway.connect();
    connection.exchange(&counted(21)).assert_status(431);
    connection.assert_closed();
}

#[test]
fn a_body_of_the_limit_passes_and_a_longer_one_is_413() {
    let gateway = Gateway::start(|config| {
        config.limit("body: 100KiB");
    });
    let token = gateway.token("application");
    let limit = 100 * 1024;
    let post = |body: &[u8]| Request::post("/v1/any/x").bearer(&token).body(body);
    gateway.send(&post(&vec![b'x'; limit])).assert_status(200);
    gateway.upstream().forget();
    let mut connection = gateway.connect();
    connection.exchange(&post(&vec![b'x'; limit + 1])).assert_refused(413, "body_too_large");
    connection.assert_closed();
    gateway.upstream().assert_untouched();
    // Chunked, the excess shows only on the way: the upstream must not get a whole request.
    let chunk = vec![b'x'; 30 * 1024];
    let chunks = [chunk.as_slice(); 4];
    let reply = gateway.connect().try_exchange(&Request::post("/v1/any/x").bearer(&token).chunked(&chunks));
    assert!(reply.as_ref().map_or(true, |reply| reply.status == 413), "{reply:?}");
    assert!(gateway.upstream().requests().iter().all(|request| !request.complete), "a cut body arrived as whole");
}

#[test]
fn headers_have_a_limit_on_their_total_time() {
    let gateway = Gateway::start(|config| {
        config.limit("header_timeout: 1s");
    });
    // DOS-01: a byte now and then must not buy time.
    let mut connection = gateway.connect().patient_for(Duration::from_millis(50));
    let begin = Instant::now();
    connection.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    let ended = loop {
        connection.send(b"z");
        match connection.try_reply() {
            Ok(reply) => break Some(reply.status),
            Err(Broken::Silent) if begin.elapsed() < Duration::from_secs(5) => {}
            Err(Broken::Silent) => panic!("still open after {:?}", begin.elapsed()),
            Err(_) => break None,
        }
    };
    assert!(matches!(ended, None | Some(408)), "{ended:?}");
    assert!(begin.elapsed() < Duration::from_millis(2500), "{:?}", begin.elapsed());
    assert!(begin.elapsed() > Duration::from_millis(800), "{:?}", begin.elapsed());
}

#[test]
fn headers_on_a_kept_connection_have_that_limit_too() {
    let gateway = Gateway::start(|config| {
        config.limit("header_timeout: 1s");
    });
    let mut connection = gateway.connect();
    connection.exchange(&Request::get("/healthz")).assert_status(200);
    let begin = Instant::now();
    connection.send(b"GET /healthz HTTP/1.1\r\nHost:");
    let _ = connection.try_reply();
    connection.assert_closed();
    assert!(begin.elapsed() < Duration::from_millis(2500), "{:?}", begin.elapsed());
}

#[test]
fn a_body_that_stalls_is_given_up() {
    let gateway = Gateway::start(|config| {
        config.limit("body_timeout: 2s");
    });
    // DOS-02
    let post = |path: &str, token: String| Request::post(path).bearer(&token).json("{\"a\":1}");
    let cases = [
        ("read for its application ID", post("/v1/applications.get", gateway.session())),
        ("streamed upstream", post("/v1/any/x", gateway.token("application"))),
        ("a token request", Request::token(&gateway.owner().basic(), "{rant_type=client_credentials")),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, request)| {
            let mut connection = gateway.connect();
            let begin = Instant::now();
            connection.send_head(request).send(b"{");
            let reply = connection.try_reply();
            // Whoever has sent nothing for so long is not waited for once more.
            assert!(begin.elapsed() < Duration::from_millis(3500), "{:?}", begin.elapsed());
            connection.assert_closed();
            assert!(begin.elapsed() < Duration::from_millis(5500), "{:?}", begin.elapsed());
            let status = reply.as_ref().map(|reply| reply.status);
            assert!(status.as_ref().map_or(true, |status| *status == 408), "{:?}", reply.map(|reply| reply.summary()));
        },
    );
    // The first never came to a decision, so it was not admitted.
    let refused = [("route", "POST /v1/applications.get"), ("decision", "refused"), ("reason", "invalid_request")];
    assert!(gateway.metrics().value("scopegate_decisions_total", &refused) >= 1.0);
}

#[test]
fn a_judged_body_that_drips_is_given_up_as_a_whole() {
    let gateway = Gateway::start(|config| {
        config.limit("body_timeout: 1s");
    });
    let request = Request::post("/v1/applications.get").bearer(&gateway.session()).json("x".repeat(1000));
    let mut connection = gateway.connect().patient_for(Duration::from_millis(200));
    let begin = Instant::now();
    connection.send_head(&request);
    // Each part comes well within the time between two parts.
    let reply = loop {
        connection.send(b"x");
        match connection.try_reply() {
            Err(Broken::Silent) => assert!(begin.elapsed() < Duration::from_secs(5), "still waited for"),
            other => break other,
        }
    };
    assert_eq!(reply.map(|reply| reply.status), Ok(408));
}

#[test]
fn only_the_known_expectation_is_met() {
    let gateway = Gateway::start(|_| {});
    // FRM-11
    let token = gateway.token("application");
    let request = Request::post("/v1/any/x").bearer(&token).header("Expect", "100-continue").body("abcde");
    let mut connection = gateway.connect();
    connection.send_head(&request).send(b"abcde");
    connection.reply().assert_status(200);
    assert_eq!(gateway.upstream().request().body, b"abcde");
    gateway.upstream().forget();
    for odd in ["y 100-continue", "200-ok", "100-continue, x"] {
        let mut connection = gateway.connect();
        connection
            .exchange(&Request::post("/v1/any/x").bearer(&token).header("Expect", odd).body("abcde"))
            .assert_status(417);
        connection.assert_closed();
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn an_expectation_is_met_before_the_body_of_a_bound_request_is_awaited() {
    let gateway = Gateway::start(|_| {});
    let json = format!(r#"{{"applicationId":"{}"}}"#, crate::harness::APP);
    let request =
        Request::post("/v1/applications.get").bearer(&gateway.session()).header("Expect", "100-continue").json(&json);
    let mut connection = gateway.connect();
    connection.send_head(&request);
    let interim = connection.reply_head().expect("100 before the body");
    assert_eq!(interim.status, 100);
    connection.send(&json);
    connection.reply().assert_status(200);
}

#[test]
fn small_refused_bodies_leave_the_connection_open() {
    let gateway = Gateway::start(|_| {});
    let smuggled = Request::get("/healthz").bytes("h");
    let mut connection = Connection::open(gateway.public);
    for _ in 0..3 {
        connection.exchange(&Request::post("/v1/any/x").body(&smuggled)).assert_refused(401, "missing_token");
    }
    gateway.upstream().assert_untouched();
    connection.exchange(&Request::get("/healthz")).assert_status(200);
}

#[test]
fn pipelined_requests_are_answered_in_order_until_the_connection_ends() {
    let gateway = Gateway::start(|_| {});
    let mut connection = gateway.connect();
    let pipelined = ["/healthz", "/nope", "/healthz"].map(|target| Request::get(target).bytes("h")).concat();
    connection.send(pipelined);
    connection.reply().assert_status(200);
    for status in [404, 200] {
        // A server may close instead (RFC 9112 section 9.3.2); it may not answer anything else.
        match connection.try_reply() {
            Ok(reply) => reply.assert_status(status),
            Err(broken) => return assert_eq!(broken, Broken::Closed),
        };
    }
}

#[test]
fn the_admin_listener_keeps_the_same_rules() {
    let gateway = Gateway::start(|_| {});
    for bytes in [
        b"GET /metrics HTTP/1.1\r\n\r\n".as_slice(),
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET http://evil/metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        b"TRACE /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    ] {
        let mut connection = Connection::open(gateway.admin);
        connection.send(bytes);
        if let Ok(reply) = connection.try_reply() {
            assert!(matches!(reply.status, 400 | 405), "{}: {}", String::from_utf8_lossy(bytes), reply.status);
        }
        connection.assert_closed();
    }
}
