//! Section 5: what peers tell of where a request comes from counts only if they are trusted.

use crate::harness::{Gateway, Request, basic, each_row};

fn trusting(trusted: &str) -> Gateway {
    let section = format!("trusted_proxies: [{trusted}]");
    Gateway::start(|config| {
        config.section(&section);
    })
}

#[test]
fn the_client_is_the_last_address_that_is_not_trusted() {
    let gateway = trusting("127.0.0.1, 10.0.0.0/8");
    let cases: [(&str, &[&str], &str, &str); 7] = [
        ("none is told", &[], "127.0.0.1", "127.0.0.1"),
        ("one", &["X-Forwarded-For: 192.0.2.1"], "192.0.2.1", "192.0.2.1, 127.0.0.1"),
        (
            "what the client made up stays left of it",
            &["X-Forwarded-For: 6.6.6.6, 192.0.2.1"],
            "192.0.2.1",
            "6.6.6.6, 192.0.2.1, 127.0.0.1",
        ),
        (
            "over two proxies, in two lines",
            &["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 10.9.9.9"],
            "192.0.2.1",
            "192.0.2.1, 10.9.9.9, 127.0.0.1",
        ),
        ("all are trusted", &["X-Forwarded-For: 10.1.1.1, 10.2.2.2"], "10.1.1.1", "10.1.1.1, 10.2.2.2, 127.0.0.1"),
        ("nobody can read it", &["X-Forwarded-For: hidden"], "127.0.0.1", "hidden, 127.0.0.1"),
        ("by the standard", &["Forwarded: for=192.0.2.1;proto=https"], "192.0.2.1", "192.0.2.1, 127.0.0.1"),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, lines, client, way)| {
            gateway.upstream().forget();
            let request = lines.iter().fold(Request::get("/healthz"), |request, line| request.line(line));
            gateway.send(&request).assert_status(200);
            let seen = gateway.upstream().request();
            assert_eq!(seen.header("x-forwarded-for"), Some(*way));
            assert_eq!(gateway.access_line(seen.header("x-request-id").unwrap())["address"], *client);
        },
    );
}

#[test]
fn how_and_whom_the_client_asked_is_passed_on() {
    let gateway = trusting("127.0.0.1");
    let told = |lines: &[&str]| {
        gateway.upstream().forget();
        let request = Request::get("/healthz").host("inner.example");
        gateway.send(&lines.iter().fold(request, |request, line| request.line(line))).assert_status(200);
        let seen = gateway.upstream().request();
        let both = ["x-forwarded-proto", "x-forwarded-host"].map(|name| seen.header(name).unwrap().to_owned());
        (both, seen.header("forwarded").map(str::to_owned))
    };
    let ([scheme, host], forwarded) = told(&["X-Forwarded-Proto: https", "X-Forwarded-Host: outer.example"]);
    assert_eq!((scheme.as_str(), host.as_str(), forwarded), ("https", "outer.example", None));
    let ([scheme, host], forwarded) = told(&["Forwarded: for=192.0.2.1;proto=https;host=outer.example"]);
    assert_eq!((scheme.as_str(), host.as_str()), ("https", "outer.example"));
    assert_eq!(forwarded.unwrap(), "for=192.0.2.1;proto=https;host=outer.example, for=127.0.0.1");
    let ([scheme, host], _) = told(&["X-Forwarded-Proto: gopher", "X-Forwarded-Host: a/b"]);
    assert_eq!((scheme.as_str(), host.as_str()), ("http", "inner.example"));
}

#[test]
fn whoever_is_not_trusted_is_not_believed() {
    let gateway = trusting("10.0.0.0/8, unix");
    let request = Request::get("/healthz")
        .host("inner.example")
        .header("X-Forwarded-For", "10.0.0.1")
        .header("Forwarded", "for=10.0.0.1;proto=https")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "outer.example")
        .header("X-Request-Id", "chosen");
    gateway.send(&request).assert_status(200);
    let seen = gateway.upstream().request();
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("inner.example"));
    assert_eq!(seen.header("forwarded"), None);
    assert_ne!(seen.header("x-request-id"), Some("chosen"));
}

#[test]
fn a_trusted_peer_may_name_a_request() {
    let gateway = trusting("127.0.0.1");
    let longest = "x".repeat(128);
    for (given, taken) in [
        ("a-1_\"{}", true),
        (longest.as_str(), true),
        (&"x".repeat(129), false),
        ("a,b", false),
        ("a b", false),
        ("", false),
        ("a\r\nX-Request-Id: b", false),
    ] {
        gateway.upstream().forget();
        let reply = gateway.send(&Request::get("/healthz").line(format!("X-Request-Id: {given}")));
        reply.assert_status(200);
        let seen = gateway.upstream().request().header("x-request-id").unwrap().to_owned();
        assert_eq!(seen == given, taken, "{given}: {seen}");
        assert_eq!(gateway.access_line(&seen.replace('"', "\\\""))["request_id"], seen.as_str());
    }
    let refused = gateway.send(&Request::get("/v1/applications").header("X-Request-Id", "r-1"));
    assert_eq!(refused.json()["request_id"], "r-1");
}

