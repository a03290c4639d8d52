//! Section 5: the session token that the gateway puts into the reply which tells of a new application.

use serde_json::{Value, json};

use crate::{
    harness::{APP, Answer, CUSTOMER, Config, Framing, Gateway, OTHER, REDIRECT, Reply, Request, WORKFLOW, each_row},
    token_endpoint::claims,
};

pub const CREATE: &str = "/v1/applications.create";
/// As the documentation of the API has it: the reply names the application, the request all else.
pub const ROUTE: &str = "{match: POST /v1/applications.create, scope: application, session_token: {application_id: /id, \
     workflow_id: \"request:/workflowId\", redirect_url: \"request:/redirectUrl\", into: /sessionToken}}";
/// Everything stands in the reply, and the token goes below the top.
const NESTED: &str = "{match: \"* /v1/nested/**\", scope: application, session_token: {application_id: /data/id, \
     workflow_id: /data/workflow, redirect_url: /data/url, into: /data/tokens/session}}";
pub const JSON: &str = "Content-Type: application/json\r\n";
pub const MOST_REPLY: usize = 256 * 1024;

pub fn minting(config: &mut Config) {
    ROUTE.clone_into(&mut config.routes[0]);
    config.route(NESTED);
}

pub fn body() -> String {
    format!(r#" {{"workflowId" : "{WORKFLOW}", "countryCode":"SE","redirectUrl":"{REDIRECT}"}}"#)
}

/// What the API answers, in a spelling that no serializer would choose.
pub fn created() -> String {
    format!("{{\t\"id\" : \"{APP}\",\"n\":1.50,\"u\":\"\\u0061\\/\" }}\r\n")
}

/// An answer of so many bytes.
pub fn created_of(length: usize) -> String {
    let (start, end) = (format!("{{\"id\":\"{APP}\",\"pad\":\""), "\"}");
    format!("{start}{}{end}", "x".repeat(length - start.len() - end.len()))
}

pub fn create(token: &str) -> Request {
    Request::post(CREATE).bearer(token).json(body())
}

pub fn chunked(lines: &str, chunks: &[&[u8]]) -> Answer {
    let mut bytes = format!("HTTP/1.1 200 OK\r\n{lines}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in chunks {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    Answer::Bytes(bytes)
}

/// What the access log says of the one request that the upstream saw.
#[track_caller]
pub fn logged(gateway: &Gateway) -> Value {
    let id = gateway.upstream().request().header("x-request-id").unwrap().to_owned();
    gateway.access_line(&id)["minted"].clone()
}

/// The reply is `original` with one more member, first in the object; gives the token.
#[track_caller]
pub fn assert_minted(reply: &Reply, original: &str) -> String {
    let token = reply.json()["sessionToken"].as_str().unwrap_or_else(|| panic!("none: {}", reply.summary())).to_owned();
    let member = format!("\"sessionToken\":\"{token}\",");
    assert_eq!(reply.text().replacen(&member, "", 1), original, "{}", reply.summary());
    assert_eq!(reply.text().find(&member), Some(original.find('{').unwrap() + 1), "{}", reply.summary());
    reply.assert_no_store();
    assert_eq!((reply.framing, reply.header("content-length")), (Framing::Chunked, None));
    token
}

#[test]
fn a_created_application_comes_with_a_token_that_works_on_it_alone() {
    let gateway = Gateway::start(minting);
    gateway.upstream().once(Answer::with(201, "Content-Type: application/json\r\nX-Kept: 1\r\n", created().as_bytes()));
    let reply = gateway.send(&create(&gateway.token("application")));
    reply.assert_status(201);
    assert_eq!(reply.header("x-kept"), Some("1"));
    let token = assert_minted(&reply, &created());

    let claims = claims(&token);
    for (name, value) in [
        ("scope", "application.session"),
        ("application_id", APP),
        ("workflow_id", WORKFLOW),
        ("redirect_url", REDIRECT),
        ("client_id", gateway.owner().id.as_str()),
        ("sub", gateway.owner().id.as_str()),
        ("customer_id", CUSTOMER),
        ("iss", gateway.url().as_str()),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);

    assert_eq!(logged(&gateway), "minted");
    let get = |application: &str| {
        let named = json!({"applicationId": application}).to_string();
        gateway.send(&Request::post("/v1/applications.get").bearer(&token).json(named))
    };
    get(APP).assert_status(200);
    get(OTHER).assert_refused(403, "application_mismatch");
    gateway.send(&create(&token)).assert_refused(403, "insufficient_scope");
    assert!(!gateway.log().contains(&token), "a token reached the log");
    let metrics = gateway.metrics();
    assert!(!metrics.0.contains(&token));
    let minted = [("route", "POST /v1/applications.create"), ("result", "minted")];
    assert!((metrics.value("scopegate_session_tokens_minted_total", &minted) - 1.0).abs() < 0.1);
    let issued = [("scope", "application.session")];
    assert!((metrics.value("scopegate_tokens_issued_total", &issued) - 1.0).abs() < 0.1);
}

#[test]
fn however_a_reply_arrives_the_token_is_put_in() {
    let gateway = Gateway::start(minting);
    let token = gateway.token("application");
    let text = created();
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    let padded = created_of(MOST_REPLY);
    let closing = format!("HTTP/1.1 200 OK\r\n{JSON}\r\n{text}");
    let interim = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n{JSON}Content-Length: {}\r\n\r\n{text}",
        text.len()
    );
    let rows: [(&str, Answer, &str); 9] = [
        ("with a length", Answer::with(200, JSON, text.as_bytes()), &text),
        ("in one chunk", chunked(JSON, &[text.as_bytes()]), &text),
        ("in many chunks", chunked(JSON, &bytes), &text),
        ("until the connection ends", Answer::ThenClose(closing.into_bytes()), &text),
        ("after an interim reply", Answer::Bytes(interim.into_bytes()), &text),
        ("as long as may be", Answer::with(200, JSON, padded.as_bytes()), &padded),
        ("as long as may be, chunked", chunked(JSON, &[padded.as_bytes()]), &padded),
        (
            "of another JSON type",
            Answer::with(200, "Content-Type: application/hal+json; charset=utf-8\r\n", text.as_bytes()),
            &text,
        ),
        (
            "marked as cacheable",
            Answer::with(
                200,
                "Content-Type: application/json\r\nCache-Control: public, max-age=9\r\n",
                text.as_bytes(),
            ),
            &text,
        ),
    ];
    // One connection for all of them: whatever was counted wrongly would show in the next reply.
    let connection = std::cell::RefCell::new(gateway.connect());
    each_row(
        &rows,
        |row| row.0.to_owned(),
        |(_, answer, original)| {
            gateway.upstream().forget();
            gateway.upstream().once(answer.clone());
            let reply = connection.borrow_mut().exchange(&create(&token));
            assert_minted(&reply, original);
            assert_eq!(logged(&gateway), "minted");
        },
    );
}

#[test]
fn a_second_try_reads_the_request_once() {
    let route = ROUTE.replace("POST /v1/applications.create", "PUT /v1/applications.put");
    let gateway = Gateway::start(|config| {
        config.route(&route);
    });
    let token = gateway.token("application");
    gateway.send(&Request::get("/v1/any/x").bearer(&token)).assert_status(200);
    gateway.upstream().once(Answer::CloseIfReused);
    gateway.upstream().once(Answer::with(200, JSON, created().as_bytes()));
    let reply = gateway.send(&Request::new("PUT", "/v1/applications.put").bearer(&token).json(body()));
    assert_eq!(gateway.upstream().requests().len(), 3, "one was tried again");
    assert_minted(&reply, &created());
}

#[test]
fn the_token_goes_where_the_route_says() {
    let gateway = Gateway::start(minting);
    let token = gateway.token("application");
    let data = format!("\"id\":\"{APP}\",\"workflow\":\"{WORKFLOW}\",\"url\":\"{REDIRECT}\"");
    let rows = [
        (
            format!("{{\"data\":{{{data},\"tokens\":{{}}}}}}"),
            format!("{{\"data\":{{{data},\"tokens\":{{\"session\":\"TOKEN\"}}}}}}"),
        ),
        (
            format!("{{\"data\":{{\"tokens\":{{\"session\":null,\"a\":0}},{data}}}}}"),
            format!("{{\"data\":{{\"tokens\":{{\"session\":\"TOKEN\",\"a\":0}},{data}}}}}"),
        ),
        (
            format!("{{\"data\":{{\"tokens\":{{\"session\" : {{\"old\":[1]}} }},{data}}}}}"),
            format!("{{\"data\":{{\"tokens\":{{\"session\" : \"TOKEN\" }},{data}}}}}"),
        ),
    ];
    for (answer, expected) in rows {
        gateway.upstream().once(Answer::json(&answer));
        let reply = gateway.send(&Request::get("/v1/nested/x").bearer(&token));
        let session = reply.json()["data"]["tokens"]["session"].as_str().unwrap().to_owned();
        assert_eq!(claims(&session)["application_id"], APP);
        assert_eq!(reply.text().replace(&session, "TOKEN"), expected);
    }
    for answer in [format!("{{\"data\":{{{data}}}}}"), format!("{{\"data\":{{{data},\"tokens\":[]}}}}")] {
        gateway.upstream().forget();
        gateway.upstream().once(Answer::json(&answer));
        assert_eq!(gateway.send(&Request::get("/v1/nested/x").bearer(&token)).text(), answer);
        assert_eq!(logged(&gateway), "no_place");
    }
}

#[test]
fn only_a_minting_route_asks_for_replies_that_are_not_compressed() {
    let gateway = Gateway::start(minting);
    let token = gateway.token("application");
    gateway.send(&create(&token).header("Accept-Encoding", "gzip, br"));
    assert_eq!(gateway.upstream().request().header("accept-encoding"), Some("identity"));
    gateway.upstream().forget();
    let reply = gateway.send(&Request::get("/v1/applications").bearer(&token).header("Accept-Encoding", "gzip, br"));
    assert_eq!((reply.framing, reply.header("cache-control")), (Framing::Length, None));
    assert_eq!(gateway.upstream().request().header("accept-encoding"), Some("gzip, br"));
    assert_eq!(logged(&gateway), Value::Null);
}
