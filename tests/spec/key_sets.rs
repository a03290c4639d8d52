//! Section 7: other issuers' key sets. Their server may rotate, sleep, lie, send too much, redirect or be gone (faults J1 to
//! J4): good tokens go on passing, and no other ones ever do.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use scopegate::token::Algorithm;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Authority, Connection, Forge, Gateway, Issuer, Request, Scripted, Upstream, await_that, key, key_set,
    server_config, under_load, within,
};

fn read(token: &str) -> Request {
    Request::get("/v1/applications").bearer(token)
}

fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.send(&read(token)).status
}

/// How often fetching came to this, by the gateway's own account.
fn fetched(gateway: &Gateway, result: &str) -> f64 {
    gateway.metrics().value("scopegate_jwks_fetches_total", &[("result", result)])
}

/// A gateway that trusts an issuer with one key, and looks for new ones by itself every second.
fn watching() -> (Gateway, Issuer, Forge) {
    let key = key(Algorithm::Es256, "first");
    let issuer = Issuer::publishing(&[&key]);
    let gateway = Gateway::start(|config| issuer.trusted_by(config, "refresh: 1s"));
    (gateway, issuer, key)
}

/// The same for a gateway that looks only when it must.
fn trusting() -> (Gateway, Issuer, Forge) {
    let key = key(Algorithm::Es256, "first");
    let issuer = Issuer::publishing(&[&key]);
    let gateway = Gateway::start(|config| issuer.trusted_by(config, "refresh: 1h"));
    (gateway, issuer, key)
}

#[test]
fn a_token_with_an_unknown_key_causes_one_fetch_in_ten_seconds() {
    let (gateway, issuer, first) = trusting();
    let (next, stranger) = (key(Algorithm::Es256, "next"), key(Algorithm::Es256, "stranger"));
    assert_eq!(status(&gateway, &issuer.token(&first)), 200);
    assert_eq!(issuer.fetches(), 1);
    issuer.publish(&[&first, &next]);
    // CACHE-07: refused while the last fetch is a moment ago, accepted afterwards; a refusal is not remembered for longer.
    let token = issuer.token(&next);
    assert_eq!(status(&gateway, &token), 401);
    assert_eq!(issuer.fetches(), 1);
    let begin = Instant::now();
    assert!(within(Duration::from_secs(20), || status(&gateway, &token) == 200), "the next key is never fetched");
    assert!(begin.elapsed() < Duration::from_secs(16), "{:?}", begin.elapsed());
    assert_eq!(issuer.fetches(), 2);
    for n in 0..50 {
        assert_eq!(status(&gateway, &issuer.token_with(&stranger, json!({"jti": n.to_string()}))), 401);
    }
    assert_eq!(issuer.fetches(), 2, "fifty unknown keys within ten seconds are fetched for by nobody");
    assert_eq!(status(&gateway, &issuer.token(&first)), 200);
}

#[test]
fn a_thousand_first_requests_cause_one_fetch() {
    // CACHE-11. The gateway starts while the issuer hangs, so that nothing is known when the requests come.
    let key = key(Algorithm::Es256, "first");
    let issuer = Issuer::publishing(&[&key]);
    issuer.server.always(Answer::with(500, "", b""));
    let gateway = Gateway::start(|config| issuer.trusted_by(config, "refresh: 1h"));
    assert_eq!(status(&gateway, &issuer.token(&key)), 503, "nothing is known, and it was asked a moment ago");
    issuer.server.forget();
    let (answer, steps) = Answer::stepwise();
    issuer.server.always(answer);
    // After a failure it tries again by itself; that fetch hangs until the test answers it.
    assert!(within(Duration::from_secs(20), || issuer.fetches() == 1), "no second try");
    let token = issuer.token(&key);
    let good = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let mut open: Vec<Connection> = (0..20).map(|_| gateway.connect()).collect();
                // An endpoint of ours: a thousand connections at once would be too many for the test's upstream.
                let request = Request::get("/oauth2/userinfo").bearer(&token);
                let bytes = request.bytes(&gateway.public.to_string());
                for connection in &mut open {
                    connection.send(&bytes);
                }
                for connection in &mut open {
                    let reply = connection.try_reply();
                    good.fetch_add(usize::from(reply.is_ok_and(|reply| reply.status == 200)), Ordering::Relaxed);
                }
            });
        }
        await_that("every request under way", || {
            gateway.metrics().value("scopegate_in_flight_requests", &[]) >= 1000.0
        });
        let set = key_set(&[&key]);
        steps.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{set}", set.len()));
    });
    assert_eq!((good.load(Ordering::Relaxed), issuer.fetches()), (1000, 1));
}

