//! C2SP/wycheproof: tokens and key sets that some library once accepted, and good ones.

use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use scopegate::{domain::Reason, token::Jws};
use serde_json::{Value, json};

use crate::{
    corpus,
    exceptions::{Tag, Vector, assert_held},
    list,
    verdict::{Refusal, judge, keys, published},
};

/// Members of a JWK that only its owner has.
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

#[test]
fn json_web_signatures_are_judged_as_tagged() {
    let Some(vectors) = vectors("json_web_signature_test") else { return };
    assert_held("json_web_signature_test", 401, &vectors);
    // An invalid character within a part, which lenient decoders skip: two readings of one token.
    for id in ["372", "373"] {
        let seen = &vectors.iter().find(|vector| vector.id == id).unwrap().seen;
        assert_eq!(seen.as_ref().map_err(ToString::to_string), Err("malformed".to_owned()), "tc{id}");
    }
}

/// What tc367 and tc370 are about; in the file their tokens are those of tc357, a valid one.
#[test]
fn padding_is_refused_even_under_a_good_mac() {
    let Some(groups) = groups("json_web_signature_test") else { return };
    let group = groups.iter().find(|group| group["comment"] == "base64").unwrap();
    let secret = EncodingKey::from_base64_secret(&STANDARD.encode([0; 32])).unwrap();
    let header = "eyJraWQiOiJoczI1Ni1rZXkiLCJhbGciOiJIUzI1NiJ9";
    for (signed, expected) in [
        (format!("{header}.VGVzdA"), Ok(())),
        (format!("{header}.VGVzdA=="), Err(Refusal::Token(Reason::Malformed))),
        (format!("{header}.VGVzdA="), Err(Refusal::Token(Reason::Malformed))),
        (format!("{header}=.VGVzdA"), Err(Refusal::Token(Reason::Malformed))),
        (format!("{header}====.VGVzdA"), Err(Refusal::Token(Reason::Malformed))),
    ] {
        let mac = crypto::sign(signed.as_bytes(), &secret, Algorithm::HS256).unwrap();
        assert_eq!(judge(&format!("{signed}.{mac}"), &group["private"]), expected, "{signed}");
        assert!(judge(&format!("{signed}.{mac}="), &group["private"]).is_err(), "{signed}");
    }
}

#[test]
fn json_web_keys_are_judged_as_tagged() {
    let Some(vectors) = vectors("json_web_key_test") else { return };
    assert_held("json_web_key_test", 26, &vectors);
}

#[test]
fn json_web_crypto_signatures_are_judged_as_tagged() {
    let Some(vectors) = vectors("json_web_crypto_test") else { return };
    assert_held("json_web_crypto_test", 49, &vectors);
}

#[test]
fn encrypted_tokens_are_refused_whatever_their_tag() {
    let mut count = 0;
    for name in ["json_web_encryption_test", "json_web_crypto_test"] {
        let Some(groups) = groups(name) else { return };
        for test in groups.iter().flat_map(|group| list(&group["tests"])).filter(|test| !test["jwe"].is_null()) {
            assert!(Jws::parse(compact(&test["jwe"]).as_bytes()).is_err(), "{name} {}", test["tcId"]);
            count += 1;
        }
    }
    println!("{count} encrypted tokens refused");
    assert!(count >= 139 + 34, "{count} encrypted tokens");
}

#[test]
fn whoever_publishes_private_keys_is_not_believed() {
    let mut count = 0;
    for name in ["json_web_signature_test", "json_web_key_test", "json_web_crypto_test"] {
        let Some(groups) = groups(name) else { return };
        for group in groups {
            let private = &group["private"];
            let set = if private["keys"].is_array() { private.clone() } else { json!({ "keys": [private] }) };
            match published(&set) {
                Err(refused) => {
                    assert!(matches!(refused, Refusal::KeySet(_)), "{name} {}: {refused:?}", group["comment"]);
                }
                // Shared secrets beside public keys: those alone are used.
                Ok(keys) => {
                    let entries = list(&set["keys"]);
                    assert!(entries.iter().all(|entry| entry["d"].is_null()), "{name} {}", group["comment"]);
                    let public = entries.iter().filter(|entry| entry["kty"] != "oct").count();
                    assert!(keys.len() <= public, "{name} {}: {keys:?}", group["comment"]);
                }
            }
            count += 1;
        }
    }
    assert!(count >= 23 + 25 + 8, "{count} sets of private keys");
}

/// What other files of this folder take as known to be good: each token that is accepted, with its keys.
pub fn accepted(name: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for group in groups(name).unwrap_or_default() {
        let jwk = as_published(&group);
        let tokens = list(&group["tests"]).iter().map(|test| compact(&test["jws"]));
        found.extend(tokens.filter(|token| judge(token, &jwk).is_ok()).map(|token| (token, jwk.clone())));
    }
    found
}

fn groups(name: &str) -> Option<Vec<Value>> {
    let document = corpus(&format!("wycheproof/{name}.json"))?;
    Some(list(&document["testGroups"]).to_vec())
}

fn vectors(name: &str) -> Option<Vec<Vector>> {
    let mut vectors = Vec::new();
    for group in groups(name)? {
        let jwk = as_published(&group);
        for test in list(&group["tests"]).iter().filter(|test| !test["jws"].is_null()) {
            let tag = match test["result"].as_str() {
                Some("valid") => Tag::Valid,
                Some("invalid") => Tag::Invalid,
                other => panic!("{}: {other:?} is no tag", test["tcId"]),
            };
            let token = compact(&test["jws"]);
            let seen = judge(&token, &jwk);
            vectors.push(Vector { id: test["tcId"].to_string(), input: format!("{jwk} {token}"), tag, seen });
        }
    }
    Some(vectors)
}

/// The public half that the vectors give, and where they give none the private one without what is private. A symmetric key
/// stays as it is.
fn as_published(group: &Value) -> Value {
    if !group["public"].is_null() {
        return group["public"].clone();
    }
    let mut jwk = group["private"].clone();
    match jwk.get_mut("keys").and_then(Value::as_array_mut) {
        Some(keys) => keys.iter_mut().for_each(strip),
        None => strip(&mut jwk),
    }
    jwk
}

fn strip(jwk: &mut Value) {
    let members = jwk.as_object_mut().expect("a JWK is an object");
    members.retain(|name, _| !PRIVATE.contains(&name.as_str()));
}

/// A token; one in JSON as the text that would be sent.
fn compact(token: &Value) -> String {
    token.as_str().map_or_else(|| token.to_string(), ToOwned::to_owned)
}

#[test]
fn the_public_halves_are_those_of_the_private_keys() {
    let mut count = 0;
    for name in ["json_web_signature_test", "json_web_key_test", "json_web_crypto_test"] {
        let Some(groups) = groups(name) else { return };
        for mut group in groups {
            let Some(given) = group.as_object_mut().unwrap().remove("public") else { continue };
            // What a key may be used for differs between the halves.
            if given["key_ops"].is_null() {
                assert_eq!(as_published(&group), given, "{name} {}", group["comment"]);
                assert_eq!(keys(&as_published(&group)).is_ok(), keys(&given).is_ok());
                count += 1;
            }
        }
    }
    assert!(count >= 28, "{count} public halves compared");
}
