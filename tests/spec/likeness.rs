//! Section 4: where a pattern means a path, no spelling of it passes by a more specific route (deny by likeness).

use crate::harness::{
    APP, Gateway, Request, each_row,
    http2::{Answered, END_HEADERS, END_STREAM, Frames, HEADERS, Http2Client},
};

const ROOT: &str = include_str!("../../gateway.yaml");
const DEPLOYED: &str = include_str!("../../deploy/gateway.yaml");

/// The routes of a file that is shipped.
fn routes(text: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| *line != "routes:").skip(1);
    let routes: Vec<String> = lines.map_while(|line| line.strip_prefix("  - ")).map(ToOwned::to_owned).collect();
    assert!(routes.len() >= 5, "{routes:?}");
    routes
}

/// What a server that folds may read as `name`, beginning with the plain ways and ending with the strange ones.
fn spellings(name: &str) -> Vec<String> {
    let mut spellings = vec![name.to_uppercase(), format!("{}{}", name[..1].to_uppercase(), &name[1..])];
    for (at, letter) in name.char_indices() {
        let with = |other: &str| format!("{}{other}{}", &name[..at], &name[at + letter.len_utf8()..]);
        let full_width = char::from_u32(u32::from(letter) - 0x21 + 0xff01).unwrap();
        let mut bytes = [0; 4];
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        spellings.extend([
            with(&letter.to_uppercase().to_string()),
            with(&encode(letter.encode_utf8(&mut bytes))),
            with(&encode(full_width.encode_utf8(&mut bytes))).to_lowercase(),
            with(&format!("{letter}{}", encode("\u{200d}"))),
            with(&format!("{letter}{}", encode("\u{ad}"))),
            with(&format!("{letter}{}", encode("\u{301}"))),
        ]);
    }
    let tails = [
        "/",
        ".",
        "..",
        "%20",
        "%20.",
        "/.",
        "/%20",
        "//",
        "+",
        "%2F",
        "%5C",
        "%2e",
        ";",
        ";x=1",
        "?",
        "%3F",
        "%23",
        "#",
        "%00",
        "::$DATA",
        ":$I30:$INDEX_ALLOCATION",
        "/./",
        "/x/..",
        "%C2%A0",
        "%E3%80%80",
        "%EF%BC%8F",
        "%E2%80%8B",
        "%09",
        "%0a",
    ];
    spellings.extend(tails.map(|tail| format!("{name}{tail}")));
    spellings.extend(tails.map(|tail| format!("{}{tail}", name.to_uppercase())));
    spellings
}

#[test]
fn no_spelling_of_create_passes_the_shipped_files_with_a_session_token() {
    for file in [ROOT, DEPLOYED] {
        let gateway = Gateway::start(|config| {
            config.routes = routes(file);
            config.plain("h2c: true");
        });
        let session = gateway.session();
        let body = format!("{{\"applicationId\":\"{APP}\",\"workflowId\":\"w\"}}");
        let post = |target: &str| Request::post(target).bearer(&session).json(&body);
        // `?` alone is the route itself, which a session token does not open.
        each_row(
            &spellings("applications.create"),
            |name| name.clone(),
            |name| {
                let target = format!("/v1/{name}");
                let reply = gateway.send(&post(&target));
                assert!(matches!(reply.status, 400 | 403 | 404), "{}", reply.summary());
            },
        );
        gateway.upstream().assert_untouched();
        let client = Http2Client::open(gateway.public);
        let authorization = format!("Bearer {session}");
        let fields = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        for name in spellings("applications.create") {
            let target = format!("/v1/{name}");
            if !target.contains('#') {
                let reply = client.post(&target, &fields, body.as_bytes());
                assert!(matches!(reply.status, 400 | 403 | 404), "{target}: {}", reply.status);
            }
        }
        gateway.upstream().assert_untouched();
        // The same token does what it is for, and a token that may create creates.
        gateway.send(&post("/v1/applications.submit")).assert_status(200);
        gateway.send(&post("/v1/applications.submitAll")).assert_status(200);
        let full = gateway.token("application");
        gateway.send(&Request::post("/v1/applications.create").bearer(&full).json(&body)).assert_status(200);
    }
}

