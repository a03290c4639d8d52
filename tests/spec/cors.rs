//! Section 4, `cors`: which pages of other origins may read what a route answers. `browser` asks a real one.

use crate::harness::{APP, Answer, Config, Connection, Gateway, OTHER, Reply, Request, await_that, each_row};

const PAGE: &str = "https://app.example.com";
const READ: &str = "origins: [https://app.example.com, \"https://*.pages.example\", http://localhost:3000]";

/// What a reply says to browsers.
const SAID: [&str; 6] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
    "access-control-expose-headers",
];

fn gateway() -> Gateway {
    Gateway::start(|config: &mut Config| {
        config.section(&format!("cors:\n  pages: {{{READ}}}"));
        config.route("{match: POST /v1/notes, scope: application, cors: pages}");
        config.route("{match: GET /v1/notes, public: true, cors: {origins: \"*\", headers: [], expose: [x-total]}}");
        config.route(&format!(
            "{{match: \"* /v1/notes/{{application_id}}\", scope: [application.read, application.session], \
             application_id: {{path: application_id}}, cors: {{{READ}, methods: [GET, PUT], headers: [authorization, x-extra], \
             expose: [etag, location], max_age: 1h, credentials: true}}}}"
        ));
        config.route("{match: GET /v1/rare, scope: application, rate: 1/1h, cors: pages}");
    })
}

fn preflight(target: &str, origin: &str, method: &str) -> Request {
    let request = Request::new("OPTIONS", target).header("Origin", origin);
    request.header("Access-Control-Request-Method", method).header("Access-Control-Request-Headers", "authorization")
}

fn said(reply: &Reply) -> Vec<(&'static str, String)> {
    SAID.iter().filter_map(|name| Some((*name, reply.header(name)?.to_owned()))).collect()
}

/// That pages of `origin` may read the reply, and whether a cache must tell them apart.
#[track_caller]
fn assert_readable(reply: &Reply, origin: &str) {
    assert_eq!(reply.header("access-control-allow-origin"), Some(origin), "{}", reply.summary());
    assert_eq!(reply.all("vary").iter().any(|value| value.eq_ignore_ascii_case("origin")), origin != "*");
}

#[test]
fn a_preflight_is_answered_without_token_and_never_forwarded() {
    let gateway = gateway();
    let notes = format!("/v1/notes/{APP}");
    let cases = [
        (
            "by the usual policy",
            preflight("/v1/notes", PAGE, "POST"),
            vec![
                ("access-control-allow-origin", PAGE),
                ("access-control-allow-methods", "POST"),
                ("access-control-allow-headers", "authorization, content-type"),
                ("access-control-max-age", "600"),
                ("access-control-expose-headers", "www-authenticate, retry-after, ratelimit, ratelimit-policy"),
            ],
        ),
        (
            "in the route's own words",
            preflight(&notes, "https://one.pages.example", "PUT"),
            vec![
                ("access-control-allow-origin", "https://one.pages.example"),
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-methods", "GET, PUT"),
                ("access-control-allow-headers", "authorization, x-extra"),
                ("access-control-max-age", "3600"),
                ("access-control-expose-headers", "etag, location"),
            ],
        ),
        (
            "for everybody",
            preflight("/v1/notes", "null", "GET"),
            vec![
                ("access-control-allow-origin", "*"),
                ("access-control-allow-methods", "GET"),
                ("access-control-max-age", "600"),
                ("access-control-expose-headers", "x-total"),
            ],
        ),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, request, expected)| {
            let mut connection = gateway.connect();
            let reply = connection.exchange(request);
            reply.assert_status(204);
            let expected: Vec<_> = expected.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            assert_eq!(said(&reply), expected);
            assert!(reply.body.is_empty() && reply.header("content-length").is_none(), "{}", reply.summary());
            assert!(reply.all("vary").contains(&"access-control-request-method, access-control-request-headers"));
            // The connection goes on.
            connection.exchange(&preflight("/v1/notes", PAGE, "POST")).assert_status(204);
        },
    );
    gateway.upstream().assert_untouched();
    let counted = [("route", "POST /v1/notes"), ("method", "OPTIONS"), ("code", "204")];
    await_that("preflights are counted", || gateway.metrics().value("scopegate_requests_total", &counted) >= 4.0);
}

