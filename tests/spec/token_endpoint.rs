//! Section 2: `POST /v1/oauth2/token`. The numbers in comments are those of the attack list.

use serde_json::Value;

use crate::harness::{
    Client, Gateway, Reply, Request, b64_standard, basic, each_row, form_urlencode, percent_encode_all,
};

pub const GRANT: &str = "grant_type=client_credentials";

pub fn ask(gateway: &Gateway, client: &Client, form: &str) -> Reply {
    gateway.send(&Request::token(&client.basic(), form))
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[test]
fn a_token_reply_has_all_members_in_both_spellings_of_the_path() {
    let gateway = Gateway::start(|_| {});
    for path in ["/v1/oauth2/token", "/oauth2/token"] {
        // TOK-01
        let reply = gateway.send(&Request::post(path).header("Authorization", &gateway.owner().basic()).form(GRANT));
        reply.assert_status(200).assert_no_store();
        assert_eq!(reply.header("pragma"), Some("no-cache"));
        assert!(reply.header("content-type").unwrap().starts_with("application/json"));
        let json = reply.json();
        assert_eq!(json["type"], "Bearer");
        assert_eq!(json["token_type"], "Bearer");
        assert_eq!(json["expires_in"], 3600);
        assert_eq!(json["scope"], "application");
        let mut names: Vec<&String> = json.as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(names, ["access_token", "expires_in", "scope", "token_type", "type"]);
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn a_token_carries_the_claims_of_rfc_9068() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let header: Value = {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
    };
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(header["alg"], "ES256");
    assert!(header["kid"].is_string());
    let claims = claims(&token);
    assert_eq!(claims["iss"], gateway.url());
    assert_eq!(claims["aud"], "applications-api");
    assert_eq!(claims["sub"], gateway.owner().id.as_str());
    assert_eq!(claims["client_id"], gateway.owner().id.as_str());
    assert_eq!(claims["customer_id"], crate::harness::CUSTOMER);
    assert_eq!(claims["scope"], "application");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    assert!(claims["jti"].as_str().is_some_and(|jti| jti.len() >= 16));
    assert_eq!(claims.get("application_id"), None);
}

#[test]
fn no_two_tokens_are_the_same() {
    let gateway = Gateway::start(|_| {});
    let jti = |token: &str| claims(token)["jti"].clone();
    let (one, two) = (gateway.token("application"), gateway.token("application"));
    assert_ne!(jti(&one), jti(&two));
}

#[test]
fn a_client_gets_the_scopes_it_was_granted_and_no_others() {
    let gateway = Gateway::start(|_| {});
    let reader = gateway.client("application.read");
    let writer = gateway.client("application application.read");
    let cases = [
        (&reader, "application.read", Some("application.read")),
        (&reader, "application", None), // TOK-14
        (&reader, "application.read application", None),
        (&reader, "application.session", None),
        (&writer, "application", Some("application")),
        (&writer, "application application.read", Some("application application.read")),
        (&writer, "admin", None),
        (&writer, "application admin", None),
        (&writer, "APPLICATION", None),
        (&writer, "application,application.read", None),
        (&writer, "\"", None),
    ];
    each_row(
        &cases,
        |(_, scope, granted)| format!("{scope:?} {granted:?}"),
        |(client, scope, granted)| {
            let reply = ask(&gateway, client, &format!("{GRANT}&scope={}", form_urlencode(scope)));
            match granted {
                Some(granted) => {
                    reply.assert_status(200);
                    let mut words: Vec<_> =
                        reply.json()["scope"].as_str().unwrap().split(' ').map(ToOwned::to_owned).collect();
                    words.sort();
                    assert_eq!(words.join(" "), *granted);
                }
                None => {
                    reply.assert_oauth_error(400, "invalid_scope");
                }
            }
        },
    );
    // Without scope: the default scope, if the client was granted it.
    assert_eq!(ask(&gateway, &writer, GRANT).json()["scope"], "application");
}

#[test]
fn unknown_wrong_and_disabled_clients_are_told_the_same_bytes() {
    let gateway = Gateway::start(|_| {});
    let disabled = gateway.client("application");
    gateway.cli(&["client", "disable", &disabled.id]).assert_code(0);
    crate::harness::await_that("the client is disabled", || gateway.probe(&disabled.basic()) == 401);
    let owner = gateway.owner();
    let replies: Vec<(Vec<u8>, Vec<(String, String)>)> = [
        basic(&owner.id, "wrong"), // TOK-04
        basic("nobody", "x"),      // TOK-05
        disabled.basic(),          // TOK-07
        basic(&owner.id, &owner.secret[..owner.secret.len() - 1]),
        basic(&owner.id.to_uppercase(), &owner.secret),
    ]
    .iter()
    .map(|authorization| {
        let reply = gateway.send(&Request::token(authorization, GRANT));
        reply.assert_oauth_error(401, "invalid_client");
        let varies = |name: &str| name.eq_ignore_ascii_case("x-request-id") || name.eq_ignore_ascii_case("date");
        (reply.body, reply.headers.into_iter().filter(|(name, _)| !varies(name)).collect())
    })
    .collect();
    assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:#?}");
}

#[test]
fn basic_credentials_are_read_encoded_and_raw() {
    let gateway = Gateway::start(|_| {});
    let owner = gateway.owner();
    let cases = [
        ("as they are", basic(&owner.id, &owner.secret), 200),
        // TOK-02
        ("fully percent-encoded", basic(&percent_encode_all(&owner.id), &percent_encode_all(&owner.secret)), 200),
        ("only the secret percent-encoded", basic(&owner.id, &percent_encode_all(&owner.secret)), 200),
        ("scheme in lower case", owner.basic().replace("Basic", "basic"), 200),
        ("scheme in upper case", owner.basic().replace("Basic", "BASIC"), 200),
        // TOK-03: reserved characters in a raw secret reach the comparison and are wrong there, not a 400.
        ("raw reserved characters", basic(&owner.id, "a.b-c_d~e:f"), 401),
        ("a raw percent sign", basic(&owner.id, "100%zz"), 401),
        ("a raw plus sign", basic(&owner.id, "a+b"), 401),
        ("encoded twice", basic(&owner.id, &percent_encode_all(&percent_encode_all(&owner.secret))), 401),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, authorization, status)| {
            let reply = gateway.send(&Request::token(authorization, GRANT));
            assert_eq!(reply.status, *status, "{}", reply.summary());
            if *status == 401 {
                reply.assert_oauth_error(401, "invalid_client");
            }
        },
    );
}

/// The three endpoints that clients authenticate at, each with a form that a good client is answered 200 for.
fn endpoints() -> [(&'static str, &'static str); 3] {
    [("/v1/oauth2/token", GRANT), ("/v1/oauth2/revoke", "token=x"), ("/oauth2/introspect", "token=x")]
}

#[test]
fn one_or_more_spaces_follow_the_scheme() {
    let gateway = Gateway::start(|_| {});
    let credentials = gateway.owner().basic().replace("Basic ", "");
    // RFC 9110 section 11.4: 1*SP, and no tab.
    for (scheme, status) in
        [("Basic ", 200), ("Basic  ", 200), ("bASIC       ", 200), ("Basic\t", 401), ("Basic \t", 401)]
    {
        for (path, form) in endpoints() {
            let request = Request::post(path).header("Authorization", &format!("{scheme}{credentials}")).form(form);
            assert_eq!(gateway.send(&request).status, status, "{scheme:?} at {path}");
        }
    }
}

#[test]
fn spare_spaces_in_a_scope_count_for_nothing() {
    let gateway = Gateway::start(|_| {});
    for (scope, granted) in [
        ("application+", Some("application")),
        ("+application", Some("application")),
        ("%20%20application%20%20", Some("application")),
        ("application++application.read", Some("application application.read")),
        ("application.read+application.read", Some("application.read")),
        // As if there were none.
        ("+", Some("application")),
        ("++++", Some("application")),
        ("", Some("application")),
        // What is no space separates nothing.
        ("application%09", None),
        ("application%0A", None),
        ("application%C2%A0", None),
        ("application%00", None),
    ] {
        let reply = ask(&gateway, gateway.owner(), &format!("{GRANT}&scope={scope}"));
        match granted {
            Some(granted) => assert_eq!(reply.assert_status(200).json()["scope"], granted, "{scope}"),
            None => {
                reply.assert_oauth_error(400, "invalid_scope");
            }
        }
    }
}

#[test]
fn a_client_id_in_the_form_is_that_of_the_client_that_authenticated() {
    let gateway = Gateway::start(|_| {});
    let (owner, other) = (gateway.owner().clone(), gateway.client("application"));
    let encoded = basic(&percent_encode_all(&owner.id), &percent_encode_all(&owner.secret));
    let same = form_urlencode(&owner.id);
    let rows = [
        ("its own", owner.basic(), same.clone(), 200),
        ("its own, encoded", owner.basic(), percent_encode_all(&owner.id), 200),
        ("its own, beside encoded credentials", encoded.clone(), same, 200),
        ("none", owner.basic(), String::new(), 200),
        ("another one", owner.basic(), other.id.clone(), 400),
        ("another one, beside encoded credentials", encoded, other.id.clone(), 400),
        ("an unknown one", owner.basic(), "nobody".to_owned(), 400),
        ("in another case", owner.basic(), owner.id.to_uppercase() + "a", 400),
        ("with a space behind", owner.basic(), format!("{}+", owner.id), 400),
        ("both", owner.basic(), format!("{}&client_id={}", owner.id, owner.id), 400),
        // Who has not shown a secret is told no more than that.
        ("another one, and a wrong secret", basic(&owner.id, "wrong"), other.id.clone(), 401),
    ];
    each_row(
        &rows,
        |row| row.0.to_owned(),
        |(_, authorization, id, status)| {
            for (path, form) in endpoints() {
                let request =
                    Request::post(path).header("Authorization", authorization).form(&format!("{form}&client_id={id}"));
                let reply = gateway.send(&request);
                match status {
                    200 => reply.assert_status(200),
                    400 => reply.assert_oauth_error(400, "invalid_request"),
                    _ => reply.assert_oauth_error(401, "invalid_client"),
                };
            }
        },
    );
}

#[test]
fn credentials_are_shown_in_one_way_only() {
    let gateway = Gateway::start(|config| {
        config.issuer("client_secret_post: true");
    });
    let owner = gateway.owner().clone();
    let post = format!("client_id={}&client_secret={}", owner.id, owner.secret);
    let assertion =
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=a.b.c";
    let basic = owner.basic();
    let rows = [
        ("Basic", Some(&*basic), String::new(), 200),
        ("the form", None, post.clone(), 200),
        // A parameter without a value is no parameter (RFC 6749 section 3.2).
        ("Basic beside an empty secret", Some(&*basic), "client_secret=&client_assertion=".to_owned(), 200),
        ("Basic and the form", Some(&*basic), post.clone(), 400),
        ("Basic and a secret alone", Some(&*basic), format!("client_secret={}", owner.secret), 400),
        ("Basic and an assertion", Some(&*basic), assertion.to_owned(), 400),
        ("Basic and half an assertion", Some(&*basic), "client_assertion_type=x".to_owned(), 400),
        ("the form and an assertion", None, format!("{post}&{assertion}"), 400),
        ("another scheme and the form", Some("Bearer x"), post.clone(), 400),
        ("the secret twice", None, format!("{post}&client_secret=x"), 400),
        ("an assertion, which is not supported", None, assertion.to_owned(), 401),
        ("a name alone", None, format!("client_id={}", owner.id), 401),
        ("a secret alone", None, format!("client_secret={}", owner.secret), 401),
    ];
    each_row(
        &rows,
        |row| row.0.to_owned(),
        |(_, authorization, more, status)| {
            for (path, form) in endpoints() {
                let request = Request::post(path).form(&format!("{form}&{more}"));
                let reply = gateway
                    .send(&authorization.iter().fold(request, |request, value| request.header("Authorization", value)));
                match status {
                    200 => reply.assert_status(200),
                    400 => reply.assert_oauth_error(400, "invalid_request"),
                    _ => reply.assert_oauth_error(401, "invalid_client"),
                };
            }
        },
    );
    for name in ["client_id", "client_secret", "client_assertion", "client%5Fsecret"] {
        let request = Request::post(&format!("/v1/oauth2/token?{name}=x")).header("Authorization", &basic).form(GRANT);
        gateway.send(&request).assert_oauth_error(400, "invalid_request");
    }
}

#[test]
fn a_parameter_that_is_too_long_is_an_invalid_request() {
    let gateway = Gateway::start(|_| {});
    let long = "a".repeat(5000);
    for form in [
        format!("grant_type={long}"),
        format!("{GRANT}&scope={long}"),
        format!("{GRANT}&scope=application.session&application_id={long}&workflow_id=w&redirect_url=https://a"),
        format!("{GRANT}&scope=application.session&application_id=a&workflow_id=w&redirect_url=https://a/{long}"),
        format!("{GRANT}&client_id={long}"),
    ] {
        ask(&gateway, gateway.owner(), &form).assert_oauth_error(400, "invalid_request");
    }
    // What is not understood is not judged (RFC 6749 section 3.2).
    ask(&gateway, gateway.owner(), &format!("{GRANT}&unknown={long}")).assert_status(200);
}

#[test]
fn credentials_that_cannot_be_read_are_refused() {
    let gateway = Gateway::start(|_| {});
    let owner = gateway.owner();
    // TOK-11
    for authorization in
        ["Basic !!!", "Basic ", "Basic", "Basic bm8tY29sb24=", "Basic //46/w==", "Bearer x", "Digest x", ""]
    {
        let reply = gateway.send(&Request::token(authorization, GRANT));
        let error = if reply.status == 400 { "invalid_request" } else { "invalid_client" };
        reply.assert_oauth_error(if reply.status == 400 { 400 } else { 401 }, error);
    }
    // TOK-10
    gateway.send(&Request::post("/v1/oauth2/token").form(GRANT)).assert_oauth_error(401, "invalid_client");
    let twice = Request::token(&owner.basic(), GRANT).header("Authorization", &owner.basic());
    gateway.send(&twice).assert_oauth_error(400, "invalid_request");
}

#[test]
fn credentials_in_the_query_are_refused_and_not_logged() {
    let gateway = Gateway::start(|_| {});
    let owner = gateway.owner();
    // TOK-17
    let target = format!("/v1/oauth2/token?client_id={}&client_secret={}", owner.id, owner.secret);
    let reply = gateway.send(&Request::post(&target).form(GRANT));
    assert!(matches!(reply.status, 400 | 401), "{}", reply.summary());
    let with_basic = gateway.send(&Request::post(&target).header("Authorization", &owner.basic()).form(GRANT));
    with_basic.assert_oauth_error(400, "invalid_request");
    gateway.send(&Request::token(&owner.basic(), GRANT)).assert_status(200);
    assert!(!gateway.log().contains(&owner.secret), "the secret stands in the log");
}

#[test]
fn credentials_in_the_form_are_taken_only_where_the_configuration_says_so() {
    let form = |client: &Client| format!("{GRANT}&client_id={}&client_secret={}", client.id, client.secret);
    let strict = Gateway::start(|_| {});
    let reply = strict.send(&Request::post("/v1/oauth2/token").form(&form(strict.owner())));
    reply.assert_oauth_error(401, "invalid_client");

    let open = Gateway::start(|config| {
        config.issuer("client_secret_post: true");
    });
    open.send(&Request::post("/v1/oauth2/token").form(&form(open.owner()))).assert_status(200);
    let wrong = format!("{GRANT}&client_id={}&client_secret=x", open.owner().id);
    open.send(&Request::post("/v1/oauth2/token").form(&wrong)).assert_oauth_error(401, "invalid_client");
    // RFC 6749 section 2.3: not more than one method in one request.
    ask(&open, open.owner(), &form(open.owner())).assert_oauth_error(400, "invalid_request");
}

#[test]
fn a_form_that_breaks_a_rule_is_an_invalid_request() {
    let gateway = Gateway::start(|_| {});
    let cases = [
        ("no grant", "scope=application", "invalid_request"),
        ("nothing", "", "invalid_request"),
        ("an empty grant", "grant_type=", "invalid_request"),
        ("the grant twice", "grant_type=client_credentials&grant_type=client_credentials", "invalid_request"), // TOK-12
        ("the scope twice", "grant_type=client_credentials&scope=application&scope=application", "invalid_request"),
        (
            "the scope twice, once encoded",
            "grant_type=client_credentials&scope=application&sc%6fpe=application",
            "invalid_request",
        ),
        ("password", "grant_type=password&username=a&password=b", "unsupported_grant_type"), // TOK-13
        ("refresh", "grant_type=refresh_token&refresh_token=x", "unsupported_grant_type"),
        ("code", "grant_type=authorization_code&code=x", "unsupported_grant_type"),
        ("case", "grant_type=CLIENT_CREDENTIALS", "unsupported_grant_type"),
        ("a trailing space", "grant_type=client_credentials%20", "unsupported_grant_type"),
        ("a NUL", "grant_type=client_credentials%00", "unsupported_grant_type"),
        ("an unknown scope", "grant_type=client_credentials&scope=admin", "invalid_scope"),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, form, error)| {
            ask(&gateway, gateway.owner(), form).assert_oauth_error(400, error);
        },
    );
}

