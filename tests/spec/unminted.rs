//! Section 5: replies on a minting route that take no token, and pass as they are.

use serde_json::json;

use crate::{
    harness::{APP, Answer, Broken, Framing, Gateway, OTHER, REDIRECT, Request, WORKFLOW, each_row},
    mint::{
        CREATE, JSON, MOST_REPLY, ROUTE, assert_minted, body, chunked, create, created, created_of, logged, minting,
    },
};

const MOST_REQUEST: usize = 64 * 1024;

#[test]
fn a_reply_that_takes_no_token_passes_byte_for_byte() {
    let gateway = Gateway::start(minting);
    let token = gateway.token("application");
    let text = created();
    let with =
        |status, lines: &str, body: &str| (Answer::with(status, lines, body.as_bytes()), body.as_bytes().to_vec());
    let long = created_of(MOST_REPLY + 1);
    let parts: Vec<&[u8]> = long.as_bytes().chunks(1000).collect();
    let json_with = |line: &str| format!("{JSON}{line}\r\n");
    let rows: Vec<(&str, (Answer, Vec<u8>), &str)> = vec![
        ("a client error", with(404, JSON, &text), "not_successful"),
        ("a server error", with(500, JSON, &text), "not_successful"),
        ("a redirection", with(302, JSON, &text), "not_successful"),
        ("a part", with(206, &json_with("Content-Range: bytes 0-9/10"), &text), "not_successful"),
        ("no content", (Answer::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()), Vec::new()), "no_content"),
        ("an empty body", with(200, JSON, ""), "no_content"),
        ("an empty chunked body", (chunked(JSON, &[]), Vec::new()), "ambiguous"),
        ("text", with(200, "Content-Type: text/plain\r\n", &text), "not_json"),
        ("no type", with(200, "", &text), "not_json"),
        ("two types", with(200, &json_with("Content-Type: text/plain"), &text), "not_json"),
        ("compressed", with(200, &json_with("Content-Encoding: gzip"), &text), "encoded"),
        ("a digest", with(200, &json_with("Content-Digest: sha-256=:AA==:"), &text), "digested"),
        ("an old digest", with(200, &json_with("Digest: sha-256=AA=="), &text), "digested"),
        ("too long by its length", with(200, JSON, &long), "too_large"),
        ("too long in the end", (chunked(JSON, &parts), long.as_bytes().to_vec()), "too_large"),
        ("no JSON", with(200, JSON, "{'id':1}"), "ambiguous"),
        ("half of it", with(200, JSON, "{\"id\":\"x\""), "ambiguous"),
        ("a list", with(200, JSON, &format!("[{text}]")), "ambiguous"),
        ("two documents", with(200, JSON, &format!("{text}{text}")), "ambiguous"),
        ("two IDs", with(200, JSON, &format!("{{\"id\":\"{APP}\",\"id\":\"{OTHER}\"}}")), "ambiguous"),
        ("an ID like it", with(200, JSON, &format!("{{\"id\":\"{APP}\",\"ID\":\"{OTHER}\"}}")), "ambiguous"),
        ("a number", with(200, JSON, "{\"id\":7}"), "ambiguous"),
        (
            "two places",
            with(200, JSON, &format!("{{\"id\":\"{APP}\",\"sessionToken\":1,\"\\u0073essionToken\":2}}")),
            "ambiguous",
        ),
        ("a place like it", with(200, JSON, &format!("{{\"id\":\"{APP}\",\"sessiontoken\":1}}")), "ambiguous"),
        ("a byte order mark", with(200, JSON, &format!("\u{feff}{text}")), "ambiguous"),
        ("no ID", with(200, JSON, "{\"name\":\"x\"}"), "application_missing"),
        ("an ID with a space", with(200, JSON, "{\"id\":\"a b\"}"), "application_refused"),
        ("an empty ID", with(200, JSON, "{\"id\":\"\"}"), "application_refused"),
    ];
    let connection = std::cell::RefCell::new(gateway.connect());
    each_row(
        &rows,
        |row| row.0.to_owned(),
        |(_, (answer, original), result)| {
            gateway.upstream().forget();
            gateway.upstream().once(answer.clone());
            let reply = connection.borrow_mut().exchange(&create(&token));
            assert!(reply.body == *original, "{}", reply.summary());
            assert_eq!(logged(&gateway), *result);
        },
    );
    let issued = gateway.metrics().value("scopegate_tokens_issued_total", &[("scope", "application.session")]);
    assert!(issued.abs() < 0.1, "{issued}");
}