#[test]
fn an_issuer_that_rotates_under_load_fails_no_request_and_its_old_key_ends() {
    // J4
    let (gateway, issuer, first) = watching();
    let second = key(Algorithm::Rs256, "second");
    let old = issuer.token(&first);
    let send = |key: &Forge, n: usize| status(&gateway, &issuer.token_with(key, json!({"jti": n.to_string()})));
    under_load(&gateway, || {
        assert_eq!(status(&gateway, &old), 200);
        issuer.publish(&[&first, &second]);
        let before = issuer.fetches();
        await_that("both keys fetched", || issuer.fetches() >= before + 2);
        for n in 0..100 {
            assert_eq!([send(&first, n), send(&second, n)], [200, 200], "in the overlap");
        }
        issuer.publish(&[&second]);
        assert!(within(Duration::from_secs(3), || status(&gateway, &old) == 401), "a cached token outlives its key");
        assert_eq!([send(&first, 1000), send(&second, 1000)], [401, 200]);
    });
}

#[test]
fn whatever_the_key_server_does_good_tokens_pass_and_bad_ones_do_not() {
    // J2, J3
    let (gateway, issuer, first) = watching();
    let evil = key(Algorithm::Es256, "evil");
    let elsewhere = Upstream::start();
    elsewhere.always(Answer::json(&key_set(&[&evil])));
    let set = key_set(&[&evil]);
    let private = set.replace("\"use\"", "\"d\":\"AAAA\",\"use\"");
    let huge = format!("{{\"keys\":[],\"padding\":\"{}\"}}", "x".repeat(10 << 20));
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", set.len());
    let redirect = format!("Location: http://{}/jwks.json\r\n", elsewhere.address);
    let (dripping, steps) = Answer::stepwise();
    steps.send(&whole);
    let good = issuer.token(&first);
    for (what, answer) in [
        ("a page", Answer::with(200, "Content-Type: text/html\r\n", b"<html>maintenance</html>")),
        ("no keys", Answer::json("{\"keys\":[]}")),
        ("a failure", Answer::with(500, "", set.as_bytes())),
        ("a status of its own", Answer::with(203, "", set.as_bytes())),
        ("a redirect", Answer::with(302, &redirect, b"")),
        ("another redirect", Answer::with(307, &redirect, b"")),
        ("half a set", Answer::json(&set[..set.len() / 2])),
        ("a set that breaks off", Answer::ThenClose([whole.as_bytes(), &set.as_bytes()[..20]].concat())),
        ("a private key", Answer::json(&private)),
        ("ten megabytes", Answer::json(&huge)),
        (
            "ten chunked megabytes",
            Answer::Bytes(
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{huge}\r\n0\r\n\r\n", huge.len())
                    .into(),
            ),
        ),
        ("a compressed set", Answer::with(200, "Content-Encoding: gzip\r\n", b"\x1f\x8b\x08\x00")),
        ("no HTTP", Answer::ThenClose(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())),
        ("a closed connection", Answer::ThenClose(Vec::new())),
        ("silence", Answer::Hang),
        ("a head and no body", dripping),
    ] {
        issuer.publish(&[&first]);
        let before = fetched(&gateway, "succeeded");
        assert!(
            within(Duration::from_secs(25), || fetched(&gateway, "succeeded") > before),
            "{what}: no recovery before"
        );
        let before = fetched(&gateway, "failed");
        issuer.server.always(answer);
        let begin = Instant::now();
        while fetched(&gateway, "failed") <= before {
            assert_eq!(status(&gateway, &good), 200, "{what}");
            assert!(begin.elapsed() < Duration::from_secs(12), "{what}: the failure was not counted");
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(status(&gateway, &good), 200, "{what}");
        let bad = issuer.token_with(&evil, json!({"jti": what}));
        assert_eq!(gateway.connect().patient_for(Duration::from_secs(15)).exchange(&read(&bad)).status, 401, "{what}");
    }
    assert_eq!(elsewhere.connections(), 0, "a redirect was followed");
    let warned = gateway.log().matches("its keys cannot be fetched").count();
    assert!((1..=17).contains(&warned), "{warned} lines for seventeen failures that each lasted for some fetches");
    assert!(!gateway.log().contains("panicked at"));
}

/// A JWK with members added or replaced; null stays.
fn changed(key: &Forge, members: Value) -> Value {
    let mut jwk: Value = serde_json::from_str(&key.jwk()).unwrap();
    jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    jwk
}

#[test]
fn entries_that_cannot_be_used_are_passed_over_at_the_start_and_at_a_rotation() {
    // R13
    let (rs, es, ed) = (key(Algorithm::Rs256, "one"), key(Algorithm::Es256, "one"), key(Algorithm::EdDsa, "one"));
    let next = key(Algorithm::Es256, "one");
    let encryption = changed(&key(Algorithm::Rs256, "one"), json!({"use": "enc", "alg": "RSA-OAEP"}));
    let nulls = json!({"alg": null, "key_ops": null, "d": null, "p": null, "x5c": null});
    let plain = |key: &Forge| changed(key, json!({}));
    let issuer = Issuer::publishing(&[]);
    let publish = |keys: &[Value]| issuer.server.always(Answer::json(&json!({"keys": keys, "more": null}).to_string()));
    let rows: [(&str, Vec<Value>, Vec<&Forge>); 8] = [
        ("an encryption key under the same kid, first", vec![encryption.clone(), plain(&rs)], vec![&rs]),
        ("the same behind it", vec![plain(&rs), encryption.clone()], vec![&rs]),
        ("one kid for several types", vec![plain(&rs), plain(&es), plain(&ed)], vec![&rs, &es, &ed]),
        ("one kid for RS256 and RS384", vec![changed(&rs, json!({"alg": "RS384"})), plain(&rs)], vec![&rs]),
        ("one kid for two keys of a type", vec![plain(&es), plain(&next)], vec![&es, &next]),
        ("the same key twice", vec![plain(&es), plain(&es)], vec![&es]),
        ("nulls", vec![changed(&rs, nulls)], vec![&rs]),
        (
            "whatever else there is",
            vec![
                json!({"kty": "oct", "k": "c2VjcmV0"}),
                json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}),
                json!({"kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"}),
                json!({"kty": "RSA", "n": "AAAA", "e": "AQAB"}),
                json!({"kty": "RSA", "kid": 1}),
                json!(null),
                plain(&ed),
            ],
            vec![&ed],
        ),
    ];
    publish(&rows[0].1);
    let gateway = Gateway::start(|config| issuer.trusted_by(config, "refresh: 1s"));
    for (number, (what, keys, good)) in rows.iter().enumerate() {
        publish(keys);
        for key in good {
            let token = issuer.token_with(key, json!({"jti": format!("{number}")}));
            await_that(what, || status(&gateway, &token) == 200);
        }
        let stranger = Forge::foreign(Algorithm::Es256, "one");
        assert_eq!(status(&gateway, &issuer.token(&stranger)), 401, "{what}");
    }
    let unusable = |why| gateway.metrics().value("scopegate_key_set_entries_unusable", &[("why", why)]);
    let counted = ["type", "use", "algorithm", "member", "weak", "symmetric"].map(unusable);
    assert_eq!(counted.map(|count| count.to_string()), ["2", "0", "0", "2", "1", "1"].map(str::to_owned));
    let before = fetched(&gateway, "succeeded");
    await_that("two more fetches", || fetched(&gateway, "succeeded") >= before + 2.0);
    let log = gateway.log();
    let line = "key 0 symmetric, key 1 type, key 2 type, key 3 weak, key 4 member, key 5 member";
    assert_eq!(log.matches(line).count(), 1, "{log}");
    assert_eq!(fetched(&gateway, "failed").to_string(), "0");
    // Nothing that is private is believed, nor a set without a usable key; what was known goes on.
    for refused in [vec![changed(&es, json!({"d": "AAAA"})), plain(&rs)], vec![encryption]] {
        publish(&refused);
        let before = fetched(&gateway, "failed");
        await_that("a refused set", || fetched(&gateway, "failed") > before);
        assert_eq!(status(&gateway, &issuer.token(&ed)), 200);
        assert_eq!(status(&gateway, &issuer.token(&rs)), 401);
    }
}

