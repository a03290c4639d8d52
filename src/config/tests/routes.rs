//! Mistakes in `routes` and `scopes`.

use super::assert_told;

#[test]
fn scopes_are_defined_once_and_consistently() {
    assert_told(&[
        (
            r#"
$U
$R
scopes:
  - {name: application}
  - {name: a, implies: [b, application.raed]}
  - {name: "a b"}
  - {name: c, required_claims: [application, customer], bound_to: application_id}
  - {name: d, implies: application, required_claims: application_id, bound_to: application_id}
  - {name: e, bound_to: workflow_id}
  - {implies: [a]}
  - {name: f}
  - {name: f}"#,
            &[
                "4:12: scope `application` is defined twice",
                "5:25: unknown scope `b`; known here: `application`, `application.read`, `application.session`, `a`, `a b`, `c`, `d`, `e`, `f`",
                "5:28: unknown scope `application.raed`; did you mean `application.read`?",
                "6:12: `a b` is not a scope name (RFC 6749 section 3.3: visible ASCII without space, quote and backslash)",
                "7:12: scope `c` is bound to application_id and must require that claim",
                "7:33: unknown claim `application`; did you mean `application_id`?",
                "7:46: unknown claim `customer`; known here: `application_id`, `workflow_id`, `redirect_url`",
                "8:12: scope `d` is bound to an application and implies `application`, which is not",
                "9:25: unknown claim to bind to `workflow_id`; known here: `application_id`",
                "10:5: missing key `name`",
                "12:12: scope `f` is defined twice",
            ],
        ),
        (
            r"
$U
routes: [{match: GET /x, scope: [reports, c]}]
scopes: [{name: reports}, {name: c, bound_to: application_id}]",
            &["3:34: scope `c` is bound to application_id and must require that claim"],
        ),
    ]);
}

#[test]
fn a_bound_scope_needs_places() {
    assert_told(&[
        (
            r#"
$U
routes:
  - {match: POST /a, scope: application.session}
  - {match: POST /b, scope: application.session, application_id: {}}
  - {match: "POST /c/{id}", scope: application.session, application_id: {path: application_id}}
  - {match: POST /d, scope: application.session, application_id: {body: applicationId, header: "X Y", query: ""}}
  - {match: POST /e, scope: application.session, application_id: {boddy: /id}}
  - {match: POST /f, scope: application.session, application_id: /id}"#,
            &[
                "3:29: `application.session` is bound to one application: add `application_id` to say where requests name it",
                "4:66: `application_id` must name a `path`, `query`, `header` or `body`",
                "5:80: `match` has no segment `{application_id}`",
                "6:73: `applicationId` is not a JSON pointer such as `/applicationId` (RFC 6901)",
                "6:96: `X Y` is not a header name",
                "6:110: a query parameter's name must be 1 to 128 printable characters",
                "7:66: `application_id` must name a `path`, `query`, `header` or `body`",
                "7:67: unknown key `boddy`; did you mean `body`?",
                "8:66: expected a mapping, found text",
            ],
        ),
        (
            r"
$U
routes:
  - {enforce: no, upstream: c, scope: applications, application_id: {path: id}}
  - {match: GET a, enforce: Report, upstream: c}",
            &[
                "3:5: missing key `match`",
                "3:15: unknown enforcement `no`; known here: `enforce`, `report`",
                "3:29: unknown upstream `c`; known here: `a`",
                "3:39: unknown scope `applications`; did you mean `application`?",
                "4:5: a route says who may use it: add `scope`, or `public: true` (silence about access is an error)",
                "4:13: `GET a` is not of the form `METHOD /path`",
                "4:29: unknown enforcement `Report`; did you mean `report`?",
                "4:47: unknown upstream `c`; known here: `a`",
            ],
        ),
    ]);
}