#[test]
fn a_reply_that_breaks_off_reaches_the_client_as_a_broken_transfer() {
    let gateway = Gateway::start(minting);
    let token = gateway.token("application");
    let text = created();
    let short = format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: {}\r\n\r\n{text}", text.len() + 1);
    let unfinished =
        format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n", text.len());
    for bytes in [short, unfinished] {
        gateway.upstream().forget();
        gateway.upstream().once(Answer::ThenClose(bytes.into_bytes()));
        let broken = gateway.connect().try_exchange(&create(&token)).unwrap_err();
        assert!(matches!(broken, Broken::CutShort(Some(200), _)), "{broken:?}");
        assert_eq!(logged(&gateway), "broken_off");
    }
}

#[test]
fn the_request_reaches_the_upstream_as_it_was_sent() {
    let gateway = Gateway::start(minting);
    let token = gateway.token("application");
    let text = body();
    let padded = |length: usize| format!("{}{}", body(), " ".repeat(length - body().len()));
    let (most, more) = (padded(MOST_REQUEST), padded(MOST_REQUEST + 1));
    let post = || Request::post(CREATE).bearer(&token);
    let member =
        |name: &str, value: &str| json!({"workflowId": WORKFLOW, "redirectUrl": REDIRECT, name: value}).to_string();
    let without = |name: &str| member(name, "").replace(&format!("\"{name}\":"), "\"x\":");
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    let parts: Vec<&[u8]> = more.as_bytes().chunks(1000).collect();
    let rows: Vec<(&str, Request, String, &str)> = vec![
        ("with a length", post().json(&text), text.clone(), "minted"),
        ("in chunks", post().header("Content-Type", "application/json").chunked(&bytes), text.clone(), "minted"),
        ("as long as may be", post().json(&most), most.clone(), "minted"),
        ("too long by its length", post().json(&more), more.clone(), "request_too_large"),
        (
            "too long in the end",
            post().header("Content-Type", "application/json").chunked(&parts),
            more.clone(),
            "request_too_large",
        ),
        ("no type", post().body(&text), text.clone(), "request_ambiguous"),
        ("a form", post().form(&text), text.clone(), "request_ambiguous"),
        ("compressed", post().header("Content-Encoding", "gzip").json(&text), text.clone(), "request_ambiguous"),
        ("nothing", post().json(""), String::new(), "request_ambiguous"),
        (
            "two readings",
            post().json(text.replace("countryCode", "WorkflowId")),
            text.replace("countryCode", "WorkflowId"),
            "request_ambiguous",
        ),
        ("no workflow", post().json(without("workflowId")), without("workflowId"), "workflow_missing"),
        (
            "a workflow with a space",
            post().json(member("workflowId", "a b")),
            member("workflowId", "a b"),
            "workflow_refused",
        ),
        ("no redirect", post().json(without("redirectUrl")), without("redirectUrl"), "redirect_missing"),
        (
            "a bad redirect",
            post().json(member("redirectUrl", "http://a.example/")),
            member("redirectUrl", "http://a.example/"),
            "redirect_refused",
        ),
    ];
    each_row(
        &rows,
        |row| row.0.to_owned(),
        |(_, request, sent, result)| {
            gateway.upstream().forget();
            gateway.upstream().once(Answer::with(200, JSON, created().as_bytes()));
            let reply = gateway.send(request);
            assert_eq!(gateway.upstream().request().body, sent.as_bytes());
            assert_eq!(logged(&gateway), *result);
            if *result == "minted" {
                assert_minted(&reply, &created());
            } else {
                assert_eq!(reply.text(), created());
            }
        },
    );
}