/// Public wildcards beside what asks for a token, below one prefix.
const WILDCARDS: [&str; 9] = [
    "{match: \"* /v1/pub/**\", public: true}",
    "{match: GET /v1/prot, scope: application}",
    "{match: GET /v1/pub/prot, scope: application}",
    "{match: \"* /v1/pub/Admin/**\", scope: application}",
    "{match: \"GET /v1/users/{id}\", public: true}",
    "{match: GET /v1/users/me, scope: application}",
    "{match: \"POST /v1/things.*\", public: true}",
    "{match: \"POST /v1/things:delete\", scope: application}",
    "{match: \"* /**\", public: true}",
];

#[test]
fn another_spelling_of_a_more_specific_route_is_refused_on_both_versions() {
    let gateway = Gateway::start(|config| {
        config.routes = WILDCARDS.map(ToOwned::to_owned).to_vec();
        config.plain("h2c: true");
    });
    let targets = [
        ("GET", "/v1/PROT"),
        ("HEAD", "/v1/Prot"),
        ("get", "/v1/prot"),
        ("GET", "/V1/prot"),
        ("GET", "/v1/prot/"),
        ("GET", "/v1/prot."),
        ("GET", "/v1/prot%20"),
        ("GET", "/v1/pro%ef%bd%94"),
        ("GET", "/v1/p%E2%80%8Drot"),
        ("GET", "/v1/prot::$DATA"),
        ("GET", "/v1/pub/PROT"),
        ("GET", "/v1/pub/prot/%20"),
        ("PUT", "/v1/pub/ADMIN/x"),
        ("PUT", "/v1/pub/admin"),
        ("PUT", "/v1/pub/Admin"),
        ("PUT", "/v1/PUB/admin/x/y"),
        ("GET", "/v1/users/ME"),
        ("GET", "/v1/users/me/"),
        ("GET", "/v1/USERS/me"),
        ("GET", "/v1/users/m%C3%A9"),
        ("POST", "/v1/Things:Delete"),
        ("post", "/v1/things:delete"),
        ("POST", "/v1/things%EF%BC%9Adelete"),
        ("POST", "/v1/OAuth2/Token"),
        ("POST", "/v1/oauth2/token/"),
        ("PUT", "/OAUTH2/TOKEN"),
        ("GET", "/.Well-Known/jwks.json"),
    ];
    each_row(
        &targets,
        |(method, target)| format!("{method} {target}"),
        |(method, target)| {
            let reply = gateway.send(&Request::new(method, target));
            if *method == "HEAD" {
                reply.assert_status(400)
            } else {
                reply.assert_refused(400, "path")
            };
        },
    );
    let client = Http2Client::open(gateway.public);
    for (method, target) in targets {
        let reply = client.send(Http2Client::request(method, target, &[]), None).unwrap();
        assert_eq!(reply.status, 400, "{method} {target}");
    }
    gateway.upstream().assert_untouched();
    for (method, target) in [
        ("GET", "/v1/pub/x"),
        ("GET", "/v1/pub/A%20b/C%C3%A9"),
        ("PUT", "/v1/PROT"),
        ("GET", "/v1/users/Bob"),
        ("GET", "/v1/users/ME2"),
        ("POST", "/v1/things.Create"),
        ("DELETE", "/v1/Things:Delete"),
        ("GET", "/anything/Else."),
        ("GET", "/"),
    ] {
        gateway.send(&Request::new(method, target)).assert_status(200);
        assert_eq!(gateway.upstream().request().target, target);
        gateway.upstream().forget();
    }
}

