use std::sync::atomic::Ordering;

use aws_lc_rs::signature::Ed25519KeyPair;

use super::*;
use crate::issuer::introspection::describe;

const SESSION: &str = "&scope=application.session&application_id=a&workflow_id=w&redirect_url=https://x/y";

/// Two clients of one customer, one of another, and an API that may ask about everybody.
fn world() -> World {
    let own = || client("k", vec![keyed("secret")]);
    let all = Client { introspects: Introspects::All, ..client("api", vec![keyed("secret")]) };
    let foreign = client("other", vec![keyed("secret")]);
    World::new(vec![("one", own()), ("two", own()), ("foreign", foreign), ("api", all)])
}

fn assert_no_store(reply: &Reply) {
    assert_eq!(reply.response.headers()[header::CACHE_CONTROL], "no-store", "{reply:?}");
}

#[tokio::test]
async fn a_client_revokes_its_own_token_until_nobody_would_take_it() {
    let world = world();
    let token = world.issued("one", "", NOW).await;
    for hint in ["", "&token_type_hint=access_token", "&token_type_hint=refresh_token", "&token_type_hint=x"] {
        let reply = world.revoke("one", "secret", &format!("token={token}{hint}"), NOW.plus(5)).await;
        assert_eq!((status(&reply), reply.response.body().len()), (200, 0), "{hint}");
        assert_no_store(&reply);
        let (id, until, client, address) = world.revoker.revoked.lock().unwrap().pop().unwrap();
        assert_eq!(claims(&token)["jti"], id.as_str());
        assert_eq!(until, NOW.plus(LIFETIME + SKEW));
        assert_eq!((client.as_str(), address), ("one", HERE));
    }
}