#[test]
fn a_page_that_is_not_listed_is_told_nothing() {
    let gateway = gateway();
    let token = gateway.token("application");
    // LEAK-10
    for origin in [
        "https://evil",
        "null",
        "https://good.evil",
        "https://app.example.com.evil",
        "https://evil.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com:443",
        "https://a.b.pages.example",
        "https://pages.example",
        "https://pages.example.evil",
        "http://localhost",
        "http://localhost:30000",
        "HTTPS://app.example.com",
        "https://app.example.com,https://evil",
        "*",
    ] {
        let asked = gateway.send(&preflight("/v1/notes", origin, "POST"));
        asked.assert_status(204);
        assert_eq!(said(&asked), [], "{origin}");
        gateway.upstream().assert_untouched();
        let request = Request::post("/v1/notes").header("Origin", origin).bearer(&token).body("x");
        let reply = gateway.send(&request);
        reply.assert_status(200);
        assert_eq!(said(&reply), [], "{origin}");
        assert!(reply.all("vary").contains(&"origin"), "{}", reply.summary());
        gateway.upstream().forget();
    }
    let twice = preflight("/v1/notes", PAGE, "POST").header("Origin", PAGE);
    assert_eq!(said(&gateway.send(&twice)), []);
}

#[test]
fn a_method_that_pages_may_not_use_is_told_nothing_either() {
    let gateway = gateway();
    let target = format!("/v1/notes/{APP}");
    for (method, may) in [("GET", true), ("PUT", true), ("DELETE", false), ("get", false), ("PATCH", false)] {
        let reply = gateway.send(&preflight(&target, PAGE, method));
        reply.assert_status(204);
        assert_eq!(!said(&reply).is_empty(), may, "{method}: {}", reply.summary());
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn what_is_no_preflight_of_such_a_route_is_judged_as_ever() {
    let gateway = gateway();
    let cases = [
        ("a route that says nothing of pages", preflight("/v1/applications", PAGE, "GET"), 405),
        ("its own method is open to none", preflight("/v1/any/a", PAGE, "GET"), 401),
        ("a method that no route takes", preflight("/v1/notes", PAGE, "DELETE"), 405),
        ("a method that is none", preflight("/v1/notes", PAGE, "P OST"), 405),
        ("an unknown path", preflight("/nowhere", PAGE, "GET"), 404),
        ("a path with two readings", preflight("/v1//notes", PAGE, "POST"), 400),
        ("no Origin", Request::new("OPTIONS", "/v1/notes").header("Access-Control-Request-Method", "POST"), 405),
        ("no method asked about", Request::new("OPTIONS", "/v1/notes").header("Origin", PAGE), 405),
        ("the token endpoint", preflight("/v1/oauth2/token", PAGE, "POST"), 405),
        ("the token's owner", preflight("/oauth2/userinfo", PAGE, "GET"), 405),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, request, status)| {
            let reply = gateway.send(request);
            reply.assert_status(*status);
            assert_eq!(said(&reply), []);
        },
    );
    gateway.upstream().assert_untouched();
}

#[test]
fn our_own_endpoints_say_nothing_to_pages_whatever_routes_do() {
    let gateway = Gateway::start(|config| {
        config.routes = vec!["{match: \"* /**\", public: true, cors: {origins: \"*\"}}".to_owned()];
        config.limit("in_flight: 1");
    });
    let idle = || gateway.metrics().value("scopegate_in_flight_requests", &[]) < 0.5;
    let token = Request::token(&gateway.owner().basic(), "grant_type=client_credentials").header("Origin", PAGE);
    let reply = gateway.send(&token);
    reply.assert_status(200);
    assert_eq!(said(&reply), []);
    await_that("nothing is in flight", idle);
    let reply = gateway.send(&preflight("/oauth2/token", PAGE, "POST"));
    reply.assert_status(405);
    assert_eq!(said(&reply), []);
    await_that("nothing is in flight", idle);
    // Not even when there is no time to look closely.
    let (answer, steps) = Answer::stepwise();
    gateway.upstream().once(answer);
    let mut first = gateway.connect();
    first.send_head(&Request::get("/slow"));
    await_that("the first request is upstream", || !gateway.upstream().requests().is_empty());
    let reply = gateway.send(&token);
    reply.assert_refused(503, "overloaded");
    assert_eq!(said(&reply), []);
    let other = gateway.send(&Request::get("/other").header("Origin", PAGE));
    other.assert_refused(503, "overloaded");
    assert_readable(&other, "*");
    drop(steps);
}

#[test]
fn a_page_may_read_refusals_and_failures() {
    let gateway = gateway();
    let (token, session) = (gateway.token("application"), gateway.session());
    let from_page = |request: Request| request.header("Origin", PAGE);
    gateway.send(&Request::get("/v1/rare").bearer(&token)).assert_status(200);
    let cases = [
        ("no token", Request::post("/v1/notes"), 401),
        ("a bad token", Request::post("/v1/notes").bearer("bad"), 401),
        ("another scope", Request::post("/v1/notes").bearer(&session), 403),
        ("another application", Request::get(&format!("/v1/notes/{OTHER}")).bearer(&session), 403),
        ("too often", Request::get("/v1/rare").bearer(&token), 429),
        ("too long", Request::post("/v1/notes").bearer(&token).header("Content-Length", "99999999999"), 413),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, request, status)| {
            let reply = gateway.send(&from_page(request.clone()));
            reply.assert_status(*status);
            assert_readable(&reply, PAGE);
            assert!(reply.json()["code"].is_string());
        },
    );
    gateway.upstream().forget();
    gateway.upstream().once(Answer::ThenClose(b"garbage".to_vec()));
    let reply = gateway.send(&from_page(Request::post("/v1/notes").bearer(&token)));
    reply.assert_status(502);
    assert_readable(&reply, PAGE);
}

