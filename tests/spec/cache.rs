//! Section 7: verified tokens are remembered, and every hit is judged again.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::harness::{APP, Gateway, OTHER, Request, await_that, stolen_key, within};

fn read(token: &str) -> Request {
    Request::get("/v1/applications").bearer(token)
}

#[test]
fn a_second_request_is_a_hit_and_the_token_is_not_in_the_metrics() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let count = |name: &str| gateway.metrics().value(name, &[]);
    gateway.send(&read(&token)).assert_status(200);
    await_that("one miss", || count("scopegate_token_cache_misses_total") >= 1.0);
    let (hits, misses) = (count("scopegate_token_cache_hits_total"), count("scopegate_token_cache_misses_total"));
    for _ in 0..5 {
        gateway.send(&read(&token)).assert_status(200);
    }
    await_that("five hits", || count("scopegate_token_cache_hits_total") >= hits + 5.0);
    assert!(count("scopegate_token_cache_misses_total") <= misses);
    assert!(!gateway.metrics().0.contains(&token));
}

#[test]
fn a_cached_token_ends_with_its_lifetime_and_never_comes_back() {
    let gateway = Gateway::start(|config| {
        config.issuer("lifetime: 2s").issuer("clock_skew: 0s");
    });
    // CACHE-01, CLM-09
    let token = gateway.token("application");
    let mut connection = gateway.connect();
    connection.exchange(&read(&token)).assert_status(200);
    let begin = Instant::now();
    let mut statuses = Vec::new();
    while begin.elapsed() < Duration::from_millis(3500) {
        statuses.push(connection.exchange(&read(&token)).status);
    }
    let first = statuses.iter().position(|status| *status == 401).expect("the token expires");
    assert!(first > 0 && statuses[..first].iter().all(|status| *status == 200));
    assert!(statuses[first..].iter().all(|status| *status == 401), "an expired token was accepted again");
    let reply = connection.exchange(&read(&token));
    reply.assert_refused(401, "invalid_token");
    let challenge = reply.header("www-authenticate").unwrap();
    assert!(challenge.contains("error_description=\"") && challenge.contains("expired"), "{challenge}");
}

#[test]
fn clock_skew_extends_a_token_by_no_more_than_it_says() {
    let gateway = Gateway::start(|config| {
        config.issuer("lifetime: 1s").issuer("clock_skew: 2s");
    });
    let begin = Instant::now();
    let token = gateway.token("application");
    let refused = within(Duration::from_secs(8), || gateway.send(&read(&token)).status == 401);
    assert!(refused);
    let lived = begin.elapsed();
    assert!((1900..4800).contains(&lived.as_millis()), "{lived:?}");
}

#[test]
fn a_verdict_on_one_route_is_not_used_on_another() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application.read");
    let write = Request::post("/v1/applications.create").bearer(&token).json("{}");
    // CACHE-02, CACHE-03
    for _ in 0..2 {
        gateway.send(&read(&token)).assert_status(200);
        gateway.send(&write).assert_refused(403, "insufficient_scope");
    }
    let fresh = gateway.token("application.read");
    let write = Request::post("/v1/applications.create").bearer(&fresh).json("{}");
    gateway.send(&write).assert_refused(403, "insufficient_scope");
    gateway.send(&read(&fresh)).assert_status(200);
}

#[test]
fn the_application_is_judged_on_every_request() {
    let gateway = Gateway::start(|_| {});
    let session = gateway.session();
    let get = |application: &str| Request::get(&format!("/v1/applications/{application}/x")).bearer(&session);
    // CACHE-04
    for _ in 0..2 {
        gateway.send(&get(APP)).assert_status(200);
        gateway.send(&get(OTHER)).assert_refused(403, "application_mismatch");
    }
}

