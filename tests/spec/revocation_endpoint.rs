//! Section 2: `POST /v1/oauth2/revoke` (RFC 7009).

use crate::harness::{Gateway, Request, basic, form_urlencode};

fn revoke(gateway: &Gateway, form: &str) -> Request {
    Request::post("/v1/oauth2/revoke").header("Authorization", &gateway.owner().basic()).form(form)
}

#[test]
fn a_token_that_nobody_could_use_is_revoked_already() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let mut connection = gateway.connect();
    for unknown in ["garbage", "a.b.c", &format!("{}AAAA", &token[..token.len() - 4]), &gateway.owner().secret] {
        for path in ["/v1/oauth2/revoke", "/oauth2/revoke"] {
            let form = format!("token={}&token_type_hint=refresh_token", form_urlencode(unknown));
            let request = Request::post(path).header("Authorization", &gateway.owner().basic()).form(&form);
            let reply = connection.exchange(&request);
            reply.assert_status(200).assert_no_store();
            assert!(reply.body.is_empty(), "{}", reply.summary());
        }
    }
    gateway.send(&Request::get("/oauth2/userinfo").bearer(&token)).assert_status(200);
    gateway.upstream().assert_untouched();
}

#[test]
fn a_client_cannot_revoke_the_token_of_another() {
    let gateway = Gateway::start(|_| {});
    let other = gateway.client("application");
    let token = gateway.issue(&other, "");
    gateway.send(&revoke(&gateway, &format!("token={token}"))).assert_oauth_error(400, "unauthorized_client");
    gateway.send(&Request::get("/oauth2/userinfo").bearer(&token)).assert_status(200);
}

#[test]
fn revocation_is_for_authenticated_clients() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let form = format!("token={token}");
    let ask = || Request::post("/v1/oauth2/revoke");
    gateway.send(&ask().form(&form)).assert_oauth_error(401, "invalid_client");
    gateway.send(&ask().bearer(&token).form(&form)).assert_oauth_error(401, "invalid_client");
    let wrong = basic(&gateway.owner().id, "wrong");
    gateway.send(&ask().header("Authorization", &wrong).form(&form)).assert_oauth_error(401, "invalid_client");
    for form in ["", "token=", "token=a&token=a", "token_type_hint=access_token", "token=%zz"] {
        gateway.send(&revoke(&gateway, form)).assert_oauth_error(400, "invalid_request");
    }
    let owner = gateway.owner().basic();
    gateway.send(&ask().header("Authorization", &owner).json("{}")).assert_oauth_error(400, "invalid_request");
    let in_query = Request::post("/v1/oauth2/revoke?client_secret=a").header("Authorization", &owner).form(&form);
    gateway.send(&in_query).assert_oauth_error(400, "invalid_request");
    let long = format!("token={}", "a".repeat(2_000_000));
    gateway.send(&revoke(&gateway, &long)).assert_oauth_error(413, "invalid_request");
    gateway.send(&Request::get("/oauth2/userinfo").bearer(&token)).assert_status(200);
    assert!(!gateway.log().contains(&token), "the token stands in the log");
}

#[test]
fn guesses_at_a_secret_are_limited_over_all_endpoints() {
    let gateway = Gateway::start(|config| {
        config.limit("token_failures: {per_client: 4/1m, per_address: 1000/1m}");
    });
    let wrong = basic(&gateway.owner().id, "wrong");
    let ask = |path: &str| {
        let form = "token=x&grant_type=client_credentials";
        gateway.send(&Request::post(path).header("Authorization", &wrong).form(form))
    };
    let paths = ["/v1/oauth2/revoke", "/v1/oauth2/introspect", "/v1/oauth2/token", "/v1/oauth2/revoke"];
    for path in paths {
        ask(path).assert_oauth_error(401, "invalid_client");
    }
    for path in paths {
        let reply = ask(path);
        reply.assert_oauth_error(429, "temporarily_unavailable");
        assert!(reply.header("retry-after").is_some(), "{path}");
    }
    let metrics = gateway.metrics();
    assert!(metrics.value("scopegate_rate_limited_total", &[("limit", "token_failures")]) >= 4.0, "{}", metrics.0);
    // What is asked of another endpoint is no token request.
    assert!(metrics.value("scopegate_token_requests_total", &[("result", "rate_limited")]) < 1.5, "{}", metrics.0);
}

#[test]
fn another_method_is_405_with_allow() {
    let gateway = Gateway::start(|_| {});
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        for path in ["/v1/oauth2/revoke", "/oauth2/revoke"] {
            let reply = gateway.send(&Request::new(method, path).header("Authorization", &gateway.owner().basic()));
            reply.assert_status(405);
            assert_eq!(reply.header("allow"), Some("POST"), "{method} {path}");
        }
    }
    gateway.upstream().assert_untouched();
}
