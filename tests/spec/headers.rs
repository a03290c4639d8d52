//! Section 5: what the upstream sees.

use crate::harness::{APP, CUSTOMER, Gateway, Request, each_row};

const IDENTITY: [&str; 7] =
    ["X-Customer-Id", "X-Client-Id", "X-Scope", "X-Application-Id", "X-Token-Id", "X-Token-Issuer", "X-Request-Id"];

/// What of these names and their values has reached the upstream with the last request.
fn arrived(gateway: &Gateway, request: &Request) -> Vec<String> {
    gateway.upstream().forget();
    gateway.send(request).assert_status(200);
    let seen = gateway.upstream().request();
    let forged = |(name, value): (String, String)| value.contains("forged").then_some(name);
    seen.headers.into_iter().filter_map(forged).collect()
}

/// A request on each kind of route: public, with a token, one that hands the token on, and one that only reports.
fn everywhere(gateway: &Gateway) -> [Request; 4] {
    let token = gateway.token("application");
    [
        Request::get("/healthz"),
        Request::get("/v1/applications").bearer(&token),
        Request::get("/v1/forwarding").bearer(&token),
        Request::get("/v1/reporting"),
    ]
}

fn with_every_kind_of_route() -> Gateway {
    Gateway::start(|config| {
        config.route("{match: GET /v1/forwarding, scope: application, forward_token: true}");
        config.route("{match: GET /v1/reporting, scope: application, enforce: report}");
    })
}

#[test]
fn what_a_server_may_take_for_a_field_that_was_judged_never_arrives() {
    let gateway = with_every_kind_of_route();
    let names = [
        "authorization_",
        "_authorization",
        "Authorization-",
        "-Authorization",
        "Authorization.",
        "AUTHORIZATION__",
        "Host_",
        "_host",
        "Content_Type",
        "Content.Type",
        "content-type_",
        "Content_Encoding",
        "Content__Encoding",
        "Content.Length",
        "Transfer.Encoding",
        "_Connection",
        "Connection_",
        "Cookie_",
        "-Cookie",
        "Origin_",
        "Sec_WebSocket_Protocol",
        "Sec_Fetch_Site",
        "Access_Control_Request_Method",
        "X_Token_Issuer",
        "X--Customer-Id",
        "X~Customer~Id",
        "-X-Scope-",
        "x.client.id",
    ];
    for request in everywhere(&gateway) {
        let forged = names.iter().fold(request.clone(), |request, name| request.header(name, "forged"));
        assert_eq!(arrived(&gateway, &forged), Vec::<String>::new(), "{}", request.target);
    }
}

#[test]
fn who_asks_and_from_where_is_not_for_clients_to_say() {
    let gateway = with_every_kind_of_route();
    let names = [
        "Proxy",
        "X-Original-Host",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Rewrite-URI",
        "X-Envoy-External-Address",
        "X-Envoy-Original-Path",
        "True-Client-IP",
        "Remote-User",
        "X-Remote-User",
        "X-Auth-Request-User",
        "X-Auth-Request-Email",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Forwarded-Groups",
        "X-Real-IP",
        "Client-IP",
        "CF-Connecting-IP",
        "Fastly-Client-IP",
        "X-Cluster-Client-IP",
        "X-Client-IP",
        "X-Azure-ClientIP",
        "X-ARR-ClientCert",
        "X-MS-CLIENT-PRINCIPAL",
        "X-MS-CLIENT-PRINCIPAL-ID",
        "X-Goog-IAP-JWT-Assertion",
        "X-Goog-Authenticated-User-Email",
        "X-Amzn-Oidc-Data",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-SSL-Client-Verify",
        "SSL-Client-Cert",
        "SSL_CLIENT_S_DN",
        "X-Forwarded-Client-Cert",
        "Client-Cert",
        "X-WebAuth-User",
        "REMOTE_USER",
        "X_Real_IP",
        "Forwarded-For",
        "X-Forwarded",
        "X-Host",
        "X-Sendfile-Type",
        "WL-Proxy-Client-IP",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Ssl",
    ];
    for request in everywhere(&gateway) {
        let forged = names.iter().fold(request.clone(), |request, name| request.header(name, "forged"));
        assert_eq!(arrived(&gateway, &forged), Vec::<String>::new(), "{}", request.target);
    }
}