#[test]
fn limits_count_the_client_that_is_told() {
    let gateway = trusting("127.0.0.1");
    let wrong = |client: &str| {
        let request = Request::token(&basic("nobody", "x"), "grant_type=client_credentials");
        gateway.send(&request.header("X-Forwarded-For", client)).status
    };
    let statuses: Vec<u16> = (0..15).map(|_| wrong("192.0.2.1")).collect();
    assert!(statuses.contains(&401) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(wrong("192.0.2.2"), 401);
}

/// What reaches the upstream of the fields that tell how, whom and where the client asked.
fn told(gateway: &Gateway, lines: &[&str]) -> [Option<String>; 5] {
    gateway.upstream().forget();
    let request = Request::get("/healthz").host("inner.example");
    gateway.send(&lines.iter().fold(request, |request, line| request.line(line))).assert_status(200);
    let seen = gateway.upstream().request();
    let names = ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "forwarded"];
    names.map(|name| seen.header(name).map(str::to_owned))
}

#[test]
fn of_a_list_what_the_first_trusted_proxy_wrote_is_passed_on() {
    let gateway = trusting("127.0.0.1, 10.0.0.0/8");
    let over_two = "X-Forwarded-For: 192.0.2.1, 10.9.9.9";
    let cases: [(&str, &[&str], [Option<&str>; 5]); 11] = [
        ("one list", &["X-Forwarded-Proto: https,http"], [Some("https"), Some("inner.example"), None, None, None]),
        (
            "two lines",
            &["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"],
            [Some("https"), Some("inner.example"), None, None, None],
        ),
        ("a WebSocket", &["X-Forwarded-Proto: wss"], [Some("https"), Some("inner.example"), None, None, None]),
        (
            "over two proxies",
            &[over_two, "X-Forwarded-Proto: https, http"],
            [Some("https"), Some("inner.example"), None, None, None],
        ),
        (
            "what a stranger wrote counts for nothing",
            &["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https, http", "X-Forwarded-Host: evil, a.example"],
            [Some("http"), Some("a.example"), None, None, None],
        ),
        (
            "nor over two proxies",
            &[over_two, "X-Forwarded-Proto: https, http, http", "X-Forwarded-Port: 1, 2, 3"],
            [Some("http"), Some("inner.example"), Some("2"), None, None],
        ),
        (
            "port and prefix",
            &["X-Forwarded-Port: 8443", "X-Forwarded-Prefix: /api"],
            [Some("http"), Some("inner.example"), Some("8443"), Some("/api"), None],
        ),
        (
            "neither of them sound",
            &["X-Forwarded-Port: 84x3", "X-Forwarded-Prefix: //evil.example"],
            [Some("http"), Some("inner.example"), None, None, None],
        ),
        (
            "hosts over two proxies",
            &[over_two, "X-Forwarded-Host: outer.example, middle.example"],
            [Some("http"), Some("outer.example"), None, None, None],
        ),
        (
            "by the standard, without what a stranger wrote",
            &["Forwarded: for=6.6.6.6;host=evil;proto=https, for=192.0.2.1;host=a.example;proto=http, for=10.9.9.9"],
            [
                Some("http"),
                Some("a.example"),
                None,
                None,
                Some("for=192.0.2.1;host=a.example;proto=http, for=10.9.9.9, for=127.0.0.1"),
            ],
        ),
        (
            "the standard beside the other fields",
            &["X-Forwarded-For: 192.0.2.1", "Forwarded: for=6.6.6.6;host=evil;proto=https"],
            [Some("http"), Some("inner.example"), None, None, None],
        ),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, lines, expected)| assert_eq!(told(&gateway, lines).each_ref().map(Option::as_deref), *expected),
    );
}

#[test]
fn what_a_trusted_proxy_states_beside_passes_in_its_usual_spelling() {
    let passing = [
        "X-Forwarded-Ssl",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-User",
        "X-Real-IP",
        "X-Original-Host",
        "Remote-User",
        "CF-Connecting-IP",
        "X-SSL-Client-Verify",
        "X-Envoy-External-Address",
    ];
    let refused = [
        "X-Customer-Id",
        "X-Token-Issuer",
        "X_Real_IP",
        "X_Forwarded_Ssl",
        "Remote_User",
        "X-Original-URL",
        "X-HTTP-Method-Override",
        "X-Rewrite-URL",
        "X-Envoy-Original-Path",
        "X-Forwarded-Uri",
        "Proxy",
        "Authorization_",
    ];
    for (trusted, expected) in [("127.0.0.1", &passing[..]), ("10.0.0.0/8", &[])] {
        let gateway = trusting(trusted);
        let names = passing.iter().chain(&refused);
        gateway
            .send(&names.fold(Request::get("/healthz"), |request, name| request.header(name, "stated")))
            .assert_status(200);
        let seen = gateway.upstream().request();
        let stated = seen.headers.iter().filter(|(_, value)| value == "stated").map(|(name, _)| name.as_str());
        let mut stated: Vec<&str> = stated.collect();
        let mut expected: Vec<String> = expected.iter().map(|name| name.to_lowercase()).collect();
        stated.sort_unstable();
        expected.sort_unstable();
        assert_eq!(stated, expected, "{trusted}");
    }
}

#[test]
fn a_network_of_ipv4_in_ipv6_clothes_is_one_of_ipv4() {
    let gateway = trusting("'::ffff:127.0.0.0/104'");
    assert_eq!(told(&gateway, &["X-Forwarded-Proto: https"])[0].as_deref(), Some("https"));
}
