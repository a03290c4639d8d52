//! Section 4: path, route, method, token, scope, in that order. Nothing that is refused reaches the upstream.

use crate::harness::{APP, Gateway, Request, each_row};

#[test]
fn a_path_with_two_readings_is_refused_before_anything_else() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let targets = [
        "/v1/%61pplications",   // percent-encoded unreserved
        "/v1/applications%2Fx", // PATH-02
        "/v1/applications%2fx",
        "/v1/applications%5cx",
        "/v1/applications%00", // PATH-07
        "/v1/applications%zz",
        "/v1/applications%",
        "/v1\\applications",
        "//v1/applications", // PATH-03
        "/v1//applications",
        "/v1/./applications", // PATH-01
        "/v1/x/../applications",
        "/v1/%2e%2e/applications",
        "/v1/applications/..",
        "/v1/applications;x=1",
        "/v1;x/applications",
        "/v1/applications%ff", // not UTF-8
        "/v1/applications%7f",
        "/v1/any/things%3Adelete", // pchar that needs no encoding
        "/v1/any/a%40b",
        "/v1/any/a%2Bb",
        "/v1/any/100%25", // what delimits when it stands plainly
        "/v1/any/who%3F",
        "/v1/any/one%23",
        "/v1/any/%25u002e%25u002e/x",
        "/v1/any/..%20/x", // dots and spaces, dropped on Windows
        "/v1/any/.../x",
        "/v1/any/%20/x",
        "/v1/any/..%ef%bc%8fx", // compatibility forms
        "/v1/any/%EF%BC%8E%EF%BC%8E/x",
        "/v1/any/%E2%80%A5/x",
        "/v1/any/..%E2%88%95x",
        "/v1/any/..%EF%BC%BCx",
        "/v1/any/x%EF%BC%9By",
        "/v1/any/x%EF%BC%9Fy",
        "/v1/any/x%C2%AD",
        "/v1/any/x%E2%80%8B",
        "/v1/any/x#/../y", // L5
        "/v1/any/x#",
        "/v1/any/x?a=b#c",
        "/v1/applications%0d%0aX-Evil:%201",
        "http://127.0.0.1/v1/applications", // PATH-09
    ];
    each_row(
        &targets,
        |target| (*target).to_owned(),
        |target| {
            gateway.send(&Request::get(target).bearer(&token)).assert_refused(400, "path");
            // The path is judged before the token is looked for.
            gateway.send(&Request::get(target)).assert_refused(400, "path");
        },
    );
    gateway.upstream().assert_untouched();
}

#[test]
fn an_unknown_path_is_404_with_and_without_token() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    // AUZ-21, PATH-11, LEAK-04
    for target in [
        "/nope",
        "/",
        "/V1/applications",
        "/v1/search.json",
        "/v1/applications/",
        "/metrics",
        "/admin",
        "/livez",
        "/readyz",
    ] {
        let (with, without) = (gateway.send(&Request::get(target).bearer(&token)), gateway.send(&Request::get(target)));
        with.assert_refused(404, "no_route");
        without.assert_refused(404, "no_route");
        let detail = |reply: &crate::harness::Reply| reply.json()["detail"].clone();
        assert_eq!(detail(&with), detail(&without), "{target}");
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn another_method_on_a_known_path_is_405_with_allow() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    // AUZ-22
    for (method, target, allow) in [
        ("GET", "/v1/applications.create", "POST"),
        ("DELETE", "/v1/applications.create", "POST"),
        ("foo", "/v1/applications.create", "POST"),
        ("POST", "/v1/search", "GET, HEAD"),
        ("PATCH", "/healthz", "GET, HEAD"),
    ] {
        for request in [Request::new(method, target), Request::new(method, target).bearer(&token)] {
            let reply = gateway.send(&request);
            reply.assert_refused(405, "method");
            assert_eq!(reply.header("allow"), Some(allow), "{method} {target}");
        }
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn a_request_without_a_usable_token_gets_a_bare_challenge() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let target = "/v1/applications";
    let cases = [
        ("nothing", Request::get(target)), // BEA-01
        ("Basic", Request::get(target).header("Authorization", &gateway.owner().basic())), // BEA-09
        ("another scheme", Request::get(target).header("Authorization", &format!("DPoP {token}"))),
        ("X-Authorization", Request::get(target).header("X-Authorization", &format!("Bearer {token}"))), // BEA-10
        ("Proxy-Authorization", Request::get(target).header("Proxy-Authorization", &format!("Bearer {token}"))),
        ("Authorization_", Request::get(target).header("Authorization_", &format!("Bearer {token}"))),
        ("a cookie", Request::get(target).header("Cookie", &format!("access_token={token}"))),
        ("HEAD", Request::new("HEAD", target)), // AUZ-23
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(name, request)| {
            let reply = gateway.send(request);
            if *name == "HEAD" {
                reply.assert_status(401);
                assert!(!reply.header("www-authenticate").unwrap().contains("error"));
            } else {
                reply.assert_refused(401, "missing_token");
            }
        },
    );
    let options = gateway.send(&Request::new("OPTIONS", "/v1/any/x"));
    options.assert_refused(401, "missing_token");
    gateway.upstream().assert_untouched();
}

#[test]
fn the_scheme_is_read_in_any_case() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    // BEA-02
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        gateway
            .send(&Request::get("/v1/applications").header("Authorization", &format!("{scheme} {token}")))
            .assert_status(200);
    }
}