#[test]
fn a_preflight_is_told_of_the_path_as_its_request_would_be() {
    let cors = "cors: {origins: [https://app.example.com]}";
    let gateway = Gateway::start(|config| {
        config.routes = vec![
            format!("{{match: \"POST /v1/things.*\", public: true, {cors}}}"),
            format!("{{match: POST /v1/things.create, scope: application, {cors}}}"),
        ];
    });
    let ask = |target: &str| {
        let preflight = Request::new("OPTIONS", target).header("Origin", "https://app.example.com");
        gateway.send(&preflight.header("Access-Control-Request-Method", "POST"))
    };
    ask("/v1/things.submit").assert_status(204);
    ask("/v1/things.create").assert_status(204);
    for target in ["/v1/things.CREATE", "/v1/things.create/", "/v1/things.create.", "/v1/things.who%3F"] {
        let reply = ask(target);
        if target == "/v1/things.create/" {
            reply.assert_refused(404, "no_route");
        } else {
            reply.assert_refused(400, "path");
        }
        assert_eq!(reply.header("access-control-allow-origin"), None, "{target}");
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn servers_that_tell_letters_apart_have_two_routes_by_case() {
    let gateway = Gateway::start(|config| {
        config.routes = [
            "{match: GET /v1/prot, scope: application}",
            "{match: GET /v1/PROT, public: true}",
            "{match: \"GET /v1/**\", public: true}",
        ]
        .map(ToOwned::to_owned)
        .to_vec();
        config.group("case: sensitive");
    });
    gateway.send(&Request::get("/v1/PROT")).assert_status(200);
    gateway.send(&Request::get("/v1/Prot")).assert_status(200);
    gateway.upstream().forget();
    gateway.send(&Request::get("/v1/prot")).assert_refused(401, "missing_token");
    for target in ["/v1/prot/", "/v1/PROT/", "/v1/prot.", "/v1/pro%EF%BD%94"] {
        gateway.send(&Request::get(target)).assert_refused(400, "path");
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn encoded_delimiters_pass_where_a_route_allows_them() {
    let gateway = Gateway::start(|config| {
        config.routes = [
            "{match: \"GET /files/**\", public: true, encoded: allowed}",
            "{match: GET /files/prot, scope: application}",
            "{match: \"GET /**\", public: true}",
        ]
        .map(ToOwned::to_owned)
        .to_vec();
    });
    for target in ["/files/100%25", "/files/who%3F/x", "/files/%23one"] {
        gateway.send(&Request::get(target)).assert_status(200);
        assert_eq!(gateway.upstream().request().target, target);
        gateway.upstream().forget();
    }
    for target in [
        "/others/100%25",
        "/who%3f",
        "/files/%2F",
        "/files/%5c",
        "/files/%2E",
        "/files/%3B",
        "/files/%00",
        "/files/%252F",
        "/files/%25u002F",
        "/files/prot%3Fx",
        "/files/PROT%23",
    ] {
        gateway.send(&Request::get(target)).assert_refused(400, "path");
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn what_follows_a_number_sign_is_never_cut_off_unseen() {
    let gateway = Gateway::start(|config| {
        config.routes = WILDCARDS.map(ToOwned::to_owned).to_vec();
        config.plain("h2c: true");
    });
    for target in ["/v1/pub/x#", "/v1/pub/x#/../prot", "/v1/pub/x?a=b#c", "/#", "/v1/prot#/pub"] {
        gateway.send(&Request::get(target)).assert_refused(400, "path");
        let mut frames = Frames::open(gateway.public);
        assert_eq!(frames.get(1, target).answer(1), Answered::Status(400), "{target}");
        // Once more, for the table that compression keeps (RFC 7541 section 6.2.1), and from there by its index.
        let length = u8::try_from(target.len()).unwrap();
        let kept = [&[0x82, 0x86, 0x41, 1, b'a', 0x44, length][..], target.as_bytes()].concat();
        frames.send(HEADERS, END_HEADERS | END_STREAM, 3, &kept);
        assert_eq!(frames.answer(3), Answered::Status(400), "{target}, kept");
        frames.send(HEADERS, END_HEADERS | END_STREAM, 5, &[0x82, 0x86, 0xbf, 0xbe]);
        assert_eq!(frames.answer(5), Answered::Status(400), "{target}, by its index");
        gateway.upstream().assert_untouched();
        assert_eq!(frames.get(7, "/v1/pub/x").answer(7), Answered::Status(200), "{target}");
        gateway.upstream().forget();
    }
}