#[test]
fn a_cold_start_without_keys_answers_503_and_recovers() {
    // J1
    let key = key(Algorithm::EdDsa, "first");
    let issuer = Issuer::publishing(&[&key]);
    issuer.server.always(Answer::ThenClose(Vec::new()));
    let gateway = Gateway::start(|config| issuer.trusted_by(config, "refresh: 1s"));
    assert!(gateway.log().contains("its keys cannot be fetched"), "{}", gateway.log());
    let reply = gateway.send(&read(&issuer.token(&key)));
    reply.assert_refused(503, "keys_unavailable");
    assert!(reply.header("retry-after").is_some());
    assert_eq!(status(&gateway, &gateway.token("application")), 200, "our own tokens pass");
    assert!(gateway.metrics().value("scopegate_jwks_last_success_timestamp_seconds", &[]) < 1.0, "never");
    issuer.publish(&[&key]);
    await_that("the keys", || status(&gateway, &issuer.token(&key)) == 200);
    assert!(gateway.metrics().value("scopegate_jwks_last_success_timestamp_seconds", &[]) > 1.7e9);
}

#[test]
fn keys_that_were_not_renewed_for_too_long_count_no_more() {
    let key = key(Algorithm::EdDsa, "first");
    let issuer = Issuer::publishing(&[&key]);
    let gateway = Gateway::start(|config| issuer.trusted_by(config, "refresh: 1s, stale: 3s"));
    let token = issuer.token(&key);
    assert_eq!(status(&gateway, &token), 200);
    issuer.server.always(Answer::with(500, "", b""));
    let begin = Instant::now();
    assert!(within(Duration::from_secs(15), || status(&gateway, &token) == 503), "stale keys count for ever");
    assert!(begin.elapsed() > Duration::from_secs(2), "{:?}", begin.elapsed());
    issuer.publish(&[&key]);
    await_that("the keys again", || status(&gateway, &token) == 200);
}