#[tokio::test]
async fn a_token_of_no_use_is_revoked_by_doing_nothing() {
    let world = world();
    let token = world.issued("one", "", NOW).await;
    let foreign = world.issued("foreign", "", NOW).await;
    for (token, now) in [
        ("x", NOW),
        ("a.b.c", NOW),
        (&token[..token.len() - 4], NOW),
        (&token, NOW.plus(LIFETIME + SKEW)),
        (&foreign, NOW.plus(LIFETIME + SKEW)),
    ] {
        let reply = world.revoke("one", "secret", &format!("token={token}"), now).await;
        assert_eq!((status(&reply), reply.response.body().len()), (200, 0), "{token} {now}");
    }
    assert!(world.revoker.revoked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_revocation_that_cannot_be_made_is_an_error() {
    let world = world();
    let token = world.issued("one", "", NOW).await;
    let form = format!("token={token}");
    for (id, secret, form, expected) in [
        ("one", "secret", "token=", (400, "invalid_request")),
        ("one", "secret", "", (400, "invalid_request")),
        ("one", "secret", "token=a&token=b", (400, "invalid_request")),
        ("one", "wrong", form.as_str(), (401, "invalid_client")),
        ("nobody", "secret", form.as_str(), (401, "invalid_client")),
        ("two", "secret", form.as_str(), (400, "unauthorized_client")),
        ("foreign", "secret", form.as_str(), (400, "unauthorized_client")),
        ("api", "secret", form.as_str(), (400, "unauthorized_client")),
    ] {
        let reply = world.revoke(id, secret, form, NOW).await;
        assert_eq!((status(&reply), json(&reply)["error"].as_str().unwrap()), expected, "{id} {form}");
        assert_no_store(&reply);
    }
    assert!(world.revoker.revoked.lock().unwrap().is_empty());

    world.revoker.broken.store(true, Ordering::Relaxed);
    let reply = world.revoke("one", "secret", &form, NOW).await;
    assert_eq!((status(&reply), json(&reply)["error"].as_str().unwrap()), (503, "temporarily_unavailable"));
    assert_eq!(reply.response.headers()[header::RETRY_AFTER], "1");
    // What needs no store is answered without it.
    assert_eq!(status(&world.revoke("one", "secret", "token=x", NOW).await), 200);
}

#[tokio::test]
async fn introspection_tells_the_claims_of_a_valid_token() {
    let world = world();
    let plain = world.issued("one", "", NOW).await;
    let session = world.issued("one", SESSION, NOW).await;
    for token in [&plain, &session] {
        let claims = claims(token);
        let mut expected = claims.clone();
        expected["active"] = true.into();
        expected["token_type"] = "Bearer".into();
        let reply = world.introspect("two", "secret", &format!("token={token}&token_type_hint=x"), NOW).await;
        assert_eq!((status(&reply), json(&reply)), (200, expected));
        assert_no_store(&reply);
    }
    assert_eq!(claims(&session)["application_id"], "a");
}

#[tokio::test]
async fn introspection_tells_a_customer_of_its_own_tokens_and_an_api_of_all() {
    let world = world();
    let own = world.issued("one", "", NOW).await;
    let foreign = world.issued("foreign", "", NOW).await;
    let end = NOW.plus(LIFETIME + SKEW);
    for (id, token, now, expected) in [
        ("one", own.as_str(), NOW, true),
        ("two", &own, end.minus(1), true),
        ("two", &own, end, false),
        ("one", &foreign, NOW, false),
        ("foreign", &own, NOW, false),
        ("foreign", &foreign, NOW, true),
        ("api", &own, NOW, true),
        ("api", &foreign, NOW, true),
        ("api", &own, end, false),
        ("api", "x", NOW, false),
        ("one", &own[..own.len() - 4], NOW, false),
    ] {
        let reply = world.introspect(id, "secret", &format!("token={token}"), now).await;
        assert_eq!((status(&reply), json(&reply)["active"].as_bool()), (200, Some(expected)), "{id} {token} {now}");
        if !expected {
            assert_eq!(&reply.response.body()[..], br#"{"active":false}"#);
        }
        assert_no_store(&reply);
    }
}

#[tokio::test]
async fn introspection_is_for_clients_and_of_one_token() {
    let world = world();
    for (id, secret, form, expected) in [
        ("one", "wrong", "token=x", (401, "invalid_client")),
        ("one", "secret", "", (400, "invalid_request")),
        ("one", "secret", "token=", (400, "invalid_request")),
        ("one", "secret", "token=a&token=b", (400, "invalid_request")),
    ] {
        let reply = world.introspect(id, secret, form, NOW).await;
        assert_eq!((status(&reply), json(&reply)["error"].as_str().unwrap()), expected, "{form}");
        assert_no_store(&reply);
    }
}

#[tokio::test]
async fn tokens_of_a_client_that_may_no_longer_act_are_not_active() {
    let world = world();
    let token = world.issued("one", "", NOW).await;
    let form = format!("token={token}");
    assert_eq!(json(&world.introspect("two", "secret", &form, NOW).await)["active"], true);
    let key = SigningKey::new(&KEY).unwrap().public().clone();
    world.trust.replace(standing(vec![TrustedKey { key, until: None }], &["two".to_owned()]));
    assert_eq!(json(&world.introspect("two", "secret", &form, NOW).await), serde_json::json!({"active": false}));
    assert_eq!(status(&world.revoke("two", "secret", &form, NOW).await), 200, "of no use, and so revoked already");
}

#[tokio::test]
async fn the_three_endpoints_share_one_limit_on_failures() {
    let world = world();
    assert_eq!(status(&world.token("one", "x", GRANT, NOW).await), 401);
    assert_eq!(status(&world.revoke("one", "x", "token=x", NOW).await), 401);
    assert_eq!(status(&world.introspect("one", "x", "token=x", NOW).await), 401);
    assert_eq!(status(&world.introspect("one", "secret", "token=x", NOW).await), 200);
    for reply in [
        world.token("one", "x", GRANT, NOW).await,
        world.revoke("one", "x", "token=x", NOW).await,
        world.introspect("one", "x", "token=x", NOW).await,
    ] {
        assert_eq!((status(&reply), reply.result), (429, Some(TokenResult::RateLimited)));
        assert!(reply.response.headers().contains_key(header::RETRY_AFTER));
    }
}

#[tokio::test]
async fn a_token_asked_for_in_the_second_of_a_revocation_is_not_born_dead() {
    for (end, issued) in [
        (None, NOW),
        (Some(NOW.minus(1)), NOW),
        (Some(NOW), NOW.plus(1)),
        (Some(NOW.plus(1)), NOW.plus(2)),
        (Some(NOW.plus(SKEW - 1)), NOW.plus(SKEW)),
        // No verifier would take a token from so far ahead.
        (Some(NOW.plus(SKEW)), NOW),
        (Some(Timestamp::from_seconds(u64::MAX)), NOW),
    ] {
        let client = Client { tokens_end: end, ..client("k", vec![keyed("secret")]) };
        let world = World::new(vec![("c", client)]);
        let token = world.issued("c", "", NOW).await;
        let claims = claims(&token);
        assert_eq!(claims["iat"], issued.seconds(), "{end:?}");
        assert_eq!(claims["exp"], NOW.plus(LIFETIME).seconds(), "{end:?}");
        assert!(world.trust.verify_own(token.as_bytes(), NOW).is_ok(), "{end:?}");
    }
}

#[test]
fn a_claim_that_the_token_does_not_make_is_not_told() {
    let key = SigningKey::new(&KEY).unwrap();
    let header = format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, key.id());
    let stated = r#"{"iss":"https://issuer","aud":["api"],"sub":"one","client_id":"one","customer_id":"k","scope":"application","nbf":1799999990,"exp":1800000900,"application_id":"unchecked","email":"x"}"#;
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(stated));
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(KEY.pkcs8()).unwrap();
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())));
    let principal = world().trust.verify_own(token.as_bytes(), NOW).unwrap();
    let expected = serde_json::json!({
        "active": true, "token_type": "Bearer", "scope": "application", "client_id": "one", "customer_id": "k",
        "iss": "https://issuer", "aud": ["api"], "sub": "one", "nbf": 1_799_999_990, "exp": 1_800_000_900,
    });
    assert_eq!(describe(token.as_bytes(), &principal), Some(expected));
}
