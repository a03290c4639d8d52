//! Section 4, `cors`, as a browser has it: a page with a session token on one origin, the API on another.

use serde_json::{Value, json};

use crate::harness::{APP, Answer, Gateway, OTHER, PageServer, chromium_is_here};

/// A gateway whose routes `page` may use, and the script constants with a session token.
fn gateway(page: &PageServer) -> (Gateway, String) {
    let origin = page.origin();
    let gateway = Gateway::start(|config| {
        let places = "scope: application.session, application_id: {header: X-Chosen-Application, body: /applicationId}";
        let cors = format!("origins: [\"{origin}\"], headers: [authorization, content-type, x-chosen-application]");
        config.route(&format!("{{match: POST /v1/steps, {places}, cors: {{{cors}}}}}"));
        config.route(&format!("{{match: POST /v1/rare, {places}, rate: 1/1h, cors: {{{cors}}}}}"));
        config.route(&format!("{{match: POST /v1/cookies, {places}, cors: {{{cors}, credentials: true}}}}"));
        config.route(&format!("{{match: PUT /v1/steps, {places}, cors: {{{cors}}}}}"));
    });
    // What an upstream would let pages do counts for nothing.
    let theirs = "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: X-Secret\r\nX-Secret: s\r\n\
                  Content-Type: application/json\r\nSet-Cookie: a=b; SameSite=Lax\r\n";
    gateway.upstream().always(Answer::with(200, theirs, br#"{"done":true}"#));
    let constants = format!(
        "const AUTH = {{'Authorization': 'Bearer {}', 'Content-Type': 'application/json'}};
         const mine = JSON.stringify({{applicationId: '{APP}'}}), other = JSON.stringify({{applicationId: '{OTHER}'}});
         const post = (target, body, more = {{}}) => read(target, {{method: 'POST', headers: AUTH, body, ...more}});",
        gateway.session()
    );
    (gateway, constants)
}

/// Everything that pages try.
const TRIES: &str = "
    const said = {};
    said.good = await post('/v1/steps', mine);
    said.again = await post('/v1/steps', mine);
    said.forbidden = await post('/v1/steps', other);
    said.anonymous = await read('/v1/steps', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: mine});
    said.first = await post('/v1/rare', mine);
    said.limited = await post('/v1/rare', mine);
    said.put = await read('/v1/steps', {method: 'PUT', headers: AUTH, body: mine});
    said.cookies = await post('/v1/cookies', mine, {credentials: 'include'});
    said.uninvited = await post('/v1/steps', mine, {credentials: 'include'});
    said.header = await post('/v1/steps', mine, {headers: {...AUTH, 'X-Other': '1'}});
    said.silent = await post('/v1/applications.get', mine);
    said.token = await read('/v1/oauth2/token', {method: 'POST', body: new URLSearchParams({grant_type: 'client_credentials'})});
    await report(said);";

fn status_and_code(said: &Value) -> (u64, String) {
    let body: Value = serde_json::from_str(said["body"].as_str().unwrap_or_default()).unwrap_or_default();
    (said["status"].as_u64().unwrap_or_default(), body["code"].as_str().unwrap_or_default().to_owned())
}

/// The browser let the page see nothing of the reply.
#[track_caller]
fn assert_kept_from(said: &Value, what: &str) {
    assert_eq!(said[what], json!({"error": "TypeError"}), "{what}");
}

#[test]
fn a_listed_page_reads_replies_and_refusals_and_asks_once() {
    if !chromium_is_here() {
        return;
    }
    let server = PageServer::bind();
    let (gateway, constants) = gateway(&server);
    let said = server.open(&gateway.url(), &(constants + TRIES)).report();

    for what in ["good", "again", "first", "put", "cookies"] {
        assert_eq!(
            (said[what]["status"].as_u64(), &said[what]["body"]),
            (Some(200), &json!(r#"{"done":true}"#)),
            "{said:#}"
        );
        assert_eq!(said[what]["headers"]["x-secret"], Value::Null, "only what the gateway exposes");
    }
    assert_eq!(status_and_code(&said["forbidden"]), (403, "application_mismatch".to_owned()));
    assert_eq!(status_and_code(&said["anonymous"]), (401, "missing_token".to_owned()));
    assert_eq!(status_and_code(&said["limited"]), (429, "rate_limited".to_owned()));
    assert!(said["anonymous"]["headers"]["www-authenticate"].as_str().is_some_and(|text| text.starts_with("Bearer ")));
    assert!(
        said["limited"]["headers"]["retry-after"].is_string() && said["limited"]["headers"]["ratelimit"].is_string()
    );
    for what in ["uninvited", "header", "silent", "token"] {
        assert_kept_from(&said, what);
    }
    // One preflight for three requests, and one for the header that may not be sent. With credentials browsers ask anew.
    let asked = |route| gateway.metrics().value("scopegate_requests_total", &[("route", route), ("method", "OPTIONS")]);
    assert!((asked("POST /v1/rare") - 1.0).abs() < 0.1, "{}", asked("POST /v1/rare"));
    assert!(asked("POST /v1/steps") <= 3.0, "{}", asked("POST /v1/steps"));
    assert!(gateway.upstream().requests().iter().all(|request| request.method != "OPTIONS"));
}

#[test]
fn a_page_that_is_not_listed_reads_nothing_and_sends_nothing() {
    if !chromium_is_here() {
        return;
    }
    let (listed, other) = (PageServer::bind(), PageServer::bind());
    let (gateway, constants) = gateway(&listed);
    let said = other.open(&gateway.url(), &(constants + TRIES)).report();
    let tries = said.as_object().unwrap();
    assert_eq!(tries.len(), 12);
    for what in tries.keys() {
        assert_kept_from(&said, what);
    }
    // Each of them would have needed a preflight, and the answer said nothing.
    gateway.upstream().assert_untouched();
}