#[test]
fn what_an_upstream_says_to_pages_is_replaced() {
    let gateway = gateway();
    let (token, session) = (gateway.token("application"), gateway.session());
    let theirs = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nAccess-Control-Allow-Methods: DELETE\r\n\
                  Access-Control-Expose-Headers: x-secret\r\nAccess-Control-Allow-Private-Network: true\r\nVary: accept\r\n";
    gateway.upstream().always(Answer::with(200, theirs, b"hello"));
    let reply = gateway.send(&Request::post("/v1/notes").bearer(&token).header("Origin", PAGE).body("x"));
    assert_readable(&reply, PAGE);
    assert_eq!((reply.all("vary"), reply.text().as_str()), (vec!["accept", "origin"], "hello"));
    let exposed = "www-authenticate, retry-after, ratelimit, ratelimit-policy".to_owned();
    let expected = [("access-control-allow-origin", PAGE.to_owned()), ("access-control-expose-headers", exposed)];
    assert_eq!(said(&reply), expected);
    assert!(reply.header("access-control-allow-private-network").is_none());
    // With credentials, the origin is named, never `*`.
    let target = format!("/v1/notes/{APP}");
    let reply = gateway.send(&Request::get(&target).bearer(&session).header("Origin", PAGE));
    assert_readable(&reply, PAGE);
    assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));
    // Nobody asked: a cache must know all the same that others may.
    for origin in [None, Some("https://evil")] {
        let request = Request::post("/v1/notes").bearer(&token).body("x");
        let reply = gateway.send(&origin.map_or(request.clone(), |origin| request.header("Origin", origin)));
        assert_eq!((said(&reply), reply.all("vary")), (Vec::new(), vec!["accept", "origin"]));
    }
    // Where the configuration says nothing, the upstream speaks.
    let reply = gateway.send(&Request::get("/v1/applications").bearer(&token).header("Origin", PAGE));
    assert_eq!((reply.header("access-control-allow-origin"), reply.all("vary")), (Some("*"), vec!["accept"]));
}

#[test]
fn an_interim_reply_says_nothing_to_pages() {
    let gateway = gateway();
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    gateway.upstream().always(Answer::Bytes(interim.as_bytes().to_vec()));
    let mut connection = Connection::open(gateway.public);
    connection.send_head(&Request::get("/v1/notes").header("Origin", PAGE));
    let reply = connection.reply_head().unwrap();
    let last = if reply.status == 103 { connection.reply() } else { reply.clone() };
    assert_eq!((said(&last).len(), last.status), (2, 200));
    assert!(reply.status == 200 || said(&reply).is_empty());
}

#[test]
fn pages_of_apps_and_extensions_have_origins_too() {
    let origins = [
        "capacitor://localhost",
        "tauri://localhost",
        "app://-",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    ];
    let gateway = Gateway::start(|config| {
        config.route(&format!(
            "{{match: POST /v1/notes, scope: application, cors: {{origins: [\"{}\"]}}}}",
            origins.join("\", \"")
        ));
    });
    for origin in origins {
        let reply = gateway.send(&preflight("/v1/notes", origin, "POST"));
        reply.assert_status(204);
        assert_readable(&reply, origin);
    }
    for origin in
        ["capacitor://Localhost", "capacitor://localhost/", "capacitor://evil", "tauri://localhost:80", "app://"]
    {
        assert_eq!(said(&gateway.send(&preflight("/v1/notes", origin, "POST"))), [], "{origin}");
    }
}