#[test]
fn a_reply_before_the_end_of_the_request_takes_no_token() {
    let gateway = Gateway::start(minting);
    let early = format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: {}\r\n\r\n{}", created().len(), created());
    gateway.upstream().once(Answer::Early(early.into_bytes()));
    let mut connection = gateway.connect();
    connection.send_head(&create(&gateway.token("application"))).send(&body().as_bytes()[..40]);
    assert_eq!(connection.reply().text(), created());
    connection.send(&body().as_bytes()[40..]);
    assert_eq!(logged(&gateway), "request_unfinished");
}

#[test]
fn clients_that_cannot_take_a_body_of_unknown_length_get_it_as_it_is() {
    let gateway = Gateway::start(minting);
    let token = gateway.token("application");
    gateway.upstream().once(Answer::Bytes(format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: 99\r\n\r\n").into_bytes()));
    let mut connection = gateway.connect();
    let head = connection.exchange(&Request::new("HEAD", "/v1/nested/x").bearer(&token));
    assert_eq!((head.status, head.header("content-length")), (200, Some("99")));
    assert_eq!(logged(&gateway), "no_content");

    gateway.upstream().forget();
    gateway.upstream().once(Answer::with(200, JSON, created().as_bytes()));
    let request = create(&token).bytes(&gateway.public.to_string());
    let request = String::from_utf8(request).unwrap().replacen("HTTP/1.1", "HTTP/1.0", 1);
    let reply = gateway.connect().send(request).reply();
    assert_eq!((reply.framing, reply.text()), (Framing::Length, created()));
    assert_eq!(logged(&gateway), "old_protocol");
}

#[test]
fn without_a_caller_there_is_no_token() {
    let route = ROUTE.replace("scope: application,", "scope: application, enforce: report,");
    let gateway = Gateway::start(|config| config.routes[0].clone_from(&route));
    gateway.upstream().once(Answer::with(200, JSON, created().as_bytes()));
    let reply = gateway.send(&Request::post(CREATE).json(body()));
    assert_eq!((reply.framing, reply.text()), (Framing::Length, created()));
    assert_eq!(logged(&gateway), "no_caller");
    gateway.upstream().once(Answer::with(200, JSON, created().as_bytes()));
    assert_minted(&gateway.send(&create(&gateway.token("application"))), &created());
}

#[test]
fn a_client_with_listed_redirect_urls_gets_tokens_for_those_alone() {
    let gateway = Gateway::start(minting);
    for (listed, result) in [(REDIRECT, "minted"), ("https://other.example.com/", "redirect_refused")] {
        // Its scopes need not hold `application.session`: that callers get a session is what the route says.
        let client = gateway.client_with("application", &["--redirect-url", listed]);
        let token = gateway.issue(&client, "scope=application");
        gateway.upstream().forget();
        gateway.upstream().once(Answer::with(200, JSON, created().as_bytes()));
        gateway.send(&create(&token)).assert_status(200);
        assert_eq!(logged(&gateway), result, "{listed}");
    }
}

#[test]
fn who_was_let_in_for_one_application_gets_no_token_for_another() {
    let gateway = Gateway::start(|config| {
        config.route(
            "{match: POST /v1/again, scope: application.session, application_id: {body: /applicationId}, session_token: \
             {application_id: /id, workflow_id: /w, redirect_url: /u, into: /t}}",
        );
    });
    let session = gateway.session();
    let request = Request::post("/v1/again").bearer(&session).json(json!({"applicationId": APP}).to_string());
    for (application, result) in [(APP, "minted"), (OTHER, "application_refused")] {
        let answer = json!({"id": application, "w": WORKFLOW, "u": REDIRECT}).to_string();
        gateway.upstream().forget();
        gateway.upstream().once(Answer::json(&answer));
        let reply = gateway.send(&request);
        assert_eq!(reply.json().get("t").is_some(), result == "minted", "{}", reply.summary());
        assert_eq!(logged(&gateway), result);
    }
}
