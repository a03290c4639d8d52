//! Section 2: the token owner, the key set and the metadata documents.

use serde_json::Value;

use crate::harness::{APP, CUSTOMER, Gateway, Request, session_form};

#[test]
fn userinfo_names_the_owner_of_any_valid_token() {
    let gateway = Gateway::start(|_| {});
    for token in [gateway.token("application"), gateway.token("application.read"), gateway.session()] {
        for path in ["/oauth2/userinfo", "/v1/oauth2/userinfo"] {
            let reply = gateway.send(&Request::get(path).header("Authorization", &format!("bearer {token}")));
            reply.assert_status(200).assert_no_store(); // UIF-01
            let owner = gateway.owner().id.as_str();
            assert_eq!(reply.json(), serde_json::json!({"customerId": CUSTOMER, "sub": owner}));
        }
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn userinfo_refuses_like_a_route() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    // UIF-02
    gateway.send(&Request::get("/oauth2/userinfo")).assert_refused(401, "missing_token");
    let broken = format!("{}AAAA", &token[..token.len() - 4]);
    gateway.send(&Request::get("/oauth2/userinfo").bearer(&broken)).assert_refused(401, "invalid_token");
    let twice = gateway.send(&Request::get("/oauth2/userinfo").bearer(&token).bearer(&token));
    twice.assert_refused(400, "invalid_request").assert_challenge("invalid_request");
}

#[test]
fn userinfo_is_asked_by_get_and_post() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let mut connection = gateway.connect();
    // OpenID Connect Core section 5.3
    for request in [
        Request::post("/oauth2/userinfo"),
        Request::post("/v1/oauth2/userinfo").body(""),
        Request::post("/oauth2/userinfo").form("a=b"),
        Request::post("/oauth2/userinfo").form(""),
        Request::post("/oauth2/userinfo").json("{}"),
        Request::post("/oauth2/userinfo").header("Content-Type", "text/plain").chunked(&[b"one", b"two"]),
        Request::new("HEAD", "/oauth2/userinfo"),
        Request::get("/oauth2/userinfo"),
    ] {
        let head = request.method == "HEAD";
        let reply = connection.exchange(&request.bearer(&token));
        reply.assert_status(200).assert_no_store();
        if !head {
            assert_eq!(reply.json()["customerId"], CUSTOMER);
        }
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn a_token_for_userinfo_stands_in_the_header_alone() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let post = || Request::post("/oauth2/userinfo");
    gateway.send(&post()).assert_refused(401, "missing_token");
    gateway.send(&post().form(&format!("access_token={token}"))).assert_refused(401, "missing_token");
    gateway.send(&post().bearer("x").form("a=b")).assert_refused(401, "invalid_token");
    let beside = |form: &str| gateway.send(&post().bearer(&token).form(form));
    for form in ["access_token=x", "a=b&access%5Ftoken=x", &format!("access_token={token}")] {
        beside(form).assert_refused(400, "invalid_request").assert_challenge("invalid_request");
    }
    let in_query = Request::post(&format!("/oauth2/userinfo?access_token={token}")).bearer(&token);
    gateway.send(&in_query).assert_refused(400, "invalid_request");
    beside(&"a".repeat(100_000)).assert_refused(413, "body_too_large");
    assert!(!gateway.log().contains(&token), "the token stands in the log");
}

#[test]
fn one_or_more_spaces_follow_bearer_wherever_a_token_is_shown() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    // RFC 6750 section 2.1, RFC 9110 section 11.4: 1*SP, and no tab.
    for (scheme, status) in
        [("Bearer ", 200), ("Bearer  ", 200), ("bearer        ", 200), ("Bearer\t", 401), ("Bearer \t", 401)]
    {
        for target in ["/oauth2/userinfo", "/v1/applications", "/v1/any/a"] {
            let reply = gateway.send(&Request::get(target).header("Authorization", &format!("{scheme}{token}")));
            if status == 401 {
                reply.assert_refused(401, "invalid_token");
            }
            assert_eq!(reply.status, status, "{scheme:?} at {target}");
        }
    }
    for empty in ["Bearer", "Bearer ", "Bearer   "] {
        gateway.send(&Request::get("/v1/any/a").header("Authorization", empty)).assert_refused(401, "invalid_token");
    }
    // Two spaces or one: it is one token, known to the cache.
    assert!(gateway.metrics().value("scopegate_token_cache_hits_total", &[]) >= 8.0);
}

#[test]
fn the_key_set_shows_public_members_only() {
    for algorithm in ["ES256", "EdDSA", "RS256", "PS256"] {
        let gateway = Gateway::start(|config| config.algorithm = algorithm);
        for path in ["/.well-known/jwks.json", "/v1/.well-known/jwks.json"] {
            let reply = gateway.send(&Request::get(path));
            reply.assert_status(200);
            assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
            let json = reply.json();
            let keys = json["keys"].as_array().unwrap();
            assert!(keys.len() >= 2, "the current and the next key: {json}");
            for key in keys {
                for private in ["d", "p", "q", "dp", "dq", "qi", "k", "oth"] {
                    assert_eq!(key.get(private), None, "{algorithm} {private}"); // LEAK-07
                }
                assert_eq!(key["alg"], algorithm);
                assert_eq!(key["use"], "sig");
                assert!(key["kid"].is_string());
            }
            assert!(
                keys.iter().any(|key| key["kid"] == kid_of(&gateway.token("application"))),
                "the signing key is published"
            );
        }
    }
}

fn kid_of(token: &str) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap();
    header["kid"].clone()
}