#[test]
fn a_token_sent_in_two_ways_is_an_invalid_request() {
    let gateway = Gateway::start(|_| {});
    let (token, other) = (gateway.token("application"), gateway.token("application.read"));
    let header = |request: Request| request.bearer(&token);
    let in_query = format!("/v1/applications?access_token={token}");
    let form = Request::post("/v1/applications.create").form(&format!("access_token={token}"));
    let cases = [
        ("two headers, same token", header(header(Request::get("/v1/applications")))), // BEA-03
        ("two headers", header(Request::get("/v1/applications")).bearer(&other)),
        ("Bearer and Basic", header(Request::get("/v1/applications")).header("Authorization", "Basic eDp5")),
        ("header and query", header(Request::get(&in_query))), // BEA-08
        ("header and query, encoded name", header(Request::get(&format!("/v1/applications?access%5Ftoken={token}")))),
        (
            "header and query among others",
            header(Request::get(&format!("/v1/applications?a=b&access_token={token}&c=d"))),
        ),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, request)| {
            gateway.send(request).assert_refused(400, "invalid_request").assert_challenge("invalid_request");
        },
    );
    // BEA-06, BEA-07
    for request in [Request::get(&in_query), form] {
        let reply = gateway.send(&request);
        assert!(matches!(reply.status, 400 | 401), "{}", reply.summary());
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer "));
    }
    gateway.upstream().assert_untouched();
    assert!(!gateway.log().contains(&token), "a token stands in the log");
}

#[test]
fn an_authorization_that_is_no_single_token_is_refused() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    for value in [
        format!("Bearer{token}"),
        format!("Bearer\t{token}"),
        format!("Bearer: {token}"),
        format!("Bearer \"{token}\""),
        format!("Bearer token={token}"),
        format!("Bearer {token} x"),
        format!("Bearer {token}, Bearer {token}"),
        token.clone(),
        "Bearer".to_owned(),
        "Bearer x".to_owned(),
        "Bearer a.b.c".to_owned(),
        "Bearer ...".to_owned(),
    ] {
        let reply = gateway.send(&Request::get("/v1/applications").header("Authorization", &value));
        assert!(matches!(reply.status, 400 | 401), "{value:.20}: {}", reply.summary());
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer "), "{value:.20}");
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn an_invalid_token_is_named_so_and_no_more() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let other = Gateway::start(|_| {}).token("application");
    let flipped = if token.ends_with('A') { "B" } else { "A" };
    let parts: Vec<&str> = token.split('.').collect();
    let cases = [
        ("malformed", "abc".to_owned()),
        ("signature cut", token[..token.len() - 5].to_owned()),
        ("signature changed", format!("{}{flipped}{}", &token[..token.len() - 9], &token[token.len() - 8..])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("another issuer's key", other),
        ("over 8 KiB", format!("{}.{}.{}", parts[0], "A".repeat(9000), parts[2])),
    ];
    let bodies: Vec<_> = cases
        .iter()
        .map(|(name, token)| {
            let reply = gateway.send(&Request::get("/v1/applications").bearer(token));
            reply.assert_refused(401, "invalid_token");
            assert!(!reply.text().contains(token.as_str()), "{name}: the token is echoed");
            let mut body = reply.json();
            body.as_object_mut().unwrap().remove("request_id");
            (body, reply.header("www-authenticate").unwrap().to_owned())
        })
        .collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "the refusals differ: {bodies:#?}");
    gateway.upstream().assert_untouched();
}

