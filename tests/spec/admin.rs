//! Section 10: metrics, health and the access log; nothing of it on the public listener, and no secret in any of it.

use std::fs;

use scopegate::domain::is_unprintable;
use serde_json::Value;

use crate::harness::{APP, CUSTOMER, Connection, Gateway, Request, await_that, each_row, percent_encode_all};

#[test]
fn every_metric_of_the_contract_that_applies_is_described() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    gateway.send(&Request::get("/v1/applications").bearer(&token)).assert_status(200);
    gateway.send(&Request::get("/v1/applications")).assert_status(401);
    for _ in 0..2 {
        gateway.send(&Request::token("Basic eDp5", "grant_type=client_credentials")).assert_status(401);
    }
    let names = [
        "scopegate_requests_total",
        "scopegate_request_duration_seconds",
        "scopegate_upstream_duration_seconds",
        "scopegate_decisions_total",
        "scopegate_token_verifications_total",
        "scopegate_token_cache_hits_total",
        "scopegate_token_cache_misses_total",
        "scopegate_token_cache_evictions_total",
        "scopegate_token_cache_entries",
        "scopegate_tokens_issued_total",
        "scopegate_token_requests_total",
        "scopegate_upstream_requests_total",
        "scopegate_config_last_reload_success",
        "scopegate_config_last_reload_timestamp_seconds",
        "scopegate_in_flight_requests",
        "scopegate_build_info",
        "process_resident_memory_bytes",
        "process_open_fds",
    ];
    let scrape = gateway.metrics();
    let missing: Vec<&str> = names.into_iter().filter(|name| !scrape.has(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn requests_and_decisions_are_counted_by_their_outcome() {
    let gateway = Gateway::start(|config| {
        config.route("{match: GET /v1/counted, scope: application, id: counted}");
    });
    let token = gateway.token("application");
    let request = Request::get("/v1/counted");
    for _ in 0..3 {
        gateway.send(&request.clone().bearer(&token)).assert_status(200);
    }
    gateway.send(&request).assert_status(401);
    gateway.send(&request.clone().bearer("x")).assert_status(401);
    let reached = |name: &str, labels: &[(&str, &str)], count: f64| {
        await_that(&format!("{name} {labels:?} = {count}"), || {
            (gateway.metrics().value(name, labels) - count).abs() < 0.5
        });
    };
    let requests = |code| [("route", "counted"), ("method", "GET"), ("code", code)];
    reached("scopegate_requests_total", &requests("200"), 3.0);
    reached("scopegate_requests_total", &requests("401"), 2.0);
    let decision =
        |decision, reason| [("route", "counted"), ("decision", decision), ("reason", reason), ("enforced", "true")];
    reached("scopegate_decisions_total", &[("route", "counted"), ("decision", "admitted")], 3.0);
    reached("scopegate_decisions_total", &decision("refused", "missing_token"), 1.0);
    reached("scopegate_decisions_total", &decision("refused", "malformed"), 1.0);
    reached("scopegate_request_duration_seconds_count", &[("route", "counted")], 5.0);
    reached("scopegate_upstream_requests_total", &[("upstream", "applications")], 3.0);
    reached("scopegate_tokens_issued_total", &[("scope", "application")], 1.0);
}

#[test]
fn label_values_come_from_closed_sets() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let odd = "/v1/any/unheard-of-path-segment";
    gateway.send(&Request::get(odd).bearer(&token)).assert_status(200);
    gateway.send(&Request::get("/unheard-of-path-segment")).assert_status(404);
    gateway.send(&Request::new("UNHEARDOF", odd).bearer(&token)).assert_status(200);
    gateway.send(&Request::new("UNHEARDOF", "/unheard-of-path-segment")).assert_status(404);
    gateway.send(&Request::get("/v1/applications").bearer("unheard-of-path-segment")).assert_status(401);
    await_that("the requests are counted", || {
        gateway.metrics().value("scopegate_requests_total", &[("code", "404")]) >= 2.0
    });
    for (label, value) in gateway.metrics().labels() {
        let value = value.to_lowercase();
        assert!(!value.contains("unheard"), "{label}={value}");
        assert!(!value.contains(&gateway.owner().id.to_lowercase()), "{label}={value}");
        assert!(!value.contains("e0d429f2"), "{label}={value} names a customer");
    }
}

#[test]
fn health_is_told_without_a_token() {
    let gateway = Gateway::start(|_| {});
    for path in ["/livez", "/readyz", "/metrics"] {
        gateway.admin(path).assert_status(200);
    }
    let metrics = gateway.admin("/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    gateway.admin("/nope").assert_status(404);
    assert!(matches!(gateway.admin("/admin/v1/clients").status, 401 | 404));
}

/// Everything the admin listener has, and something it has not.
const ADMIN_PATHS: [&str; 5] = ["/metrics", "/livez", "/readyz", "/admin/v1/clients", "/"];

/// The statuses of every path, asked by this host.
fn asked_by(gateway: &Gateway, host: &str) -> Vec<u16> {
    let mut connection = Connection::open(gateway.admin);
    ADMIN_PATHS.map(|path| connection.exchange(&Request::get(path).host(host)).status).into()
}

const ANSWERED: [u16; 5] = [200, 200, 200, 404, 404];

#[test]
fn the_admin_listener_is_asked_by_its_address_or_a_name_that_is_listed() {
    let gateway = Gateway::start(|config| config.admin = ", hosts: [metrics.internal, 10.96.0.5]".to_owned());
    let port = gateway.admin.port();
    let rows: Vec<(String, bool)> = [
        ("127.0.0.1", true),
        ("localhost", true),
        ("LOCALHOST.", true),
        ("[::1]", true),
        ("[::ffff:127.0.0.1]", true),
        ("metrics.internal", true),
        ("Metrics.Internal.", true),
        ("10.96.0.5", true),
        // What a page elsewhere may point at this address (DNS rebinding).
        ("evil.example", false),
        ("metrics.internal.evil.example", false),
        ("evil-metrics.internal", false),
        ("localhost.evil.example", false),
        ("127.0.0.1.evil.example", false),
        ("a.localhost", false),
        ("127.1", false),
        ("2130706433", false),
        ("0x7f000001", false),
        ("10.96.0.6", false),
    ]
    .iter()
    .flat_map(|(host, allowed)| [((*host).to_owned(), *allowed), (format!("{host}:{port}"), *allowed)])
    .collect();
    each_row(
        &rows,
        |row| row.0.clone(),
        |(host, allowed)| {
            let expected = if *allowed { ANSWERED } else { [421; 5] };
            assert_eq!(asked_by(&gateway, host), expected, "{host}");
        },
    );
    let refused = Connection::open(gateway.admin).exchange(&Request::get("/metrics").host("evil.example"));
    refused.assert_problem_without_id(421);
    assert!(refused.text().contains("`admin.hosts`"), "{}", refused.summary());
    assert!(!refused.text().contains("scopegate_"), "{}", refused.summary());
    assert_eq!(gateway.log().matches("is not listed in `admin.hosts`").count(), 1, "told once: {}", gateway.log());
}

#[test]
fn an_admin_listener_on_all_addresses_is_asked_by_any_of_them_and_by_no_other_name() {
    let mut gateway = Gateway::start(|config| {
        config.admin = ", token: env:ADMIN_TOKEN, hosts: [scopegate]".to_owned();
        config.environment.push(("ADMIN_TOKEN".to_owned(), "an admin token of these tests".to_owned()));
    });
    let file = fs::read_to_string(gateway.file()).unwrap();
    let everywhere = format!("0.0.0.0:{}", gateway.admin.port());
    fs::write(gateway.file(), file.replace(&gateway.admin.to_string(), &everywhere)).unwrap();
    gateway.restart();
    // A pod's, a service's, a node's: the kubelet and Prometheus ask by the address that they have found.
    for host in ["127.0.0.1", "10.1.2.3:9090", "[fd00::7]:9090", "203.0.113.9", "localhost:9090", "scopegate:9090"] {
        assert_eq!(asked_by(&gateway, host), ANSWERED, "{host}");
    }
    for host in ["evil.example", "scopegate.evil.example:9090", "10.1.2.3.evil.example"] {
        assert_eq!(asked_by(&gateway, host), [421; 5], "{host}");
    }
}

#[test]
fn pages_of_other_origins_may_not_read_what_operators_ask() {
    let gateway = Gateway::start(|_| {});
    for path in ADMIN_PATHS {
        for origin in ["https://evil.example", "null"] {
            let reply = Connection::open(gateway.admin).exchange(&Request::get(path).header("Origin", origin));
            let cors: Vec<_> =
                reply.headers.iter().filter(|(name, _)| name.to_lowercase().contains("-allow-")).collect();
            assert!(cors.is_empty(), "{path}: {cors:?}");
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
            assert_eq!(reply.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
        }
    }
}

#[test]
fn a_secret_that_is_not_there_is_told_at_start_and_nothing_is_served() {
    let mut gateway = Gateway::start(|config| {
        config.environment.push(("BLANK".to_owned(), " ".to_owned()));
        config.environment.push(("EMPTY".to_owned(), String::new()));
    });
    fs::write(gateway.folder().join("empty"), "\n").unwrap();
    let good = fs::read_to_string(gateway.file()).unwrap();
    let admin = |token: &str| (String::new(), format!("admin: {{address: \"{}\", token: {token}}}", gateway.admin));
    let trust = |entry: &str| (format!("trust: [{entry}]\n"), String::new());
    let shared = |secret: &str| trust(&format!("{{issuer: https://a, secret: {secret}, algorithms: [HS256]}}"));
    let asked = |secret: &str| {
        trust(&format!(
            "{{issuer: https://a, introspection: {{url: https://a/i, client_id: c, client_secret: {secret}}}}}"
        ))
    };
    let rows = [
        (admin("env:UNSET"), "`admin.token`: the environment variable `UNSET` is not set"),
        (admin("env:EMPTY"), "`admin.token`: the environment variable `EMPTY` is empty"),
        (admin("env:BLANK"), "`admin.token`: the environment variable `BLANK` is empty"),
        (admin("file:empty"), "empty` is empty"),
        (admin("file:absent"), "absent` cannot be read"),
        (shared("env:UNSET"), "the secret of https://a: the environment variable `UNSET` is not set"),
        (shared("env:EMPTY"), "the secret of https://a: the environment variable `EMPTY` is empty"),
        (asked("env:UNSET"), "our secret at https://a: the environment variable `UNSET` is not set"),
        (asked("file:empty"), "empty` is empty"),
    ];
    for ((more, admin), expected) in rows {
        let changed =
            good.lines().map(|line| if line.starts_with("admin:") && !admin.is_empty() { &*admin } else { line });
        fs::write(gateway.file(), changed.collect::<Vec<_>>().join("\n") + "\n" + &more).unwrap();
        let log = gateway.restart_refused();
        assert!(log.contains(expected), "{expected:?} is not in\n{log}");
    }
    // All of them at once, and before a store is made.
    let elsewhere = good.replace("store: sqlite:gateway.db", "store: sqlite:never-made.db");
    fs::write(
        gateway.file(),
        elsewhere + &shared("env:ONE").0.replace("}]", "}, {issuer: https://b, secret: env:TWO, algorithms: [HS256]}]"),
    )
    .unwrap();
    let log = gateway.restart_refused();
    assert!(log.contains("`ONE` is not set") && log.contains("`TWO` is not set"), "{log}");
    assert!(!gateway.folder().join("never-made.db").exists());
    for (store, key, expected) in [
        ("store: env:UNSET", "store_key: file:gateway.key", "`store`: the environment variable `UNSET` is not set"),
        ("store: sqlite:gateway.db", "store_key: env:UNSET", "UNSET"),
        ("store: sqlite:gateway.db", "store_key: env:EMPTY", "EMPTY"),
        ("store: sqlite:gateway.db", "store_key: file:empty", "empty"),
    ] {
        let changed = good.replace("store: sqlite:gateway.db", store).replace("store_key: file:gateway.key", key);
        fs::write(gateway.file(), changed).unwrap();
        let log = gateway.restart_refused();
        assert!(log.contains(expected), "{expected:?} is not in\n{log}");
    }
}

#[test]
fn request_ids_do_not_tell_how_many_requests_came_between() {
    let gateway = Gateway::start(|_| {});
    let mut connection = gateway.connect();
    let ids: Vec<u128> = (0..64)
        .map(|_| {
            let id = connection.exchange(&Request::get("/nope")).json()["request_id"].as_str().unwrap().to_owned();
            assert!(id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
            u128::from_str_radix(&id, 16).unwrap()
        })
        .collect();
    // Of each bit half the neighbours differ, give or take six standard deviations.
    for bit in 0..128 {
        let changes = ids.windows(2).filter(|pair| (pair[0] ^ pair[1]) >> bit & 1 == 1).count();
        assert!((8..=55).contains(&changes), "bit {bit} differs in {changes} of 63 pairs: {ids:x?}");
    }
}

#[test]
fn nothing_of_the_admin_listener_is_on_the_public_one() {
    let gateway = Gateway::start(|_| {});
    // LEAK-04
    for path in ["/metrics", "/livez", "/readyz", "/admin", "/admin/v1/clients", "/debug", "/debug/pprof"] {
        gateway.send(&Request::get(path)).assert_refused(404, "no_route");
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn an_access_line_tells_the_request() {
    let gateway = Gateway::start(|config| {
        config.route(
            "{match: \"GET /v1/told/{application_id}\", scope: application.session, \
             application_id: {path: application_id}, id: told}",
        );
    });
    gateway.send(&Request::get(&format!("/v1/told/{APP}?private=query")).bearer(&gateway.session())).assert_status(200);
    let id = gateway.upstream().request().header("x-request-id").unwrap().to_owned();
    let line = gateway.access_line(&id);
    let text = line.to_string();
    assert!(!text.contains("private"), "the query stands in the log: {text}");
    let has = |value: &str| line.as_object().unwrap().values().any(|own| own.as_str() == Some(value));
    for value in [&id, "told", "GET", &format!("/v1/told/{APP}"), "admitted", &gateway.owner().id, CUSTOMER, APP] {
        assert!(has(value), "{value} is not in {text}");
    }
    assert!(line.as_object().unwrap().values().any(|own| own.as_u64() == Some(200)), "{text}");
}

#[test]
fn an_access_line_tells_a_refusal_and_its_own_reason() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let (message, signature) = token.rsplit_once('.').unwrap();
    let middle = if signature[40..].starts_with('A') { 'B' } else { 'A' };
    let changed = format!("{message}.{}{middle}{}", &signature[..40], &signature[41..]);
    for (request, reason) in [
        (Request::get("/nope"), "no_route"),
        (Request::get("/v1//x"), "path"),
        (Request::get("/v1/applications"), "missing_token"),
        (Request::get("/v1/applications").bearer("abc"), "malformed"),
        (Request::get("/v1/applications").bearer(&changed), "signature"),
        (Request::post("/v1/applications.submit").bearer(&gateway.token("application.read")), "insufficient_scope"),
    ] {
        let id = gateway.send(&request).json()["request_id"].as_str().unwrap().to_owned();
        let line = gateway.access_line(&id);
        let values: Vec<&Value> = line.as_object().unwrap().values().collect();
        assert!(values.contains(&&Value::from("refused")), "{line}");
        assert!(values.contains(&&Value::from(reason)), "{reason} is not in {line}");
    }
}

#[test]
fn a_line_of_a_log_commands_no_terminal_and_ends_where_it_should() {
    let gateway = Gateway::start(|_| {});
    let mut sent = 0;
    // C1 controls, what Unicode ends lines with, what reverses or hides text; and the same, encoded.
    for character in
        "\u{7f}\u{80}\u{85}\u{9b}\u{9d}\u{ad}\u{200b}\u{200e}\u{2028}\u{2029}\u{202e}\u{2066}\u{feff}\u{e0041}".chars()
    {
        for path in [format!("/a{character}b"), format!("/{}", percent_encode_all(&format!("a{character}b")))] {
            let status = gateway.send(&Request::get(&path)).status;
            assert!(matches!(status, 400 | 404), "{path:?}: {status}");
            sent += 1;
        }
    }
    // Bytes that are no UTF-8, and controls, in every part of a head.
    for bytes in ["GET /a\u{1b}[2J HTTP/1.1", "G\u{9b}T / HTTP/1.1", "GET / HTTP/1.1\r\nX-\u{9b}: a"] {
        let mut connection = gateway.connect();
        let reply = connection.send(bytes).send(b"\xff\xc2\r\nHost: a\r\n\r\n").reply();
        assert!(matches!(reply.status, 400 | 505), "{}", reply.summary());
        sent += 1;
    }
    let odd = |character: char| character != '\n' && is_unprintable(character);
    await_that("each request is one line", || {
        gateway.log().lines().filter(|line| line.contains("request_id")).count() >= sent
    });
    for line in gateway.log().lines() {
        assert!(!line.contains(odd), "{line:?}");
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn no_token_and_no_secret_is_written_anywhere() {
    let gateway = Gateway::start(|config| config.environment = vec![("RUST_LOG".into(), "trace".into())]);
    let owner = gateway.owner().clone();
    let (token, session) = (gateway.token("application"), gateway.session());
    let rotated = gateway.cli(&["client", "rotate-secret", &owner.id, "--json"]);
    rotated.assert_code(0);
    let secret = rotated.json()["client_secret"].as_str().unwrap().to_owned();
    // LEAK-01, LEAK-02
    let requests = [
        Request::get("/v1/applications").bearer(&token),
        Request::get(&format!("/v1/applications?access_token={token}")),
        Request::get(&format!("/nope?token={token}")),
        Request::get("/v1/applications").bearer(&token).bearer(&session),
        Request::get("/v1/applications").bearer(&format!("{token}x")),
        Request::get(&format!("/v1/applications/{APP}/x")).bearer(&session),
        Request::post(&format!("/v1/oauth2/token?client_secret={secret}")).form("x"),
        Request::token(&crate::harness::basic(&owner.id, &secret), "grant_type=password"),
    ];
    let mut replies = String::new();
    for request in &requests {
        replies += &gateway.send(request).text();
    }
    gateway.access_line(gateway.send(&Request::get("/last")).json()["request_id"].as_str().unwrap());
    let everything = [gateway.log(), gateway.metrics().0, replies].concat();
    let pieces = [token.rsplit('.').next().unwrap(), session.rsplit('.').next().unwrap(), &owner.secret, &secret];
    for piece in pieces {
        assert!(!everything.contains(piece), "a token or a secret was written");
    }
    assert!(!everything.contains("eyJ"), "the head of a token was written");
    assert!(!everything.contains("panicked at"), "a panic");
}
