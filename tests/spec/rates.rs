//! Sections 4 and 11, `rate`, `burst` and `token_requests`: who comes too often is told when to come again, and nobody else
//! feels it.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use crate::harness::{Config, Connection, Gateway, Reply, Request, await_that, basic, each_row};

const GRANT: &str = "grant_type=client_credentials";

/// A gateway with these limits, and a rate on each route of which one is given.
fn limited(limits: &[&str], routes: &[&str]) -> Gateway {
    Gateway::start(|config: &mut Config| {
        for route in routes {
            config.route(route);
        }
        for limit in limits {
            config.limit(limit);
        }
    })
}

fn get(target: &str, token: &str) -> Request {
    Request::get(target).bearer(token)
}

/// The statuses of so many of these requests, one right after the other.
fn statuses(gateway: &Gateway, request: &Request, count: usize) -> Vec<u16> {
    let mut connection = gateway.connect();
    (0..count).map(|_| connection.exchange(request).status).collect()
}

fn from(source: [u8; 4], gateway: &Gateway, request: &Request) -> Reply {
    Connection::open_from(IpAddr::V4(Ipv4Addr::from(source)), gateway.public).exchange(request)
}

fn retry_after(reply: &Reply) -> u64 {
    reply.header("retry-after").expect("Retry-After").parse().expect("seconds")
}

fn limited_total(gateway: &Gateway, limit: &str) -> f64 {
    gateway.metrics().value("scopegate_rate_limited_total", &[("limit", limit)])
}

#[test]
fn one_request_more_than_a_route_s_rate_is_429_for_that_client_and_route_only() {
    let gateway = limited(&[], &["{match: GET /v1/slow, scope: application.read, rate: 5/1h}"]);
    let token = gateway.token("application");
    assert_eq!(statuses(&gateway, &get("/v1/slow", &token), 5), [200; 5]);
    gateway.upstream().forget();
    let refused = gateway.send(&get("/v1/slow", &token));
    refused.assert_refused(429, "rate_limited");
    assert!((700..=720).contains(&retry_after(&refused)), "{}", refused.summary());
    // Another token of the client, another route, another client.
    gateway.send(&get("/v1/slow", &gateway.token("application.read"))).assert_refused(429, "rate_limited");
    gateway.upstream().assert_untouched();
    gateway.send(&get("/v1/applications", &token)).assert_status(200);
    let other = gateway.issue(&gateway.client("application"), "scope=application");
    gateway.send(&get("/v1/slow", &other)).assert_status(200);
    assert!((limited_total(&gateway, "route") - 2.0).abs() < 0.1);
    let refused =
        [("route", "GET /v1/slow"), ("decision", "refused"), ("reason", "rate_limited"), ("enforced", "true")];
    // Decisions are counted once their reply is out.
    await_that("two refusals are counted", || gateway.metrics().value("scopegate_decisions_total", &refused) >= 2.0);
}

#[test]
fn one_request_more_than_a_client_s_rate_is_429_on_every_route() {
    let gateway = limited(&["rate: 4/1h"], &[]);
    let token = gateway.token("application");
    for target in ["/v1/applications", "/v1/any/a", "/v1/any/b", "/v1/applications"] {
        gateway.send(&get(target, &token)).assert_status(200);
    }
    for target in ["/v1/applications", "/v1/any/a"] {
        gateway.send(&get(target, &token)).assert_refused(429, "rate_limited");
    }
    // What asks nobody who they are counts nobody; neither do our own endpoints.
    assert_eq!(statuses(&gateway, &Request::get("/healthz"), 10), [200; 10]);
    gateway.send(&get("/oauth2/userinfo", &token)).assert_status(200);
    let other = gateway.issue(&gateway.client("application"), "scope=application");
    gateway.send(&get("/v1/applications", &other)).assert_status(200);
    assert!((limited_total(&gateway, "client") - 2.0).abs() < 0.1);
}

#[test]
fn a_burst_passes_at_once_and_the_rate_holds_after_it() {
    let gateway = limited(&[], &["{match: GET /v1/slow, scope: application.read, rate: 10/1s, burst: 3}"]);
    let request = get("/v1/slow", &gateway.token("application"));
    let mut connection = gateway.connect();
    let begin = Instant::now();
    let mut passed = 0;
    while begin.elapsed() < Duration::from_secs(2) {
        let reply = connection.exchange(&request);
        assert!(matches!(reply.status, 200 | 429), "{}", reply.summary());
        passed += usize::from(reply.status == 200);
    }
    let most = 3 + usize::try_from(begin.elapsed().as_millis() / 100).unwrap() + 1;
    assert!((18..=most).contains(&passed), "{passed} of at most {most}");
}

#[test]
fn callers_of_a_public_route_are_told_apart_by_their_address() {
    let gateway = limited(&["rate: 1/1h"], &["{match: GET /open, public: true, rate: 3/1h}"]);
    let request = Request::get("/open");
    assert_eq!(statuses(&gateway, &request, 5), [200, 200, 200, 429, 429]);
    from([127, 0, 0, 9], &gateway, &request).assert_status(200);
    // A token that nobody asked for buys nothing.
    gateway.send(&get("/open", &gateway.token("application"))).assert_refused(429, "rate_limited");
}