#[test]
fn a_token_without_the_routes_scope_is_403() {
    let gateway = Gateway::start(|_| {});
    let (read, session) = (gateway.token("application.read"), gateway.session());
    // AUZ-01
    let reply = gateway.send(&Request::post("/v1/applications.create").bearer(&read).json("{}"));
    reply.assert_refused(403, "insufficient_scope");
    assert!(reply.header("www-authenticate").unwrap().contains("scope=\"application\""));
    gateway.send(&Request::get("/v1/applications").bearer(&session)).assert_refused(403, "insufficient_scope");
    let several = gateway.send(&Request::post("/v1/applications.submit").bearer(&read).json("{}"));
    several.assert_refused(403, "insufficient_scope");
    assert!(several.header("www-authenticate").unwrap().contains("scope=\"application application.session\""));
    gateway.upstream().assert_untouched();
}

#[test]
fn a_sufficient_scope_is_admitted() {
    let gateway = Gateway::start(|_| {});
    let create = Request::post("/v1/applications.create").json("{}");
    let read = Request::get("/v1/applications");
    for (scope, request) in [
        ("application", &create),
        ("application", &read), // implied
        ("application.read", &read),
        ("application.read application", &create),
    ] {
        gateway.send(&request.clone().bearer(&gateway.token(scope))).assert_status(200);
    }
}

#[test]
fn a_public_route_needs_no_token_and_ignores_one() {
    let gateway = Gateway::start(|_| {});
    gateway.send(&Request::get("/healthz")).assert_status(200);
    gateway.send(&Request::get("/healthz").bearer("rubbish")).assert_status(200);
    gateway.send(&Request::get("/healthz?access_token=x")).assert_status(200);
    gateway.send(&Request::new("HEAD", "/healthz")).assert_status(200);
}

#[test]
fn a_query_never_opens_a_route() {
    let gateway = Gateway::start(|_| {});
    // PATH-12
    for target in ["/v1/applications?x=/healthz", "/v1/applications?/healthz", "/v1/applications?x=../healthz"] {
        gateway.send(&Request::get(target)).assert_refused(401, "missing_token");
    }
}

#[test]
fn what_was_judged_is_what_is_forwarded() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    for target in [
        "/v1/any/x",
        "/v1/any/x?a=b&a=c&%41=%zz",
        "/v1/any/%C3%A9/%20",
        "/v1/any/%c3%a9/A%20B",
        "/v1/any/a+b!$&'()*,=:@~",
        "/v1/any/%5Ba%5D%7B%22%7C%5E%60%3C%3E%7D",
        "/v1/any/%F0%9F%91%A9%E2%80%8D%F0%9F%92%BB",
        "/v1/any/x?",
        "/v1/any/x?a=^`{|}[]\\'!$&()*+,;:@/?~",
        "/v1/any/",
    ] {
        gateway.upstream().forget();
        gateway.send(&Request::get(target).bearer(&token)).assert_status(200);
        assert_eq!(gateway.upstream().request().target, target);
    }
}

#[test]
fn a_report_only_route_lets_refusals_pass_and_says_so() {
    let gateway = Gateway::start(|config| {
        config.route("{match: GET /v1/watched, scope: application, enforce: report, id: watched}");
    });
    let reply = gateway.send(&Request::get("/v1/watched"));
    reply.assert_status(200);
    let request = gateway.upstream().request();
    assert_eq!(request.all("x-customer-id"), Vec::<&str>::new());
    crate::harness::await_that("the would-be refusal is counted", || {
        let labels =
            [("route", "watched"), ("decision", "refused"), ("reason", "missing_token"), ("enforced", "false")];
        gateway.metrics().value("scopegate_decisions_total", &labels) >= 1.0
    });
}

#[test]
fn authorisation_does_not_carry_over_on_a_connection() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let target = format!("/v1/applications/{APP}/x");
    // FRM-06
    let mut connection = gateway.connect();
    let pipelined = [Request::get(&target).bearer(&token).bytes("h"), Request::get(&target).bytes("h")].concat();
    connection.send(pipelined);
    connection.reply().assert_status(200);
    if let Ok(second) = connection.try_reply() {
        second.assert_refused(401, "missing_token");
    }
    assert_eq!(gateway.upstream().requests().len(), 1);
}