#[test]
fn metadata_leads_to_the_keys_and_to_no_other_server() {
    let key = key(Algorithm::Es256, "first");
    let elsewhere = Upstream::start();
    elsewhere.always(Answer::json(&key_set(&[&key])));
    for (what, openid, leads) in [
        ("OpenID Connect Discovery", true, Leads::Home),
        ("RFC 8414", false, Leads::Home),
        ("another server", true, Leads::To(elsewhere.address.to_string())),
        ("another issuer's", true, Leads::OfAnother),
    ] {
        let server = Upstream::start();
        let name = format!("http://{}", server.address);
        let (issuer, host) = match &leads {
            Leads::Home => (name.clone(), server.address.to_string()),
            Leads::To(host) => (name.clone(), host.clone()),
            Leads::OfAnother => ("https://evil.example".to_owned(), server.address.to_string()),
        };
        if !openid {
            server.once(Answer::with(404, "", b""));
        }
        server.once(Answer::json(&format!(r#"{{"issuer":"{issuer}","jwks_uri":"http://{host}/keys"}}"#)));
        server.always(Answer::json(&key_set(&[&key])));
        let gateway = Gateway::start(|config| {
            config.section(&format!(
                "trust:\n  - {{issuer: \"{name}\", discovery: true, algorithms: [ES256], refresh: 1h}}"
            ));
        });
        let token = key.token(&key.header(), crate::harness::claims_of(&name, json!({})).to_string());
        let expected = if matches!(leads, Leads::Home) { 200 } else { 503 };
        assert_eq!(status(&gateway, &token), expected, "{what}: {}", gateway.log());
        let targets: Vec<String> = server.requests().into_iter().map(|request| request.target).collect();
        assert_eq!(targets[0], "/.well-known/openid-configuration", "{what}");
        assert_eq!(targets.contains(&"/.well-known/oauth-authorization-server".to_owned()), !openid, "{what}");
        assert_eq!(targets.contains(&"/keys".to_owned()), expected == 200, "{what}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

enum Leads {
    Home,
    To(String),
    OfAnother,
}

#[test]
fn a_key_server_is_believed_only_with_a_certificate_for_its_name_from_the_right_authority() {
    // T3
    let (own, other, key) = (Authority::new("own"), Authority::new("other"), key(Algorithm::Es256, "first"));
    let expired = |params: &mut rcgen::CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let plain = |_: &mut rcgen::CertificateParams| {};
    for (what, shown, ca, believed) in [
        ("from its authority", own.issue_with(&["127.0.0.1"], plain), true, true),
        ("for another name", own.issue_with(&["login.example.com"], plain), true, false),
        ("that has expired", own.issue_with(&["127.0.0.1"], expired), true, false),
        ("from another authority", other.issue_with(&["127.0.0.1"], plain), true, false),
        ("from nobody the system knows", own.issue_with(&["127.0.0.1"], plain), false, false),
    ] {
        let server = Scripted::with_tls_saying(server_config(&shown, None, &[]), &key_set(&[&key]));
        let gateway = Gateway::start(|config| {
            let ca = if ca { ", ca: file:ca.pem" } else { "" };
            let url = format!("https://{}/keys", server.address);
            config.file("ca.pem", &own.pem).section(&format!(
                "trust:\n  - {{issuer: https://login.example.com, key_set: \"{url}\", algorithms: [ES256]{ca}}}"
            ));
        });
        let claims = crate::harness::claims_of("https://login.example.com", json!({})).to_string();
        let expected = if believed { 200 } else { 503 };
        assert_eq!(status(&gateway, &key.token(&key.header(), claims)), expected, "a certificate {what}");
        assert_eq!(server.requests(), usize::from(believed), "a certificate {what}: asked all the same");
    }
}

#[test]
fn what_a_token_points_to_and_a_proxy_of_the_environment_are_never_asked() {
    let (first, evil) = (key(Algorithm::Es256, "first"), key(Algorithm::Es256, "evil"));
    let (issuer, trap) = (Issuer::publishing(&[&first]), Upstream::start());
    trap.always(Answer::json(&key_set(&[&evil])));
    let proxy = format!("http://{}", trap.address);
    let gateway = Gateway::start(|config| {
        issuer.trusted_by(config, "refresh: 1s");
        let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
        config.environment = names.map(|name| (name.to_owned(), proxy.clone())).to_vec();
    });
    let header = format!(r#"{{"alg":"ES256","kid":"evil","jku":"{proxy}/k","x5u":"{proxy}/x","jwk":{}}}"#, evil.jwk());
    let payload = crate::harness::claims_of(&issuer.name, json!({})).to_string();
    assert_eq!(status(&gateway, &evil.token(&header, payload)), 401);
    assert_eq!(status(&gateway, &issuer.token(&first)), 200);
    let before = issuer.fetches();
    await_that("another fetch", || issuer.fetches() > before);
    assert_eq!(trap.connections(), 0);
}
