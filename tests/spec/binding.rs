//! Section 4, step 5: a session token works on its own application only, wherever the request names it.

use crate::harness::{APP, Connection, Gateway, OTHER, Request, each_row, percent_encode_all};

/// The limit on a body that is read for its application ID.
const LIMIT: usize = 64 * 1024;

fn body(id: &str) -> String {
    format!(r#"{{"applicationId":"{id}"}}"#)
}

fn get(gateway: &Gateway, json: impl AsRef<[u8]>) -> Request {
    Request::post("/v1/applications.get").bearer(&gateway.session()).json(json)
}

/// A JSON body of exactly `length` bytes that names our application.
fn body_of(length: usize) -> Vec<u8> {
    let frame = format!(r#"{{"pad":"","applicationId":"{APP}"}}"#).len();
    format!(r#"{{"pad":"{}","applicationId":"{APP}"}}"#, "x".repeat(length - frame)).into_bytes()
}

#[test]
fn the_path_decides_for_a_session_token() {
    let gateway = Gateway::start(|_| {});
    let session = gateway.session();
    let get = |path: &str| gateway.send(&Request::get(path).bearer(&session));
    get(&format!("/v1/applications/{APP}/files")).assert_status(200); // AUZ-05
    get(&format!("/v1/applications/{OTHER}/files")).assert_refused(403, "application_mismatch"); // AUZ-06
    get(&format!("/v1/applications/{APP}x/files")).assert_refused(403, "application_mismatch");
    get(&format!("/v1/applications/{}/files", APP.to_uppercase())).assert_refused(403, "application_mismatch");
    get(&format!("/v1/applications/x/{APP}")).assert_refused(403, "application_mismatch");
    get(&format!("/v1/applications/{}/files", percent_encode_all(APP))).assert_refused(400, "path");
    assert_eq!(gateway.upstream().requests().len(), 1);
}

#[test]
fn the_query_decides_for_a_session_token() {
    let gateway = Gateway::start(|_| {});
    let session = gateway.session();
    let encoded = percent_encode_all(APP);
    let cases = [
        (format!("?applicationId={APP}"), 200, ""),
        (format!("?a=b&applicationId={APP}&c=d"), 200, ""),
        (format!("?applicationId={encoded}"), 200, ""), // decoded once
        (format!("?{}={APP}", percent_encode_all("applicationId")), 200, ""),
        (format!("?applicationId={OTHER}"), 403, "application_mismatch"),
        (format!("?applicationId={APP}+"), 403, "application_mismatch"),
        (format!("?applicationId={APP},{OTHER}"), 403, "application_mismatch"),
        (format!("?applicationId={}", percent_encode_all(&encoded)), 403, "application_mismatch"),
        ("?applicationId=".to_owned(), 403, "application_mismatch"),
        (String::new(), 403, "application_missing"), // AUZ-07
        ("?".to_owned(), 403, "application_missing"),
        (format!("?a=b?applicationId={APP}"), 403, "application_missing"),
        (format!("?y=1%26applicationId={APP}"), 403, "application_missing"),
        (format!("?application_id={APP}"), 403, "application_missing"),
        (format!("?applicationId={APP}&applicationId={OTHER}"), 400, "application_ambiguous"), // AUZ-09
        (format!("?applicationId={OTHER}&applicationId={APP}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&applicationId={APP}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&ApplicationId={OTHER}"), 400, "application_ambiguous"),
        (format!("?APPLICATIONID={APP}"), 400, "application_ambiguous"),
        (format!("?applicationId[]={OTHER}&applicationId={APP}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&applicationId%5B%5D={OTHER}"), 400, "application_ambiguous"),
        (format!("?a=b;applicationId={OTHER}&applicationId={APP}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&%61pplicationId={OTHER}"), 400, "application_ambiguous"),
        // What Rack, qs, PHP and their like read out of other names.
        (format!("?applicationId={APP}&[applicationId]={OTHER}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&%5BapplicationId%5D={OTHER}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&]applicationId={OTHER}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&.applicationId={OTHER}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&a[applicationId]={OTHER}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&__proto__[applicationId]={OTHER}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&applicationId%00x={OTHER}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&%20applicationId={OTHER}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&?applicationId={OTHER}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&applicationId:list={OTHER}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&%2561pplicationId={OTHER}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&%C1%A1pplicationId={OTHER}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&%EF%BD%81pplicationId={OTHER}"), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&appl%C4%B1cationId={OTHER}"), 400, "application_ambiguous"),
        (format!("?{}applicationId={APP}", "x&".repeat(1000)), 400, "application_ambiguous"),
        (format!("?applicationId={APP}&applicationIds={OTHER}&application_id={OTHER}&x=[applicationId]&&"), 200, ""),
    ];
    each_row(
        &cases,
        |case| format!("{} {} {}", case.0, case.1, case.2),
        |(query, status, code)| {
            gateway.upstream().forget();
            let reply = gateway.send(&Request::get(&format!("/v1/search{query}")).bearer(&session));
            if *status == 200 {
                reply.assert_status(200);
                assert_eq!(gateway.upstream().request().target, format!("/v1/search{query}"));
                return;
            }
            reply.assert_problem(*status, code);
            gateway.upstream().assert_untouched();
        },
    );
}

#[test]
fn a_header_decides_for_a_session_token() {
    let gateway = Gateway::start(|_| {});
    let session = gateway.session();
    let request = || Request::get("/v1/current").bearer(&session);
    let chosen = |request: Request, id: &str| request.header("X-Chosen-Application", id);
    gateway.send(&chosen(request(), APP)).assert_status(200);
    gateway.send(&chosen(request(), OTHER)).assert_refused(403, "application_mismatch");
    gateway.send(&request()).assert_refused(403, "application_missing");
    gateway.send(&chosen(chosen(request(), APP), OTHER)).assert_problem(400, "application_ambiguous");
    gateway.send(&chosen(chosen(request(), APP), APP)).assert_problem(400, "application_ambiguous");
}

#[test]
fn a_header_that_decides_stands_alone_and_arrives() {
    let gateway = Gateway::start(|_| {});
    let session = gateway.session();
    let ours = || Request::get("/v1/current").bearer(&session).header("X-Chosen-Application", APP);
    let lines = [
        format!("X_Chosen_Application: {OTHER}"),
        format!("X_Chosen_Application: {APP}"),
        format!("X.Chosen.Application: {OTHER}"),
        format!("x-chosen_application: {OTHER}"),
        format!("X-Chosen-Application-: {OTHER}"),
        format!("_X-Chosen-Application: {OTHER}"),
        format!("X--Chosen-Application: {OTHER}"),
        format!("X-Chosen-Application: {OTHER}"),
        "X_Chosen_Application:".to_owned(),
        "Connection: X-Chosen-Application".to_owned(),
        "Connection: close, x-chosen-application".to_owned(),
        "Connection: keep-alive,\"X-Chosen-Application\"".to_owned(),
        "Connection: x_chosen_application".to_owned(),
        "Connection: close\r\nConnection: X-Chosen-Application".to_owned(),
        "Proxy-Connection: X-Chosen-Application".to_owned(),
    ];
    each_row(
        &lines,
        |line| line.clone(),
        |line| {
            gateway.send(&ours().line(line)).assert_problem(400, "application_ambiguous");
            gateway.upstream().assert_untouched();
        },
    );
    let list = format!("{APP}, {OTHER}");
    let list = Request::get("/v1/current").bearer(&session).header("X-Chosen-Application", &list);
    gateway.send(&list).assert_problem(400, "application_ambiguous");
    let empty = Request::get("/v1/current").bearer(&session).header("X-Chosen-Application", "");
    gateway.send(&empty).assert_refused(403, "application_mismatch");
    gateway.upstream().assert_untouched();
    gateway.send(&ours().header("X-Chosen", OTHER).header("Connection", "close, X-Chosen")).assert_status(200);
    assert_eq!(gateway.upstream().request().header("x-chosen-application"), Some(APP));
}

#[test]
fn fields_that_say_how_a_judged_body_is_read_stand_alone_and_arrive() {
    let gateway = Gateway::start(|_| {});
    let lines = [
        "Content_Type: application/x-www-form-urlencoded",
        "Content.Type: application/json",
        "Content-Type-: text/plain",
        "Content_Encoding: gzip",
        "Content-Encoding_: identity",
        "Connection: Content-Type",
        "Connection: close, content_type",
        "Connection: Content-Encoding",
        "Connection: content-length",
    ];
    each_row(
        &lines,
        |line| (*line).to_owned(),
        |line| {
            gateway.send(&get(&gateway, body(APP)).line(line)).assert_problem(400, "application_ambiguous");
            gateway.upstream().assert_untouched();
        },
    );
    // What no decision hangs on passes.
    let token = gateway.token("application");
    let free = Request::post("/v1/applications.get").bearer(&token).json(body(OTHER)).line(lines[0]);
    gateway.send(&free).assert_status(200);
}

#[test]
fn a_form_beside_the_query_names_no_other_application() {
    let gateway = Gateway::start(|config| {
        config.route("{match: POST /v1/search, scope: application.session, application_id: {query: applicationId}}");
    });
    let session = gateway.session();
    let post = || Request::post(&format!("/v1/search?applicationId={APP}")).bearer(&session);
    let (ours, other) = (format!("applicationId={APP}"), format!("a=b&applicationId={OTHER}"));
    gateway.send(&post().form(&ours)).assert_status(200);
    assert_eq!(gateway.upstream().request().body, ours.as_bytes());
    gateway.upstream().forget();
    gateway.send(&post().form(&other)).assert_refused(403, "application_mismatch");
    // Rack reads a form where nothing is said of the body.
    gateway.send(&post().body(&other)).assert_refused(403, "application_mismatch");
    gateway.send(&post().form(&format!("[applicationId]={OTHER}"))).assert_problem(400, "application_ambiguous");
    let hidden =
        post().header("Content-Type", "text/plain").header("Content_Type", "application/x-www-form-urlencoded");
    gateway.send(&hidden.body(&other)).assert_refused(403, "application_mismatch");
    gateway
        .send(&post().header("Content-Type", "text/plain; charset=ibm037").body("x"))
        .assert_problem(400, "application_ambiguous");
    gateway.upstream().assert_untouched();
    gateway.send(&post().header("Content-Type", "application/octet-stream").body(&other)).assert_status(200);
}

#[test]
fn json_beside_the_query_names_no_other_application() {
    // Rails and Laravel lay the members of a JSON body over the parameters of the query.
    let gateway = Gateway::start(|config| {
        config.route("{match: POST /v1/search, scope: application.session, application_id: {query: applicationId}}");
    });
    let session = gateway.session();
    let post = || Request::post(&format!("/v1/search?applicationId={APP}")).bearer(&session);
    for body in [format!(r#"{{"applicationId":"{APP}"}}"#), r#"{"text":"a&access_token=b"}"#.to_owned()] {
        gateway.send(&post().json(&body)).assert_status(200);
        assert_eq!(gateway.upstream().request().body, body.as_bytes());
        gateway.upstream().forget();
    }
    let other = format!(r#"{{"applicationId":"{OTHER}"}}"#);
    gateway.send(&post().json(&other)).assert_refused(403, "application_mismatch");
    for (kind, body) in [
        ("application/json", format!(r#"{{"ApplicationId":"{OTHER}"}}"#)),
        ("application/json", format!(r#"{{"applicationId":["{OTHER}"]}}"#)),
        ("application/json", format!(r#"{{"applicationId":"{APP}","applicationId":"{OTHER}"}}"#)),
        ("text/x-json", other.clone()),
        ("application/json; charset=utf-16", other.clone()),
    ] {
        let refused = gateway.send(&post().header("Content-Type", kind).body(&body));
        refused.assert_problem(400, "application_ambiguous");
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn a_json_body_decides_for_a_session_token() {
    let gateway = Gateway::start(|_| {});
    let id = |text: &str| text.replace("APP", APP).replace("OTHER", OTHER);
    let cases = [
        ("ours", r#"{"applicationId":"APP"}"#, 200, ""),
        ("ours among others", r#" { "a" : [1,{"applicationId":"OTHER"}], "applicationId" : "APP" } "#, 200, ""),
        ("an escaped name", r#"{"\u0061pplicationId":"APP"}"#, 200, ""),
        ("half a surrogate pair elsewhere", r#"{"x":"\ud800","applicationId":"APP"}"#, 200, ""),
        ("half a pair in another name", r#"{"\udc00":1,"applicationId":"APP"}"#, 200, ""),
        ("a number out of range elsewhere", r#"{"x":[1e999,-0],"applicationId":"APP"}"#, 200, ""),
        ("other names twice", r#"{"x":1,"x":2,"applicationId":"APP"}"#, 200, ""),
        ("half a pair in the member", r#"{"applicationId":"APP\ud800"}"#, 400, "application_ambiguous"),
        (
            "half a pair in its name",
            r#"{"applicationId\ud800":"OTHER","applicationId":"APP"}"#,
            400,
            "application_ambiguous",
        ),
        ("the other", r#"{"applicationId":"OTHER"}"#, 403, "application_mismatch"),
        ("empty", r#"{"applicationId":""}"#, 403, "application_mismatch"),
        ("a leading space", r#"{"applicationId":" APP"}"#, 403, "application_mismatch"),
        ("a NUL behind", r#"{"applicationId":"APP\u0000"}"#, 403, "application_mismatch"),
        ("none", r#"{"x":1}"#, 403, "application_missing"),
        ("only nested", r#"{"a":{"applicationId":"APP"}}"#, 403, "application_missing"),
        ("snake case", r#"{"application_id":"APP"}"#, 403, "application_missing"),
        ("twice, ours first", r#"{"applicationId":"APP","applicationId":"OTHER"}"#, 400, "application_ambiguous"), // AUZ-11
        ("twice, ours last", r#"{"applicationId":"OTHER","applicationId":"APP"}"#, 400, "application_ambiguous"),
        ("twice the same", r#"{"applicationId":"APP","applicationId":"APP"}"#, 400, "application_ambiguous"),
        (
            "twice, once escaped",
            r#"{"applicationId":"APP","\u0061pplicationId":"OTHER"}"#,
            400,
            "application_ambiguous",
        ),
        ("another case beside", r#"{"ApplicationId":"OTHER","applicationId":"APP"}"#, 400, "application_ambiguous"), // AUZ-13
        ("another case alone", r#"{"applicationID":"APP"}"#, 400, "application_ambiguous"),
        ("a number", r#"{"applicationId":1}"#, 400, "application_ambiguous"), // AUZ-15
        ("null", r#"{"applicationId":null}"#, 400, "application_ambiguous"),
        ("an array", r#"{"applicationId":["APP"]}"#, 400, "application_ambiguous"),
        ("an array around", r#"[{"applicationId":"APP"}]"#, 400, "application_ambiguous"), // AUZ-14
        ("a string", r#""APP""#, 400, "application_ambiguous"),
        ("two documents", r#"{"applicationId":"APP"}{"applicationId":"OTHER"}"#, 400, "application_ambiguous"),
        ("a trailing comma", r#"{"applicationId":"APP",}"#, 400, "application_ambiguous"),
        ("a comment", r#"{"applicationId":"APP"/**/}"#, 400, "application_ambiguous"),
        ("NaN", r#"{"n":NaN,"applicationId":"APP"}"#, 400, "application_ambiguous"),
        ("truncated", r#"{"applicationId":"APP""#, 400, "application_ambiguous"),
        ("a byte order mark", "\u{feff}{\"applicationId\":\"APP\"}", 400, "application_ambiguous"),
    ];
    let session = gateway.session();
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, json, status, code)| {
            gateway.upstream().forget();
            let json = id(json);
            let reply = gateway.send(&Request::post("/v1/applications.get").bearer(&session).json(&json));
            if *status == 200 {
                reply.assert_status(200);
                assert_eq!(gateway.upstream().request().body, json.as_bytes());
                return;
            }
            reply.assert_problem(*status, code);
            gateway.upstream().assert_untouched();
        },
    );
}

#[test]
fn a_body_is_consulted_only_as_plain_json() {
    let gateway = Gateway::start(|_| {});
    let session = gateway.session();
    // AUZ-18
    let cases = [
        ("application/json", 200),
        ("application/json;charset=utf-8", 200),
        ("APPLICATION/JSON", 200),
        ("application/merge-patch+json", 200),
        ("text/plain", 400),
        ("text/json", 400),
        ("application/x-www-form-urlencoded", 400),
        ("multipart/form-data; boundary=x", 400),
        ("application/json, text/plain", 400),
        ("application/jsonx", 400),
        ("", 400),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(content_type, status)| {
            let request = Request::post("/v1/applications.get").bearer(&session).header("Content-Type", content_type);
            let reply = gateway.send(&request.body(body(APP)));
            let seen = if matches!(reply.status, 400 | 403) { 400 } else { reply.status };
            assert_eq!(seen, *status, "{}", reply.summary());
        },
    );
    let request = Request::post("/v1/applications.get").bearer(&session);
    let encoded = gateway.send(&request.clone().header("Content-Encoding", "gzip").json(body(APP)));
    encoded.assert_problem(400, "application_ambiguous");
    let two_types = request.clone().header("Content-Type", "text/plain").json(body(APP));
    assert!(matches!(gateway.send(&two_types).status, 400 | 403));
    let none = gateway.send(&request);
    assert!(matches!(none.status, 400 | 403), "{}", none.summary());
}

#[test]
fn all_places_that_a_route_names_must_agree() {
    let gateway = Gateway::start(|config| {
        config.route(
            "{match: \"POST /v1/bound/{application_id}/x\", scope: [application, application.session], \
             application_id: {path: application_id, query: applicationId, body: /applicationId}}",
        );
    });
    let session = gateway.session();
    let send = |path: &str, query: &str, json: &str| {
        let request = Request::post(&format!("/v1/bound/{path}/x{query}")).bearer(&session);
        gateway.send(&request.json(json))
    };
    let (ours, theirs) = (format!("?applicationId={APP}"), format!("?applicationId={OTHER}"));
    send(APP, &ours, &body(APP)).assert_status(200);
    send(APP, "", &body(APP)).assert_status(200);
    send(APP, &ours, "{}").assert_status(200);
    send(APP, "", "{}").assert_status(200);
    send(OTHER, &ours, &body(APP)).assert_refused(403, "application_mismatch");
    send(APP, &theirs, &body(APP)).assert_refused(403, "application_mismatch"); // AUZ-08
    send(APP, &ours, &body(OTHER)).assert_refused(403, "application_mismatch");
}

#[test]
fn a_body_of_64_kib_passes_and_one_byte_more_does_not() {
    let gateway = Gateway::start(|_| {});
    for (name, length, passes) in
        [("limit - 1", LIMIT - 1, true), ("limit", LIMIT, true), ("limit + 1", LIMIT + 1, false)]
    {
        let json = body_of(length);
        assert_eq!(json.len(), length);
        let sized = get(&gateway, &json);
        let halves = json.split_at(length / 2);
        let chunked = Request::post("/v1/applications.get")
            .bearer(&gateway.session())
            .header("Content-Type", "application/json")
            .chunked(&[halves.0, halves.1]);
        for request in [sized, chunked] {
            gateway.upstream().forget();
            let reply = gateway.send(&request);
            if passes {
                reply.assert_status(200);
                assert!(gateway.upstream().request().body == json, "{name}: other bytes arrived");
                continue;
            }
            reply.assert_refused(413, "body_too_large"); // AUZ-19
            gateway.upstream().assert_untouched();
        }
    }
}

#[test]
fn the_bytes_forwarded_are_the_bytes_checked() {
    let gateway = Gateway::start(|_| {});
    // AUZ-20: spacing, order and escapes stay as they were.
    let json = format!("{{\r\n\t\"b\" : 1.0e+2,\n \"\\u0061\": \"\\/é\", \"applicationId\":\"{APP}\"   }}\n");
    gateway.send(&get(&gateway, &json)).assert_status(200);
    assert_eq!(gateway.upstream().request().body, json.as_bytes());
    gateway.upstream().forget();
    let chunks: Vec<&[u8]> = json.as_bytes().chunks(7).collect();
    let request = Request::post("/v1/applications.get")
        .bearer(&gateway.session())
        .header("Content-Type", "application/json")
        .chunked(&chunks);
    gateway.send(&request).assert_status(200);
    assert_eq!(gateway.upstream().request().body, json.as_bytes());
}

#[test]
fn a_bound_request_body_that_arrives_slowly_is_awaited() {
    let gateway = Gateway::start(|_| {});
    let json = body(APP);
    let request = get(&gateway, &json);
    let mut connection = gateway.connect();
    connection.send_head(&request);
    for byte in json.as_bytes().chunks(9) {
        connection.send(byte);
        std::thread::yield_now();
    }
    connection.reply().assert_status(200);
    assert_eq!(gateway.upstream().request().body, json.as_bytes());
}

#[test]
fn an_unbound_token_streams_bodies_of_any_form_and_size() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let large = vec![b'x'; 300_000];
    for payload in [large.as_slice(), b"not json", b"{\"applicationId\":1}", b""] {
        gateway.upstream().forget();
        let request = Request::post("/v1/applications.get").bearer(&token).body(payload);
        gateway.send(&request).assert_status(200);
        assert!(gateway.upstream().request().body == payload);
    }
}

#[test]
fn a_refused_body_does_not_become_the_next_request() {
    let gateway = Gateway::start(|_| {});
    let inner = Request::get("/healthz").bytes("h");
    let request = Request::post("/v1/applications.get").bearer(&gateway.session()).json(&inner);
    let mut connection = Connection::open(gateway.public);
    connection.exchange(&request).assert_problem(400, "application_ambiguous");
    if let Ok(reply) = connection.try_exchange(&Request::get("/nope")) {
        reply.assert_refused(404, "no_route");
    }
    gateway.upstream().assert_untouched();
}
