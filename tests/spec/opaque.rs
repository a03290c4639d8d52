//! Section 3: tokens that say nothing themselves. Their issuer is asked (RFC 7662), and its word counts for a while.

use std::{thread, time::Duration};

use serde_json::json;

use crate::harness::{Answer, CUSTOMER, Config, Gateway, Request, Upstream, await_that, within};

const SECRET: &str = "s3cret of the gateway";

fn read(token: &str) -> Request {
    Request::get("/v1/applications").bearer(token)
}

fn entry(server: &Upstream, cache: &str) -> impl Fn(&mut Config) + use<> {
    let url = format!("http://{}/introspect", server.address);
    let cache = cache.to_owned();
    move |config| {
        let introspection =
            format!("{{url: \"{url}\", client_id: gate way, client_secret: env:THEIR_SECRET, cache: {cache}}}");
        config.section(&format!("trust:\n  - {{issuer: https://opaque.example, introspection: {introspection}}}"));
        config.environment = vec![("THEIR_SECRET".to_owned(), SECRET.to_owned())];
    }
}

fn active() -> Answer {
    let told = json!({"active": true, "client_id": "their-client", "customer_id": CUSTOMER, "scope": "application", "jti": "j"});
    Answer::json(&told.to_string())
}

#[test]
fn an_opaque_token_is_asked_about_once_and_its_answer_counts_for_a_while() {
    let server = Upstream::start();
    server.always(active());
    let gateway = Gateway::start(entry(&server, "2s"));
    for _ in 0..5 {
        gateway.send(&read("opaque-token")).assert_status(200);
    }
    let asked = server.request();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/introspect"));
    // Both halves are form-encoded first (RFC 6749 section 2.3.1).
    let expected = crate::harness::basic("gate+way", "s3cret+of+the+gateway");
    assert_eq!(asked.header("authorization"), Some(expected.as_str()));
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(asked.body, b"token=opaque-token&token_type_hint=access_token");
    assert_eq!(gateway.upstream().requests()[0].header("x-client-id"), Some("their-client"));
    server.always(Answer::json(r#"{"active":false}"#));
    await_that("the end of what was told", || gateway.send(&read("opaque-token")).status == 401);
    assert_eq!(server.requests().len(), 2);
    let both = [gateway.log(), gateway.metrics().0].concat();
    for secret in ["opaque-token", SECRET, "s3cret+of", "c2Nyd"] {
        assert!(!both.contains(secret), "{secret} was written");
    }
}

#[test]
fn whatever_is_no_clear_yes_admits_nobody() {
    let server = Upstream::start();
    let gateway = Gateway::start(entry(&server, "1h"));
    let active = json!({"active": true, "client_id": "c", "customer_id": CUSTOMER, "scope": "application"});
    let with = |name: &str, value: serde_json::Value| {
        let mut answer = active.clone();
        answer[name] = value;
        Answer::json(&answer.to_string())
    };
    for (number, (what, answer, status)) in [
        ("a yes", Answer::json(&active.to_string()), 200),
        ("a no", Answer::json(r#"{"active":false}"#), 401),
        ("a no with claims", with("active", json!(false)), 401),
        ("a text for a truth", with("active", json!("true")), 503),
        ("no verdict", Answer::json("{}"), 503),
        ("a page", Answer::with(200, "Content-Type: text/html\r\n", b"<html>"), 503),
        ("a failure", Answer::with(500, "", active.to_string().as_bytes()), 503),
        ("refused credentials", Answer::with(401, "", active.to_string().as_bytes()), 503),
        ("a redirect", Answer::with(307, "Location: /other\r\n", b""), 503),
        ("a closed connection", Answer::ThenClose(Vec::new()), 503),
        ("expired", with("exp", json!(1_700_000_000)), 401),
        ("another issuer's", with("iss", json!("https://other.example")), 401),
        ("no customer", with("customer_id", json!(null)), 401),
        ("another scope", with("scope", json!("openid")), 403),
    ]
    .into_iter()
    .enumerate()
    {
        server.always(answer);
        let reply = gateway.send(&read(&format!("token-{number}")));
        assert_eq!(reply.status, status, "{what}: {}", reply.summary());
        if status == 503 {
            reply.assert_refused(503, "keys_unavailable");
            assert!(reply.header("retry-after").is_some(), "{what}");
        }
    }
    let asked = server.requests().len();
    for malformed in
        ["a b", "a\"b", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiIsImNyaXQiOltdfQ.e30.AAAA", &"a".repeat(8193)]
    {
        let status = gateway.send(&read(malformed)).status;
        assert!(matches!(status, 400 | 401), "{malformed}: {status}");
    }
    assert_eq!(server.requests().len(), asked, "what pretends to be a JWT was told to somebody");
}

#[test]
fn an_audience_that_an_answer_states_counts() {
    // H5
    let answer = |audience: serde_json::Value| {
        let told =
            json!({"active": true, "client_id": "c", "customer_id": CUSTOMER, "scope": "application", "aud": audience});
        Answer::json(&told.to_string())
    };
    for (entry_audience, ours, others) in
        [("", "applications-api", "api"), (", audience: api", "api", "applications-api")]
    {
        let server = Upstream::start();
        let plain = entry(&server, "1h");
        let gateway = Gateway::start(|config| {
            plain(config);
            config
                .extra
                .iter_mut()
                .for_each(|section| *section = section.replace("}}", &format!("}}{entry_audience}}}")));
        });
        for (number, (audience, admitted)) in [
            (json!(ours), true),
            (json!(["x", ours]), true),
            (json!(others), false),
            (json!(["x", others]), false),
            (json!("other"), false),
            (json!([null]), false),
            (json!(""), false),
            (json!({"aud": ours}), false),
            (json!(null), entry_audience.is_empty()),
        ]
        .into_iter()
        .enumerate()
        {
            server.always(answer(audience.clone()));
            let reply = gateway.send(&read(&format!("token-{number}")));
            assert_eq!(reply.status, if admitted { 200 } else { 401 }, "{entry_audience} {audience}");
        }
    }
}

/// A token of the issuer that is asked, which nobody has signed.
fn unsigned(id: &str, expires_in: i64) -> String {
    let now = i64::try_from(scopegate::domain::Timestamp::now().seconds()).unwrap();
    let claims = json!({"iss": "https://opaque.example", "sub": "s", "jti": id, "exp": now + expires_in});
    let part = |text: &str| crate::harness::b64(text);
    format!("{}.{}.AAAA", part(r#"{"alg":"ES256"}"#), part(&claims.to_string()))
}

#[test]
fn what_was_refused_is_not_asked_about_again_for_a_moment() {
    // L1
    let server = Upstream::start();
    let gateway = Gateway::start(|config| {
        entry(&server, "1s")(config);
        config.section("cache: {negative: {entries: 100, ttl: 60s}}");
    });
    let asked = |token: &str, times: usize| {
        server.forget();
        for _ in 0..times {
            assert_eq!(gateway.send(&read(token)).status, 401);
        }
        server.requests().len()
    };
    let active = json!({"active": true, "client_id": "c", "customer_id": CUSTOMER, "scope": "application"});
    let with = |name: &str, value: serde_json::Value| {
        let mut answer = active.clone();
        answer[name] = value;
        Answer::json(&answer.to_string())
    };
    for (what, answer, token) in [
        ("an opaque token", Answer::json(r#"{"active":false}"#), "opaque".to_owned()),
        ("an unsigned JWT", Answer::json(r#"{"active":false}"#), unsigned("a", 600)),
        ("one for another audience", with("aud", json!("other")), "audience".to_owned()),
        ("one without customer", with("customer_id", json!(null)), "customer".to_owned()),
        ("another issuer's", with("iss", json!("https://other.example")), "issuer".to_owned()),
    ] {
        server.always(answer);
        assert_eq!(asked(&token, 50), 1, "{what}");
    }
    assert_eq!(asked(&unsigned("b", -600), 5), 0, "one that says itself that it has expired");
    let none = unsigned("c", 600)
        .replace(&crate::harness::b64(r#"{"alg":"ES256"}"#), &crate::harness::b64(r#"{"alg":"none"}"#));
    assert_eq!(asked(&none, 5), 0, "one that says to be signed by nobody");
    // Good for a second, then revoked.
    server.always(Answer::json(&active.to_string()));
    gateway.send(&read("revoked")).assert_status(200);
    server.always(Answer::json(r#"{"active":false}"#));
    await_that("the end of what was told", || gateway.send(&read("revoked")).status == 401);
    assert_eq!(asked("revoked", 50), 0, "one that was good");
    // Its time is judged each time.
    server.always(with("exp", json!(1_700_000_000)));
    assert_eq!(asked("expired", 3), 3);
}

#[test]
fn made_up_tokens_of_one_address_cannot_make_us_flood_their_issuer() {
    // L1
    let server = Upstream::start();
    let gateway = Gateway::start(|config| {
        entry(&server, "1h")(config);
        config
            .extra
            .iter_mut()
            .for_each(|section| *section = section.replace("cache: 1h", "cache: 1h, failures_per_address: 20/1h"));
        config.section("trusted_proxies: [127.0.0.1]");
    });
    let from = |address: &str, token: &str| gateway.send(&read(token).header("X-Forwarded-For", address));
    server.always(active());
    for number in 0..40 {
        from("192.0.2.7", &format!("good-{number}")).assert_status(200);
    }
    server.always(Answer::json(r#"{"active":false}"#));
    server.forget();
    let statuses: Vec<u16> = (0..100).map(|number| from("192.0.2.7", &format!("made-up-{number}")).status).collect();
    assert_eq!((&statuses[..20], &statuses[20..]), (&[401; 20][..], &[503; 80][..]));
    assert_eq!(server.requests().len(), 20);
    let reply = from("192.0.2.7", "one-more");
    reply.assert_refused(503, "keys_unavailable");
    assert!(reply.header("retry-after").is_some());
    server.always(active());
    from("192.0.2.8", "from-elsewhere").assert_status(200);
    from("192.0.2.7", "good-3").assert_status(200);
    from("192.0.2.7", &gateway.token("application")).assert_status(200);
}

#[test]
fn a_hundred_first_requests_ask_once() {
    let server = Upstream::start();
    let (answer, steps) = Answer::stepwise();
    server.always(answer);
    let gateway = Gateway::start(entry(&server, "1h"));
    thread::scope(|scope| {
        let all: Vec<_> = (0..100).map(|_| scope.spawn(|| gateway.send(&read("opaque-token")).status)).collect();
        await_that("every request under way", || gateway.metrics().value("scopegate_in_flight_requests", &[]) >= 100.0);
        let Answer::Bytes(reply) = active() else { unreachable!("it is bytes") };
        steps.send(reply);
        assert!(all.into_iter().all(|status| status.join().unwrap() == 200));
    });
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_issuer_that_cannot_be_asked_holds_up_its_own_tokens_only() {
    let server = Upstream::start();
    server.always(active());
    let gateway = Gateway::start(entry(&server, "1h"));
    gateway.send(&read("known")).assert_status(200);
    server.always(Answer::Hang);
    let own = gateway.token("application");
    thread::scope(|scope| {
        let asking = scope.spawn(|| gateway.connect().patient_for(Duration::from_secs(15)).exchange(&read("unknown")));
        assert!(within(Duration::from_secs(5), || server.requests().len() == 2), "it is not asked");
        for token in [own.as_str(), "known"] {
            gateway.send(&read(token)).assert_status(200);
        }
        asking.join().unwrap().assert_refused(503, "keys_unavailable");
    });
    server.always(active());
    gateway.send(&read("unknown")).assert_status(200);
    let lines = gateway.log().matches("it cannot be asked about its tokens").count();
    assert_eq!(lines, 1, "{}", gateway.log());
}