#[test]
fn the_authorization_server_describes_itself() {
    let gateway = Gateway::start(|_| {});
    // UIF-04, RFC 8414 section 2
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let reply = gateway.send(&Request::get(path));
        reply.assert_status(200);
        assert!(reply.header("content-type").unwrap().starts_with("application/json"));
        let json = reply.json();
        let url = |path: &str| Value::from(format!("{}{path}", gateway.url()));
        assert_eq!(json["issuer"], url(""));
        assert_eq!(json["token_endpoint"], url("/v1/oauth2/token"));
        assert_eq!(json["revocation_endpoint"], url("/v1/oauth2/revoke"));
        assert_eq!(json["introspection_endpoint"], url("/v1/oauth2/introspect"));
        assert_eq!(json["jwks_uri"], url("/.well-known/jwks.json"));
        assert_eq!(json["userinfo_endpoint"], url("/oauth2/userinfo"));
        let list = |member: &str| json[member].as_array().cloned().unwrap_or_default();
        assert_eq!(list("grant_types_supported"), ["client_credentials"]);
        for endpoint in ["token", "revocation", "introspection"] {
            let methods = list(&format!("{endpoint}_endpoint_auth_methods_supported"));
            assert_eq!(methods, ["client_secret_basic"], "{endpoint}");
        }
        assert_eq!(json["response_types_supported"], Value::Array(vec![]));
        for scope in ["application", "application.read", "application.session"] {
            assert!(list("scopes_supported").contains(&Value::from(scope)), "{scope}");
        }
    }
}

#[test]
fn the_metadata_names_secret_post_where_it_is_allowed() {
    let gateway = Gateway::start(|config| {
        config.issuer("client_secret_post: true");
    });
    let json = gateway.send(&Request::get("/.well-known/oauth-authorization-server")).json();
    for endpoint in ["token", "revocation", "introspection"] {
        let methods = json[format!("{endpoint}_endpoint_auth_methods_supported")].as_array().unwrap().clone();
        assert!(methods.contains(&Value::from("client_secret_post")), "{endpoint}: {methods:?}");
    }
}

#[test]
fn the_protected_resource_describes_itself() {
    let gateway = Gateway::start(|_| {});
    // RFC 9728 section 2
    let reply = gateway.send(&Request::get("/.well-known/oauth-protected-resource"));
    reply.assert_status(200);
    let json = reply.json();
    assert!(json["resource"].is_string(), "{json}");
    assert_eq!(json["authorization_servers"], serde_json::json!([gateway.url()]));
    assert_eq!(json["bearer_methods_supported"], serde_json::json!(["header"]));
}

/// Sends the request that stands for a promise of a metadata document, and expects its status.
fn kept(gateway: &Gateway, promise: &str, request: Request, status: u16) {
    let reply = gateway.send(&request);
    assert_eq!(reply.status, status, "{promise}: {}", reply.summary());
}

#[test]
fn everything_that_the_metadata_promises_is_kept() {
    let gateway = Gateway::start(|config| {
        config.issuer("client_secret_post: true");
    });
    let document = gateway.send(&Request::get("/.well-known/oauth-authorization-server")).json();
    let place = |member: &str| document[member].as_str().unwrap().strip_prefix(&gateway.url()).unwrap().to_owned();
    let list = |member: &str| {
        document[member].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (owner, token) = (gateway.owner().clone(), gateway.token("application"));
    let grants = list("grant_types_supported").into_iter().map(|grant| format!("grant_type={grant}"));
    let forms = [
        ("token", grants.collect::<Vec<_>>()),
        ("revocation", vec!["token=x".to_owned()]),
        ("introspection", vec!["token=x".to_owned()]),
    ];
    for (endpoint, forms) in &forms {
        for method in list(&format!("{endpoint}_endpoint_auth_methods_supported")) {
            for form in forms {
                let request = Request::post(&place(&format!("{endpoint}_endpoint")));
                let request = match method.as_str() {
                    "client_secret_basic" => request.header("Authorization", &owner.basic()).form(form),
                    "client_secret_post" => {
                        request.form(&format!("{form}&client_id={}&client_secret={}", owner.id, owner.secret))
                    }
                    other => panic!("nobody knows {other}"),
                };
                kept(&gateway, &format!("{endpoint} by {method}: {form}"), request, 200);
            }
        }
    }
    for scope in list("scopes_supported") {
        let form =
            format!("grant_type=client_credentials&{}", session_form(APP).replace("application.session", &scope));
        kept(&gateway, &scope, Request::token(&owner.basic(), &form), 200);
    }
    // OpenID Connect Core section 5.3: both methods.
    for method in ["GET", "POST"] {
        kept(&gateway, method, Request::new(method, &place("userinfo_endpoint")).bearer(&token), 200);
    }
    kept(&gateway, "jwks_uri", Request::get(&place("jwks_uri")), 200);
    let resource = gateway.send(&Request::get("/.well-known/oauth-protected-resource")).json();
    assert_eq!(resource["scopes_supported"], document["scopes_supported"]);
    assert_eq!(resource["bearer_methods_supported"], serde_json::json!(["header"]));
    kept(&gateway, "header", Request::get("/v1/applications").bearer(&token), 200);
}

#[test]
fn documents_answer_head_without_a_body() {
    let gateway = Gateway::start(|_| {});
    let mut connection = gateway.connect();
    for path in ["/.well-known/jwks.json", "/.well-known/oauth-authorization-server"] {
        let reply = connection.exchange(&Request::new("HEAD", path));
        reply.assert_status(200);
        assert!(reply.body.is_empty());
    }
    connection.exchange(&Request::get("/.well-known/jwks.json")).assert_status(200);
}