#[test]
fn two_tokens_of_one_client_are_told_apart() {
    let gateway = Gateway::start(|_| {});
    let (one, two) = (gateway.session_token(APP), gateway.session_token(OTHER));
    let get = |token: &str| Request::get(&format!("/v1/applications/{APP}/x")).bearer(token);
    gateway.send(&get(&one)).assert_status(200);
    gateway.send(&get(&two)).assert_refused(403, "application_mismatch");
    // Same claims and key, another signature: not the token that was remembered.
    let (message, _) = one.rsplit_once('.').unwrap();
    let (_, foreign) = two.rsplit_once('.').unwrap();
    gateway.send(&get(&format!("{message}.{foreign}"))).assert_refused(401, "invalid_token");
}

#[test]
fn a_disabled_clients_cached_token_is_refused_within_a_second() {
    let gateway = Gateway::start(|_| {});
    let client = gateway.client("application application.read");
    let token = gateway.issue(&client, "scope=application");
    gateway.send(&read(&token)).assert_status(200);
    gateway.cli(&["client", "disable", &client.id]).assert_code(0);
    let refused = within(Duration::from_millis(1500), || gateway.send(&read(&token)).status == 401);
    assert!(refused, "still accepted: {}", gateway.send(&read(&token)).summary());
    gateway.send(&read(&token)).assert_refused(401, "invalid_token");
    gateway.send(&read(&gateway.token("application"))).assert_status(200);
    gateway.cli(&["client", "enable", &client.id]).assert_code(0);
    let fresh = || gateway.probe(&client.basic()) == 200;
    assert!(within(Duration::from_millis(1500), fresh), "an enabled client gets tokens again");
}

#[test]
fn a_removed_clients_token_is_refused() {
    let gateway = Gateway::start(|_| {});
    let client = gateway.client("application");
    let token = gateway.issue(&client, "scope=application");
    gateway.send(&read(&token)).assert_status(200);
    gateway.cli(&["client", "remove", &client.id]).assert_code(0);
    assert!(within(Duration::from_millis(1500), || gateway.send(&read(&token)).status == 401));
}

#[test]
fn rotating_keys_keeps_old_tokens_good_and_fails_no_request() {
    let gateway = Gateway::start(|_| {});
    let old = gateway.token("application");
    let kids = || -> Vec<String> {
        let json = gateway.send(&Request::get("/.well-known/jwks.json")).json();
        json["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let before = kids();
    thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let end = Instant::now() + Duration::from_secs(2);
            let mut connection = gateway.connect();
            while Instant::now() < end {
                connection.exchange(&read(&old)).assert_status(200);
                connection.exchange(&read(&gateway.token("application"))).assert_status(200);
            }
        });
        gateway.cli(&["key", "rotate"]).assert_code(0);
        traffic.join().unwrap();
    });
    await_that("the new key is published", || kids() != before);
    assert!(before.iter().all(|kid| kids().contains(kid)), "keys whose tokens live stay published");
    gateway.send(&read(&old)).assert_status(200);
    gateway.send(&read(&gateway.token("application"))).assert_status(200);
}

#[test]
fn a_token_signed_before_its_key_was_known_is_accepted_once_the_key_is() {
    let gateway = Gateway::start(|_| {});
    // CACHE-07: what is remembered as "unknown key" must not outlive the key's arrival.
    let forge = stolen_key(&gateway);
    let token = gateway.token("application");
    let payload = {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()
    };
    gateway.send(&read(&forge.token(&forge.header(), &payload))).assert_status(200);
    let unknown = forge.header().replace(&forge.kid, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for _ in 0..2 {
        gateway.send(&read(&forge.token(&unknown, &payload))).assert_refused(401, "invalid_token");
    }
    gateway.send(&read(&token)).assert_status(200);
}

#[test]
fn a_flood_of_junk_tokens_does_not_push_a_good_one_out_of_its_answer() {
    let gateway = Gateway::start(|config| {
        config.section("cache: {entries: 100, memory: 1MiB, negative: {entries: 50, ttl: 5s}}");
    });
    let token = gateway.token("application");
    let mut connection = gateway.connect();
    for number in 0..500 {
        connection.exchange(&read(&format!("{}{number}", &token[..token.len() - 4]))).assert_status(401);
    }
    connection.exchange(&read(&token)).assert_status(200);
    assert!(gateway.metrics().value("scopegate_token_cache_entries", &[]) <= 200.0);
}