#[test]
fn an_encoded_name_is_the_name() {
    let gateway = Gateway::start(|_| {});
    ask(&gateway, gateway.owner(), "%67rant_type=client%5Fcredentials").assert_status(200);
    ask(&gateway, gateway.owner(), &format!("{GRANT}&unknown=ignored")).assert_status(200);
}

#[test]
fn another_content_type_is_an_invalid_request() {
    let gateway = Gateway::start(|_| {});
    // TOK-19
    for content_type in [
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/x-www-form-urlencoded, text/plain",
    ] {
        let request = Request::post("/v1/oauth2/token")
            .header("Authorization", &gateway.owner().basic())
            .header("Content-Type", content_type)
            .body(GRANT);
        gateway.send(&request).assert_oauth_error(400, "invalid_request");
    }
    let bare = Request::post("/v1/oauth2/token").header("Authorization", &gateway.owner().basic()).body(GRANT);
    gateway.send(&bare).assert_oauth_error(400, "invalid_request");
    let with_charset = Request::post("/v1/oauth2/token")
        .header("Authorization", &gateway.owner().basic())
        .header("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
        .body(GRANT);
    gateway.send(&with_charset).assert_status(200);
}

#[test]
fn another_method_is_405_with_allow() {
    let gateway = Gateway::start(|_| {});
    // TOK-18
    for (method, path, allowed) in [
        ("GET", "/v1/oauth2/token", "POST"),
        ("HEAD", "/v1/oauth2/token", "POST"),
        ("PUT", "/oauth2/token", "POST"),
        ("DELETE", "/v1/oauth2/token", "POST"),
        ("PUT", "/oauth2/userinfo", "GET"),
        ("DELETE", "/oauth2/userinfo", "POST"),
        ("DELETE", "/.well-known/jwks.json", "GET"),
    ] {
        let reply = gateway.send(&Request::new(method, path).header("Authorization", &gateway.owner().basic()));
        reply.assert_status(405);
        let allow = reply.header("allow").unwrap_or_else(|| panic!("{method} {path} without Allow"));
        assert!(allow.split(',').any(|own| own.trim() == allowed), "{method} {path}: {allow}");
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn an_oversized_form_is_refused_and_the_connection_ends() {
    let gateway = Gateway::start(|_| {});
    // TOK-22
    let form = format!("{GRANT}&x={}", "a".repeat(2_000_000));
    let mut connection = gateway.connect();
    let reply = connection.exchange(&Request::token(&gateway.owner().basic(), &form));
    reply.assert_oauth_error(413, "invalid_request");
    connection.assert_closed();
}

#[test]
fn a_chunked_form_is_read_too() {
    let gateway = Gateway::start(|_| {});
    let (one, two) = GRANT.as_bytes().split_at(7);
    let request = Request::post("/v1/oauth2/token")
        .header("Authorization", &gateway.owner().basic())
        .header("Content-Type", "application/x-www-form-urlencoded")
        .chunked(&[one, two]);
    gateway.send(&request).assert_status(200);
}

#[test]
fn the_token_endpoint_allows_no_other_origin() {
    let gateway = Gateway::start(|_| {});
    // LEAK-10
    for origin in ["https://evil.example", "null"] {
        let reply = gateway.send(&Request::token(&gateway.owner().basic(), GRANT).header("Origin", origin));
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
}

#[test]
fn several_tokens_can_be_asked_for_on_one_connection() {
    let gateway = Gateway::start(|_| {});
    let mut connection = gateway.connect();
    for _ in 0..3 {
        connection.exchange(&Request::token(&gateway.owner().basic(), GRANT)).assert_status(200);
        connection.exchange(&Request::token(&basic("nobody", &b64_standard("x")), GRANT)).assert_status(401);
    }
}
