//! Section 2: `POST /v1/oauth2/introspect` (RFC 7662).

use serde_json::{Value, json};

use crate::{
    harness::{CUSTOMER, Client, Gateway, Reply, Request, each_row, form_urlencode},
    token_endpoint::claims,
};

const OTHER_CUSTOMER: &str = "bits:customer::11111111-2222-4333-8444-555555555555";

fn introspect(gateway: &Gateway, client: &Client, token: &str) -> Reply {
    let form = format!("token={}", form_urlencode(token));
    gateway.send(&Request::post("/v1/oauth2/introspect").header("Authorization", &client.basic()).form(&form))
}

#[track_caller]
fn assert_inactive(reply: &Reply) {
    reply.assert_status(200).assert_no_store();
    assert_eq!(reply.text(), r#"{"active":false}"#);
}

/// A client of another customer, known to the gateway.
fn stranger(gateway: &Gateway) -> Client {
    let output = gateway.cli(&["client", "add", "--customer", OTHER_CUSTOMER, "-c", "gateway.yaml", "--json"]);
    output.assert_code(0);
    let text = |name: &str| output.json()[name].as_str().unwrap().to_owned();
    let client = Client { id: text("client_id"), secret: text("client_secret") };
    crate::harness::await_that("the new client is known", || gateway.probe(&client.basic()) == 200);
    client
}

#[test]
fn a_client_learns_what_its_customers_tokens_are_good_for() {
    let gateway = Gateway::start(|_| {});
    let other = gateway.client("application.read");
    for token in [gateway.token("application"), gateway.session()] {
        let mut expected = claims(&token);
        expected["active"] = Value::Bool(true);
        expected["token_type"] = "Bearer".into();
        for client in [gateway.owner(), &other] {
            let reply = introspect(&gateway, client, &token);
            reply.assert_status(200).assert_no_store();
            assert!(reply.header("content-type").unwrap().starts_with("application/json"));
            assert_eq!(reply.json(), expected);
        }
    }
    let form = format!("token={}&token_type_hint=refresh_token", gateway.token("application"));
    let without_version =
        Request::post("/oauth2/introspect").header("Authorization", &gateway.owner().basic()).form(&form);
    let told = gateway.send(&without_version).json();
    assert_eq!((&told["active"], &told["customer_id"]), (&json!(true), &json!(CUSTOMER)));
    gateway.upstream().assert_untouched();
}

#[test]
fn another_customer_learns_nothing() {
    let gateway = Gateway::start(|_| {});
    let stranger = stranger(&gateway);
    let own = gateway.issue(&stranger, "");
    assert_eq!(introspect(&gateway, &stranger, &own).json()["active"], true);
    assert_inactive(&introspect(&gateway, &stranger, &gateway.token("application")));
    assert_inactive(&introspect(&gateway, gateway.owner(), &own));
}

#[test]
fn what_is_no_valid_token_is_not_active() {
    let gateway = Gateway::start(|config| {
        config.issuer("lifetime: 1s").issuer("clock_skew: 0s");
    });
    let token = gateway.token("application");
    let cases = [
        ("a word", "garbage".to_owned()),
        ("three words", "a.b.c".to_owned()),
        ("a broken signature", format!("{}AAAA", &token[..token.len() - 4])),
        ("no signature", token.rsplit_once('.').unwrap().0.to_owned()),
        ("a secret", gateway.owner().secret.clone()),
        ("too long", "a".repeat(20_000)),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, token)| assert_inactive(&introspect(&gateway, gateway.owner(), token)),
    );
    crate::harness::await_that("the token expires", || {
        introspect(&gateway, gateway.owner(), &token).json()["active"] == false
    });
    assert_inactive(&introspect(&gateway, gateway.owner(), &token));
}

#[test]
fn a_token_of_a_disabled_client_is_not_active() {
    let gateway = Gateway::start(|_| {});
    let client = gateway.client("application");
    let token = gateway.issue(&client, "");
    assert_eq!(introspect(&gateway, gateway.owner(), &token).json()["active"], true);
    gateway.cli(&["client", "disable", &client.id]).assert_code(0);
    crate::harness::await_that("the token is no longer active", || {
        introspect(&gateway, gateway.owner(), &token).json()["active"] == false
    });
    assert_inactive(&introspect(&gateway, gateway.owner(), &token));
}

#[test]
fn introspection_is_for_authenticated_clients() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let form = format!("token={token}");
    let ask = || Request::post("/v1/oauth2/introspect");
    gateway.send(&ask().form(&form)).assert_oauth_error(401, "invalid_client");
    // A token is no way to authenticate here: who found it would learn whose it is.
    gateway.send(&ask().bearer(&token).form(&form)).assert_oauth_error(401, "invalid_client");
    let wrong = crate::harness::basic(&gateway.owner().id, "wrong");
    gateway.send(&ask().header("Authorization", &wrong).form(&form)).assert_oauth_error(401, "invalid_client");
    let owner = gateway.owner().basic();
    for form in ["", "token=", "token=a&token=a", "tok=a", "token=%zz"] {
        gateway.send(&ask().header("Authorization", &owner).form(form)).assert_oauth_error(400, "invalid_request");
    }
    gateway.send(&ask().header("Authorization", &owner).json("{}")).assert_oauth_error(400, "invalid_request");
    let in_query = Request::post("/v1/oauth2/introspect?client_id=a").header("Authorization", &owner).form(&form);
    gateway.send(&in_query).assert_oauth_error(400, "invalid_request");
    assert!(!gateway.log().contains(&token), "the token stands in the log");
}

#[test]
fn another_method_is_405_with_allow() {
    let gateway = Gateway::start(|_| {});
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        for path in ["/v1/oauth2/introspect", "/oauth2/introspect"] {
            let reply = gateway.send(&Request::new(method, path).header("Authorization", &gateway.owner().basic()));
            reply.assert_status(405);
            assert_eq!(reply.header("allow"), Some("POST"), "{method} {path}");
        }
    }
    gateway.upstream().assert_untouched();
}