#[test]
fn a_connection_header_takes_away_nothing_that_was_judged() {
    let gateway = with_every_kind_of_route();
    let token = gateway.token("application");
    for nominated in ["Content-Type", "close, content-encoding", "Authorization", "Cookie", "Origin", "Content_Type"] {
        let request = Request::post("/v1/any/x").bearer(&token).json("{}").header("Connection", nominated);
        gateway.send(&request).assert_problem(400, "invalid_request");
        gateway.upstream().assert_untouched();
    }
    let request = Request::post("/v1/any/x").bearer(&token).json("{}").header("Connection", "keep-alive, X-Hop, TE");
    gateway.send(&request.header("X-Hop", "1")).assert_status(200);
    assert_eq!(gateway.upstream().request().header("content-type"), Some("application/json"));
}

#[test]
fn the_identity_of_the_principal_is_stated() {
    let gateway = Gateway::start(|_| {});
    let reply = gateway.send(&Request::get("/v1/applications").bearer(&gateway.token("application application.read")));
    reply.assert_status(200);
    let request = gateway.upstream().request();
    assert_eq!(request.header("x-customer-id"), Some(CUSTOMER));
    assert_eq!(request.header("x-client-id"), Some(gateway.owner().id.as_str()));
    let mut scopes: Vec<&str> = request.header("x-scope").unwrap().split(' ').collect();
    scopes.sort_unstable();
    assert_eq!(scopes, ["application", "application.read"]);
    assert!(request.header("x-token-id").is_some_and(|id| !id.is_empty()));
    assert!(request.header("x-request-id").is_some_and(|id| !id.is_empty()));
    assert_eq!(request.header("x-application-id"), None, "an unbound token names no application");
    assert_eq!(request.header("authorization"), None); // HDR-12
}

#[test]
fn a_bound_token_states_its_application() {
    let gateway = Gateway::start(|_| {});
    gateway.send(&Request::get(&format!("/v1/applications/{APP}/x")).bearer(&gateway.session())).assert_status(200);
    let request = gateway.upstream().request();
    assert_eq!(request.header("x-application-id"), Some(APP));
    assert_eq!(request.header("x-scope"), Some("application.session"));
}

#[test]
fn identity_that_a_client_claims_never_arrives() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let spell = |name: &str| -> Vec<String> {
        let mixed = name.replacen('-', "_", 1);
        vec![
            format!("{name}: evil"),
            format!("{}: evil", name.to_lowercase()),
            format!("{}: evil", name.to_uppercase()),
            format!("{}: evil", name.replace('-', "_")), // HDR-03
            format!("{mixed}: evil"),
            format!("{name}: evil\r\n{name}: evil2"), // HDR-02
            format!("{name}:"),
        ]
    };
    let lines: Vec<String> = IDENTITY.iter().flat_map(|name| spell(name)).collect();
    each_row(
        &lines,
        |line| line.clone(),
        |line| {
            // HDR-01, HDR-11: with a token and on a public route.
            for request in [Request::get("/v1/applications").bearer(&token), Request::get("/healthz")] {
                gateway.upstream().forget();
                let reply = gateway.send(&request.clone().line(line));
                if reply.status == 400 {
                    gateway.upstream().assert_untouched();
                    continue;
                }
                reply.assert_status(200);
                let seen = gateway.upstream().request();
                assert!(!String::from_utf8_lossy(&seen.head).contains("evil"), "{:?}", seen.headers);
                let folded = |name: &str| name.to_lowercase().replace('_', "-");
                let claimed = folded(line.split(':').next().unwrap());
                let copies = seen.headers.iter().filter(|(name, _)| folded(name) == claimed).count();
                assert!(copies <= 1, "{:?}", seen.headers);
            }
        },
    );
}

#[test]
fn nothing_that_a_connection_header_nominates_removes_our_identity() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    for nominated in
        IDENTITY.iter().copied().chain(["Authorization", "Host", "close, X-Customer-Id", "\"X-Customer-Id\""])
    {
        gateway.upstream().forget();
        // HDR-06
        let reply = gateway.send(&Request::get("/v1/applications").bearer(&token).header("Connection", nominated));
        if reply.status == 400 {
            gateway.upstream().assert_untouched();
            continue;
        }
        reply.assert_status(200);
        let request = gateway.upstream().request();
        assert_eq!(request.header("x-customer-id"), Some(CUSTOMER), "{nominated}");
        assert_eq!(request.header("x-client-id"), Some(gateway.owner().id.as_str()), "{nominated}");
        assert!(request.header("host").is_some(), "{nominated}");
    }
}

#[test]
fn a_public_route_states_no_identity() {
    let gateway = Gateway::start(|_| {});
    gateway.send(&Request::get("/healthz").bearer(&gateway.token("application"))).assert_status(200);
    let request = gateway.upstream().request();
    for name in ["x-customer-id", "x-client-id", "x-scope", "x-application-id", "x-token-id", "authorization"] {
        assert_eq!(request.header(name), None, "{name}");
    }
    assert!(request.header("x-request-id").is_some());
}