#[test]
fn a_request_refused_for_another_reason_counts_for_nobody() {
    let gateway = limited(&["rate: 2/1h"], &[]);
    let token = gateway.token("application.read");
    for (request, status) in [
        (Request::get("/v1/applications").bearer("bad"), 401),
        (get("/v1/any/a", &token), 403),
        (get("/nowhere", &token), 404),
    ] {
        assert_eq!(statuses(&gateway, &request, 5), [status; 5]);
    }
    assert_eq!(statuses(&gateway, &get("/v1/applications", &token), 3), [200, 200, 429]);
    // Neither does one that the other of two limits refuses.
    let gateway = limited(&["rate: 2/1h"], &["{match: GET /v1/slow, scope: application.read, rate: 3/1h}"]);
    let token = gateway.token("application.read");
    assert_eq!(statuses(&gateway, &get("/v1/applications", &token), 2), [200, 200]);
    let refused = gateway.send(&get("/v1/slow", &token));
    refused.assert_refused(429, "rate_limited");
    assert_eq!(refused.header("ratelimit").map(|left| left.starts_with("\"client\";r=0;t=")), Some(true));
    assert!((limited_total(&gateway, "client") - 1.0).abs() < 0.1 && limited_total(&gateway, "route") < 0.1);
}

#[test]
fn replies_of_limited_routes_tell_what_is_left() {
    let gateway =
        limited(&["rate: 100/1m"], &["{match: GET /v1/slow, scope: application.read, rate: 3/60s, burst: 2}"]);
    let token = gateway.token("application");
    let told = |target: &str| {
        let reply = gateway.send(&get(target, &token));
        let header = |name: &str| reply.header(name).unwrap_or_default().to_owned();
        (reply.status, header("ratelimit-policy"), header("ratelimit"))
    };
    let both = "\"client\";q=100;w=60, \"route\";q=3;w=60";
    let first = (200, both.to_owned(), "\"client\";r=99;t=1, \"route\";r=1;t=20".to_owned());
    assert_eq!(told("/v1/slow"), first);
    let (status, policy, left) = told("/v1/slow");
    assert_eq!((status, policy.as_str()), (200, both));
    assert!(left.starts_with("\"client\";r=98;t=2, \"route\";r=0;t="), "{left}");
    let (status, policy, left) = told("/v1/slow");
    assert_eq!((status, policy.as_str()), (429, both));
    assert!(left == "\"route\";r=0;t=20" || left == "\"route\";r=0;t=19", "{left}");
    let (status, policy, left) = told("/v1/applications");
    assert_eq!((status, policy.as_str()), (200, "\"client\";q=100;w=60"));
    assert!(left.starts_with("\"client\";r=97;t="), "{left}");
    // Where nothing is limited, nothing is said.
    let plain = gateway.send(&Request::get("/healthz"));
    assert_eq!((plain.header("ratelimit"), plain.header("ratelimit-policy")), (None, None));
}

#[test]
fn a_route_that_only_reports_counts_and_lets_pass() {
    let gateway = limited(&[], &["{match: GET /v1/slow, scope: application.read, rate: 1/1h, enforce: report}"]);
    let token = gateway.token("application");
    assert_eq!(statuses(&gateway, &get("/v1/slow", &token), 3), [200; 3]);
    for request in gateway.upstream().requests() {
        assert!(request.header("x-client-id").is_some(), "who it is stays known: {request:?}");
    }
    let reported = [("route", "GET /v1/slow"), ("reason", "rate_limited"), ("enforced", "false")];
    await_that("two reports are counted", || {
        (gateway.metrics().value("scopegate_decisions_total", &reported) - 2.0).abs() < 0.1
    });
    assert!(limited_total(&gateway, "route") < 0.1);
}

#[test]
fn token_requests_of_one_client_are_limited_once_it_has_shown_its_secret() {
    let gateway = limited(&["token_requests: {per_client: 5/1h}"], &[]);
    let (owner, other) = (gateway.owner().clone(), gateway.client("application"));
    let ask = |authorization: &str, address| from(address, &gateway, &Request::token(authorization, GRANT));
    // Whoever guesses at it uses nothing up.
    for _ in 0..8 {
        ask(&basic(&owner.id, "wrong"), [127, 0, 0, 8]).assert_oauth_error(401, "invalid_client");
    }
    for host in 1..=5 {
        ask(&owner.basic(), [127, 0, 0, host]).assert_status(200);
    }
    let refused = ask(&owner.basic(), [127, 0, 0, 6]);
    refused.assert_oauth_error(429, "temporarily_unavailable");
    assert!((600..=720).contains(&retry_after(&refused)), "{}", refused.summary());
    ask(&other.basic(), [127, 0, 0, 6]).assert_status(200);
    assert!((limited_total(&gateway, "token_requests_per_client") - 1.0).abs() < 0.1);
    let result = [("result", "rate_limited")];
    assert!((gateway.metrics().value("scopegate_token_requests_total", &result) - 1.0).abs() < 0.1);
}

#[test]
fn token_requests_from_one_address_are_limited_whatever_they_come_to() {
    let gateway = limited(&["token_requests: {per_address: 4/1h}"], &[]);
    let owner = gateway.owner().basic();
    let rows = [
        ("a good one", Request::token(&owner, GRANT), 200),
        ("a wrong secret", Request::token(&basic("nobody", "x"), GRANT), 401),
        ("no credentials", Request::post("/v1/oauth2/token").form(GRANT), 401),
        ("another grant", Request::token(&owner, "grant_type=password"), 400),
        ("one too many", Request::token(&owner, GRANT), 429),
    ];
    each_row(
        &rows,
        |row| row.0.to_owned(),
        |(_, request, status)| {
            gateway.send(request).assert_status(*status);
        },
    );
    from([127, 0, 0, 9], &gateway, &Request::token(&owner, GRANT)).assert_status(200);
    assert!((limited_total(&gateway, "token_requests_per_address") - 1.0).abs() < 0.1);
}
