//! Section 7: tokens that count no more, by whichever way they were revoked.

use std::time::Duration;

use super::harness::{CUSTOMER, Client, Gateway, Request, form_urlencode, within};

const READ: &str = "/v1/applications.get";

fn read(token: &str) -> Request {
    Request::post(READ).bearer(token).json("{}")
}

fn claim(token: &str, name: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    claims[name].as_str().unwrap().to_owned()
}

#[track_caller]
fn assert_ends(gateway: &Gateway, token: &str) {
    let ended = within(Duration::from_secs(1), || gateway.send(&read(token)).status == 401);
    assert!(ended, "still accepted: {}", gateway.send(&read(token)).summary());
    let upstream = gateway.upstream().requests().len();
    gateway.send(&read(token)).assert_refused(401, "invalid_token");
    assert_eq!(gateway.upstream().requests().len(), upstream, "nothing of it reaches the upstream");
}

fn revoke(gateway: &Gateway, client: &Client, token: &str) -> super::harness::Reply {
    let form = format!("token={}&token_type_hint=access_token", form_urlencode(token));
    gateway.send(&Request::post("/v1/oauth2/revoke").header("Authorization", &client.basic()).form(&form))
}

#[test]
fn a_token_revoked_by_its_id_ends_whether_it_was_cached_or_not() {
    let gateway = Gateway::start(|_| {});
    let (cached, fresh, other) =
        (gateway.token("application"), gateway.token("application"), gateway.token("application"));
    gateway.send(&read(&cached)).assert_status(200);
    for token in [&cached, &fresh] {
        gateway.cli(&["token", "revoke", "--jti", &claim(token, "jti")]).assert_code(0);
        assert_ends(&gateway, token);
    }
    gateway.send(&read(&other)).assert_status(200);
    let line = gateway.send(&read(&cached)).json()["request_id"].as_str().unwrap().to_owned();
    assert_eq!(gateway.access_line(&line)["reason"], "revoked");
}

#[test]
fn a_client_revokes_its_own_token_and_it_ends_at_once() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    gateway.send(&read(&token)).assert_status(200);
    revoke(&gateway, gateway.owner(), &token).assert_status(200);
    gateway.send(&read(&token)).assert_refused(401, "invalid_token");
    // RFC 7009 section 2.2: to revoke what is revoked is no error.
    revoke(&gateway, gateway.owner(), &token).assert_status(200);
    let acts = gateway.cli(&["audit", "--act", "token.revoked", "--json"]).json();
    let (actor, origin) = (format!("client:{}", gateway.owner().id), "127.0.0.1");
    assert_eq!((&acts[0]["actor"], &acts[0]["origin"]), (&actor.into(), &origin.into()));
    assert_eq!(acts[0]["subject"], claim(&token, "jti").as_str());
}

#[test]
fn a_client_cannot_revoke_another_clients_token() {
    let gateway = Gateway::start(|_| {});
    let other = gateway.client("application");
    let token = gateway.token("application");
    let reply = revoke(&gateway, &other, &token);
    reply.assert_oauth_error(400, "unauthorized_client");
    gateway.send(&read(&token)).assert_status(200);
}

#[test]
fn a_client_or_customer_loses_the_tokens_it_has_and_gets_new_ones() {
    let gateway = Gateway::start(|_| {});
    for holder in [["--client", gateway.owner().id.as_str()], ["--customer", CUSTOMER]] {
        let (cached, fresh) = (gateway.token("application"), gateway.token("application"));
        gateway.send(&read(&cached)).assert_status(200);
        gateway.cli(&[&["token", "revoke"][..], &holder].concat()).assert_code(0);
        assert_ends(&gateway, &cached);
        assert_ends(&gateway, &fresh);
        // A token asked for in the same second is not born dead.
        gateway.send(&read(&gateway.token("application"))).assert_status(200);
    }
}

#[test]
fn tokens_of_a_disabled_client_stay_revoked_when_it_is_enabled() {
    let gateway = Gateway::start(|_| {});
    let client = gateway.client("application");
    let token = gateway.issue(&client, "scope=application");
    for act in ["disable", "enable"] {
        gateway.cli(&["client", act, &client.id]).assert_code(0);
        assert_ends(&gateway, &token);
    }
    assert!(within(Duration::from_secs(1), || gateway.probe(&client.basic()) == 200));
    gateway.send(&read(&gateway.issue(&client, "scope=application"))).assert_status(200);
}

#[test]
fn revocations_outlive_the_gateway() {
    let mut gateway = Gateway::start(|_| {});
    let (single, all) = (gateway.token("application"), gateway.client("application"));
    let of_all = gateway.issue(&all, "scope=application");
    revoke(&gateway, gateway.owner(), &single).assert_status(200);
    gateway.cli(&["token", "revoke", "--client", &all.id]).assert_code(0);
    gateway.kill();
    gateway.restart();
    for token in [&single, &of_all] {
        gateway.send(&read(token)).assert_refused(401, "invalid_token");
    }
}