#[test]
fn a_route_can_forward_the_token() {
    let gateway = Gateway::start(|config| {
        config.route("{match: GET /v1/forwarding, scope: application, forward_token: true}");
    });
    let token = gateway.token("application");
    gateway.send(&Request::get("/v1/forwarding").bearer(&token)).assert_status(200);
    assert_eq!(gateway.upstream().request().header("authorization"), Some(format!("Bearer {token}").as_str()));
}

#[test]
fn hop_by_hop_headers_are_stripped() {
    let gateway = Gateway::start(|_| {});
    // HDR-13
    let request = Request::get("/v1/applications")
        .bearer(&gateway.token("application"))
        .header("Connection", "Upgrade, HTTP2-Settings, X-Hop")
        .header("Upgrade", "h2c")
        .header("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")
        .header("X-Hop", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Connection", "keep-alive")
        .header("Proxy-Authorization", "Basic eDp5")
        .header("TE", "trailers")
        .header("Trailer", "X-Customer-Id");
    gateway.send(&request).assert_status(200);
    let seen = gateway.upstream().request();
    for name in
        ["upgrade", "http2-settings", "x-hop", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer"]
    {
        assert_eq!(seen.all(name), Vec::<&str>::new(), "{name}");
    }
}

#[test]
fn forwarding_headers_are_ours() {
    let gateway = Gateway::start(|_| {});
    let plain = Request::get("/v1/applications").bearer(&gateway.token("application"));
    // HDR-08
    let request = plain
        .header("X-Forwarded-For", "6.6.6.6")
        .header("X-Forwarded-Proto", "gopher")
        .header("X-Forwarded-Host", "evil.example")
        .header("X_Forwarded_Proto", "gopher")
        .header("Forwarded", "for=6.6.6.6;host=evil.example")
        .host("gateway.example");
    gateway.send(&request).assert_status(200);
    let seen = gateway.upstream().request();
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("gateway.example"));
    let head = String::from_utf8_lossy(&seen.head).into_owned();
    for lie in ["6.6.6.6", "gopher", "evil.example"] {
        assert!(!head.contains(lie), "{head}");
    }
}

#[test]
fn no_context_header_changes_a_decision() {
    let gateway = Gateway::start(|_| {});
    for line in [
        "X-Original-URL: /healthz",
        "X-Rewrite-URL: /healthz",
        "X-Forwarded-Uri: /healthz",
        "X-HTTP-Method-Override: GET",
        "X-Forwarded-For: 127.0.0.1",
        "User-Agent: kube-probe/1.29",
        "X-Real-IP: 127.0.0.1",
    ] {
        gateway.send(&Request::get("/v1/applications").line(line)).assert_refused(401, "missing_token");
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn other_headers_arrive_as_sent() {
    let gateway = Gateway::start(|_| {});
    let request = Request::get("/v1/applications")
        .bearer(&gateway.token("application"))
        .header("X-Other", "one")
        .header("X-Other", "two")
        .header("Accept", "application/json")
        .header("Cookie", "a=b; c=d");
    gateway.send(&request).assert_status(200);
    let seen = gateway.upstream().request();
    assert_eq!(seen.all("x-other"), ["one", "two"]);
    assert_eq!(seen.header("accept"), Some("application/json"));
    assert_eq!(seen.header("cookie"), Some("a=b; c=d"));
}

#[test]
fn the_request_id_is_ours_and_the_same_everywhere() {
    let gateway = Gateway::start(|_| {});
    let reply = gateway.send(&Request::get("/healthz").header("X-Request-Id", "chosen-by-client"));
    let upstream = gateway.upstream().request().header("x-request-id").unwrap().to_owned();
    assert_ne!(upstream, "chosen-by-client");
    if let Some(told) = reply.header("x-request-id") {
        assert_eq!(told, upstream);
    }
    let line = gateway.access_line(&upstream);
    assert!(line.to_string().contains("/healthz"), "{line}");
}

#[test]
fn trailers_of_a_client_never_arrive() {
    let gateway = Gateway::start(|_| {});
    let request = Request::post("/v1/applications.create").bearer(&gateway.token("application")).chunked(&[b"{}"]);
    let head = request.head(&gateway.public.to_string());
    let mut connection = gateway.connect();
    connection.send(head).send(b"2\r\n{}\r\n0\r\nX-Customer-Id: evil\r\nAuthorization: Bearer x\r\n\r\n");
    let reply = connection.reply();
    assert!(matches!(reply.status, 200 | 400), "{}", reply.summary());
    assert!(!String::from_utf8_lossy(&gateway.upstream().raw()).contains("evil"));
}
