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