#[test]
fn patterns_mean_requests_that_no_other_route_takes() {
    assert_told(&[
        (
            r#"
$U
routes:
  - {match: /a, public: true}
  - {match: get /a, public: true}
  - {match: GET //a, public: true}
  - {match: "GET /a*b", public: true}
  - {match: "GET /a{b}", public: true}"#,
            &[
                "3:13: `/a` is not of the form `METHOD /path`",
                "4:13: `get /a` starts with something that is no HTTP method (upper case) and not `*`",
                "5:13: `GET //a` has a path with an empty, dotted or percent-encoded segment, or characters that a path cannot hold",
                "6:13: `GET /a*b` uses `*` other than at the end of a segment, or `**` other than as the last segment",
                "7:13: `GET /a{b}` uses `{name}` other than as a whole segment, or one name twice",
            ],
        ),
        (
            r#"
$U
routes:
  - {match: GET /a, public: true}
  - {match: GET /a, scope: application}
  - {match: "* /a", scope: application, id: other}
  - {match: "GET /b/{x}", public: true}
  - {match: "GET /b/{y}", public: true}"#,
            &[
                "4:13: some requests match this route and the one in line 3 equally well",
                "5:13: some requests match this route and the one in line 3 equally well",
                "7:13: some requests match this route and the one in line 6 equally well",
            ],
        ),
        (
            r"
$U
routes:
  - {match: POST /oauth2/token, public: true}
  - {match: POST /v1/oauth2/revoke, public: true}
  - {match: GET /.well-known/jwks.json, public: true}
  - {match: GET /.well-known/acme, public: true}",
            &[
                "3:13: `/oauth2/token` is one of the gateway's own endpoints: no request reaches this route",
                "4:13: `/v1/oauth2/revoke` is one of the gateway's own endpoints: no request reaches this route",
                "5:13: `/.well-known/jwks.json` is one of the gateway's own endpoints: no request reaches this route",
            ],
        ),
    ]);
}

#[test]
fn a_session_token_says_what_it_is_made_of_and_where_it_goes() {
    assert_told(&[(
        r#"
$U
routes:
  - {match: POST /a, public: true, session_token: {application_id: /id, workflow_id: /w, redirect_url: /r, into: /t}}
  - {match: POST /b, scope: application, session_token: {application_id: id, workflow_id: "request:w", redirect_url: "response:/r", into: "request:/t"}}
  - {match: POST /c, scope: application, session_token: {into: /t, aplication_id: /id, workflow_id: [/w]}}
  - {match: POST /d, scope: application, session_token: /t}
  - {match: POST /e, scope: application, session_token: {application_id: /a/id, workflow_id: "request:/a", redirect_url: "request:/a", into: /a}}
  - {match: POST /f, scope: application, session_token: {application_id: /a/id, workflow_id: "request:/a", redirect_url: "request:/a", into: /a/id/t}}"#,
        &[
            "3:51: `session_token` is signed for the caller, and a public route has none",
            "4:74: `id` is not a JSON pointer such as `/applicationId` (RFC 6901)",
            "4:91: `w` is not a JSON pointer such as `/applicationId` (RFC 6901)",
            "4:118: `response:/r` is not a JSON pointer such as `/applicationId` (RFC 6901)",
            "4:139: `into` is a place in the reply; `request:/t` is none",
            "5:57: missing key `application_id`",
            "5:57: missing key `redirect_url`",
            "5:68: unknown key `aplication_id`; did you mean `application_id`?",
            "5:101: expected text, found a list",
            "6:57: expected a mapping, found text",
            "7:142: `into` must stand apart from the members that the token is made from",
            "8:142: `into` must stand apart from the members that the token is made from",
        ],
    )]);
}

#[test]
fn what_pages_may_do_is_named_once_or_stated() {
    assert_told(&[
        (
            r#"
$U
cors:
  app: {origins: https://app.example.com}
  broken: {origins: []}
routes:
  - {match: GET /a, public: true, cors: app}
  - {match: GET /b, public: true, cors: ap}
  - {match: GET /c, public: true, cors: broken}
  - {match: GET /d, public: true, cors: [app]}
  - {match: GET /e, public: true, cors: {methods: [GET]}}
  - {match: GET /f, public: true, cors: {origins: "*", credential: true}}"#,
            &[
                "4:21: expected at least one entry",
                "7:41: unknown section of `cors` `ap`; did you mean `app`?",
                "9:41: expected a mapping, found a list",
                "10:41: missing key `origins`",
                "11:56: unknown key `credential`; did you mean `credentials`?",
            ],
        ),
        (
            r#"
$U
routes:
  - {match: GET /a, public: true, cors: {origins: ["*", https://a.example]}}
  - {match: GET /b, public: true, cors: {origins: ["null", "https://*.com", "https://a.example/"]}}
  - {match: GET /c, public: true, cors: {origins: "*", credentials: true}}
  - {match: GET /d, public: true, cors: {origins: "*", methods: [get, "", PUT], headers: ["*", "a b", x], expose: ["y:"]}}
  - {match: GET /e, public: true, cors: {origins: "*", max_age: 25h}}"#,
            &[
                "3:52: `*` stands alone: it means every origin",
                "4:52: `null` is what every sandboxed page is called, whoever wrote it",
                "4:60: `https://*.com` means hosts of many owners: `*` stands for one label before a domain of at least two",
                "4:77: `https://a.example/` is not an origin as browsers write it, such as `https://app.example.com`, `http://localhost:3000` or `capacitor://localhost`",
                "5:41: `credentials: true` needs a list of origins: with `*`, every page could act as its visitor",
                "6:66: `get` is not an HTTP method (upper case)",
                "6:71: `` is not an HTTP method (upper case)",
                "6:91: `*` is not a header name; each must be named",
                "6:96: `a b` is not a header name; each must be named",
                "6:116: `y:` is not a header name; each must be named",
                "7:65: `max_age` must be 0s to 24h",
            ],
        ),
        ("$R\n$U\ncors: {}", &["3:7: expected at least one entry"]),
    ]);
}

#[test]
fn a_route_says_how_long_its_exchanges_last() {
    assert_told(&[(
        r"
$U
routes:
  - {match: GET /a, public: true, timeouts: {idle: 0s, total: 25h, read: 1s}}
  - {match: GET /b, public: true, upgrade: h2c}
  - {match: GET /c, public: true, close_on_expiry: true}
  - {match: GET /d, public: true, close_on_expiry: false, upgrade: websocket, timeouts: {idle: 1h, total: 24h}}",
        &[
            "3:52: `idle` must be 1ms to 24h",
            "3:63: `total` must be 1ms to 24h",
            "3:68: unknown key `read`; known here: `idle`, `total`",
            "4:44: unknown protocol to upgrade to `h2c`; known here: `websocket`",
            "5:52: `close_on_expiry` is about the caller's token, and a public route asks for none",
        ],
    )]);
}

#[test]
fn a_connection_leaves_http_only_where_its_server_speaks_http_1() {
    assert_told(&[(
        r"
upstreams: {a: {servers: ['127.0.0.1:1'], protocol: h2c}, b: {servers: ['127.0.0.1:1']}}
routes:
  - {match: GET /a, public: true, upgrade: websocket, upstream: a}
  - {match: GET /b, public: true, upgrade: websocket, upstream: b}",
        &["3:44: `upgrade` needs an upstream whose `protocol` is `http1`"],
    )]);
}

#[test]
fn a_rate_of_a_route_is_checked_like_any_other() {
    assert_told(&[(
        r"
$U
routes:
  - {match: GET /a, public: true, rate: 10/s}
  - {match: GET /b, public: true, rate: 0/1s, burst: 1}
  - {match: GET /c, public: true, burst: 20}
  - {match: GET /d, public: true, rate: 5/1s, burst: -1}
  - {match: GET /e, public: true, rate: 5/1s, burst: 1000001}",
        &[
            "3:41: `s` is not a duration such as `10s`",
            "4:41: a rate must allow 1 to 1000000 events",
            "5:42: `burst` belongs to a `rate`, and there is none",
            "6:54: expected a whole number, found `-1`",
            "7:54: `burst` must be 1 to 1000000",
        ],
    )]);
}

#[test]
fn ids_stand_for_one_route_each() {
    assert_told(&[(
        r#"
$U
routes:
  - {match: GET /a, public: true, id: one}
  - {match: GET /b, public: true, id: one}
  - {match: GET /c, public: true, id: GET /a}
  - {match: GET /d, public: true, id: GET /e}
  - {match: GET /e, public: true}
  - {match: GET /f, public: true, id: "a\nb"}
  - {match: GET /g, public: true, id: ""}"#,
        &[
            "4:39: id `one` is taken by the route in line 3",
            "7:13: id `GET /e` is taken by the route in line 6",
            "8:39: an `id` must be 1 to 128 printable ASCII characters",
            "9:39: an `id` must be 1 to 128 printable ASCII characters",
        ],
    )]);
}

#[test]
fn a_route_says_who_may_use_it_and_who_answers() {
    assert_told(&[
        ("$U\nroutes: []", &["2:9: expected at least one entry"]),
        (
            r"
$U
routes:
  - {match: GET /a}
  - {match: GET /b, public: false}
  - {match: GET /c, public: true, scope: application}
  - {match: GET /d, scope: []}
  - {match: GET /e, scope: [applicaton, {}]}
  - {match: GET /f, scope: aplication.reed}
  - {match: GET /g, public: yes}
  - {scope: application}
  - nothing
  - {match: GET /h, scop: application}",
            &[
                "3:5: a route says who may use it: add `scope`, or `public: true` (silence about access is an error)",
                "4:5: a route says who may use it: add `scope`, or `public: true` (silence about access is an error)",
                "5:29: `public: true` and `scope` exclude each other",
                "6:28: expected at least one entry",
                "7:29: unknown scope `applicaton`; did you mean `application`?",
                "7:41: expected text, found a mapping",
                "8:28: unknown scope `aplication.reed`; did you mean `application.read`?",
                "9:29: expected `true` or `false`, found `yes`",
                "10:5: missing key `match`",
                "11:5: expected a mapping, found text",
                "12:5: a route says who may use it: add `scope`, or `public: true` (silence about access is an error)",
                "12:21: unknown key `scop`; did you mean `scope`?",
            ],
        ),
        (
            r#"
routes:
  - {match: GET /a, public: true}
  - {match: GET /b, public: true, upstream: applicatons}
  - {match: GET /c, public: true, upstream: 7}
upstreams:
  applications: {servers: ["127.0.0.1:9000"]}
  others: {servers: ["127.0.0.1:9001"]}"#,
            &[
                "2:5: a route must name its `upstream`, since there are 2",
                "3:45: unknown upstream `applicatons`; did you mean `applications`?",
                "4:45: unknown upstream `7`; known here: `applications`, `others`",
            ],
        ),
    ]);
}
